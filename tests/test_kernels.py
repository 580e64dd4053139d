"""Kernels are compiled once, and again when a kernel that they call changed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

INNER = "from toolchain.kernels import kernel\n\n@kernel\ndef inner(x):\n    return x + {added}\n"
OUTER = "from inner import inner\n" + INNER.replace("inner(x)", "outer(x)").replace("x + {added}", "2 * inner(x)")
CALL = "from outer import outer; print(outer(1), sum(outer.stats.cache_hits.values()))"


def call(folder: Path) -> list[int]:
    """Result of the outer kernel in a process of its own, and how often it was found compiled."""
    paths = f"import sys; sys.path[:0] = [{str(folder)!r}, {str(Path(__file__).parent.parent)!r}]"
    done = subprocess.run(
        [sys.executable, "-c", f"{paths}; {CALL}"], capture_output=True, text=True, timeout=120, check=True
    )
    return [int(word) for word in done.stdout.split()]


def test_a_changed_kernel_is_not_run_from_the_cache_of_its_caller(tmp_path: Path) -> None:
    (tmp_path / "inner.py").write_text(INNER.format(added=1), encoding="utf-8")
    (tmp_path / "outer.py").write_text(OUTER, encoding="utf-8")
    assert call(tmp_path) == [4, 0]
    assert call(tmp_path) == [4, 1]
    (tmp_path / "inner.py").write_text(INNER.format(added=5), encoding="utf-8")
    assert call(tmp_path) == [12, 0]
