"""Who watches whom: everybody everybody, or a few neighbours each in a large cluster.

Owns that choice, which every member makes alike from the same list of members. Invariant: a member
has exactly ``watchers`` watchers and watches exactly as many, so beats grow with the cluster, not
with its square; a member that comes or goes changes the watchers of few.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

import mmh3

from becket.core.membership.settings import MembershipSettings
from becket.core.ring.config import Disk


def _place(disk: Disk) -> tuple[int, Disk]:
    """A place on a circle that has nothing to do with names, zones or order of arrival."""
    return mmh3.hash64(disk.encode(), seed=11, x64arch=True, signed=False)[0], disk


def watchers_of(
    members: Iterable[Disk],
    settings: MembershipSettings,
    silent: Collection[Disk] = (),
) -> dict[Disk, tuple[Disk, ...]]:
    """For each member those that expect its beats, in an order that all agree on.

    A watcher that is ``silent`` itself is replaced by the next one on the circle, so that members
    which fall silent together with all their watchers are missed all the same.
    """
    circle = sorted(set(members), key=_place)
    if len(circle) <= settings.mesh_members:
        return {disk: tuple(d for d in circle if d != disk) for disk in circle}
    return {
        disk: tuple(_next(circle, at, settings.watchers, silent)) for at, disk in enumerate(circle)
    }


def _next(circle: Sequence[Disk], at: int, count: int, silent: Collection[Disk]) -> Iterator[Disk]:
    found = 0
    for step in range(1, len(circle)):
        disk = circle[(at + step) % len(circle)]
        if disk not in silent:
            found += 1
            yield disk
            if found == count:
                return
