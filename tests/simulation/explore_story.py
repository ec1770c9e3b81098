"""Words for what happens in an exploration: one line a move."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from becket.core.replication.cells import Answer, Attempt, Operation, SealedCell
from becket.core.replication.messages import Accept, CopyIn, CopyKeys, Message, Reply, Status
from becket.core.replication.versions import Epoch, Version
from becket.core.ring.config import Config
from tests.simulation.explore_clients import client_of

if TYPE_CHECKING:
    from tests.simulation.explore_moves import Label, Moves


def tell(moves: Moves, label: Label) -> str:
    """One move in words."""
    names = moves.scope.members
    kind, *rest = label
    if kind in ("deliver", "answer"):
        letter = moves.members.letters[rest[0]]
        if isinstance(letter, Answer):
            return f"c{client_of(letter.id)} hears: {_answer(letter)}"
        if isinstance(letter, Attempt):
            return f"{names[moves._target(rest[0])]} takes {_attempt(letter)}"
        return f"{letter.sender.disk} -> {names[letter.to]}: {message_in_words(letter.message)}"
    if kind == "member":
        return f"{names[rest[0]]}: {rest[1]} {' '.join(_word(x) for x in rest[2:])}".rstrip()
    if kind in ("begin", "again", "stop"):
        return _tell_client(moves, kind, rest)
    if kind == "stand":
        return f"{names[rest[0]]}: stands, prepares"
    if kind == "jump":
        return f"{rest[0] / 1000:.0f} ms pass"
    return f"object: {_word(rest[0])}"


def _tell_client(moves: Moves, kind: str, rest: list[Any]) -> str:
    if kind == "stop":
        return f"c{rest[0]} gives up"
    attempt = moves.members.letters[rest[1]]
    assert isinstance(attempt, Attempt)
    to = moves.scope.members[moves._target(rest[1])]
    how = "asks" if kind == "begin" else "gives up and asks"
    return f"c{rest[0]} {how} {to}: {_attempt(attempt)}"


def _attempt(attempt: Attempt) -> str:
    retry = " (retry)" if attempt.retry else ""
    return f"{_operation(attempt.operations[0])} #{attempt.number}{retry}"


def _operation(operation: Operation) -> str:
    text = operation.kind.name.lower()
    if operation.value:
        text += f" {operation.value.decode()}"
    if operation.delta:
        text += f" {operation.delta:+d}"
    return text + (" if absent" if operation.if_absent else "")


def _answer(answer: Answer) -> str:
    text = answer.outcome.name.lower()
    for result in answer.results:
        text += f" {result.verdict.name.lower()}"
        if result.value is not None:
            text += f" {result.value.decode()}"
    return text


def message_in_words(message: Message) -> str:
    """A message, short."""
    text = type(message).__name__
    if isinstance(message, Reply):
        text = "ok" if message.status is Status.OK else f"refusal {message.status.name}"
        text += f" to {message.id % 2**32}"
        if message.cell is not None:
            text += f" cell {_word(message.cell.ver)}={_value(message.cell.value)}"
    else:
        text += f" {getattr(message, 'id', 0) % 2**32}"
    if isinstance(message, Accept | CopyIn):
        cell = message.cell.opened() if isinstance(message.cell, SealedCell) else message.cell
        text += f" {_word(cell.ver)}={_value(cell.value)}"
    if isinstance(message, CopyKeys):
        text += "".join(f" {_word(cell.ver)}={_value(cell.value)}" for _, cell in message.cells)
    epoch = getattr(message, "epoch", None)
    gen = getattr(message, "gen", None)
    if epoch is not None:
        text += f" under {_word(epoch)}" + (f" gen {gen}" if gen is not None else "")
    return text


def _value(value: bytes | None) -> str:
    return value.decode() if value is not None else "tombstone"


def _word(x: object) -> str:
    if isinstance(x, Epoch):
        return f"{x.counter}{x.disk}{x.incarnation}"
    if isinstance(x, Version):
        return f"{_word(x.epoch)}.{x.seq}"
    if isinstance(x, Config):
        old = "".join(x.old)
        return f"gen {x.gen} " + (f"joint {old}>{''.join(x.new)}" if x.new else f"final {old}")
    return str(x)
