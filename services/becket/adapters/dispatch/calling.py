"""One call: its attempts, and its one outcome (PROTOCOL R14a, R26-R32).

Theory of operation. The writes of one key in one caller's list (with the reads among them) are a
part; a call is one part, or several of other callers that came while the key had an open call. The
rules of attempts are ``becket.core.sessions``; here is when an attempt is made and where it goes:
at once where a refusal names another coordinator, otherwise when news of one comes or a back-off
ends. While an attempt is open and unanswered, others are asked who coordinates; the attempt is
given up only in the moment in which the next one is made, so a late answer counts until then.

Owns one call from its first attempt to its outcome; which call is next on a key is ``calls``.
Invariants: a call whose attempt may have been executed is repeated unchanged, with everything that
it joined; a part whose caller has gone is taken out of a call only while every attempt has ended in
``no``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from google.rpc import status_pb2

from becket.adapters.dispatch.context import Context
from becket.adapters.dispatch.lanes import UnreachableError
from becket.adapters.dispatch.outcomes import (
    DONE,
    LOST,
    UNSENT,
    Told,
    failure,
    stamps_of,
    told_by,
    told_by_all,
)
from becket.adapters.dispatch.parcels import Parcel
from becket.adapters.dispatch.routing import Way
from becket.adapters.dispatch.submissions import Part
from becket.adapters.dispatch.waiting import NEVER, Ticket
from becket.adapters.rpc.operations import operation_id_bytes
from becket.api.v1 import key_value_pb2 as kv
from becket.core.errors import NotAppliedError, OutcomeUnknownError, OverloadedError
from becket.core.replication.cells import Answer, Outcome, Reason
from becket.core.replication.versions import Version
from becket.core.sessions import Session

_REDIRECTS = 3
"""So many attempts in a row may follow refusals at once: two members may name each other."""


class PinnedSession(Session):
    """The session of a caller that keeps its stamps itself: the stamp is the caller's, for good.

    Another of its attempts may be under way elsewhere, executed under the caller's stamp; a newer
    one would let this attempt be executed a second time (R30).
    """

    def __init__(self, session_id: str, partition: int, stamp: Version) -> None:
        super().__init__(session_id)
        super().learn(partition, stamp)

    def learn(self, partition: int, stamp: Version) -> None:
        """Nothing that answers show changes the caller's stamp."""


class Owner(Protocol):
    """Who keeps calls, as a call needs it."""

    @property
    def context(self) -> Context:
        """What all calls share."""

    def next_attempt_id(self) -> int:
        """A number for an attempt, unique in this dispatcher."""

    def on_end(self, calling: Calling) -> None:
        """The call has its outcome, and its callers know it."""


class Attempted(Parcel):
    """One attempt of a call, in a lane."""

    __slots__ = ("asked", "calling", "id", "way")

    def __init__(self, calling: Calling, attempt_id: int, way: Way) -> None:
        super().__init__(calling.operations, [calling.key], 0, writes=True)
        self.alone = calling.alone
        self.calling = calling
        self.id = attempt_id
        self.way = way
        self.asked = False

    def on_results(self, results: list[kv.Result]) -> None:
        if len(results) == 1 and not results[0].HasField("status"):
            self.calling.take(self, DONE, results)
            return
        told = told_by_all(results)
        if told.is_crowded:
            if self.alone:
                told = DONE  # It is too large by itself; its callers learn which answers are not.
            # R27: asked again it answers with what was recorded.
            self.calling.alone = True
        if told is not DONE:
            self.calling.learn(results)
        self.calling.take(self, told, results)

    def on_refused(self, status: status_pb2.Status, *, company: bool) -> None:
        told = told_by(status)
        if told.is_final and company:
            # What was refused may be somebody else's operation.
            self.calling.alone = True
            told = Told(Outcome.NO, after_us=1, status=status)
        self.calling.take(self, told, ())

    def on_lost(self, *, sent: bool) -> None:
        self.calling.take(self, LOST if sent else UNSENT, ())

    def on_waiting(self, age_us: int) -> int:
        return self.calling.on_waiting(self, age_us)


class Calling:
    """One call under way."""

    __slots__ = (
        "_calls",
        "alone",
        "attempt",
        "attempts",
        "blind",
        "call",
        "is_own",
        "key",
        "last",
        "operations",
        "parts",
        "redirects",
        "session",
        "ticket",
        "waiting",
    )

    def __init__(self, calls: Owner, session: Session, parts: list[Part], *, is_own: bool) -> None:
        first = parts[0]
        self.key = first.key
        self.session = session
        self.call = session.begin(first.partition, first.key, ())
        self.parts = parts
        self.operations = first.operations
        self.is_own = is_own
        self.waiting: deque[Part] | None = None
        """What wants to write the key next; only calls of the dispatcher's own session have it."""
        self.attempt: Attempted | None = None
        self.attempts = 0
        self.blind = 0
        self.redirects = 0
        self.ticket: Ticket | None = None
        self.last: Told | None = None
        self.alone = first.alone
        self._calls = calls
        for part in parts:
            part.calling = self
        if len(parts) > 1:
            self._gather()

    @property
    def partition(self) -> int:
        """The partition of its key."""
        return self.call.partition

    @property
    def is_over(self) -> bool:
        """Whether it has its outcome."""
        return self.call.outcome is not None

    def _gather(self) -> None:
        self.operations = [operation for part in self.parts for operation in part.operations]

    # Attempts

    def try_now(self) -> None:
        """Make an attempt, or wait where there is nobody to send it to."""
        if self.attempts and self._is_forsaken():
            self.stop()
            return
        context = self._calls.context
        partition = self.call.partition
        way = context.routes.way(partition)
        if way is None:
            context.ask_around(partition, None)
            self._wait(None, 0)
            return
        self.attempts += 1
        number = self._calls.next_attempt_id()
        attempt = self.session.attempt(self.call, number, 0)
        self._sign(attempt.retry, attempt.stamp)
        parcel = self.attempt = Attempted(self, number, way)
        now_us = context.clock.now_us()
        self._measure(parcel, way, now_us)
        try:
            way.lane.put(parcel, now_us)
        except UnreachableError:
            self.take(parcel, UNSENT, ())
        except OverloadedError as error:
            told = told_by(failure(error).status)
            self.take(parcel, told._replace(is_final=True), ())

    def _is_forsaken(self) -> bool:
        """Whether all callers have gone; the parts of those that have are left out, if that may be.

        While every attempt has ended in ``no`` nothing was executed, so they need not be.
        """
        alive = [part for part in self.parts if not part.is_over]
        if alive and len(alive) < len(self.parts) and not self.call.unsure:
            self.parts = alive
            self._gather()
        return not alive

    def _sign(self, retry: bool, stamp: Version) -> None:
        """Write session, number, stamp and retry flag into every write (R26)."""
        signed = operation_id_bytes(self.session.id, self.call.number, stamp)
        for part in self.parts:
            for write in part.writes:
                write.operation_id.ParseFromString(signed)
                if retry:
                    write.retry = True

    def _measure(self, parcel: Attempted, way: Way, now_us: int) -> None:
        """How large the parcel is, and how long the member may work on it."""
        size = deadline_us = 0
        for part in self.parts:
            size += part.size
            deadline_us = max(deadline_us, part.submission.deadline_us)
        parcel.size = size
        parcel.patience_us = max(1000, min(way.lane.attempt_us, deadline_us - now_us))

    # Answers

    def learn(self, results: Sequence[kv.Result]) -> None:
        """Take the stamps that errors carry (R30)."""
        self._calls.context.stamps.learn(stamps_of(results))

    def take(self, parcel: Attempted, told: Told, results: Sequence[kv.Result]) -> None:
        """An attempt has ended; that of one which was given up says nothing (R29)."""
        if parcel is not self.attempt or self.call.outcome is not None:
            return
        context, call = self._calls.context, self.call
        self.attempt = None
        stamp = context.stamps.get(call.partition)
        answer = Answer(parcel.id, told.outcome, (), told.reason, stamp, "", 0)
        over = self.session.answer(call, answer)
        if call.outcome is Outcome.OK:
            self._succeed(results)
        elif over:
            self._fail(told)
        else:
            self.last = told
            self._go_on(parcel.way, told)

    def _go_on(self, way: Way, told: Told) -> None:
        """Choose what follows a ``no`` or an unknown outcome."""
        if told.is_final:
            self._refused_for_good(told)
            return
        if told.is_crowded:
            self.try_now()
            return
        context, call = self._calls.context, self.call
        if told.reason is Reason.STALE_STAMP:
            if isinstance(self.session, PinnedSession):
                self.stop()  # Only the caller may choose another stamp.
                return
            fresh = context.stamps.get(call.partition) > call.stamp
        else:
            fresh = self._is_moved(way, told)
        if fresh and self.redirects < _REDIRECTS:
            self.redirects += 1
            context.counts.retries += 1
            self.try_now()
            return
        if told.reason is not Reason.OVERLOADED and not told.after_us:
            context.ask_around(call.partition, way if told.status is None else None)
        self._wait(way, told.after_us)

    def _is_moved(self, way: Way, told: Told) -> bool:
        """Whether the next attempt would go somewhere else than the one that has just ended."""
        context = self._calls.context
        context.heed(told, self.call.partition)
        after = context.routes.way(self.call.partition)
        return after is not None and (after.disk, after.epoch, after.lane) != (
            way.disk,
            way.epoch,
            way.lane,
        )

    def _refused_for_good(self, told: Told) -> None:
        if len(self.parts) > 1 and not self.call.unsure:
            # One of several callers asked for something impossible; the others did not.
            parts, self.parts = self.parts, []
            for part in parts:
                part.alone = True
                part.calling = None
            self.waiting = deque([*parts, *(self.waiting or ())])
        self.session.stop(self.call)
        self._fail(told)

    def _wait(self, way: Way | None, after_us: int) -> None:
        context = self._calls.context
        epoch = way.epoch if way is not None else context.routes.epoch(self.call.partition)
        if self.ticket is not None:
            self.ticket.cancel()
        self.ticket = context.wait(self, epoch, after_us, self.blind)

    def resume(self, *, news: bool) -> None:
        """The wait is over: another attempt, where the budget allows one."""
        self.ticket = None
        context, parcel = self._calls.context, self.attempt
        if self.attempts >= context.settings.all_attempts:
            return  # The deadline ends it.
        if parcel is not None and not news:
            # It is where it belongs, as far as anybody knows: a second attempt would queue behind.
            context.ask_around(self.call.partition, parcel.way)
            self._wait(parcel.way, context.settings.attempt_us)
            return
        unsent = parcel is None and self.last is UNSENT
        if unsent and not news and context.is_out_of_reach(self.call.partition):
            self._wait(None, context.settings.unsent_pause_us)
            return
        if not context.may_retry(free=news or unsent):
            if self.last is not None and self.last.reason is Reason.OVERLOADED:
                self.stop()  # The caller is to slow down, and is told so.
            else:
                self._wait(parcel.way if parcel is not None else None, 0)
            return
        self.redirects = 0
        self.blind += not (news or unsent)
        if parcel is not None and parcel.way.lane.withdraw(parcel):
            self.attempt = None
            self._answer_no(parcel)
        self.try_now()

    def _answer_no(self, parcel: Attempted) -> None:
        """An attempt that was never sent has ended in ``no``."""
        stamp = self._calls.context.stamps.get(self.call.partition)
        answer = Answer(parcel.id, Outcome.NO, (), Reason.NONE, stamp, "", 0)
        self.session.answer(self.call, answer)

    def on_waiting(self, parcel: Attempted, age_us: int) -> int:
        """The open attempt is still unanswered (R29: it is given up only for a newer one)."""
        if parcel is not self.attempt or self.call.outcome is not None:
            return NEVER
        context = self._calls.context
        partition = self.call.partition
        settings, way = context.settings, parcel.way
        if way.disk and context.routes.epoch(partition) > way.epoch:
            if age_us < settings.superseded_us:
                return settings.superseded_us
            parcel.asked = True
            if self.ticket is None:
                self.resume(news=True)
        elif age_us < way.lane.attempt_us:
            return way.lane.attempt_us
        elif not parcel.asked:
            parcel.asked = True
            context.ask_around(partition, way)
            self._wait(way, context.settings.attempt_us)
        return NEVER

    # The end

    def stop(self) -> None:
        """End with what is known."""
        parcel, self.attempt = self.attempt, None
        if parcel is not None and parcel.way.lane.withdraw(parcel):
            self._answer_no(parcel)
        if self.call.outcome is None:
            self.session.stop(self.call)
        self._fail(self.last)

    def expire(self, part: Part) -> None:
        """The caller of one part waits no longer."""
        parcel = self.attempt
        if parcel is not None and parcel.way.lane.withdraw(parcel):
            self.attempt = None
            self._answer_no(parcel)
        unsure = self.call.unsure or self.attempt is not None
        part.fail(self._failure(Outcome.UNKNOWN if unsure else Outcome.NO, self.last))
        if all(each.is_over for each in self.parts):
            self.stop()
        elif self.attempt is None and self.ticket is None:
            self.try_now()

    def _succeed(self, results: Sequence[kv.Result]) -> None:
        parts = self.parts
        if len(parts) == 1:
            parts[0].settle(results)
        else:
            at = 0
            for part in parts:
                upto = at + len(part.operations)
                part.settle(results[at:upto])
                at = upto
        self._end()

    def _fail(self, told: Told | None) -> None:
        outcome = self.call.outcome
        assert outcome is not None
        result = self._failure(outcome, told)
        for part in self.parts:
            if not part.is_over:
                part.fail(result)
        self._end()

    def _failure(self, outcome: Outcome, told: Told | None) -> kv.Result:
        """What the callers are told: a definite no only if every attempt ended in one (R29)."""
        cause = told.status.message if told is not None and told.status is not None else ""
        if outcome is Outcome.UNKNOWN:
            self._calls.context.counts.unknown += 1
            words = "the write may or may not have taken effect, now or later"
            return failure(OutcomeUnknownError(f"{words}: {cause}" if cause else words))
        if told is not None and told.status is not None and _speaks_for_itself(told):
            return kv.Result(status=told.status)
        words = f"nothing was applied after {self.attempts} attempts"
        return failure(NotAppliedError(f"{words}: {cause}" if cause else words))

    def _end(self) -> None:
        if self.ticket is not None:
            self.ticket.cancel()
            self.ticket = None
        self._calls.on_end(self)
        for part in self.parts:
            part.calling = None  # Two that hold each other would wait for the collector.


def _speaks_for_itself(told: Told) -> bool:
    return told.is_final or told.reason is Reason.OVERLOADED
