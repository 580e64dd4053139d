"""`make bench`: print a table of ratios against peers and write build/bench.json.

Each figure is the median of several, ours and the peer's in the same run on the same machine. `ratio` above 1 means
that ours is better.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.benchmarks import loihi_emulator

OUTPUT = Path("build") / "bench.json"


def main() -> None:
    rows = loihi_emulator.measure()
    print(f"{'name':<26}{'ours':>12}{'peer':>12}  {'unit':<14}{'ratio':>9}  peer")
    for row in rows:
        print(
            f"{row['name']:<26}{row['ours']:>12.4g}{row['peer']:>12.4g}  {row['unit']:<14}{row['ratio']:>9.4g}  "
            f"{row['peer_name']}"
        )
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps(rows, indent=2) + "\n")
    print(f"written to {OUTPUT}")


if __name__ == "__main__":
    main()
