"""What waits before its next attempt: for news of its partition's coordinator, or for its time.

Owns who waits and what wakes them. Must not attempt anything itself. Invariants: whoever waits is
woken once; news (a higher epoch than the one that failed) wakes at once and needs no budget; time
wakes without news, and the waker is told so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from becket.core.replication.versions import Epoch

NEVER = 1 << 62
"""A time that does not come: only news wakes."""


class Waiter(Protocol):
    """A call or a read between two attempts."""

    @property
    def partition(self) -> int:
        """The partition whose news it waits for."""

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for its outcome any more."""

    def resume(self, *, news: bool) -> None:
        """Its wait is over; ``news``: another coordinator is known."""


class Ticket:
    """One wait; ``cancel`` ends it without waking."""

    __slots__ = ("due_us", "epoch", "waiter")

    def __init__(self, waiter: Waiter, epoch: Epoch, due_us: int) -> None:
        self.waiter: Waiter | None = waiter
        self.epoch = epoch
        self.due_us = due_us

    def cancel(self) -> None:
        """The waiter has gone on by itself."""
        self.waiter = None


class WaitingRoom:
    """Everybody who waits, by partition."""

    def __init__(self, epoch_of: Callable[[int], Epoch]) -> None:
        self._epoch_of = epoch_of
        self._tickets: dict[int, list[Ticket]] = {}

    def __len__(self) -> int:
        return sum(len(tickets) for tickets in self._tickets.values())

    def wait(self, waiter: Waiter, epoch: Epoch, due_us: int) -> Ticket:
        """Wait for an epoch above ``epoch``, at most until ``due_us``."""
        ticket = Ticket(waiter, epoch, due_us)
        self._tickets.setdefault(waiter.partition, []).append(ticket)
        return ticket

    def wake(self, now_us: int) -> None:
        """Wake whoever has news or whose time has come."""
        for partition in list(self._tickets):
            epoch = self._epoch_of(partition)
            tickets, kept = self._tickets.pop(partition), []
            woken: list[tuple[Waiter, bool]] = []
            for ticket in tickets:
                waiter = ticket.waiter
                if waiter is None or waiter.is_over:
                    continue
                news = epoch > ticket.epoch
                if news or ticket.due_us <= now_us:
                    woken.append((waiter, news))
                else:
                    kept.append(ticket)
            if kept:
                self._tickets.setdefault(partition, []).extend(kept)
            for waiter, news in woken:
                waiter.resume(news=news)
