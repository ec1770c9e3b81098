"""``becket bench``: keys are loaded, a cluster is driven, what was measured is told.

Owns the order of things and the words. What is asked for is ``bench_keys``'s, the loops are
``bench_driving``'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from becket.cli.bench_driving import BenchStore, Drive, Driver
from becket.cli.bench_keys import MIXES, Action, Mix, Numbers, Shape, actions
from becket.cli.bench_recording import Recording
from becket.cli.bench_stores import ClientStore, StockStore
from becket.cli.calling import check_target
from becket.cli.exits import Exit, UnreachableError, UsageError
from becket.cli.output import Form, print_json, print_table, say, write_line
from becket.cli.store import Routing
from becket.client.client import Client
from becket.core.errors import NotAppliedError

LOAD_BATCH = 100
LOAD_IN_FLIGHT = 8
LOAD_S = 3600.0
"""A load ends with its keys; it is given up after this time."""


@dataclass(frozen=True)
class Order:
    """What is to be measured, and where. ``shape`` None: the mix's own."""

    target: str
    mix: str
    drive: Drive
    keys: int
    shape: Shape | None = None
    routing: Routing = Routing.AUTO
    stock: bool = False
    load: bool = True
    timeout_s: float = 5.0

    def __post_init__(self) -> None:
        """Raise UsageError where the parts do not fit together."""
        if self.mix not in MIXES:
            raise UsageError(f"--mix {self.mix} is not one of {', '.join(MIXES)}")
        if self.drive.batch > 1 and self.mix not in ("get", "put", "load"):
            raise UsageError("--batch is for the mixes get, put and load: a call does one thing")


def plan_of(
    mix: Mix, shape: Shape | None, keys: int, numbers: Numbers | None = None
) -> Callable[[str], Iterator[Action]]:
    """What workers do: a function of their seed; all of them share the numbers of new keys."""
    shared = numbers or Numbers(keys)
    return partial(actions, mix, shape or mix.shape, shared)


async def load(store: BenchStore, keys: int, value_bytes: int, seed: int = 1) -> Recording:
    """Write every key once, in batches."""
    drive = Drive(
        LOAD_S,
        LOAD_IN_FLIGHT,
        batch=min(LOAD_BATCH, keys),
        operations=keys,
        value_bytes=value_bytes,
        seed=seed,
    )
    written = iter(range(1 << 62))
    load_mix = MIXES["load"].shares[0][0]

    def plan(_seed: str) -> Iterator[Action]:
        # All workers share the numbers; the last batch begins anew rather than grow the keys.
        return (Action(load_mix, number % keys) for number in written)

    return await Driver(store, drive, plan).run()


async def measure(store: BenchStore, order: Order) -> tuple[Recording | None, Recording]:
    """What the load took, if there was one, and what the cluster did."""
    loaded = None
    if order.load and order.mix != "load":
        loaded = await load(store, order.keys, order.drive.value_bytes, order.drive.seed)
    if order.mix == "load":
        return None, await load(store, order.keys, order.drive.value_bytes, order.drive.seed)
    plan = plan_of(MIXES[order.mix], order.shape, order.keys)
    return loaded, await Driver(store, order.drive, plan).run()


@contextlib.asynccontextmanager
async def opened(order: Order) -> AsyncIterator[BenchStore]:
    """The cluster at the target.

    :raises UnreachableError: nobody answers there.
    """
    check_target(order.target)
    if order.stock:
        store = StockStore(order.target, order.timeout_s)
        try:
            yield store
        finally:
            await store.close()
        return
    client = Client(order.target, timeout=order.timeout_s, routing=order.routing.value)
    try:
        await client.connect()
    except NotAppliedError as error:
        raise UnreachableError(f"{order.target} gives no access to a cluster: {error}") from error
    try:
        yield ClientStore(client)
    finally:
        await client.close()


def bench(order: Order, form: Form, report: Path | None, plot: Path | None) -> Exit:
    """Measure and tell."""

    async def run() -> tuple[Recording | None, Recording]:
        async with opened(order) as store:
            return await measure(store, order)

    loaded, recording = asyncio.run(run())
    row = {"mix": order.mix, "in_flight": order.drive.in_flight, **recording.row()}
    content: dict[str, Any] = {
        "target": order.target,
        "keys": order.keys,
        "value_bytes": order.drive.value_bytes,
        "batch": order.drive.batch,
        "open_rate": order.drive.rate,
        "seed": order.drive.seed,
        "load": None if loaded is None else loaded.row(),
        "run": row,
        "curve": recording.curve(),
    }
    if report is not None:
        report.write_text(json.dumps(content, indent=2) + "\n")
    if plot is not None:
        from becket.cli.bench_picture import draw_percentiles

        draw_percentiles({order.mix: recording.curve()}, plot, f"becket bench, mix {order.mix}")
    if form is Form.JSON:
        print_json(content)
    else:
        _tell(row, loaded)
    return Exit.DONE if recording.done else Exit.NOT_DONE


def _tell(row: dict[str, Any], loaded: Recording | None) -> None:
    if loaded is not None and loaded.done:
        say(f"{loaded.done:,} keys loaded in {loaded.seconds:.1f} s ({loaded.rate:,.0f}/s)")
    write_line(f"{row['operations']:,} operations in {row['seconds']:.1f} s: {row['rate']:,.0f}/s")
    columns = ("MIX", "IN FLIGHT", "P50 ms", "P90 ms", "P99 ms", "P99.9 ms", "MAX ms")
    times = ("p50_us", "p90_us", "p99_us", "p99.9_us", "max_us")
    cells = [f"{row[name] / 1000:.2f}" for name in times]
    print_table(columns, [(row["mix"], row["in_flight"], *cells)])
    if row["absent"]:
        write_line(f"{row['absent']:,} reads found nothing")
    for outcome, count in row["failed"].items():
        write_line(f"{count:,} operations: {outcome}")
    for reason, count in row["reasons"].items():
        say(f"  {count:,} x {reason}")
