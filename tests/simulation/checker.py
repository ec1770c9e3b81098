"""Is a key's history linearizable? A search in the manner of Wing and Gong, with memory.

Owns the model of one register: value, version, whether it may expire. Unknown outcomes stay open
for ever: they may take effect at any later moment, or never. A version that no client has seen
yet is bound by the first answer that shows it. A value with a time to live may turn absent at any
moment, because clocks differ; what it may not do is come back.

The search gives up after ``LIMIT`` states and says so; keep histories short per key.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import NamedTuple

from becket.core.replication.cells import Kind, Operation, Result, Verdict
from becket.core.replication.versions import Version
from tests.simulation.history import Entry

LIMIT = 60_000


class Judgement(Enum):
    """What the search found."""

    LINEARIZABLE = "linearizable"
    VIOLATION = "violation"
    UNDECIDED = "undecided"


class Register(NamedTuple):
    """The model: ``version`` None is one that nobody has been shown."""

    value: bytes | None = None
    version: Version | None = None
    expires: bool = False


ABSENT = Register()


def judge(entries: Sequence[Entry]) -> Judgement:
    """Whether some order explains every definite answer of one key's entries.

    Relaxed reads are judged one by one: each must fit somewhere between its bound before it
    began and its end, beside all linearizable operations.
    """
    strict = [entry for entry in entries if entry.staleness_us is None]
    judgement = _search(strict)
    if judgement is not Judgement.LINEARIZABLE:
        return judgement
    for entry in entries:
        if entry.staleness_us is not None:
            judgement = _judge_relaxed(strict, entry)
            if judgement is not Judgement.LINEARIZABLE:
                return judgement
    return Judgement.LINEARIZABLE


def _judge_relaxed(strict: list[Entry], entry: Entry) -> Judgement:
    assert entry.results is not None and entry.staleness_us is not None
    # R34: a write that has no outcome yet may show and later vanish (a retry may then put it
    # under another version); so nothing is learnt from a read beside it.
    beside = [
        operation
        for other in strict
        if other.began_us <= entry.began_us
        and (other.results is None or (other.ended_us or 0) > entry.began_us)
        for operation in other.operations
        if operation.kind is not Kind.GET
    ]
    shown = entry.results[0].value
    if any(operation.kind is not Kind.PUT or operation.value == shown for operation in beside):
        return Judgement.LINEARIZABLE
    expiring = any(operation.ttl_ms for other in strict for operation in other.operations)
    if entry.results[0].verdict is Verdict.ABSENT and expiring:
        return Judgement.LINEARIZABLE  # R33: a relaxed read may hide by its clock.
    early = Entry(
        entry.client,
        entry.key,
        entry.operations,
        entry.began_us - entry.staleness_us,
        entry.ended_us,
        entry.results,
    )
    return _search([*strict, early])


def _search(entries: Sequence[Entry]) -> Judgement:
    ordered = sorted(entries, key=lambda entry: entry.began_us)
    ends = [e.ended_us if e.results is not None else None for e in ordered]
    definite = sum(1 << i for i, end in enumerate(ends) if end is not None)
    seen: set[tuple[int, Register]] = set()
    stack: list[tuple[int, Register]] = [(0, ABSENT)]
    while stack:
        done, register = stack.pop()
        if done & definite == definite:
            return Judgement.LINEARIZABLE
        if len(seen) > LIMIT:
            return Judgement.UNDECIDED
        horizon = min(
            (end for i, end in enumerate(ends) if end is not None and not done >> i & 1),
            default=None,
        )
        for i, entry in enumerate(ordered):
            if done >> i & 1:
                continue
            if horizon is not None and entry.began_us > horizon:
                break
            for after in apply(register, entry.operations, entry.results):
                state = (done | 1 << i, after)
                if state not in seen:
                    seen.add(state)
                    stack.append(state)
    return Judgement.VIOLATION


def apply(
    register: Register, operations: Iterable[Operation], results: tuple[Result, ...] | None
) -> list[Register]:
    """Every register that may follow; none where the results cannot be."""
    states = [register]
    for place, operation in enumerate(operations):
        result = results[place] if results is not None else None
        states = [after for state in states for after in _apply(state, operation, result)]
        if register.expires or any(state.expires for state in states):
            states = list(dict.fromkeys(states))
    return states


def _apply(register: Register, operation: Operation, result: Result | None) -> list[Register]:
    found = _apply_present(register, operation, result)
    if register.expires:
        found = found + _apply_present(ABSENT, operation, result)
    return found


def _shows(register: Register, version: Version | None) -> Register | None:
    """The register with ``version`` bound to it; None when it is known to be another."""
    if version is None or register.version == version:
        return register
    return register._replace(version=version) if register.version is None else None


def _apply_present(
    register: Register, operation: Operation, result: Result | None
) -> list[Register]:
    if operation.kind is Kind.GET:
        return _get(register, result)
    outcomes: list[Register] = []
    if result is None or result.verdict is not Verdict.CONDITION_FAILED:
        held = _condition_held(register, operation)
        if held is not None:
            outcomes += _write(held, operation, result)
    if result is None or result.verdict is Verdict.CONDITION_FAILED:
        outcomes += _condition_failed(register, operation, result)
    return outcomes


def _get(register: Register, result: Result | None) -> list[Register]:
    if result is None:
        return [register]
    if result.verdict is Verdict.ABSENT:
        return [register] if register.value is None else []
    if register.value is None or register.value != result.value:
        return []
    shown = _shows(register, result.version)
    return [shown] if shown is not None else []


def _condition_held(register: Register, operation: Operation) -> Register | None:
    if operation.if_absent:
        return register if register.value is None else None
    if operation.if_version is not None:
        return _shows(register, operation.if_version) if register.value is not None else None
    return register


def _condition_failed(
    register: Register, operation: Operation, result: Result | None
) -> list[Register]:
    if operation.if_absent:
        failed = register.value is not None
    elif operation.if_version is not None:
        failed = register.value is None or register.version != operation.if_version
    else:
        failed = False
    if not failed:
        return []
    if result is None:
        return [register]
    if result.version is None:
        return [register] if register.value is None else []
    shown = _shows(register, result.version) if register.value is not None else None
    return [shown] if shown is not None else []


def _write(register: Register, operation: Operation, result: Result | None) -> list[Register]:
    version = result.version if result is not None else None
    if operation.kind is Kind.PUT:
        return [Register(operation.value, version, operation.ttl_ms > 0)]
    if operation.kind is Kind.DELETE:
        if result is None:
            return [ABSENT]
        if result.verdict is Verdict.ABSENT:
            return [register] if register.value is None else []
        return [ABSENT] if register.value is not None else []
    return _increment(register, operation, result)


def _increment(register: Register, operation: Operation, result: Result | None) -> list[Register]:
    try:
        total = int(register.value or b"0") + operation.delta
    except ValueError:
        if result is None:
            return [register]
        return [register] if result.verdict is Verdict.NOT_A_NUMBER else []
    after = str(total).encode()
    expires = register.expires and register.value is not None
    if result is None:
        return [Register(after, None, expires)]
    if result.verdict is not Verdict.DONE or result.value != after:
        return []
    return [Register(after, result.version, expires)]
