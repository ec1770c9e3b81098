"""Writes of unknown outcome on one key: each may take effect at any later moment, once, or never.

Owns which of them are free and what they can lead to. Rests on two remarks that keep the search
small without losing an order (compare the just-in-time linearization of G. Lowe, "Testing for
linearizability", section 3):

- such a write has to take effect only right before an operation that could not be explained
  otherwise, or before another such write; anywhere else it can be left out;
- two of them that ask for the same are interchangeable, so the one that began first goes first.
"""

from __future__ import annotations

import math

from becket.core.histories.entries import Entry
from becket.core.histories.register import Register, apply
from becket.core.replication.cells import Kind, Operation, Verdict
from becket.core.replication.versions import Version

CHAIN_LIMIT = 20_000
"""How many registers one operation may be compared with before the search gives up."""

TAKEN_LIMIT = 1_024
"""So many versions of answered writes are remembered."""


class TooManyError(Exception):
    """The search would take too long."""


class Unknowns:
    """The writes without an outcome, in the order in which they began; each has a bit."""

    def __init__(self) -> None:
        self.count = 0
        self._classes: dict[tuple[Operation, ...], list[tuple[int, int]]] = {}
        self._by_value: dict[bytes, list[tuple[Operation, ...]]] = {}
        """Single puts, by what they leave behind."""
        self._others: list[tuple[Operation, ...]] = []
        """All but single puts."""
        self._only_grows = True
        """Whether all of them are single increments, none with a negative delta."""
        self._is_plain = True
        """Whether all of them are single puts and deletes."""
        self._taken: dict[Version, None] = {}
        """Versions that belong to answered writes, so to none of these; the latest ones."""

    def add(self, entry: Entry) -> None:
        """Take a write; none that began earlier may come after it."""
        operations = entry.operations
        if all(operation.kind is Kind.GET for operation in operations):
            return
        first, is_single = operations[0], len(operations) == 1
        if operations not in self._classes:
            self._classes[operations] = []
            if is_single and first.kind is Kind.PUT:
                self._by_value.setdefault(first.value, []).append(operations)
            else:
                self._others.append(operations)
        self._classes[operations].append((entry.began_us, 1 << self.count))
        self.count += 1
        if not is_single or first.kind is not Kind.INCREMENT or first.delta < 0:
            self._only_grows = False
        if not is_single or first.kind is Kind.INCREMENT:
            self._is_plain = False

    def note_answered(self, entry: Entry) -> None:
        """Take an entry that has results: versions of its writes can be of no unknown one."""
        for operation, result in zip(entry.operations, entry.results or (), strict=False):
            is_done = result.verdict is Verdict.DONE and operation.kind is not Kind.GET
            if is_done and result.version is not None:
                self._taken[result.version] = None
        while len(self._taken) > TAKEN_LIMIT:
            del self._taken[next(iter(self._taken))]

    def explain(
        self, register: Register, spent: int, entry: Entry, horizon_us: int
    ) -> list[tuple[Register, int]]:
        """Registers after ``entry`` took effect on ``register``, each with what is spent then.

        :param spent: the bits of the writes that have taken effect.
        :param horizon_us: writes that began later cannot have taken effect yet.
        :raises TooManyError: there are too many ways to try.
        """
        direct = [(after, spent) for after in apply(register, entry.operations, entry.results)]
        if not self.count or (direct and _is_settled(register, entry)):
            return direct
        return direct + self._through_chains(register, spent, entry, horizon_us)

    def _through_chains(
        self, register: Register, spent: int, entry: Entry, horizon_us: int
    ) -> list[tuple[Register, int]]:
        ceiling = self._ceiling(entry)
        found: list[tuple[Register, int]] = []
        seen: dict[Register, list[int]] = {register: [spent]}
        frontier = [(register, spent)]
        links = self._helpful(entry)
        tried = 0
        while frontier and links:
            reached: list[tuple[Register, int]] = []
            for before, used in frontier:
                for operations in links:
                    bit = self._first_free(operations, used, horizon_us)
                    tried += 1
                    if tried > CHAIN_LIMIT:
                        raise TooManyError
                    for after in apply(before, operations, None) if bit else ():
                        number = _number(after)
                        if number is not None and number > ceiling:
                            continue
                        if after != before and keep_least(seen, after, used | bit):
                            reached.append((after, used | bit))
            for before, used in reached:
                follow = apply(before, entry.operations, entry.results)
                found += [(after, used) for after in follow]
            frontier = reached
            # What these overwrite need not have taken place: they only begin a chain.
            links = [operations for operations in links if _depends(operations)]
        return found

    def _helpful(self, entry: Entry) -> list[tuple[Operation, ...]]:
        """The unknown writes of which a chain can lead to ``entry``."""
        everything = list(self._classes)
        if len(entry.operations) != 1 or entry.results is None:
            return everything
        operation, result = entry.operations[0], entry.results[0]
        is_get, is_done = operation.kind is Kind.GET, result.verdict is Verdict.DONE
        shown = operation.if_version if is_done and not is_get else result.version
        if shown is not None and shown in self._taken and operation.kind is not Kind.INCREMENT:
            return []  # No unknown write can leave this version behind.
        if not self._is_plain:
            return everything
        if is_get and result.value is not None:
            last = self._by_value.get(result.value, [])
            return everything if any(_depends(put) for put in last) else last
        wants_nothing = not is_get and operation.if_absent and is_done
        if wants_nothing or (not is_done and result.version is None):
            return everything if any(_depends(delete) for delete in self._others) else self._others
        return everything

    def _first_free(self, operations: tuple[Operation, ...], spent: int, horizon_us: int) -> int:
        """The bit of the first of these that has not taken effect; 0 where none may."""
        for began_us, bit in self._classes[operations]:
            if not spent & bit:
                return bit if began_us <= horizon_us else 0
        return 0

    def _ceiling(self, entry: Entry) -> float:
        """A counter above it can lead to no explanation of ``entry``; only where sums only grow."""
        if not self._only_grows or entry.results is None or len(entry.operations) != 1:
            return math.inf
        operation, result = entry.operations[0], entry.results[0]
        if operation.if_absent and result.verdict is Verdict.DONE:
            return -math.inf
        if operation.kind not in (Kind.GET, Kind.INCREMENT):
            return math.inf
        wanted = _number(Register(result.value))
        # An increment leaves a number behind, never nothing and never a text.
        return -math.inf if wanted is None else wanted - operation.delta


def keep_least(seen: dict[Register, list[int]], register: Register, spent: int) -> bool:
    """Note a way to ``register``; False where one that spends no more is known already."""
    ways = seen.get(register)
    if ways is None:
        seen[register] = [spent]
        return True
    for way in ways:
        if way & spent == way:
            return False
    ways[:] = [way for way in ways if spent & way != spent]
    ways.append(spent)
    return True


def _depends(operations: tuple[Operation, ...]) -> bool:
    """Whether what it leaves behind depends on what it finds."""
    first = operations[0]
    return (
        first.kind in (Kind.GET, Kind.INCREMENT) or first.if_absent or first.if_version is not None
    )


def _number(register: Register) -> int | None:
    """The counter's value; None for what is none."""
    try:
        return None if register.value is None else int(register.value)
    except ValueError:
        return None


def _is_settled(register: Register, entry: Entry) -> bool:
    """Whether the register after ``entry`` is the same, whatever it was before.

    If so, an unknown write right before it would change nothing. A version belongs to one write.
    """
    if entry.results is None or len(entry.operations) != 1:
        return False
    kind, result = entry.operations[0].kind, entry.results[0]
    if result.verdict is Verdict.CONDITION_FAILED:
        return result.version is None or result.version == register.version
    if kind is Kind.GET:
        return result.verdict is Verdict.ABSENT or result.version is not None
    return kind is not Kind.INCREMENT or result.verdict is Verdict.DONE
