"""The leadership port: which of several supervisors acts.

Guarantees that every adapter gives: of all processes at most one leads at any moment, as long as
their monotonic clocks run at the same rate within a few percent; ``is_leader`` is worked out when
it is asked for, so a process that was paused is told the truth first thing after; a later reign has
a higher term. What a leader has sent before its reign ended may still arrive later: whoever writes
does so under a condition that a later leader's first write breaks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol


class Leader(NamedTuple):
    """Who leads, and where it answers."""

    name: str
    address: str
    """host:port; empty where it is not known."""


class Leadership(Protocol):
    """One process's part in the election."""

    @property
    def is_leader(self) -> bool:
        """Whether this process leads at this very moment; ask right before each act."""

    @property
    def term(self) -> int:
        """The number of this process's reign, over 0; 0 while it does not lead."""

    @property
    def leader(self) -> Leader | None:
        """Who leads as far as is known here; None: nobody, or it is not known."""

    async def run(self, changed: Callable[[], None]) -> None:
        """Take part for ever; ``changed`` is called after any of the properties has changed."""

    async def release(self) -> None:
        """Lead no more, at once, and let another one lead soon; ``run`` may go on or have ended."""

    def outbid(self, term: int) -> None:
        """A fence of this number was found: this process's term must become higher than it.

        (The numbers begin anew when somebody deletes the object that counts them.) Changes nothing
        where the term is higher already, or this process does not lead.
        """
