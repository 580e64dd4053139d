"""README.md of a bundle's sPyNNaker folder."""

from __future__ import annotations

from hardware_targets.spinnaker.clearing import Clearing


def planned_text(boards: int, version: int, chips: int) -> str:
    """For which machine the network was planned; a larger one holds it too, with cores in other places."""
    several = f"{boards} boards" if boards > 1 else "one board"
    return f"The network was planned for {several} of version {version} with {chips} chips."


def together_text(clearing: Clearing | None, refused: str | None, dt_ms: float) -> str:
    """What a run of several samples at once does differently."""
    if clearing is None:
        return f"`--together` is refused for this network: {refused}."
    gap = 2 * clearing.watch + clearing.settle
    return TOGETHER.format(watch=clearing.watch, gap=gap, gap_ms=gap * dt_ms, settle=clearing.settle)


TOGETHER = """`--together` is the fast way: one mapping, one loading and one run of all samples, with {gap} empty ticks
({gap_ms:g} ms) after each. Waiting alone would not bring neurons back: a membrane decays by a floor, so from above it
stops some 1/32768 mV short of v_rest for ever. So a source of one neuron, `between samples`, sends one inhibitory spike
to every neuron when all is silent: v goes below v_rest, and comes back from below to v_rest exactly. {settle} ticks
later every v, synaptic value and refractory timer is what it was at the start, to the last bit. That follows from the
chip's arithmetic for every synaptic value up to 32768 mV (`clearing.py` of delayline has the argument) and was tested
with an emulator of it. What differs from the other way:

- the network has one core more, and other tables than those in `tables.npz`;
- it is only right if nothing spikes in the last {watch} ticks before the inhibitory spike. The script looks, and
  ends with exit code 1 if something does; `--quiet TICKS` then makes the pause longer."""

README = """# Network for SpiNNaker 1

`network.py` builds this network with PyNN on sPyNNaker 7.4.1 and runs samples through it, on a board; or maps it on a
virtual board, which any computer has. It needs sPyNNaker and numpy, nothing else. Step length {dt_ms:g} ms.

**Nobody has executed this on a board yet.** delayline compares what a board would be loaded with, word for word, with
what sPyNNaker makes of this script on its virtual board (the report of the bundle says whether that was done for this
network). What happens then was tested with the machine code that sPyNNaker ships, in an emulator of its processor, and
the way in which the script reads a run with a stand-in.

{populations}

{projections}

All parameters and weights are exact in s16.15, the numbers of the chip. A spike of tick t on a synapse with a delay of
d ms arrives in tick t + d / {dt_ms:g}; d is at least one tick.

## On a virtual board

Python 3.10 or 3.11:

    pip install 'sPyNNaker==1!7.4.1'
    python network.py --virtual tables

It maps the network and runs nothing, so nothing can be read back. `tables/ds.sqlite3` is sPyNNaker's own report of
every word that it would load (table `region`), `tables/placements.json` says what sits on which core. It has a home
folder of its own for that time: your `~/.spynnaker.cfg` is neither read nor written.

## On a board

1. A board with 4 or 48 chips, or an account on a large machine (https://spinnakermanchester.github.io has how to get
   either). Say which in your `~/.spynnaker.cfg`; the first `import pyNN.spiNNaker` writes one to fill in:

       [Machine]
       machine_name = <address of the board>
       version = {version}

   {planned}
   `version` is 3 for a board with 4 chips, 5 for one with 48. The script reads and changes no configuration: it uses
   yours. sPyNNaker writes its reports where it always does.
2. Run it:

       python network.py --samples 1 --out traces.npz

3. Compare with "What to expect".

Every sample is a run of its own: the network is mapped, loaded and run from its initial state. That is slow, and it
is the way that rests on nothing else.

{together}

`traces.npz` holds `s/<name>` (bool), the spikes of every population, and `v/<name>` (int32, s16.15) of a readout, each
(samples, steps, neurons), and `prediction`, the class of each sample. sPyNNaker records v *before* a tick changes it:
v of step t is what it has for tick t + 1. The script runs a tick longer and shifts it.

## What to expect

On all {n_samples} samples ({n_steps} steps each) the last lines are

    {accuracy}
    spikes and v equal the emulator's on {n_samples} of {n_samples} samples
    SHA-256 of spikes and v {digest}

A difference on a board that the emulator does not have: spikes that a busy core handles late, or loses. sPyNNaker's
provenance report counts them. A network that is too busy for real time runs with a larger `time_scale_factor` in your
`~/.spynnaker.cfg`.

## Other samples

`--data FILE` takes any npz of this layout, without pickles:

| array | shape | what |
|---|---|---|
| `times`, `units` | (events,) integers | step, 0 to n_steps - 1, and source, 0 to {n_units} - 1, of each spike |
| `offsets` | (samples + 1,) integers | events of sample s are `offsets[s]:offsets[s + 1]` |
| `n_units`, `n_steps` | () integers | {n_units}, and steps of every sample |
| `labels` | (samples,) integers | optional; then the accuracy is printed |

## Files

- `network.py`: the network. `spynnaker_running.py`: how samples pass through. `spynnaker_virtual.py`: the virtual
  board. `spynnaker_samples.py`: files of samples. `class_reading.py`: how the class is read.
- `arrays.npz`: a list for each projection and sign, rows of source, target, weight in nA and delay in ms, sorted by
  source: sPyNNaker 7.4.1 loses synapses of lists that are not. `network.json`: sizes, readout, and what lies between
  samples.
- `tables.npz`, `tables.json`: the words that every core is loaded with, `<vertex>.<core>.<region>`, and cores and keys;
  `delayline inspect` prints them.
- `samples.npz`: the samples, in the layout above. `expected.npz`: spikes and v of the emulator on them.
"""
