"""The model of one key: a register with a version, and what each operation may do to it.

Owns what counts as a possible answer. A version that no client has seen yet is bound by the first
answer that shows it. A value with a time to live may turn absent at any moment, because clocks
differ; what it may not do is come back. Must not know times or orders: ``search`` and ``stream``
try orders.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from becket.core.replication.cells import Kind, Operation, Result, Verdict
from becket.core.replication.versions import Version

_INT64 = 2**63


class Register(NamedTuple):
    """The model: ``version`` None is one that nobody has been shown."""

    value: bytes | None = None
    version: Version | None = None
    expires: bool = False


ABSENT = Register()


def apply(
    register: Register, operations: Sequence[Operation], results: Sequence[Result] | None
) -> list[Register]:
    """Every register that may follow; none where the results cannot be."""
    if len(operations) == 1 and not register.expires:
        result = None if results is None else results[0]
        return _apply_present(register, operations[0], result)
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
    if not -_INT64 <= total < _INT64:
        is_told = result is None or result.verdict is Verdict.OUT_OF_RANGE
        return [register] if is_told else []
    after = str(total).encode()
    expires = register.expires and register.value is not None
    if result is None:
        return [Register(after, None, expires)]
    if result.verdict is not Verdict.DONE or result.value != after:
        return []
    return [Register(after, result.version, expires)]
