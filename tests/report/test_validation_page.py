"""The page of a validation says first how much was validated, which is seldom the whole set."""

from __future__ import annotations

import pytest

from tests.report.page import Page
from toolchain.deployment.abilities import TableComparison
from toolchain.report.validation_page import validation_page
from toolchain.validation.result import Check, DeviceResult, Validation


def ran(device: str, samples: int) -> DeviceResult:
    return DeviceResult(device, "about", samples=samples)


TABLES = DeviceResult("spynnaker", "about", equal=True, tables=TableComparison(True, 9, 4, None))
ABSENT = DeviceResult("loihi2", "about", absent="lava-loihi; ask Intel")


@pytest.mark.parametrize(
    ("devices", "sentence"),
    [
        ([ran("float", 20), ran("emulator", 20)], "On float and emulator, 20 of the 1,000 samples of the test set."),
        ([ran("float", 1000)], "On float, all of the 1,000 samples of the test set."),
        (
            [ran("emulator", 1000), ran("lava", 8), ABSENT],
            "Of the 1,000 samples of the test set, 1,000 on emulator and 8 on lava. Not here: loihi2.",
        ),
        ([ran("emulator", 20), TABLES], "On emulator and spynnaker, 20 of the 1,000 samples of the test set."),
        ([ABSENT], "On no device, none of the 1,000 samples of the test set. Not here: loihi2."),
        ([TABLES], "On spynnaker, which lays the network out and runs no sample."),
    ],
)
def test_the_verdict_says_how_many_samples_ran(devices: list[DeviceResult], sentence: str) -> None:
    page = Page(validation_page(Validation("net", "loihi2", "test", 1000, devices, [], {})))
    assert sentence in page.text


def test_every_column_of_the_conditions_has_a_heading() -> None:
    check = Check("accuracy of float", True, "95.00 % of 20 samples, 95 % are asked for")
    page = Page(validation_page(Validation("net", "loihi2", "test", 1000, [ran("float", 20)], [], {}, [check])))
    assert all(page.tables["Conditions that were asked for"][0])
