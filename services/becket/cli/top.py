"""``becket top``: the members and their state, drawn anew all the time.

Owns the picture. Rates are differences between two answers of the supervisor.
"""

from __future__ import annotations

import asyncio
import time

from becket.cli.calling import Services
from becket.cli.exits import UsageError
from becket.cli.members import StatusRow, by_number, state_of, status, status_lines, statuses
from becket.cli.output import print_table, rich_table, write_line
from becket.core.errors import BecketError

COLUMNS = ("NAME", "STATE", "ADDRESS", "HOLDS", "LEADS", "USED MiB", "DISK %", "HEARD S")
"""Partitions held and coordinated; when the supervisor heard of it last, in seconds ago."""

_MIB = 1 << 20

Rows = list[tuple[object, ...]]


async def look(services: Services) -> tuple[StatusRow, Rows]:
    """The state, and a row for each member."""
    found, listed = await asyncio.gather(status(services), statuses(services))
    now = time.time()
    rows: Rows = []
    for each in sorted(listed, key=lambda one: by_number(one.member.name)):
        heard: float | None = None
        if each.HasField("last_heard_time"):
            heard = max(0.0, now - each.last_heard_time.ToMilliseconds() / 1000)
        share = 100 * each.used_bytes / each.total_bytes if each.total_bytes else None
        rows.append(
            (
                each.member.name,
                state_of(each),
                each.member.address,
                each.partitions,
                each.coordinating,
                each.used_bytes / _MIB,
                share,
                heard,
            )
        )
    return found, rows


async def once(services: Services) -> None:
    """One picture, as text."""
    found, rows = await look(services)
    for line in status_lines(found):
        write_line(line)
    write_line("")
    print_table(COLUMNS, rows)


async def live(services: Services, every_s: float) -> None:
    """Draw until Ctrl-C. A supervisor that is away for a while does not end it."""
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        raise UsageError("there is no terminal to draw on: becket top --once prints one look")
    with Live(Text("asking ..."), console=console, auto_refresh=False) as picture:
        while True:
            try:
                found, rows = await look(services)
                lines = Text("\n".join(status_lines(found)))
                picture.update(Group(lines, rich_table(COLUMNS, rows)), refresh=True)
            except BecketError as error:
                picture.update(Text(f"{error}"), refresh=True)
            await asyncio.sleep(every_s)
