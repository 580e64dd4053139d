"""From a run of a device that differs from the emulator's to the diagnosis that a report shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from toolchain.deployment.abilities import DiagnosableTarget
from toolchain.deployment.bundle import Bundle
from toolchain.deployment.target import Quantised, Target, Traces
from toolchain.diagnosis.findings import Diagnosis
from toolchain.spikes import SpikeTrains


def explain_difference(
    deployed: Bundle | tuple[Target, Quantised],
    spikes: SpikeTrains,
    theirs: Traces,
    ours: Traces | None = None,
    *,
    numbers: Sequence[int] | None = None,
) -> Diagnosis | None:
    """Why a device does not do what the emulator does, with the traces around the first divergence.

    Parameters
    ----------
    deployed : a bundle, or a target and a network that it quantised
    spikes : input of the samples that the device ran
    theirs : what it reported; of any populations, u, v or spikes
    ours : the emulator's traces of these samples; it is run if they are left out
    numbers : (n_samples,) what the samples are called in the diagnosis; counted from 0 if left out

    Returns
    -------
    the diagnosis; None of a target whose step cannot be replayed

    Raises
    ------
    InputError
        If the traces are not of this network and these samples.
    """
    from toolchain.diagnosis.diagnose import diagnose
    from toolchain.diagnosis.window import QUANTITIES, window, with_arrivals
    from toolchain.validation.divergence import first_divergence

    target, quantised = (deployed.target, deployed.quantised) if isinstance(deployed, Bundle) else deployed
    if not isinstance(target, DiagnosableTarget):
        return None
    found = diagnose(target, quantised, spikes, theirs, numbers=numbers)
    emulated = ours or target.emulate_traces(quantised, spikes)
    there = [(q, [name for name in emulated.v if name in getattr(theirs, q)]) for q in QUANTITIES]
    places = [first_divergence(emulated, theirs, names, (q,)) for q, names in there if names]
    ranked = sorted(
        (p for p in places if p),
        key=lambda p: (p.sample, p.step, list(emulated.v).index(p.layer), QUANTITIES.index(p.quantity)),
    )
    if not ranked:
        return found
    seen = window(emulated, theirs, ranked[0])
    seen = with_arrivals(seen, target.chip_model(quantised), spikes, theirs, emulated)
    return replace(found, window=seen if numbers is None else replace(seen, sample=numbers[seen.sample]))
