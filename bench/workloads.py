"""The workloads that every system gets, and how long each takes.

Owns the list and the sizes: ``smoke`` only looks for errors, ``quick`` takes under ten minutes with
all systems, ``full`` is what docs/performance.md was measured with.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from becket.cli.bench_driving import Drive
from becket.cli.bench_keys import MIXES, Mix

SMALL, LARGE = 100, 4096
IN_FLIGHT = (1, 64, 256)
BATCH, BATCHES = 100, 8
YCSB = ("a", "b", "c", "d", "f")
YCSB_BYTES = 1000
BOUNDS = ("echo", "stream", "relay", "rocks")
"""Systems that store nothing for others: what a call, or a disk, costs by itself."""


@dataclass(frozen=True)
class Size:
    """How much of it: seconds of each workload and of its warm-up, keys, keys of the load."""

    seconds: float
    warm_up_s: float
    keys: int
    load_keys: int
    kill_s: float


SIZES = {
    "smoke": Size(0.1, 0.0, 500, 2_000, 0.0),
    "quick": Size(1.0, 0.3, 10_000, 50_000, 8.0),
    "full": Size(5.0, 1.0, 100_000, 1_000_000, 20.0),
}


class Way(Enum):
    """How a workload is run."""

    LOOPS = "loops"
    LOAD = "load"
    HALF = "half load"
    """An open loop at half the rate that ``of`` has reached."""
    KILL = "kill"


@dataclass(frozen=True)
class Workload:
    """One line of the table. ``value_bytes``: what the keys hold when it begins."""

    name: str
    mix: Mix
    in_flight: int
    value_bytes: int = SMALL
    batch: int = 1
    way: Way = Way.LOOPS
    of: str = ""

    def drive(self, size: Size, seed: int) -> Drive:
        """Its loops."""
        return Drive(
            size.seconds,
            self.in_flight,
            self.batch,
            value_bytes=self.value_bytes,
            seed=seed,
            warm_up_s=size.warm_up_s,
        )


def _singles(value_bytes: int) -> list[Workload]:
    label = "100 B" if value_bytes == SMALL else "4 KiB"
    return [
        Workload(f"{mix} {label}, {count} in flight", MIXES[mix], count, value_bytes)
        for mix in ("get", "put")
        for count in IN_FLIGHT
    ]


WORKLOADS = (
    *_singles(SMALL),
    Workload("get in batches of 100", MIXES["get"], BATCHES, batch=BATCH),
    Workload("put in batches of 100", MIXES["put"], BATCHES, batch=BATCH),
    Workload("scan 100", MIXES["scan"], BATCHES),
    Workload(
        "get 100 B, half load", MIXES["get"], 4096, way=Way.HALF, of="get 100 B, 64 in flight"
    ),
    Workload(
        "put 100 B, half load", MIXES["put"], 4096, way=Way.HALF, of="put 100 B, 64 in flight"
    ),
    *_singles(LARGE),
    *(Workload(f"YCSB {each.upper()}", MIXES[each], 64, YCSB_BYTES) for each in YCSB),
    Workload("load", MIXES["load"], BATCHES, batch=BATCH, way=Way.LOAD),
    Workload("mixed, one killed", MIXES["mixed"], 16, way=Way.KILL),
)


def of_system(name: str) -> tuple[Workload, ...]:
    """The workloads that make sense for a system."""
    if name == "rocks":
        return tuple(
            w for w in WORKLOADS if w.way is Way.LOOPS and (w.in_flight == 1 or w.batch > 1)
        )
    if name in BOUNDS:
        return tuple(
            w
            for w in WORKLOADS
            if (w.way is Way.LOOPS and not w.name.startswith(("YCSB", "scan"))) or w.way is Way.HALF
        )
    if name == "becket-sync":
        singles = ("get 100 B,", "put 100 B,")
        return tuple(w for w in WORKLOADS if w.way is Way.LOOPS and w.name.startswith(singles))
    if name == "becket-router":
        return tuple(w for w in WORKLOADS if w.way is Way.LOOPS)
    return WORKLOADS
