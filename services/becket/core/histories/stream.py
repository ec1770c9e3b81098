"""Is one key's history linearizable? Judged while it grows, however long it becomes.

Owns the search over orders, layer by layer: a layer holds every state that can follow from the
same number of answered operations, so what lies behind it is forgotten. It works in the manner of
Wing and Gong, with memory (Lowe, "Testing for linearizability"); with few operations at once on
the key, time is linear in their number and memory is that of the widest overlap. Writes of
unknown outcome stay open for ever (``unknowns``).

Must not see values with a time to live, or relaxed reads: those are for ``search``. Invariants:
a layer is looked at only when no operation that is still open could belong to it; what takes too
long is ``UNDECIDED``, never right.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from becket.core.errors import InvalidInputError
from becket.core.histories.entries import Entry
from becket.core.histories.register import ABSENT, Register
from becket.core.histories.search import Judgement
from becket.core.histories.unknowns import TooManyError, Unknowns, keep_least
from becket.core.replication.cells import Kind, Verdict
from becket.core.replication.versions import Version

WIDTH_LIMIT = 20_000
"""The most states of a layer."""

RECENT = 24
"""So many entries are remembered, to tell the story of a violation."""

SHOWN_LIMIT = 1024
"""So many versions that were shown are remembered."""

_TRIM = 256
_NEVER = 1 << 62


class _Place(NamedTuple):
    """Which answered entries are done: all before ``next`` but ``skipped``."""

    next: int
    skipped: tuple[int, ...]


class Problem(NamedTuple):
    """Where no order goes on."""

    before: tuple[Entry, ...]
    """The last entries that some order explained, and unknown ones, by their beginning."""
    stuck: tuple[Entry, ...]
    """Those of which one had to be next, and none could."""
    registers: tuple[Register, ...]
    """What the key could have held then."""


class KeyStream:
    """The judge of one key. Give it every entry once, in any order, and tell how far it may go."""

    def __init__(self) -> None:
        self.judgement = Judgement.LINEARIZABLE
        """Of what has been looked at so far."""
        self.problem: Problem | None = None
        self.judged = 0
        """How many answered entries some order explains."""
        self._tie = 0
        self._waiting: list[tuple[int, int, Entry]] = []
        self._known: list[Entry] = []
        self._first = 0
        self._unknowns = Unknowns()
        self._shown: dict[Version, Entry] = {}
        """The latest versions that were shown, each with the first that ended of what showed it."""
        self._recent: deque[Entry] = deque(maxlen=RECENT)
        self._layer: dict[_Place, dict[Register, list[int]]] = {_Place(0, ()): {ABSENT: [0]}}

    @property
    def held(self) -> int:
        """How many entries are kept in memory."""
        return len(self._waiting) + len(self._known)

    def add(self, entry: Entry) -> None:
        """Take an entry that has ended, with results or as unknown. Refused ones never happened.

        :raises InvalidInputError: the entry is of a kind that this judge does not know.
        """
        if entry.refused or self.judgement is not Judgement.LINEARIZABLE:
            return
        if entry.staleness_us is not None or any(op.ttl_ms for op in entry.operations):
            raise InvalidInputError("entry", "a relaxed read or a time to live is not judged here")
        self._tie += 1
        heapq.heappush(self._waiting, (entry.began_us, self._tie, entry))

    def advance(self, open_since_us: int | None = None) -> Judgement:
        """Judge as far as is known.

        :param open_since_us: when the oldest operation on this key began that has not ended, or
            now where none is open; None: all have ended, and none comes any more.
        """
        limit = _NEVER if open_since_us is None else open_since_us
        while self._waiting and self._waiting[0][0] < limit:
            entry = heapq.heappop(self._waiting)[2]
            if entry.results is None:
                self._unknowns.add(entry)
                self._recent.append(entry)
            else:
                self._unknowns.note_answered(entry)
                self._known.append(entry)
                self._check_shown(entry)
        try:
            while self.judgement is Judgement.LINEARIZABLE and self._step(limit):
                pass
        except TooManyError:
            self._end(Judgement.UNDECIDED)
        if len(self._known) > _TRIM:
            self._trim()
        return self.judgement

    def _step(self, limit: int) -> bool:
        """Go on by one layer; False where that has to wait, or nothing is left."""
        layer: dict[_Place, dict[Register, list[int]]] = {}
        width = 0
        for place, states in self._layer.items():
            candidates, horizon = self._candidates(place)
            if not candidates or horizon >= limit:
                return False
            if self._unknowns.count and self._latest_end(candidates) >= limit:
                # A write that is not known yet may be the one whose version they show; without it
                # that version would be believed of a write of unknown outcome.
                return False
            for index in candidates:
                entry = self._known[index - self._first]
                if entry.began_us > horizon:
                    continue
                target: dict[Register, list[int]] | None = None
                for register, ways in states.items():
                    for spent in ways:
                        for after, used in self._unknowns.explain(register, spent, entry, horizon):
                            if target is None:
                                target = layer.setdefault(_after(place, index), {})
                            width += keep_least(target, after, used)
            if width > WIDTH_LIMIT:
                raise TooManyError
        if not layer:
            self._tell_problem()
            self._end(Judgement.VIOLATION)
            return False
        self._layer = layer
        self.judged += 1
        return True

    def _latest_end(self, candidates: Iterable[int]) -> int:
        return max(_end_of(self._known[index - self._first]) for index in candidates)

    def _check_shown(self, entry: Entry) -> None:
        """A version is of one write, so none is shown by what ended before its write began."""
        if self.judgement is not Judgement.LINEARIZABLE:
            return
        for operation, result in zip(entry.operations, entry.results or (), strict=False):
            wrote = operation.kind is not Kind.GET and result.verdict is Verdict.DONE
            # A condition that held shows its version as well as an answer that names one.
            shown = operation.if_version if wrote else result.version
            if shown is not None:
                known = self._shown.get(shown)
                if known is None or _end_of(entry) < _end_of(known):
                    self._shown[shown] = entry
            early = self._shown.get(result.version) if wrote and result.version else None
            if early is not None and _end_of(early) < entry.began_us:
                self.problem = Problem((early,), (entry,), ())
                self._end(Judgement.VIOLATION)
                return
        while len(self._shown) > SHOWN_LIMIT:
            del self._shown[next(iter(self._shown))]

    def _candidates(self, place: _Place) -> tuple[list[int], int]:
        """Entries that may be next, and the horizon: the end of the first of them to end.

        What began beyond the horizon cannot be next; some of the candidates may have.
        """
        known, first = self._known, self._first
        horizon = _NEVER
        found = list(place.skipped)
        for index in found:
            horizon = min(horizon, _end_of(known[index - first]))
        index = place.next
        while index - first < len(known) and known[index - first].began_us <= horizon:
            horizon = min(horizon, _end_of(known[index - first]))
            found.append(index)
            index += 1
        return found, horizon

    def _trim(self) -> None:
        oldest = min(min(place.skipped, default=place.next) for place in self._layer)
        gone = oldest - self._first
        if gone > 0:
            self._recent.extend(self._known[max(0, gone - RECENT) : gone])
            del self._known[:gone]
            self._first = oldest

    def _tell_problem(self) -> None:
        stuck: set[int] = set()
        registers: dict[Register, None] = {}
        for place, states in self._layer.items():
            candidates, horizon = self._candidates(place)
            stuck.update(
                index
                for index in candidates
                if self._known[index - self._first].began_us <= horizon
            )
            registers.update(dict.fromkeys(states))
        told = {index - self._first for index in stuck}
        most = max(told)
        before = [entry for place, entry in enumerate(self._known[:most]) if place not in told]
        remembered = [*self._recent, *before[-RECENT:]]
        self.problem = Problem(
            tuple(sorted(remembered, key=lambda entry: entry.began_us)),
            tuple(self._known[index] for index in sorted(told)),
            tuple(registers)[:RECENT],
        )

    def _end(self, judgement: Judgement) -> None:
        """Nothing after this can be judged; forget what was kept for it."""
        self.judgement = judgement
        self._waiting.clear()
        self._known.clear()
        self._layer.clear()


def judge_long(entries: Iterable[Entry]) -> KeyStream:
    """Judge one key's whole history."""
    stream = KeyStream()
    for entry in entries:
        stream.add(entry)
    stream.advance()
    return stream


def _end_of(entry: Entry) -> int:
    assert entry.ended_us is not None, "an entry with results has ended"
    return entry.ended_us


def _after(place: _Place, index: int) -> _Place:
    """The place when this entry is done as well."""
    if index >= place.next:
        between = tuple(range(place.next, index))
        return _Place(index + 1, place.skipped + between)
    return _Place(place.next, tuple(other for other in place.skipped if other != index))
