"""Which keys are so hot that their reads should be spread over more replicas.

Owns the merging of members' hot keys and the choice. Must not know who reads. Invariants: a key
becomes wide only by reads that are certain, and stops being wide only when they are certainly few;
between the two it stays what it was, so a key at the edge does not flap.

A hot key's reads fall on one member, its coordinator, until it is wide; then on several, each of
which reports its part: hence rates are added over members. A member that does not name a key adds
nothing, which makes the sum too low, never too high: at least the certain part stays certain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from becket.core.load.hot_keys import HotKey
from becket.core.load.settings import LoadSettings


class Reads(NamedTuple):
    """Reads a second of one key over all members."""

    at_least: float
    at_most: float


def merged(reports: Iterable[tuple[Iterable[HotKey], float]]) -> dict[bytes, Reads]:
    """Reads of each key named by (hot keys, freshness of their report), the stale ones faded."""
    found: dict[bytes, Reads] = {}
    for hot_keys, freshness in reports:
        for hot in hot_keys:
            before = found.get(hot.key, Reads(0.0, 0.0))
            found[hot.key] = Reads(
                before.at_least + freshness * hot.at_least,
                before.at_most + freshness * hot.reads_per_second,
            )
    return found


def hottest(reads: Mapping[bytes, Reads], most: int) -> tuple[HotKey, ...]:
    """The ``most`` keys that are read most, the hottest first; of equal ones the smaller."""
    order = sorted(reads, key=lambda key: (-reads[key].at_most, key))[:most]
    return tuple(
        HotKey(key, reads[key].at_most, reads[key].at_most - reads[key].at_least) for key in order
    )


def wide_keys(
    present: frozenset[bytes],
    reads: Mapping[bytes, Reads],
    operations_per_second: float,
    settings: LoadSettings,
) -> tuple[bytes, ...]:
    """The keys that should be wide from now on, the hottest first; of equal ones the smaller.

    ``operations_per_second`` is what an average member does in all.
    """
    hot = max(settings.wide_reads_per_second, settings.wide_share * operations_per_second)
    cool = settings.cool_share * hot
    chosen = [
        key
        for key, rate in reads.items()
        if rate.at_least >= hot or (key in present and rate.at_most >= cool)
    ]
    chosen.sort(key=lambda key: (-reads[key].at_least, key))
    return tuple(chosen[: settings.wide_keys])
