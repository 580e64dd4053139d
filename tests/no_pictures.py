"""Reports without charts and without elephant's distances, which take longer than the rest of a deployment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from toolchain.report.wording import Markup

CHARTS = (
    "accuracy.ladder_chart",
    "causes.trace_chart",
    "causes.waterfall_chart",
    "charts._learning_chart",
    "delays.delay_chart",
    "diagnosis.window_chart",
    "spikes.raster_chart",
    "weights.weight_chart",
)
"""Functions of toolchain/report that draw, by the module that calls them."""


@contextmanager
def no_pictures() -> Iterator[None]:
    """In here nothing is drawn, and distances are left out as where elephant is not installed."""
    with pytest.MonkeyPatch.context() as patch:
        for chart in CHARTS:
            patch.setattr(f"toolchain.report.{chart}", lambda *arguments: Markup(""))
        patch.setattr("toolchain.attribution.distances.distances_present", lambda: False)
        yield
