"""Files of entries: JSON lines or CSV, line by line.

Owns reading and checking; nothing is sent from here. Invariant: whatever is wrong with a line is
told with the file, the line's number and the reason, and nothing after it is given out.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from becket.cli.entries import from_row
from becket.cli.exits import UsageError
from becket.cli.store import Item
from becket.core.errors import InvalidInputError
from becket.core.limits import Limits
from becket.core.replication.cells import Kind, Operation

LINE_BYTES = 8 << 20
"""A longer line is no entry: values are 1 MiB at most, and text makes more of them."""


class BadLineError(UsageError):
    """A line that cannot be taken. ``line`` counts from 1."""

    def __init__(self, file: str, line: int, reason: str) -> None:
        super().__init__(f"{file}, line {line}: {reason}")
        self.line = line


@dataclass(frozen=True)
class Shape:
    """How a line becomes an entry. ``key`` empty: lines are of the form that ``export`` writes."""

    is_csv: bool = False
    key: str = ""
    value: str = ""
    """The field that is the value; empty: the whole line."""
    prefix: bytes = b""
    """Put before every key."""


class Line(NamedTuple):
    """One entry and where it stands. ``item`` None: it has expired meanwhile."""

    number: int
    item: Item | None


def read_lines(stream: BinaryIO, file: str, shape: Shape, now_ms: int) -> Iterator[Line]:
    """The entries of a file, in their order; empty lines are passed over.

    :raises BadLineError: a line cannot be taken.
    """
    limits = Limits()
    for number, row, whole in _csv(stream, file) if shape.is_csv else _json(stream, file):
        try:
            item = _item(row, whole, shape, now_ms)
            if item is not None:
                limits.check_key(item.key)
                limits.check_operation(Operation(Kind.PUT, item.value), "")
        except (UsageError, InvalidInputError) as error:
            raise BadLineError(file, number, str(error)) from error
        yield Line(number, item)


def _item(row: dict[str, object], whole: bytes, shape: Shape, now_ms: int) -> Item | None:
    if not shape.key:
        item = from_row(row, now_ms)
        return item and item._replace(key=shape.prefix + item.key)
    key = _field(row, shape.key)
    if isinstance(key, bool) or not isinstance(key, str | int):
        raise UsageError(f"field {shape.key} must be a text or a whole number, to be a key")
    value = whole
    if shape.value:
        found = _field(row, shape.value)
        value = (found if isinstance(found, str) else _compact(found)).encode()
    return Item(shape.prefix + str(key).encode(), value)


def _field(row: dict[str, object], name: str) -> object:
    if name not in row:
        raise UsageError(f"there is no field {name}; there are {', '.join(row) or 'none'}")
    return row[name]


def _compact(content: object) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


Rows = Iterator[tuple[int, dict[str, object], bytes]]


def _json(stream: BinaryIO, file: str) -> Rows:
    number = 0
    while line := stream.readline(LINE_BYTES + 1):
        number += 1
        if len(line) > LINE_BYTES:
            raise BadLineError(file, number, f"is over {LINE_BYTES} bytes")
        whole = line.strip()
        if not whole:
            continue
        try:
            row = json.loads(whole)
        except ValueError as error:
            raise BadLineError(file, number, f"is no JSON: {error}") from error
        except RecursionError as error:
            raise BadLineError(file, number, "is nested too deeply") from error
        if not isinstance(row, dict):
            raise BadLineError(file, number, "is no object: {...} is needed")
        yield number, row, whole


def _csv(stream: BinaryIO, file: str) -> Rows:
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
    reader = csv.reader(text, strict=True)
    header: list[str] = []
    try:
        for cells in reader:
            if not header:
                header = _checked_header(cells, file)
            elif cells:
                if len(cells) != len(header):
                    reason = f"has {len(cells)} columns, the header has {len(header)}"
                    raise BadLineError(file, reader.line_num, reason)
                row: dict[str, object] = dict(zip(header, cells, strict=True))
                yield reader.line_num, row, _compact(row).encode()
    except csv.Error as error:
        raise BadLineError(file, reader.line_num, f"is no CSV: {error}") from error
    except UnicodeDecodeError as error:
        raise BadLineError(file, reader.line_num + 1, f"is no UTF-8: {error.reason}") from error
    finally:
        # The stream is the caller's, to be closed or read again.
        text.detach()


def _checked_header(cells: list[str], file: str) -> list[str]:
    if len(set(cells)) != len(cells) or not all(cells):
        raise BadLineError(file, 1, "the header needs a name for each column, each only once")
    return cells


def count_lines(lines: Iterable[Line]) -> int:
    """How many entries there are, each checked."""
    return sum(1 for _ in lines)
