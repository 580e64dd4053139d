"""What a run folder keeps of tuning beside what any run does: ``tuning.json``."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from toolchain.deployment.bundle import MANIFEST
from toolchain.errors import BundleError, CheckpointError
from toolchain.storage import write_json

FILE = "tuning.json"


@dataclass(frozen=True)
class Record:
    """Where a tuned network comes from, and on what it is tuned.

    Attributes
    ----------
    bundle, manifest : folder of the bundle and SHA-256 of its manifest
    device : as given on the command line
    timeout_s : wall time of one run of the device
    valid_samples, test_samples : the first so many of either set are run on the device; None for all
    before : class that the device read of each test sample before tuning
    """

    bundle: str
    manifest: str
    device: str
    timeout_s: float
    valid_samples: int | None
    test_samples: int | None
    before: list[int]

    def write(self, run: Path) -> None:
        """Keep it in a run folder."""
        write_json(run / FILE, asdict(self))

    def check_bundle(self) -> None:
        """Refuse to go on from another bundle than the one that tuning began with; BundleError."""
        if not (Path(self.bundle) / MANIFEST).is_file() or manifest_hash(Path(self.bundle)) != self.manifest:
            raise BundleError(
                f"bundle {self.bundle}: is gone, or another than the one that tuning began with; put it back, or tune "
                "anew"
            )


def read_record(run: Path) -> Record:
    """Read what `Record.write` wrote; raises CheckpointError if it is damaged or this is no such run."""
    file = run / FILE
    if not file.is_file():
        raise CheckpointError(f"run folder {run}: no {FILE} in it; give a folder that `delayline tune` made")
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
        sound = (
            all(isinstance(entries[k], str) for k in ("bundle", "manifest", "device"))
            and isinstance(entries["timeout_s"], (int, float))
            and all(entries[k] is None or isinstance(entries[k], int) for k in ("valid_samples", "test_samples"))
            and all(isinstance(c, int) for c in entries["before"])
        )
        if not sound:
            raise TypeError("types")
        record = Record(**entries)
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"run folder {run}: {FILE} is damaged ({error}); tune anew") from error
    return record


def is_tuned(run: Path) -> bool:
    """Whether a run folder is one of tuning."""
    return (run / FILE).is_file()


def manifest_hash(bundle: Path) -> str:
    """SHA-256 of the manifest of a bundle, which has those of all other files."""
    return hashlib.sha256((bundle / MANIFEST).read_bytes()).hexdigest()
