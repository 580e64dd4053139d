"""How counts, energies and times are written: three digits and a prefix, a range behind its central value."""

from __future__ import annotations

import math

PREFIXES = ((1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"), (1e-12, "p"))
NAMES = {
    "energy_dynamic": "energy, dynamic",
    "energy_static": "energy, static",
    "energy_total": "energy, in all",
    "latency": "latency",
    "real_time_factor": "times real time",
    "peak_load": "peak load of a core",
    "energy_dynamic_by_keras_spiking": "energy, dynamic, by keras-spiking's model",
}
"""Estimate -> how it is called."""


def spoken(name: str) -> str:
    """Name of a count or estimate for people."""
    return NAMES.get(name, name.replace("_", " "))


def quantity(value: float, unit: str) -> str:
    """``0.401 µJ``, ``1.5 ms``; a unit of ``1`` is none."""
    if unit == "1":
        return three_digits(value)
    if not value:
        return f"0 {unit}"
    factor, prefix = next((p for p in PREFIXES if abs(value) >= p[0]), PREFIXES[-1])
    return f"{three_digits(value / factor)} {prefix}{unit}"


def ranged(low: float | None, value: float | None, high: float | None, unit: str) -> str:
    """Central value with its range, ``unknown`` where there is none."""
    if low is None or value is None or high is None:
        return "unknown"
    central = quantity(value, unit)
    return central if low == high else f"{central} ({quantity(low, unit)} to {quantity(high, unit)})"


def three_digits(value: float) -> str:
    """Three significant digits, never as a power of ten above 1; thousands are grouped."""
    if not math.isfinite(value):
        return "unknown"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def count_text(mean: float, deviation: float) -> str:
    """Mean of a count, and its deviation over samples where there is one."""
    text = three_digits(mean) if mean != int(mean) else f"{int(mean):,}"
    return text if not deviation else f"{text} ± {three_digits(deviation)}"
