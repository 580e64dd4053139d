"""Bundles: the folder that `deploy` writes, whole or not at all, and reads back with every hash checked.

manifest.yaml           versions, target, what was asked of the placement, limits used, SHA-256 of every other file
quantised.safetensors   the network in the target's integers, and the trained one
placement.json          which neurons sit on which core
recipe.yaml             the recipe of the run
<vendor>/               the vendor's form: a script that a person can read, and arrays
report.json, report.html
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from toolchain import __version__
from toolchain.deployment.request import PlacementRequest, read_request
from toolchain.deployment.target import NOTHING_ASKED, Placement, Quantised, Target, find_target
from toolchain.errors import BundleError, CheckpointError, InputError
from toolchain.recipe import Recipe, read_recipe
from toolchain.storage import load_arrays, save_arrays, write_atomically, write_json

FORMAT = 1
MANIFEST = "manifest.yaml"
NETWORK = "quantised.safetensors"


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read and whose files are the ones that were written; `request` is what it was placed with."""

    path: Path
    manifest: dict[str, Any]
    target: Target
    quantised: Quantised
    recipe: Recipe
    request: PlacementRequest


def write_network(folder: Path, quantised: Quantised, placement: Placement, recipe: Recipe) -> None:
    """Write the parts of a bundle that come from the network itself."""
    arrays, header = quantised.arrays()
    save_arrays(folder / NETWORK, arrays, header)
    write_json(folder / "placement.json", [{**asdict(c), "use": dict(c.use)} for c in placement.cores])
    write_atomically(folder / "recipe.yaml", recipe.dump().encode())


def write_manifest(
    folder: Path, target: Target, *, vendor_samples: int, network: str, request: PlacementRequest = NOTHING_ASKED
) -> None:
    """Write the manifest last: a folder with a manifest is complete."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    manifest = {
        "format": FORMAT,
        "delayline": __version__,
        "network": network,
        "target": target.name,
        "vendor": target.vendor,
        "vendor_samples": vendor_samples,
        "placement": request.to_json(),
        "limits": {limit["name"]: limit["value"] for limit in target.limits()},
        "files": {p.relative_to(folder).as_posix(): _sha256(p) for p in files},
    }
    write_atomically(folder / MANIFEST, yaml.safe_dump(manifest, sort_keys=False).encode())


def read_bundle(path: Path) -> Bundle:
    """Read a bundle.

    Raises
    ------
    BundleError
        If the folder is no bundle, a file is missing, or one was changed since it was written.
    """
    manifest = _read_manifest(path)
    files = manifest["files"]
    for name, digest in files.items():
        inside = PurePosixPath(name)
        if inside.is_absolute() or ".." in inside.parts:
            raise BundleError(f"bundle {path}: the manifest names {name!r}, which lies outside the bundle")
        if not (path / inside).is_file():
            raise BundleError(f"bundle {path}: {name} is missing; deploy again")
        if _sha256(path / inside) != digest:
            raise BundleError(f"bundle {path}: {name} was changed after it was written; deploy again")
    if NETWORK not in files or "recipe.yaml" not in files:
        raise BundleError(f"bundle {path}: the manifest does not list {NETWORK} and recipe.yaml; deploy again")
    target = find_target(str(manifest["target"]))
    try:
        arrays, header = load_arrays(path / NETWORK, what="network of the bundle")
    except CheckpointError as error:
        raise BundleError(str(error)) from error
    try:
        request = read_request(manifest.get("placement"))
    except InputError as error:
        raise BundleError(f"bundle {path}: {MANIFEST}: {error}") from error
    quantised = target.restore(arrays, header)
    return Bundle(path, manifest, target, quantised, read_recipe(path / "recipe.yaml"), request)


def _read_manifest(path: Path) -> dict[str, Any]:
    file = path / MANIFEST
    if not file.is_file():
        raise BundleError(f"bundle {path}: no {MANIFEST} in it; give a folder that `delayline deploy` made")
    try:
        manifest = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"bundle {path}: {MANIFEST} is not YAML; deploy again") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else type(manifest).__name__
        raise BundleError(f"bundle {path}: format {found!r}, this version reads {FORMAT}; deploy again")
    files = manifest.get("files")
    if not isinstance(files, dict) or not all(isinstance(k, str) for k in files):
        raise BundleError(f"bundle {path}: {MANIFEST} lists no files; deploy again")
    if not isinstance(manifest.get("vendor_samples"), int) or "target" not in manifest:
        raise BundleError(f"bundle {path}: {MANIFEST} lacks target or vendor_samples; deploy again")
    return manifest


@contextmanager
def replacing(destination: Path) -> Iterator[Path]:
    """Give an empty folder beside `destination`; put it in its place if the block ends without an error.

    What was at `destination` stays there until then. A process that is killed leaves at most a hidden
    folder, which the next call removes; had it been killed between the two renames, the next call puts
    the old folder back first.
    """
    old = destination.parent / f".{destination.name}.old"
    prefix = f".{destination.name}.new-"
    try:
        if old.exists() and not destination.exists():
            os.replace(old, destination)
        for stale in [old, *destination.parent.glob(f"{prefix}*")]:
            shutil.rmtree(stale, ignore_errors=True)
        fresh = Path(tempfile.mkdtemp(prefix=prefix, dir=destination.parent))
    except OSError as error:
        raise InputError(f"cannot write beside {destination}: {error.strerror}; choose a writable place") from error
    try:
        yield fresh
        os.chmod(fresh, 0o755)
        if destination.exists():
            os.replace(destination, old)
        os.replace(fresh, destination)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
