"""What the replies of a first touch say of a key (PROTOCOL R13, R21, R35).

Owns the decision only: replies go in, what to do comes out. Invariant: a key is called fresh only
when a joint quorum and the coordinator's own engine hold the same highest cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from becket.core.replication.cells import Cell
from becket.core.replication.versions import ZERO, Version
from becket.core.ring.config import Config, Disk

Replies = Mapping[Disk, Cell | None]


class Finding(Enum):
    """What follows from the replies."""

    FRESH = "the cell is chosen and held here"
    COPY = "only newcomers lack the cell: bring it to them at its own version"
    REWRITE = "write the cell again under this epoch"


class Touched(NamedTuple):
    """The finding, the highest cell, and who holds it."""

    finding: Finding
    cell: Cell | None
    holders: frozenset[Disk]


class Levels(NamedTuple):
    """Who shows less, and whether anybody shows more, than the chosen cell."""

    behind: tuple[Disk, ...]
    ahead: bool


def decide(replies: Replies, config: Config, own: Disk, *, damaged: bool) -> Touched:
    """R13, for replies that hold a joint quorum. ``damaged``: some member cannot read its cell."""
    versions = {disk: version_of(cell) for disk, cell in replies.items()}
    highest = max(versions.values())
    holders = frozenset(disk for disk, ver in versions.items() if ver == highest)
    cell = replies[min(holders)]
    if damaged:
        # Whoever cannot read its cell is only whole again when one is written over it (R8).
        return Touched(Finding.REWRITE, cell, holders)
    if config.quorum(holders) and own in holders:
        return Touched(Finding.FRESH, cell, holders)
    if cell is not None and _only_newcomers_lack(config, holders, frozenset(versions)):
        return Touched(Finding.COPY, cell, holders)
    return Touched(Finding.REWRITE, cell, holders)


def is_covered(replies: Replies, damaged: Mapping[Disk, int], config: Config) -> bool:
    """Whether what can be read is enough beside a damaged cell, where it is no quorum by itself.

    Who refused as CORRUPT has raised its promise all the same, so it counts towards the quorum
    that shuts out older epochs; the cells of the others tell what was chosen if they meet every
    quorum. Without this a damaged cell in a set of two could never be mended.
    """
    heard = replies.keys() | damaged.keys()
    return bool(damaged) and config.quorum(heard) and config.covers(replies.keys())


def _only_newcomers_lack(config: Config, holders: frozenset[Disk], heard: frozenset[Disk]) -> bool:
    """The bulk path: every old reply heard has the highest version, and they are a majority."""
    if not config.is_joint:
        return False
    return heard & config.old_set <= holders and config.old_majority(holders)


def compare(replies: Replies, chosen: Cell | None) -> Levels:
    """How the members stand beside the chosen cell."""
    own = version_of(chosen)
    behind = tuple(sorted(disk for disk, cell in replies.items() if version_of(cell) < own))
    return Levels(behind, any(version_of(cell) > own for cell in replies.values()))


def version_of(cell: Cell | None) -> Version:
    """The cell's version; ZERO when ABSENT."""
    return cell.ver if cell is not None else ZERO
