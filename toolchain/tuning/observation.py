"""From what a device reports, in its own integers, to what training needs to know."""

from __future__ import annotations

import numpy as np

from toolchain.deployment.abilities import TunableTarget
from toolchain.deployment.target import Traces
from toolchain.devices.device import Deployed
from toolchain.errors import InputError
from toolchain.observed import Observed
from toolchain.spikes import SpikeTrains, from_rasters

BYTES_A_STEP = 17
"""Of a neuron in traces: u and v in 64 bits, and the spike."""
AT_ONCE = 2**28
"""Bytes of traces that a device is asked for at a time."""


def samples_at_once(deployed: Deployed, n_steps: int) -> int:
    """Samples whose traces stay small together, at least one."""
    neurons = sum(p.size for p in deployed.quantised.trained.populations if p.kind != "spike_source")
    return max(1, AT_ONCE // (BYTES_A_STEP * neurons * n_steps))


def unreported(traces: Traces | None, deployed: Deployed) -> set[str]:
    """Hidden populations whose spikes a device does not report, of one that is read.

    Raises
    ------
    InputError
        If it does not report what the network is read by either: there is no error to learn from then.
    """
    network = deployed.quantised.trained
    output = network.readout
    traces = traces or Traces({}, {}, {})
    hidden = {p.name for p in network.of_kind("lif") if p.name != output.name}
    missing = hidden - set(traces.spikes)
    read = output.name in (traces.spikes if output.kind == "lif" else traces.v)
    # The voltage of a readout follows from the spikes that reach it, where those of all hidden neurons are known.
    if not read and (output.kind == "lif" or missing):
        what = "spikes" if output.kind == "lif" else "voltage"
        raise InputError(
            f"device: reports neither the {what} of {output.name} nor the spikes of "
            f"{', '.join(sorted(hidden)) or 'anything'}; what it read alone is nothing to learn from, record "
            f"{output.name}"
        )
    return missing


def observed(traces: Traces | None, deployed: Deployed, spikes: SpikeTrains) -> Observed:
    """What a device did, in units of the trained network.

    A device that is read at its outputs alone, as Loihi 2 is, tells the error of the network and not how it came about.
    The spikes of hidden populations that it does not report are then the emulator's: the gradient is that of the
    emulated network with the error of the chip.

    Parameters
    ----------
    traces : of these samples, u is not needed
    spikes : input of the samples

    Raises
    ------
    InputError
        If the traces are of another shape, or have not enough to learn from.
    """
    target, network = deployed.target, deployed.quantised.trained
    assert isinstance(target, TunableTarget), "checked by `machine`"
    missing = unreported(traces, deployed)
    assert traces is not None, "or nothing would be reported"
    trains: dict[str, SpikeTrains] = {}
    for population in network.of_kind("lif"):
        if population.name in traces.spikes:
            raster = traces.spikes[population.name]
            _check_shape(f"spikes of {population.name}", raster.shape, spikes, population.size)
            trains[population.name] = from_rasters(raster)
    if missing:
        emulated = target.observe_quantised(deployed.quantised, spikes)
        trains |= {name: emulated.spikes[name] for name in missing}
    output, voltage = network.readout, None
    if output.kind == "leaky_readout" and output.name in traces.v:
        v = traces.v[output.name]
        _check_shape(f"v of {output.name}", v.shape, spikes, output.size)
        # In float64: a voltage in the device's integers need not be exact in float32 before the division.
        volts = v.astype(np.float64) / target.v_scale(deployed.quantised, output.name)
        voltage = np.ascontiguousarray(volts.transpose(0, 2, 1), dtype=np.float32)
    return Observed(trains, voltage)


def _check_shape(what: str, shape: tuple[int, ...], spikes: SpikeTrains, size: int) -> None:
    wanted = (spikes.n_samples, spikes.n_steps, size)
    if shape != wanted:
        raise InputError(f"device: {what} are {shape}, must be (samples, steps, neurons) {wanted}; report all of them")
