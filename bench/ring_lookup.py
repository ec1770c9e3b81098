"""What one lookup of a key in the ring costs: ``python -m bench.ring_lookup`` prints nanoseconds.

The goal is 150 ns with the hash, call included (DESIGN section 4).
"""

from __future__ import annotations

import sys
import timeit

from becket.core.ring.config import first_config
from becket.core.ring.members import Member, in_order
from becket.core.ring.ring import Ring

CALLS = 20_000
BATCH = 100
REPEATS = 15


def measured(statement: str, names: dict[str, object]) -> float:
    """The best of several runs, in nanoseconds for each execution of ``statement``."""
    runs = timeit.repeat(statement, globals=names, number=CALLS, repeat=REPEATS)
    return min(runs) / CALLS * 1e9


def main() -> None:
    """Print the figures."""
    disks = [f"disk-{i}" for i in range(50)]
    members = in_order(Member(disk, disk) for disk in disks)
    replicas = [tuple(disks[(p + r) % 50] for r in range(3)) for p in range(1024)]
    ring = Ring(1, "bench", 3, members, tuple(first_config(held) for held in replicas))
    names: dict[str, object] = {"ring": ring, "key": b"user:12345678", "tag": b"{user:1}.cart"}
    names["keys"] = [f"user:{i}".encode() for i in range(BATCH)]
    sys.stdout.write(f"lookup           {measured('ring.lookup(key)', names):6.0f} ns\n")
    sys.stdout.write(f"lookup with tag  {measured('ring.lookup(tag)', names):6.0f} ns\n")
    batch = measured("ring.partitions_of(keys)", names) / BATCH
    sys.stdout.write(f"in a batch       {batch:6.0f} ns a key\n")


if __name__ == "__main__":
    main()
