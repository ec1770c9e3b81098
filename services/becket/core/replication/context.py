"""What the parts of one member share during a step: the time, the way out, and numbers.

Owns no rule. Invariant: ``now_us`` and ``wall_ms`` were read by the shell after everything that
the step takes in had arrived (R23: a read is answered by a clock read after it arrived).
"""

from __future__ import annotations

from becket.core.replication.cells import Answer, Attempt, Outcome, Reason, Result
from becket.core.replication.effects import Effects
from becket.core.replication.messages import Message, Request, Sent
from becket.core.replication.replica import Replica
from becket.core.replication.settings import Settings
from becket.core.replication.store import Store
from becket.core.replication.versions import ZERO, Version
from becket.core.ring.config import Disk


class Context:
    """The step under way."""

    def __init__(self, settings: Settings, store: Store, replica: Replica) -> None:
        self.settings = settings
        self.store = store
        self.replica = replica
        self.disk = replica.disk
        self.now_us = 0
        self.wall_ms = 0
        self.out = Effects()
        self.wants_claim = False
        """Whether claims should go out with this step: a reign has begun, or a read had to be
        checked for want of a lease (R25)."""
        self.leaving = False
        """Whether this process is about to stop: it stands for nothing, peers hand it nothing."""
        self.copies_left: int | None = None
        """So many keys may yet be taken up for copying until the next tick; None: any number."""
        # A reply to an earlier process of this disk must not look like one to this process.
        self._last_id = replica.identity.incarnation << 32

    def next_id(self) -> int:
        """A number that this process has not used."""
        self._last_id += 1
        return self._last_id

    def may_copy(self) -> bool:
        """Whether one more key may be taken up for copying now; counts it."""
        if self.copies_left is None:
            return True
        if not self.copies_left:
            return False
        self.copies_left -= 1
        return True

    def send(self, to: Disk, message: Message) -> None:
        """Send what rests on nothing unsynced: requests, releases, hand-overs."""
        self.out.requests.append(Sent(to, message))

    def request(self, to: Disk, message: Request) -> None:
        """Send a coordinator's request; this member's own replica takes it at once.

        Its reply comes back through the shell, after the sync, like everybody else's.
        """
        if to == self.disk:
            self.out.replies.append(Sent(to, self.replica.handle(message)))
        else:
            self.out.requests.append(Sent(to, message))

    def refuse(self, attempt: Attempt, reason: Reason, stamp: Version = ZERO) -> None:
        """Answer ``no``: this attempt was not executed and never will be."""
        self._answer(attempt, Outcome.NO, (), reason, stamp)

    def unknown(self, attempt: Attempt, reason: Reason, stamp: Version) -> None:
        """Answer that this attempt may or may not take effect (R15)."""
        self._answer(attempt, Outcome.UNKNOWN, (), reason, stamp)

    def succeed(self, attempt: Attempt, results: tuple[Result, ...], stamp: Version) -> None:
        """Answer with the results."""
        self._answer(attempt, Outcome.OK, results, Reason.NONE, stamp)

    def _answer(
        self,
        attempt: Attempt,
        outcome: Outcome,
        results: tuple[Result, ...],
        reason: Reason,
        stamp: Version,
    ) -> None:
        part = self.replica.part(attempt.partition)
        known = part.record.promised
        # A released epoch's owner is no longer the one to ask.
        hint = known.disk if known > part.released else ""
        self.out.answers.append(Answer(attempt.id, outcome, results, reason, stamp, hint, part.gen))
