"""What a neuron of each kind does in a step, in the C-like language of GeNN, and what it keeps.

A sample takes 2 T steps. In step t < T the network runs forward and writes a *tape*: when each neuron spiked, and the
slope I - V of its membrane there. In step t >= T it runs backward through time, at n = 2 T - 1 - t, by the equations of
`toolchain.training.backends.cpu.backward`. What a neuron says backward is an *event*: it is raised at the end of the
step before its spike, n + 1, so that the synapses have collected R by the time the neuron reaches the spike itself
(GeNN runs synapses first, then neurons, and what a neuron says in one step synapses hear in the next). A spike of the
last step needs no event: whatever arrives after the end has no adjoint.

Steps from 2 T on are *idle*: they let the delay buffers run empty, forward and backward, where a sample is not followed
by its own backward pass.

Arrays are laid out as [slot][sample of the batch][neuron][...]: `Slot` numbers the batches that are held at once.
"""

from __future__ import annotations

from toolchain.training.backends.genn.description import Array, NeuronModel, Variable

STEP = """
const int step = (int)t;
const int now = 2 * Steps - 1 - step;
"""
PLACE = "const int place = (Slot * Batch + batch) * num_neurons + id;\n"
FORWARD = """
    I = Beta * I + Isyn;
    V = Alpha * V + Gain * I;
"""
CONSTANTS = tuple(Variable(name, "scalar", shared=True) for name in ("Alpha", "Beta", "Gain", "Chi"))
STATE = tuple(Variable(name, "scalar") for name in ("I", "V", "LambdaI", "LambdaV"))
INTEGRALS = (Variable("TauMem", "scalar"), Variable("TauSyn", "scalar"))
STATES = (Array("TapeI", "scalar"), Array("TapeV", "scalar"))
SIZES = (("Steps", "int"), ("Batch", "int"))
SLOT, ROOM = ("Slot", "int"), ("Room", "int")

SOURCE = NeuronModel(
    "SpikeSource",
    params=(*SIZES, ("Words", "int")),
    dynamic=(SLOT,),
    variables=(Variable("Back", "uint8_t"),),
    arrays=(Array("Bits", "uint32_t"),),
    step=STEP
    + """
const int first = (Slot * Batch + batch) * Steps;
const int word = id / 32;
const uint32_t bit = 1u << (id % 32);
uint8_t spike = 0;
Back = 0;
if (step < Steps) {
    spike = (Bits[(first + step) * Words + word] & bit) != 0 ? 1 : 0;
}
else if (step < 2 * Steps && now > 0) {
    Back = (Bits[(first + now - 1) * Words + word] & bit) != 0 ? 1 : 0;
}
""",
    spikes_if="spike",
    on_spike="",
)
"""Spikes that are given: one bit for each neuron and step, `Words` of 32 neurons."""


def lif(*, learns_tau: bool, is_output: bool) -> NeuronModel:
    """A neuron that spikes; `is_output` where a loss of spike times enters, `learns_tau` where constants learn."""
    keep = "    TapeI[place * Steps + step] = I;\n    TapeV[place * Steps + step] = V;\n" if learns_tau else ""
    kick = "    if (step == Steps) {\n        LambdaV += Kick[place];\n    }\n" if is_output else ""
    jump = "if (Left == 0) {\n            total += Jump[place];\n        }" if is_output else ""
    before = "    const scalar nextI = LambdaI;\n    const scalar nextV = LambdaV;\n" if learns_tau else ""
    return NeuronModel(
        f"Lif{'Tau' if learns_tau else ''}{'Output' if is_output else ''}",
        params=(*SIZES, ("Single", "int"), ("Floor", "scalar")),
        dynamic=(SLOT, ROOM, ("Replay", "int")),
        variables=(
            *CONSTANTS,
            Variable("Threshold", "scalar", shared=True),
            Variable("Push", "scalar", shared=True),
            *STATE,
            Variable("Count", "uint32_t"),
            Variable("Left", "uint32_t"),
            Variable("Guarded", "uint32_t"),
            Variable("Back", "uint8_t"),
            *(INTEGRALS if learns_tau else ()),
        ),
        arrays=(
            Array("TapeCount", "uint32_t"),
            Array("TapeTime", "uint32_t"),
            Array("TapeSlope", "scalar"),
            *((Array("Jump", "scalar"), Array("Kick", "scalar")) if is_output else ()),
            *(STATES if learns_tau else ()),
        ),
        feedback="FromTargets",
        step=STEP
        + PLACE
        + f"""
uint8_t spike = 0;
if (step < Steps) {{
    if (step == 0) {{
        I = 0;
        V = 0;
        LambdaI = 0;
        LambdaV = 0;
        Count = 0;
        Back = 0;
        if (!Replay) {{
            TapeCount[place] = 0;
        }}
    }}
{FORWARD}{keep}
    if (Replay) {{
        spike = (Count < TapeCount[place] && TapeTime[place * Room + Count] == (uint32_t)step) ? 1 : 0;
    }}
    else {{
        spike = (V >= Threshold && !(Single && Count > 0)) ? 1 : 0;
    }}
}}
else if (step < 2 * Steps) {{
    if (step == Steps) {{
        Left = min(TapeCount[place], (uint32_t)Room);
        Back = (Left > 0 && TapeTime[place * Room + Left - 1] == (uint32_t)now) ? 1 : 0;
    }}
{before}    LambdaI = Beta * LambdaI + Chi * LambdaV;
    LambdaV = Alpha * LambdaV;
{kick}    if (Back) {{
        Left -= 1;
        scalar slope = TapeSlope[place * Room + Left];
        scalar total = FromTargets;
        {jump}
        if (slope < Floor) {{
            slope = Floor;
            Guarded += 1;
        }}
        LambdaV += (Threshold * LambdaV + total) / slope - Push;
    }}
    Back = (Left > 0 && TapeTime[place * Room + Left - 1] + 1 == (uint32_t)now) ? 1 : 0;
{_integrals("Back ? 0 : TapeV[place * Steps + now - 1]") if learns_tau else ""}}}
else {{
    LambdaI = 0;
    LambdaV = 0;
    Back = 0;
}}
""",
        spikes_if="spike",
        on_spike="""
if (Count < Room) {
    TapeTime[place * Room + Count] = (uint32_t)t;
    TapeSlope[place * Room + Count] = I - V;
}
Count += 1;
if (!Replay) {
    TapeCount[place] = Count;
}
V = 0;
""",
    )


def leaky_readout(*, learns_tau: bool) -> NeuronModel:
    """A neuron that is read by its voltage: `Trace` is V on the way forward, the drive of the adjoints afterwards."""
    keep = "    TapeI[place * Steps + step] = I;\n    TapeV[place * Steps + step] = V;\n" if learns_tau else ""
    before = "    const scalar nextI = LambdaI;\n    const scalar nextV = LambdaV;\n" if learns_tau else ""
    return NeuronModel(
        f"LeakyReadout{'Tau' if learns_tau else ''}",
        params=SIZES,
        dynamic=(SLOT,),
        variables=(*CONSTANTS, *STATE, *(INTEGRALS if learns_tau else ())),
        arrays=(Array("Trace", "scalar"), *(STATES if learns_tau else ())),
        step=STEP
        + PLACE
        + f"""
if (step < Steps) {{
    if (step == 0) {{
        I = 0;
        V = 0;
        LambdaI = 0;
        LambdaV = 0;
    }}
{FORWARD}{keep}
    Trace[place * Steps + step] = V;
}}
else if (step < 2 * Steps) {{
    const scalar drive = Trace[place * Steps + now];
    const scalar rest = LambdaV - drive;
{before}    LambdaI = drive + Beta * (LambdaI - drive) + Chi * rest;
    LambdaV = drive + Alpha * rest;
{_integrals("TapeV[place * Steps + now - 1]") if learns_tau else ""}}}
else {{
    LambdaI = 0;
    LambdaV = 0;
}}
""",
        spikes_if=None,
        on_spike="",
    )


def _integrals(after_step_before: str) -> str:
    """Twice the integrals of `toolchain.training.backends.cpu.time_constants` over one step."""
    return f"""    const scalar current = TapeI[place * Steps + now];
    scalar began = 0;
    if (now > 0) {{
        began = {after_step_before};
    }}
    TauMem += LambdaV * (current - began) + nextV * (Beta * current - TapeV[place * Steps + now]);
    TauSyn -= (LambdaI + Beta * nextI) * current;
"""
