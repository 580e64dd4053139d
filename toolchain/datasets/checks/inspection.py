"""What is known of a file of recordings after looking at all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

MAX_ERRORS = 5
"""Damaged parts that are named one by one; a file with more is not read to its end."""


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be: an error keeps the file from being used, a warning does not."""

    level: Literal["error", "warning"]
    text: str


@dataclass
class Inspection:
    """One file, or the files of a folder that belong together.

    Attributes
    ----------
    kind : what it is, in a few words
    real : whether people recorded it; None where that cannot be told
    md5 : "yes" or "no" where it is an archive with a published checksum, else "unknown"
    samples, channels : None where they could not be read
    classes, speakers : name -> samples
    duration_s : time of the last event, "mean" and "max" over the samples
    events : events a sample, "min", "mean" and "max"
    about : what the file says of itself
    """

    path: str
    kind: str
    real: bool | None = None
    md5: str = "unknown"
    samples: int | None = None
    channels: int | None = None
    classes: dict[str, int] = field(default_factory=dict)
    speakers: dict[str, int] = field(default_factory=dict)
    duration_s: dict[str, float] = field(default_factory=dict)
    events: dict[str, float] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether there is an error among the findings."""
        return any(finding.level == "error" for finding in self.findings)

    def error(self, text: str) -> None:
        """Add an error."""
        self.findings.append(Finding("error", text))

    def warn(self, text: str) -> None:
        """Add a warning."""
        self.findings.append(Finding("warning", text))

    def count(
        self, labels: NDArray[np.int64], names: Sequence[str], speakers: NDArray[np.int64] | None, who: Sequence[str]
    ) -> None:
        """Fill in samples, classes and speakers, and warn of classes without a sample."""
        self.samples = int(labels.size)
        counts = np.bincount(labels, minlength=len(names)).tolist()
        for number, (name, count) in enumerate(zip(names, counts, strict=True)):
            self.classes[name if name not in self.classes else f"{name} ({number})"] = count
        if speakers is not None:
            numbers, counted = np.unique(speakers, return_counts=True)
            for speaker, count in zip(numbers.tolist(), counted.tolist(), strict=True):
                self.speakers[who[speaker] if speaker < len(who) else str(speaker)] = count
        missing = [name for name, count in self.classes.items() if count == 0]
        if missing:
            self.warn(f"{len(missing)} of {len(names)} classes have no sample: {', '.join(missing[:10])}")

    def measure(self, durations_s: NDArray[np.float64], counts: NDArray[np.int64]) -> None:
        """Fill in durations and events a sample, and warn of silent samples."""
        if not counts.size:
            self.error("holds no samples")
            return
        self.duration_s = {"mean": float(durations_s.mean()), "max": float(durations_s.max())}
        self.events = {"min": int(counts.min()), "mean": float(counts.mean()), "max": int(counts.max())}
        silent = int(np.count_nonzero(counts == 0))
        if silent:
            self.warn(f"{silent} samples have no event")

    def to_json(self) -> dict[str, Any]:
        """Plain data; `from_json` is the inverse."""
        return asdict(self)


def from_json(value: dict[str, Any]) -> Inspection:
    """The inverse of `Inspection.to_json`."""
    return Inspection(**{**value, "findings": [Finding(**finding) for finding in value["findings"]]})


@dataclass(frozen=True)
class Item:
    """A file to look at, or the folder of files of one kind (`pattern`) that are looked at together."""

    path: Path
    pattern: str = ""
