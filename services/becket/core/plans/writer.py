"""The writing of the ring object: read, test, compare-and-swap, and only then announce.

Owns the discipline of PROTOCOL R1. Must not do I/O: events in, effects out; the caller carries the
effects out and reports what came of them. Nor does it decide what is wanted: that comes as wishes.

Theory of operation. One write is in the air at most. Wishes wait in ``pending``. A write always
starts with a quorum read of the object; every pending wish is tested against exactly that object,
what does not fit is discarded with a reason, and what fits becomes one new ring. That ring is
written on condition that the object is still the one just read. Only a confirmed ring is announced:
the writer has the store's word for it, or has read it. A reply that was lost says nothing; the next
read tells, because a version names exactly one content.

=========  =========================  ======================================================
state      event                      what happens
=========  =========================  ======================================================
IDLE       Want                       keep the wishes; ReadObject; READING
IDLE       Refresh                    ReadObject; READING
READING    Want, Refresh              keep the wishes; READING
READING    ObjectRead                 older than a ring that is known: NeedsRecovery; IDLE;
                                      else announce what was read; nothing fits: IDLE;
                                      else CompareAndSwap on the version just read; WRITING
READING    ReadFailed                 ReadObject again, after a pause; READING
WRITING    Want, Refresh              keep the wishes for the next round; WRITING
WRITING    CasConfirmed               Announce; wishes left: ReadObject, READING; else IDLE
WRITING    CasConflict                forget what was computed, ReadObject; READING
WRITING    CasLost                    remember what may have been written, ReadObject; READING
=========  =========================  ======================================================

Any other pair is a bug of the caller. A late write of which the reply was lost can do no harm: its
condition names an object version that our next write, or anyone's, has replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from becket.core.errors import BugError
from becket.core.plans.wishes import Discarded, Install, Wish, apply_wishes
from becket.core.ring.ring import Ring

ObjectVersion = str
"""The store's own version of the object (Kubernetes: resourceVersion). Opaque."""


class WriterState(Enum):
    """Where the writer stands; see the table at the head of this file."""

    IDLE = "idle"
    READING = "reading"
    WRITING = "writing"


@dataclass(frozen=True)
class Want:
    """Somebody wants changes."""

    wishes: tuple[Wish, ...]


@dataclass(frozen=True)
class Refresh:
    """Somebody wants to know the object as it is now."""


@dataclass(frozen=True)
class ObjectRead:
    """The object as a quorum read found it; both None where it is absent."""

    ring: Ring | None
    object_version: ObjectVersion | None


@dataclass(frozen=True)
class ReadFailed:
    """The read gave no answer."""


@dataclass(frozen=True)
class CasConfirmed:
    """The store says that the write took place."""


@dataclass(frozen=True)
class CasConflict:
    """The store says that the write did not take place: the object is another."""


@dataclass(frozen=True)
class CasLost:
    """No answer to the write: it may have taken place, or may yet."""


Event = Want | Refresh | ObjectRead | ReadFailed | CasConfirmed | CasConflict | CasLost


@dataclass(frozen=True)
class ReadObject:
    """Read the object by a quorum read, never from a cache; pause first if ``again``."""

    again: bool = False


@dataclass(frozen=True)
class CompareAndSwap:
    """Write ``ring`` if the object is still ``expected``; None means: if there is none."""

    expected: ObjectVersion | None
    ring: Ring


@dataclass(frozen=True)
class Announce:
    """This ring is confirmed: act on it, send it, store it. ``applied`` are our wishes in it."""

    ring: Ring
    applied: tuple[Wish, ...] = ()


@dataclass(frozen=True)
class Dropped:
    """A wish did not fit the object just read and is given up."""

    discarded: Discarded


@dataclass(frozen=True)
class NeedsRecovery:
    """The object is absent or older than a ring that is known: decide by ``recovery`` (R1).

    The wishes are kept; the writer stands still until an Install is wanted or the object is back.
    """

    found: int
    highest: int


Effect = ReadObject | CompareAndSwap | Announce | Dropped | NeedsRecovery


@dataclass(frozen=True)
class _Written:
    """A write in the air, or one whose reply was lost."""

    ring: Ring
    wishes: tuple[Wish, ...]


Handler = Callable[[Event], list[Effect]]
"""What a pair of state and event does."""


class TopologyWriter:
    """The machine; see the head of this file. ``handle`` takes one event and returns effects."""

    def __init__(self) -> None:
        self.state = WriterState.IDLE
        self.pending: list[Wish] = []
        self.announced: Ring | None = None
        self.highest_seen = 0
        self._written: _Written | None = None
        self._story: list[str] = []
        self._table: dict[tuple[WriterState, type[Event]], Handler] = {
            (WriterState.IDLE, Want): self._start,
            (WriterState.IDLE, Refresh): self._start,
            (WriterState.READING, Want): self._keep,
            (WriterState.READING, Refresh): self._keep,
            (WriterState.READING, ObjectRead): self._object_read,
            (WriterState.READING, ReadFailed): self._read,
            (WriterState.WRITING, Want): self._keep,
            (WriterState.WRITING, Refresh): self._keep,
            (WriterState.WRITING, CasConfirmed): self._confirmed,
            (WriterState.WRITING, CasConflict): self._conflict,
            (WriterState.WRITING, CasLost): self._lost,
        }

    def handle(self, event: Event) -> list[Effect]:
        """Take one event.

        :raises BugError: the event is not possible in this state; the message tells the story.
        """
        self._story = [*self._story[-19:], f"{self.state.value}: {type(event).__name__}"]
        step = self._table.get((self.state, type(event)))
        if step is None:
            raise BugError(f"topology writer: impossible event: {'; '.join(self._story)}")
        return step(event)

    def note_seen(self, version: int) -> None:
        """A member holds a ring of this version: an older or missing object waits for recovery."""
        self.highest_seen = max(self.highest_seen, version)

    def _start(self, event: Event) -> list[Effect]:
        self._keep(event)
        return self._read()

    def _keep(self, event: Event) -> list[Effect]:
        if isinstance(event, Want):
            self.pending += [wish for wish in event.wishes if wish not in self.pending]
        return []

    def _read(self, event: Event | None = None) -> list[Effect]:
        self.state = WriterState.READING
        return [ReadObject(again=isinstance(event, ReadFailed))]

    def _object_read(self, event: Event) -> list[Effect]:
        if not isinstance(event, ObjectRead):
            raise BugError(f"topology writer: not a read: {event}")
        # An installed ring is written to the letter, so an Install goes alone.
        installs = [wish for wish in self.pending if isinstance(wish, Install)][:1]
        found = 0 if event.ring is None else event.ring.version
        if found < self.highest_seen and not installs:  # R1: only a restored ring may follow.
            self.state = WriterState.IDLE
            return [NeedsRecovery(found, self.highest_seen)]
        effects = self._confirm_by_read(event.ring)
        # R1: every wish is tested against the object just read, none is replayed.
        outcome = apply_wishes(event.ring, installs or self.pending)
        effects += [Dropped(discarded) for discarded in outcome.discarded]
        self._forget([discarded.wish for discarded in outcome.discarded])
        if outcome.ring is None or not outcome.applied:
            self.state = WriterState.IDLE
            return effects + self._read() if self.pending else effects
        ring = _next_version(outcome.ring, event.ring, outcome.applied)
        self._written = _Written(ring, outcome.applied)
        self.state = WriterState.WRITING
        effects.append(CompareAndSwap(event.object_version, ring))  # R1: on what was just read.
        return effects

    def _confirm_by_read(self, ring: Ring | None) -> list[Effect]:
        """What was read is confirmed; so are our wishes, if it is what we wrote."""
        written, self._written = self._written, None
        applied: tuple[Wish, ...] = ()
        if written is not None and ring == written.ring:
            applied = written.wishes
            self._forget(applied)
        if ring is None or ring.version < self.highest_seen:
            return []
        if ring == self.announced and not applied:
            return []
        return [self._announce(ring, applied)]

    def _announce(self, ring: Ring, applied: tuple[Wish, ...]) -> Announce:
        self.announced = ring
        self.note_seen(ring.version)
        return Announce(ring, applied)

    def _forget(self, wishes: Sequence[Wish]) -> None:
        self.pending = [wish for wish in self.pending if wish not in wishes]

    def _confirmed(self, event: Event) -> list[Effect]:
        written, self._written = self._written, None
        if written is None:
            raise BugError(f"topology writer: {event} with nothing written")
        self._forget(written.wishes)
        self.state = WriterState.IDLE
        # R1: nobody acts on a ring before its write is confirmed, which is here and at the read.
        effects: list[Effect] = [self._announce(written.ring, written.wishes)]
        return effects + self._read() if self.pending else effects

    def _conflict(self, event: Event) -> list[Effect]:
        self._written = None
        return self._read(event)

    def _lost(self, event: Event) -> list[Effect]:
        return self._read(event)  # R1: after a lost reply, read and test again.


def _next_version(content: Ring, read: Ring | None, wishes: Sequence[Wish]) -> Ring:
    """The version of a new content; an installed ring keeps its own, to the letter (R1)."""
    if read is None or any(isinstance(wish, Install) for wish in wishes):
        return content
    return content.succeeding(read)
