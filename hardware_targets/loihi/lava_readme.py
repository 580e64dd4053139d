"""README.md of a bundle's Lava folder."""

from __future__ import annotations

ABOUT = {
    "loihi1": """`network.py` builds this network from Lava processes and runs samples through it, in Lava's
bit-accurate simulation on any computer. It was made for Loihi 1: scales, delays and placement keep to the limits of
that chip.""",
    "loihi2": """`network.py` builds this network from Lava processes and runs samples through it: in Lava's
bit-accurate simulation of Loihi 2 on any computer, or on a chip.""",
}
"""Chip -> what the script does."""

ON_A_CHIP = {
    "loihi1": """## On a Loihi 1 chip

**No public software brings this network onto a Loihi 1 chip.** What programs that chip is NxSDK, which Intel gave to
members of its research community only and which is not on any public index. Lava's own code names a run configuration
for it (`Loihi1HwCfg`), but none of the models that it would choose are public, and `Loihi2HwCfg` is for another chip:
so `network.py` refuses every machine but `cpu`, and nobody has executed this on a chip.

What can be done:

- Simulate it with Lava, as above. Lava has one fixed-point model for both generations: 24-bit u and v, 12-bit decays,
  weights of 8 bits with a shared exponent, delays of 0 to 62 slots. Where Loihi 1 differs from it nothing here says.
- Build it by hand where NxSDK is at hand: `arrays.npz` has weights and delays, `network.py` the decays, thresholds and
  exponents (Lava's `du` is one less than the decay of current that other tools write), and `placement.json` of the
  bundle says which neurons sit on which core. `expected.npz` is what must come out.
- Deploy the same run with `--target loihi2`, whose bundle has a way to a chip.
""",
    "loihi2": """## On a Loihi 2 chip

**Nobody has executed this on a chip yet.** What is below and in class `Loihi2` of `lava_machines.py` rests on
lava-nc's own sources (`lava/utils/loihi.py`, `lava/networks/gradedvecnetwork.py`) and on public programs that
ran on Loihi 2. It was tested with stand-ins for Intel's extension, on a CPU.

1. Loihi 2 is there for members of the Intel Neuromorphic Research Community (INRC):
   https://neuromorphic.intel.com or inrc_interest@intel.com. Members get the extension of Lava, lava-loihi,
   which is on no public index, and Intel's page "Get started with the Lava extension for Loihi" says how to
   install it on their machines.
2. Copy this folder to the machine of the INRC from which jobs start. First see that the network is what it was:
   `python network.py --on cpu --record outputs --reset gap`. It streams, resets and reads just as a run on the
   chip.
3. Say which board, by environment variables (those that `lava.utils.loihi.use_slurm_host` and
   `use_ethernet_host` set):

       SLURM=1 PARTITION=oheogulch python network.py --on loihi2 --out outputs.npz
       SLURM=1 BOARD=<node of `sinfo -N`> python network.py --on loihi2 --out outputs.npz
       NOSLURM=1 NXSDKHOST=<address> HOST_BINARY=nxcore/bin/nx_driver_server python network.py --on loihi2

   `sinfo` lists partitions and boards; `oheogulch` is the partition in Lava's examples. `LOIHI_GEN` is the
   generation of the chip, N3B3 if it is not set; some systems are N3C1.
4. Compare with "What to expect". Without lava-loihi the script ends with one line that says so and exit code 4.

What differs there from a simulation:

- **Outputs alone are read**, by a probe of `v` (`StateProbe`) or by spikes that leave the chip
  (`NxToPyAdapter`).
- **Inputs pass the embedded processors** (`PyToNxAdapter`) and arrive some steps later. A network without input
  stays at zero, so all that follows is late by as many steps. The script runs sample 0 once more at the start,
  finds by how many its output is behind `expected.npz`, says so, and cuts it off; `--latency` sets it. More
  than 16 it does not find.
- **Reset between samples**: delay buffers cannot be set on a chip. Empty steps are run in chunks as long as the
  longest delay, and u and v of all neurons set to zero after each, until nothing can be on its way
  (`Session.clear` in `lava_running.py` has the argument). Populations that can excite themselves are watched;
  if one never falls silent, the script says so and ends with exit code 1; `--reset restart` then starts Lava
  anew for every sample, which is slow and leaves nothing to reset. Not known: whether lava-loihi sets u and v exactly
  between two runs, and keeps spikes that are on their way across them. If the first sample is right and the
  second is not, look there.
- Limits of cores and of routing are those of Intel's compiler; `placement.json` of the bundle is an estimate.
""",
}
"""Chip -> section on running on it."""

README = """# Network for Lava

{about} Step length {dt_ms:g} ms.

{populations}

{projections}

A readout is a LIF with the largest threshold there is ({readout_vth}); its `v` is read. A spike of step t
on a synapse of delay slot k arrives at step t + 1 + k.

## On a plain computer

Lava runs on Linux and macOS (it forks). With Python 3.10:

    pip install lava-nc==0.10.0
    python network.py --samples 1 --out traces.npz

On Python 3.11 to 3.13 (`lava_machines.py` has the few lines that lava-nc needs there):

    pip install numpy scipy networkx asteval
    pip install --no-deps --ignore-requires-python lava-nc==0.10.0

`traces.npz` then holds, for each population, `u/<name>`, `v/<name>` (int32) and `s/<name>` (bool), each
(samples, steps, neurons), at the end of every step, and `prediction`, the class of each sample. Start with one
sample: every process of the network is a process of the operating system, and a step costs milliseconds. If a
run hangs, an exception in a Lava process is the usual cause: Lava does not show it. Stop it with Ctrl-C.

## What to expect

On all {n_samples} samples ({n_steps} steps each) the last lines are

    {accuracy}
    outputs equal the emulator's on {n_samples} of {n_samples} samples
    SHA-256 of the outputs {digest}

(no line of accuracy where there is none). Outputs are `v` of a readout as it is on the chip, a 24-bit integer
in an int32, or the spikes of outputs that spike. Classes are read from these integers, on the host.

{on_a_chip}
## Other samples

`--data FILE` takes any npz of this layout, without pickles:

| array | shape | what |
|---|---|---|
| `times`, `units` | (events,) integers | step, 0 to n_steps - 1, and source, 0 to {n_units} - 1, of each spike |
| `offsets` | (samples + 1,) integers | events of sample s are `offsets[s]:offsets[s + 1]` |
| `n_units`, `n_steps` | () integers | {n_units}, and steps of every sample |
| `labels` | (samples,) integers | optional; then the accuracy is printed |

Samples are streamed one by one: the file's events are in memory, a raster of one sample at a time.

## Files

- `network.py`: the network. `lava_running.py`: how samples pass through. `lava_machines.py`: computer and chip.
  `lava_reading.py`: how the class is read.
- `arrays.npz`: for each projection `<name>_weights` (int32, even, -256..254) and `<name>_delays` (int64),
  both (post, pre). A projection with a mask has one entry per synapse instead, placed by `<name>_post` and
  `<name>_pre`.
- `samples.npz`: the samples, in the layout above. `expected.npz`: outputs of the emulator on them.
"""
