"""Writes: which call is open on each key, and what waits for it (PROTOCOL R14a, R26, R32).

Owns the open call of each key of the dispatcher's own session, and the parts that came meanwhile:
they are joined into the next call. Calls under a name that a caller chose stand beside it. Must not
make attempts: ``calling`` does.
"""

from __future__ import annotations

from collections import deque

from becket.adapters.dispatch.calling import Calling, PinnedSession
from becket.adapters.dispatch.context import Context
from becket.adapters.dispatch.outcomes import failure
from becket.adapters.dispatch.submissions import Identity, Part
from becket.core.errors import NotAppliedError, OverloadedError
from becket.core.replication.cells import Outcome
from becket.core.sessions import Session


class Calls:
    """Every call under way in one dispatcher."""

    def __init__(self, context: Context, session: Session) -> None:
        self.context = context
        self.session = session
        self._open: dict[bytes, Calling] = {}
        self._last_attempt = 0

    def next_attempt_id(self) -> int:
        """A number for an attempt, unique in this dispatcher."""
        self._last_attempt += 1
        return self._last_attempt

    def begin(self, part: Part) -> None:
        """Start the call of a part, or let it wait for the open call of its key."""
        if part.identity is not None:
            self._begin_named(part, part.identity)
            return
        opened = self._open.get(part.key)
        if opened is None:
            calling = Calling(self, self.session, [part], is_own=True)
            self._open[part.key] = calling
            calling.try_now()
            return
        if opened.waiting is None:
            opened.waiting = deque()
        if len(opened.waiting) >= self.context.settings.key_queue:
            error = OverloadedError("too many writes wait for this key", after_ms=100)
            part.fail(failure(error))
            return
        opened.waiting.append(part)

    def _begin_named(self, part: Part, identity: Identity) -> None:
        """A call under the caller's own name (R32)."""
        partition = part.partition
        session: Session
        if identity.number:
            session = PinnedSession(identity.session, partition, identity.stamp)
        else:
            session = Session(identity.session)
            if not identity.retry:
                session.learn(partition, self.context.stamps.get(partition))
        calling = Calling(self, session, [part], is_own=False)
        if identity.number:
            calling.call.number = identity.number
        if identity.retry:
            # Earlier attempts were made elsewhere: the stamp is theirs, or zero (R32).
            calling.call.unsure = True
            calling.call.stamp = identity.stamp
        for write in part.writes:
            write.ClearField("request_id")
        calling.try_now()

    def expire(self, part: Part) -> None:
        """The caller of a part waits no longer: tell what is known."""
        calling = part.calling
        if calling is not None and not calling.is_over:
            calling.expire(part)
        else:
            part.fail(failure(NotAppliedError("the deadline passed before an attempt was made")))

    def on_end(self, calling: Calling) -> None:
        """A call is over: what waited for its key is next."""
        for part in calling.parts:
            if part.then is not None:
                self._follow(part.then, calling)
        if not calling.is_own:
            return
        del self._open[calling.key]
        waiting = calling.waiting
        if not waiting:
            return
        parts = self._next_parts(waiting)
        if not parts:
            return
        following = Calling(self, self.session, parts, is_own=True)
        following.waiting = waiting or None
        self._open[calling.key] = following
        following.try_now()

    def _follow(self, part: Part, calling: Calling) -> None:
        if part.is_over:
            return
        if calling.call.outcome is Outcome.UNKNOWN:
            # It could be executed before what stands before it in the list.
            words = "not tried: what precedes it in the list has an unknown outcome"
            part.fail(failure(NotAppliedError(words)))
            if part.then is not None:
                self._follow(part.then, calling)
        else:
            self.begin(part)

    def _next_parts(self, waiting: deque[Part]) -> list[Part]:
        settings = self.context.settings
        parts: list[Part] = []
        count = reads = 0
        while waiting:
            part = waiting[0]
            if part.is_over:
                waiting.popleft()
                continue
            count += len(part.operations)
            reads += len(part.operations) - len(part.writes)
            if parts and (
                count > settings.joined_operations
                or reads > settings.joined_reads
                or part.alone
                or parts[0].alone
            ):
                break
            parts.append(waiting.popleft())
        return parts
