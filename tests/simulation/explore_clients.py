"""Clients under exploration, and what they saw, up to what matters for its order.

Owns the scripts of clients (sessions are the shipped ones) and the history as a value. Two
histories are one when the same operations got the same answers and each began after the same
others had ended: linearizability asks for nothing else.
"""

from __future__ import annotations

from typing import NamedTuple

from becket.core.histories.entries import Entry
from becket.core.histories.search import Judgement, judge
from becket.core.replication.cells import (
    Answer,
    Attempt,
    Kind,
    Operation,
    Outcome,
    Reason,
    Result,
    Verdict,
)
from becket.core.sessions import Call, Session
from tests.simulation.explore_shell import PARTITION

ATTEMPTS = 10
CALLS = 100 * ATTEMPTS
FOR_EVER_US = 2 * 10**18


class Want(NamedTuple):
    """One call of a client's script: the members that its attempts go to, one after the other.

    A call with one target has its attempt delivered as it begins and its answer as it leaves:
    a shorter operation only constrains the history more. With more targets, both travel.
    """

    operation: Operation
    targets: tuple[int, ...]
    key: bytes = b"k"

    @property
    def is_direct(self) -> bool:
        """Whether nothing of this call is ever in flight."""
        return len(self.targets) == 1


Script = tuple[Want, ...]


def client_of(attempt_id: int) -> int:
    """The client whose attempt this is."""
    return attempt_id // CALLS


def place_of(attempt_id: int) -> int:
    """The place in its client's script of the call that this attempt belongs to."""
    return attempt_id % CALLS // ATTEMPTS


class Client:
    """One client between two of its steps."""

    __slots__ = ("call", "index", "place", "session", "tries")

    def __init__(self, index: int) -> None:
        self.index = index
        self.session = Session(f"c{index}")
        self.call: Call | None = None
        self.place = 0
        self.tries = 0

    def begin(self, script: Script) -> Attempt:
        """Start the next call."""
        want = script[self.place]
        self.call = self.session.begin(PARTITION, want.key, (want.operation,))
        self.tries = 0
        return self._attempt()

    def again(self) -> Attempt:
        """Give the open attempt up, if there is one, and try the next target."""
        return self._attempt()

    def _attempt(self) -> Attempt:
        assert self.call is not None
        number = (self.index * CALLS) + self.place * ATTEMPTS + self.tries + 1
        self.tries += 1
        return self.session.attempt(self.call, number, FOR_EVER_US)

    def take(self, answer: Answer, script: Script) -> Call | None:
        """Take an answer; returns the call if that ended it."""
        call = self.call
        if call is None or place_of(answer.id) != self.place:
            # The call is over: a late answer only teaches the session a stamp (R29, R30).
            gone = Call(PARTITION, b"", (), 0)
            gone.outcome = Outcome.UNKNOWN
            self.session.answer(gone, answer)
            return None
        was_open = call.open_id == answer.id
        self.session.answer(call, answer)
        if was_open and not call.is_over and self.tries == len(script[self.place].targets):
            self.session.stop(call)
        return self._ended()

    def stop(self) -> Call | None:
        """End the call with what is known of it."""
        assert self.call is not None
        self.session.stop(self.call)
        return self._ended()

    def _ended(self) -> Call | None:
        call = self.call
        if call is None or not call.is_over:
            return None
        self.call = None
        self.place += 1
        return call


def plain(answer: Answer) -> Answer:
    """The answer without what a session does not read."""
    reason = answer.reason
    if reason not in (Reason.OLD_NUMBER, Reason.STALE_STAMP):
        reason = Reason.NONE
    return answer._replace(reason=reason, coordinator="", gen=0)


class Seen(NamedTuple):
    """One call as its client saw it; ``after``: the calls that had ended when it began."""

    client: int
    place: int
    after: frozenset[tuple[int, int]]
    results: tuple[Result, ...] | None


History = tuple[Seen, ...]


def begun(history: History, client: int, place: int) -> History:
    """The history after a call's beginning."""
    after = frozenset((s.client, s.place) for s in history if s.results is not None)
    seen = Seen(client, place, after, None)
    return tuple(sorted((*history, seen), key=lambda s: s[:2]))


def ended(history: History, client: int, place: int, call: Call) -> History:
    """The history after a call's end; one that ended as ``no`` never happened."""
    if call.outcome is Outcome.UNKNOWN:
        return history
    kept = tuple(s for s in history if (s.client, s.place) != (client, place))
    if call.outcome is Outcome.NO:
        return kept
    mine = next(s for s in history if (s.client, s.place) == (client, place))
    return tuple(sorted((*kept, mine._replace(results=call.results)), key=lambda s: s[:2]))


def entries(history: History, scripts: tuple[Script, ...]) -> list[Entry]:
    """The history in the checker's words.

    The sets of calls that had ended grow with time, so their sizes are times: a call begins at
    twice the size of its set, and ends just before the smallest set that holds it.
    """
    told = []
    for seen in history:
        want = scripts[seen.client][seen.place]
        began_us = 2 * len(seen.after)
        entry = Entry(f"c{seen.client}", want.key, (want.operation,), began_us)
        if seen.results is not None:
            me = (seen.client, seen.place)
            later = [len(s.after) for s in history if me in s.after]
            entry.ended_us = 2 * min(later, default=len(history) + 1) - 1
            entry.results = seen.results
        told.append(entry)
    return told


def first_write(key: bytes, value: bytes) -> Entry:
    """What a key was given before the exploration began."""
    results = (Result(Verdict.DONE),)
    return Entry("setup", key, (Operation(Kind.PUT, value),), -2, -1, results)


def problem_of(history: History, scripts: tuple[Script, ...], before: list[Entry]) -> str:
    """What is wrong with a history; empty when it is linearizable."""
    keys: dict[bytes, list[Entry]] = {}
    for entry in before + entries(history, scripts):
        keys.setdefault(entry.key, []).append(entry)
    for key, told in sorted(keys.items()):
        judgement = judge(told)
        if judgement is not Judgement.LINEARIZABLE:
            lines = "".join(f"\n    {entry}" for entry in told)
            return f"{key!r}: {judgement.value}:{lines}"
    return ""
