"""What is known of each mutant: the recorded seeds, and the table of the README.

Owns ``mutant_seeds.json`` and the part of ``README.md`` between its two marks. Must not run
anything.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.simulation.mutant_list import MUTANTS

TABLE = Path(__file__).with_name("mutant_seeds.json")
README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- mutants -->\n", "<!-- end of mutants -->\n"


@dataclass(frozen=True)
class Row:
    """What is known of one mutant.

    ``seed`` and ``kind``: with the invariants on; ``history_seed`` and ``history_kind``: with
    them off, the same seed where the invariants were not what caught it. -1: not caught in
    ``tried`` (or ``history_tried``) seeds. ``shown``: how its written schedule catches it.
    """

    name: str
    seed: int = -1
    kind: str = ""
    tried: int = 0
    history_seed: int = -1
    history_kind: str = ""
    history_tried: int = 0
    shown: str = ""

    @property
    def is_caught(self) -> bool:
        """Whether anything catches it."""
        return self.seed >= 0 or self.history_seed >= 0 or bool(self.shown)


def read_table() -> dict[str, Row]:
    """The recorded rows."""
    if not TABLE.exists():
        return {}
    return {name: Row(name, **row) for name, row in json.loads(TABLE.read_text()).items()}


def write_table(rows: Iterable[Row]) -> None:
    """Record the rows, in the order of the list."""
    known = {row.name: row for row in rows}
    table = {}
    for name in MUTANTS:
        if name in known:
            row = asdict(known[name])
            del row["name"]
            table[name] = row
    TABLE.write_text(json.dumps(table, indent=1) + "\n")


def tell(row: Row) -> str:
    """One line on one mutant."""
    mutant = MUTANTS[row.name]
    mark = " (harmless?)" if mutant.harmless else ""
    if row.seed < 0 and row.history_seed < 0:
        text = f"not caught in {row.tried:,} schedules"
    else:
        text = f"{row.kind} at seed {row.seed} after {row.tried:,}"
        if row.kind == "invariant":
            found = row.history_seed >= 0
            text += (
                f"; {row.history_kind} at seed {row.history_seed} after {row.history_tried:,}"
                if found
                else f"; not seen by clients in {row.history_tried:,}"
            )
    if mutant.schedule:
        text += f"; {row.shown or 'NOT CAUGHT'} by {mutant.schedule}"
    return f"{row.name:26}{mutant.rule:10}{text}{mark}"


COMMAND = "python -m tests.simulation mutants"


def _caught(row: Row) -> tuple[str, str]:
    """How the mutant is caught, and the commands that show it."""
    how, commands = [], []
    if row.seed >= 0:
        how.append(row.kind)
        commands.append(f"`{row.name} --seed {row.seed}`")
    if row.history_seed >= 0 and row.kind == "invariant":
        how.append(row.history_kind)
        commands.append(f"`{row.name} --seed {row.history_seed} --no-invariants`")
    if row.shown:
        how.append(f"{row.shown} (written)")
        commands.append(f"`{row.name} --story`")
    return ", ".join(dict.fromkeys(how)) or "**not caught**", "<br>".join(commands)


def as_markdown(table: Mapping[str, Row]) -> str:
    """The rows in the order of the list."""
    lines = [
        f"Commands begin with `{COMMAND}`.",
        "",
        "| mutant | rule | safeguard removed | caught by | command | seeds tried |",
        "|---|---|---|---|---|---|",
    ]
    for name, mutant in MUTANTS.items():
        row = table.get(name, Row(name))
        how, commands = _caught(row)
        mark = " (harmless?)" if mutant.harmless else ""
        tried = f"{row.tried:,}"
        if row.kind == "invariant":
            tried += f" / {row.history_tried:,}"
        lines.append(
            f"| {name}{mark} | {mutant.rule} | {mutant.removed} | {how} | {commands} | {tried} |"
        )
    return "\n".join(lines) + "\n"


def write_readme(table: Mapping[str, Row]) -> int:
    """Put the table between its marks."""
    text = README.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    README.write_text(f"{before}{BEGIN}{as_markdown(table)}{END}{after}")
    return 0
