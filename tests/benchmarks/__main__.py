"""`make bench`: print a table of ratios against peers and write build/bench.json.

Each figure is the median of several, ours and the peer's in the same run on the same machine, training on one core in
processor time. `ratio` above 1 means that ours is better. The other frameworks live in environments of their
own, made on demand; `make bench PEERS=0` leaves their rows out. Mapping has no peer to run beside, and is compared with
the goals that were set for it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.benchmarks import cochlea, loihi_emulator, mapping, peer_rows, spinnaker_emulator, training
from tests.benchmarks.rows import collect, table, write
from tests.benchmarks.workload import busy

OUTPUT = Path("build") / "bench.json"


def main() -> int:
    if warning := busy():
        print(warning)
    rows, failed = collect(
        {
            "loihi_emulator_vs_lava": loihi_emulator.measure,
            "spinnaker_emulator_vs_realtime": spinnaker_emulator.measure_realtime,
            "spinnaker_emulator_vs_brian2": spinnaker_emulator.measure_brian,
            "map_network, plan_and_pack_spinnaker, dry_run": mapping.measure,
            "cochlea": cochlea.measure,
            "train_sample, train_two_threads": training.measure,
            "train_vs_dcls": peer_rows.measure_dcls,
            "train_vs_snntorch": peer_rows.measure_snntorch,
            "train_memory": peer_rows.measure_memory,
        }
    )
    print(table(rows))
    write(rows, OUTPUT)
    print(f"written to {OUTPUT}" + (f"; failed: {'; '.join(failed)}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
