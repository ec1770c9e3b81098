"""What a command prints: a table for people, JSON for scripts.

Owns the form, not the content. Results go to stdout and everything else to stderr, so that a pipe
holds results only. A table at a terminal is drawn by rich; elsewhere its columns are only lined up,
and nothing is cut off.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


class Form(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSON = "json"


def print_json(content: object) -> None:
    """One JSON document, readable, with a newline."""
    write_line(json.dumps(content, indent=2, ensure_ascii=False))


def write_line(text: str) -> None:
    """One line of a result."""
    # A file name or key that is no UTF-8 must not end a command.
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape") + b"\n")
    sys.stdout.buffer.flush()


def write_bytes(data: bytes) -> None:
    """A result as it is, without a newline."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def say(text: str) -> None:
    """A sentence beside the result."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Rows under their columns. Numbers are set to the right."""
    lines = [[*row] for row in rows]
    if sys.stdout.isatty():
        _draw(columns, lines)
        return
    for line in aligned(columns, lines):
        write_line(line)


def aligned(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """The rows as lines of text, lined up."""
    texts = [[*columns], *([_cell(cell) for cell in row] for row in rows)]
    widths = [max(len(line[place]) for line in texts) for place in range(len(columns))]
    right = [_is_number_column(rows, place) for place in range(len(columns))]
    return [
        "  ".join(
            text.rjust(width) if is_right else text.ljust(width)
            for text, width, is_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in texts
    ]


def rich_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """The rows as something that rich draws."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for place, column in enumerate(columns):
        right = _is_number_column(rows, place)
        # Names come first; they stay whole and other columns give way.
        table.add_column(
            Text(column),
            justify="right" if right else "left",
            overflow="fold",
            no_wrap=place == 0 or right,
        )
    for row in rows:
        table.add_row(*(Text(_cell(cell)) for cell in row))
    return table


def _draw(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    from rich.console import Console

    Console().print(rich_table(columns, rows))


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.1f}"
    return str(value)


def _is_number_column(rows: Sequence[Sequence[object]], place: int) -> bool:
    cells = [row[place] for row in rows if row[place] is not None]
    return bool(cells) and all(isinstance(cell, int | float) for cell in cells)
