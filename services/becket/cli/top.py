"""``becket top``: the members, their load and the hottest keys, drawn anew all the time.

Owns the picture. Load comes from the balancer; where there is none its columns are empty.
"""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

from becket.api.v1 import balancer_pb2
from becket.cli.calling import Services
from becket.cli.exits import UsageError
from becket.cli.members import StatusRow, by_number, state_of, status, status_lines, statuses
from becket.cli.output import print_table, rich_table, write_line
from becket.core.errors import BecketError

COLUMNS = (
    *("NAME", "STATE", "ADDRESS", "HOLDS", "LEADS", "USED MiB", "DISK %", "HEARD S"),
    *("OPS/S", "MS", "CPU %", "WEIGHT"),
)
"""Partitions held and coordinated; when the supervisor heard of it last, in seconds ago; operations
a second, milliseconds an operation, and the share of relaxed reads relative to others."""
HOT_COLUMNS = ("HOT KEY", "READS/S", "WIDE")
"""``WIDE``: relaxed reads are answered from copies beside the replicas as well."""
HOT_KEYS = 10

_MIB = 1 << 20

Rows = list[tuple[object, ...]]


class Look(NamedTuple):
    """The state, a row for each member, and one for each hot key."""

    status: StatusRow
    members: Rows
    hot_keys: Rows


async def look(services: Services) -> Look:
    """What there is to see now."""
    found, listed, weights = await asyncio.gather(
        status(services), statuses(services), _weights(services)
    )
    loads = {each.disk_id: each for each in weights.members}
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
                *_load(loads.get(each.member.disk_id)),
            )
        )
    return Look(found, rows, _hot_keys(weights))


async def _weights(services: Services) -> balancer_pb2.Weights:
    try:
        call = services.balancer.GetWeights
        return (await services.ask(call, balancer_pb2.GetWeightsRequest())).weights
    except BecketError:
        return balancer_pb2.Weights()  # A cluster may have no balancer, or it is away.


def _load(found: balancer_pb2.MemberWeight | None) -> tuple[object, ...]:
    if found is None:
        return (None, None, None, None)
    ms = found.latency.ToMicroseconds() / 1000 if found.HasField("latency") else None
    return (
        round(found.operations_per_second),
        ms,
        100 * found.cpu_utilization,
        f"{found.weight:.2f}",
    )


def _hot_keys(weights: balancer_pb2.Weights) -> Rows:
    wide = {each.key for each in weights.wide_keys}
    return [
        (
            hot.key.decode("utf-8", "backslashreplace"),
            round(hot.reads_per_second),
            "wide" if hot.key in wide else "",
        )
        for hot in weights.hot_keys[:HOT_KEYS]
    ]


async def once(services: Services) -> None:
    """One picture, as text."""
    found = await look(services)
    for line in status_lines(found.status):
        write_line(line)
    write_line("")
    print_table(COLUMNS, found.members)
    if found.hot_keys:
        write_line("")
        print_table(HOT_COLUMNS, found.hot_keys)


async def live(services: Services, every_s: float) -> None:
    """Draw until Ctrl-C. A supervisor that is away for a while does not end it."""
    from rich.console import Console, Group, RenderableType
    from rich.live import Live
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        raise UsageError("there is no terminal to draw on: becket top --once prints one look")
    with Live(Text("asking ..."), console=console, auto_refresh=False) as picture:
        while True:
            try:
                found = await look(services)
                lines = Text("\n".join(status_lines(found.status)))
                parts: list[RenderableType] = [lines, rich_table(COLUMNS, found.members)]
                if found.hot_keys:
                    parts += [Text(""), rich_table(HOT_COLUMNS, found.hot_keys)]
                picture.update(Group(*parts), refresh=True)
            except BecketError as error:
                picture.update(Text(f"{error}"), refresh=True)
            await asyncio.sleep(every_s)
