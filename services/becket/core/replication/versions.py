"""Epochs and versions: the numbers that order everything (PROTOCOL section 1).

Owns nothing but the two tuples. Invariant: both compare as plain tuples, larger wins, and an
epoch is made by one process once (R9).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from becket.core.ring.config import Disk


class Identity(NamedTuple):
    """A member's process: its disk, and how often that disk's process has started (durable)."""

    disk: Disk
    incarnation: int


class Epoch(NamedTuple):
    """The reign of one coordinator over one partition."""

    counter: int
    disk: Disk
    incarnation: int

    @property
    def owner(self) -> Identity:
        """The only process that may ever coordinate under this epoch."""
        return Identity(self.disk, self.incarnation)


class Version(NamedTuple):
    """The place of a write in its partition; ``seq`` restarts at 0 in every epoch."""

    epoch: Epoch
    seq: int


NO_EPOCH: Final = Epoch(0, "", 0)
ZERO: Final = Version(NO_EPOCH, 0)
