"""Writes the table of values in charts/becket/README.md from the comments of values.yaml.

Owns the form of such comments: ``# -- text`` above a key, going on in lines that begin with ``#``.
A key with such a comment is one row, with all that is below it as its default; a key without one
is only a heading. Invariant: every value is in the table, by itself or by a key above it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from charts.helm import CHART

VALUES = CHART / "values.yaml"
README = CHART / "README.md"
BEGIN = "<!-- values: begin -->"
END = "<!-- values: end -->"
KEY = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z]\w*):")
COMMENT = re.compile(r"^ *# ?(?P<begin>-- )?(?P<text>.*)$")


@dataclass(frozen=True)
class Row:
    """One value: its path, its default as JSON, and what it means."""

    path: str
    default: str
    meaning: str


def documented(text: str) -> Iterator[tuple[str, str]]:
    """(path, meaning) of each key that has a comment, in the order of the file."""
    path: list[tuple[int, str]] = []
    meaning: list[str] = []
    for line in text.splitlines():
        comment, key = COMMENT.match(line), KEY.match(line)
        if comment is not None:
            if comment["begin"]:
                meaning = [comment["text"]]
            elif meaning:
                meaning.append(comment["text"])
        elif key is not None:
            indent = len(key["indent"])
            path = [step for step in path if step[0] < indent] + [(indent, key["key"])]
            if meaning:
                yield ".".join(name for _, name in path), " ".join(meaning)
            meaning = []
        else:
            meaning = []


def value_at(values: dict[str, Any], path: str) -> Any:  # noqa: ANN401 - any value of YAML
    """What stands at a dotted path."""
    found: Any = values
    for key in path.split("."):
        found = found[key]
    return found


def leaves(values: dict[str, Any], path: str = "") -> Iterator[str]:
    """The paths of all values that are no maps, or empty ones."""
    for key, value in values.items():
        here = f"{path}.{key}" if path else key
        if isinstance(value, dict) and value:
            yield from leaves(value, here)
        else:
            yield here


def rows(text: str) -> list[Row]:
    """The table's rows, in the order of the file."""
    values = yaml.safe_load(text)
    return [
        Row(path, json.dumps(value_at(values, path)), meaning) for path, meaning in documented(text)
    ]


def table(text: str) -> str:
    """The table, as Markdown."""
    lines = ["| value | default | meaning |", "| --- | --- | --- |"]
    for row in rows(text):
        meaning = row.meaning.replace("|", r"\|")
        lines.append(f"| `{row.path}` | `{row.default}` | {meaning} |")
    return "\n".join(lines) + "\n"


def with_table(readme: str, text: str) -> str:
    """The README with the table of now."""
    before, _, rest = readme.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"{README} has no {BEGIN} ... {END}")
    return f"{before}{BEGIN}\n\n{table(text)}\n{END}{after}"


def main() -> int:
    """Write the table; returns the exit code."""
    readme = README.read_text(encoding="utf-8")
    README.write_text(with_table(readme, VALUES.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
