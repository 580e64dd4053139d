"""The text that `network.py` of a bundle is put together from; `spynnaker_export` fills in the network."""

from __future__ import annotations

HEAD = '''"""A spiking network with delays for SpiNNaker 1, as a PyNN script. It needs sPyNNaker 7.4.1 and numpy only.

    python network.py --samples 5 --out traces.npz       run on your board (not executed: README.md)
    python network.py --virtual tables                   map on a virtual board and keep the tables; runs nothing

A spike of tick t on a synapse with a delay of d ticks arrives in tick t + d. `build` is the network;
spynnaker_running.py is how samples pass through it. Weights are in nA, times in ms, voltages in mV; with cm equal
to tau_m 1 nA leads to 1 mV. All numbers are exact in the chip's s16.15.
"""

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER))
import spynnaker_samples  # first, because it says where numpy is missing

from spynnaker_running import main
'''

BUILD = '''

def build(sim, arrays, network):
    """Build the network with PyNN; lists of synapses are in arrays, spikes of the samples in network."""
'''

SOURCE = """    # Population {shown}: {size} spike sources, units {first} to {last} of the samples.
    {name} = sim.Population(
        {size},
        sim.SpikeSourceArray(spike_times=network.spike_times({first}, {size})),
        label={shown},
        additional_parameters={options},
    )
    network.populations[{shown}] = {name}
"""

NEURONS = """    # Population {shown}: {size} {about}.
    # max_expected_summed_weight makes sPyNNaker choose ring-buffer shifts {shifts}, those of the quantised weights.
    {name} = sim.Population(
        {size},
        sim.IF_curr_exp(
{parameters}
        ),
        label={shown},
        additional_parameters={options},
    )
    {name}.initialize(v={rest})
    network.populations[{shown}] = {name}
"""

LIST = """    # Projection {shown}: {n} {receptor} synapses, delays of {least} to {most} ticks.
    sim.Projection(
        {source},
        {target},
        sim.FromListConnector(arrays["{array}"], column_names=["weight", "delay"]),
        sim.StaticSynapse(),
        receptor_type="{receptor}",
    )
"""

TAIL = """

if __name__ == "__main__":
    main(build, FOLDER)
"""
