"""Adam as the device runs it on the synapses of a projection: `toolchain.training.optimiser`, after each batch.

Gradients never leave the device: `SumI` and `SumD` are what the backward passes of the batch have added up, and the
gradients of weight and delay are these times -tau_syn and -weight, over the number of samples.
"""

from __future__ import annotations

from toolchain.training.backends.genn.description import UpdateModel, Variable

MOMENTS = ("First", "Second")
OF_WEIGHT = tuple(Variable(name, "scalar") for name in ("TauSyn", "WeightRate", "WeightFirst", "WeightSecond"))
OF_DELAY = tuple(Variable(name, "scalar") for name in ("Delay", "DelayRate", "DelayFirst", "DelaySecond"))


def adam(*, with_delays: bool, slot: str) -> UpdateModel:
    """The update of a projection; `slot` is the type of its delay slots."""
    delays = f"""
DelayFirst += New1 * (ofDelay - DelayFirst);
DelaySecond += New2 * (ofDelay * ofDelay - DelaySecond);
Delay -= DelayScale * DelayRate * DelayFirst / (sqrt(DelaySecond) + Epsilon);
if (Delay < 0) {{
    Delay = 0;
    Clipped += 1;
}}
else if (Delay > LargestSlot) {{
    Delay = LargestSlot;
    Clipped += 1;
}}
const scalar nearest = rint(Delay);
Slot = ({slot})(nearest < LastBuffer ? nearest : LastBuffer);
"""
    return UpdateModel(
        f"Adam{f'Delays_{slot}' if with_delays else ''}",
        params=(
            ("New1", "scalar"),
            ("New2", "scalar"),
            *((("LargestSlot", "scalar"), ("LastBuffer", "scalar")) if with_delays else ()),
        ),
        dynamic=(
            ("WeightScale", "scalar"),
            *((("DelayScale", "scalar"),) if with_delays else ()),
            ("Epsilon", "scalar"),
            ("PerSample", "scalar"),
        ),
        variables=OF_WEIGHT + ((*OF_DELAY, Variable("Clipped", "uint32_t")) if with_delays else ()),
        references=(
            ("Weight", "scalar"),
            *((("Slot", slot),) if with_delays else ()),
            ("SumI", "scalar"),
            ("SumD", "scalar"),
        ),
        code=f"""
const scalar ofWeight = -TauSyn * SumI * PerSample;
{"const scalar ofDelay = -Weight * SumD * PerSample;" if with_delays else ""}
WeightFirst += New1 * (ofWeight - WeightFirst);
WeightSecond += New2 * (ofWeight * ofWeight - WeightSecond);
Weight -= WeightScale * WeightRate * WeightFirst / (sqrt(WeightSecond) + Epsilon);
{delays if with_delays else ""}
SumI = 0;
SumD = 0;
""",
    )
