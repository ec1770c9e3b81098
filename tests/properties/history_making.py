"""Histories for the tests of the judges, and a judge that tries everything.

Owns both. A history is made by a real register under a seed: operations overlap, some lose their
answer, and on demand some answers are falsified. The judge here shares no code with those it is
compared with: it tries every order and every choice of unknown writes, on a model of its own.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import combinations, permutations
from typing import NamedTuple

from becket.core.histories.entries import Entry
from becket.core.replication.cells import Kind, Operation, Result, Verdict
from becket.core.replication.versions import ZERO, Epoch, Version

KEY = b"k"
EPOCH = Epoch(1, "d1", 1)


def version(number: int) -> Version:
    return Version(EPOCH, number)


class RealRegister:
    """A register that does what it should."""

    def __init__(self) -> None:
        self.value: bytes | None = None
        self.number = 0
        self.writes = 0

    def do(self, operation: Operation) -> Result:
        kind = operation.kind
        present = version(self.number) if self.value is not None else None
        if kind is Kind.GET:
            if self.value is None:
                return Result(Verdict.ABSENT)
            return Result(Verdict.DONE, present, self.value)
        fails = (operation.if_absent and self.value is not None) or (
            operation.if_version is not None and operation.if_version != present
        )
        if fails:
            return Result(Verdict.CONDITION_FAILED, present)
        if kind is Kind.DELETE:
            if self.value is None:
                return Result(Verdict.ABSENT)
            self.value = None
            return Result(Verdict.DONE)
        if kind is Kind.INCREMENT:
            try:
                total = int(self.value or b"0") + operation.delta
            except ValueError:
                return Result(Verdict.NOT_A_NUMBER, present)
            self._write(str(total).encode())
            return Result(Verdict.DONE, version(self.number), self.value)
        self._write(operation.value)
        return Result(Verdict.DONE, version(self.number))

    def _write(self, value: bytes) -> None:
        self.writes += 1
        self.number = self.writes
        self.value = value


def draw_operation(rng: random.Random, place: int, register: RealRegister) -> Operation:
    drawn = rng.randrange(10)
    if drawn < 4:
        return Operation(Kind.GET)
    if drawn == 4:
        return Operation(Kind.DELETE)
    if drawn < 7:
        return Operation(Kind.INCREMENT, delta=rng.choice((1, 1, 2, 5)))
    value = str(100 + place).encode()
    if drawn == 7:
        return Operation(Kind.PUT, value, if_absent=True)
    if drawn == 8 and register.number:
        return Operation(Kind.PUT, value, if_version=version(register.number))
    return Operation(Kind.PUT, value)


def make_history(
    rng: random.Random, length: int, *, overlap_us: int = 25, unknown: float = 0.15
) -> list[Entry]:
    """Operations that take effect every 10 us, each begun and ended up to ``overlap_us`` away."""
    register, made = RealRegister(), []
    for place in range(length):
        operation = draw_operation(rng, place, register)
        at = 1_000 + 10 * place
        began = at - rng.randrange(overlap_us)
        if rng.random() < unknown:
            if rng.random() < 0.5:
                register.do(operation)
            made.append(Entry(f"c{place}", KEY, (operation,), began))
            continue
        results = (register.do(operation),)
        ended = at + rng.randrange(overlap_us)
        made.append(Entry(f"c{place}", KEY, (operation,), began, ended, results))
    return made


def falsify(rng: random.Random, entries: list[Entry]) -> None:
    """Let one answer be another that was given, or that was never given."""
    answered = [entry for entry in entries if entry.results is not None]
    if not answered:
        return
    victim = rng.choice(answered)
    kind = victim.operations[0].kind
    if kind is Kind.GET:
        others = [e.results[0] for e in answered if e.operations[0].kind is Kind.GET and e.results]
        victim.results = (rng.choice([*others, Result(Verdict.ABSENT)]),)
    elif kind is Kind.DELETE:
        victim.results = (Result(rng.choice((Verdict.DONE, Verdict.ABSENT))),)
    elif kind is Kind.INCREMENT:
        before = victim.results[0] if victim.results else Result(Verdict.DONE)
        number = int(before.value or b"0") + rng.choice((-1, 1, victim.operations[0].delta))
        victim.results = (before._replace(value=str(number).encode()),)
    else:
        victim.began_us, victim.ended_us = victim.began_us - 300, victim.began_us - 250


def explains_by_force(entries: Sequence[Entry]) -> bool:
    """Whether some order of all answered entries and of some unknown ones is a true story."""
    answered = [entry for entry in entries if entry.results is not None]
    unknown = [entry for entry in entries if entry.results is None]
    for count in range(len(unknown) + 1):
        for chosen in combinations(unknown, count):
            for order in permutations([*answered, *chosen]):
                if _keeps_time(order) and _is_true(order, 0, Held(), ()):
                    return True
    return False


def _keeps_time(order: Sequence[Entry]) -> bool:
    for place, entry in enumerate(order):
        for later in order[place + 1 :]:
            if later.ended_us is not None and later.ended_us < entry.began_us:
                return False
    return True


Names = tuple[tuple[int, Version], ...]
"""Which version each write was shown under: no write has two, no version belongs to two."""


class Held(NamedTuple):
    """What the key holds: the value and which write made it (-1 for nothing)."""

    value: bytes | None = None
    write: int = -1


def _is_true(order: Sequence[Entry], at: int, held: Held, names: Names) -> bool:
    if at == len(order):
        return True
    entry = order[at]
    result = entry.results[0] if entry.results is not None else None
    for verdict, after, shown in _ways(entry.operations[0], held, at):
        if result is not None and (result.verdict, result.value) != (verdict, shown):
            continue
        told = names
        if entry.operations[0].if_version is not None and verdict is Verdict.DONE:
            told = _name(told, held.write, entry.operations[0].if_version)
        elif entry.operations[0].if_version in [v for w, v in told if w == held.write]:
            continue  # The condition would have held.
        if result is not None and result.version is not None:
            told = _name(told, after.write, result.version) if after.write >= 0 else ((-1, ZERO),)
        elif verdict is Verdict.CONDITION_FAILED and result is not None and held.write >= 0:
            continue
        if (-1, ZERO) not in told and _is_true(order, at + 1, after, told):
            return True
    return False


def _name(names: Names, write: int, shown: Version) -> Names:
    """The names with one more; with an impossible one where that contradicts another."""
    for other, version_of in names:
        if (other == write) != (version_of == shown):
            return ((-1, ZERO),)
    return names if (write, shown) in names else (*names, (write, shown))


def _ways(
    operation: Operation, held: Held, at: int
) -> Iterator[tuple[Verdict, Held, bytes | None]]:
    """What may come of an operation: verdict, what is held then, the value that it shows."""
    kind, absent = operation.kind, held.value is None
    if kind is Kind.GET:
        yield (Verdict.ABSENT if absent else Verdict.DONE), held, held.value
        return
    if operation.if_absent and not absent:
        yield Verdict.CONDITION_FAILED, held, None
        return
    if operation.if_version is not None:
        # Whether it is this version shows in the names.
        yield Verdict.CONDITION_FAILED, held, None
        if absent:
            return
    if kind is Kind.PUT:
        yield Verdict.DONE, Held(operation.value, at), None
    elif kind is Kind.DELETE:
        yield (Verdict.ABSENT if absent else Verdict.DONE), Held(), None
    else:
        try:
            total = int(held.value or b"0") + operation.delta
        except ValueError:
            yield Verdict.NOT_A_NUMBER, held, None
            return
        value = str(total).encode()
        yield Verdict.DONE, Held(value, at), value
