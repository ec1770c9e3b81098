"""A cluster kept by this process: started, watched, stopped in order.

Owns the life of the keeper within a command, whether at a terminal or in the background. Must not
know options. Invariant: however it ends, the keeper's own ``stop`` has been run, unless a second
signal wants the end at once; then the processes end with this one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import grpc

from becket.adapters.local.directory import FileDirectory
from becket.adapters.local.keeper import Keeper, KeeperRunningError
from becket.adapters.local.layout import SUPERVISOR, ClusterSpec, Layout
from becket.adapters.rpc.channels import open_channel
from becket.api.v1 import supervisor_pb2 as pb
from becket.api.v1.supervisor_pb2_grpc import SupervisorServiceStub
from becket.cli.clusters import ROUTER_NAME, check_not_running
from becket.cli.exits import Exit, NotRunningError
from becket.cli.happenings import follow
from becket.cli.readiness import until_ready

SUPERVISOR_NAME = f"{SUPERVISOR}-0"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
READY_S = 60.0
_ASK_S = 5.0
_LOG_LINES = 3

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Order:
    """What is to be kept. ``members`` over 0: so many were asked for just now."""

    folder: Path
    spec: ClusterSpec
    members: int = 0


class Listener(Protocol):
    """Is told what a cluster does."""

    def event(self, sentence: str) -> None:
        """Something happened."""
        ...

    def started(self, keeper: Keeper) -> None:
        """Every process was started; none needs to answer yet."""
        ...

    def ready(self, keeper: Keeper, took_s: float) -> None:
        """Every partition has answered, so many seconds after the start."""
        ...


async def keep(order: Order, listener: Listener) -> Exit:
    """Keep a cluster up until a signal asks for its end.

    :raises NotRunningError: another keeper runs in this folder.
    :raises BecketError: a process cannot be kept.
    """
    stopping = asyncio.Event()
    layout, tell = Layout(order.folder), listener.event
    _on_signals(stopping, tell)
    keeper = Keeper(layout, order.spec, tell=tell)
    try:
        await keeper.start()
    except KeeperRunningError as error:
        check_not_running(layout)
        raise NotRunningError(str(error)) from error
    listener.started(keeper)
    beside = [
        asyncio.create_task(_report(keeper, order.members, listener)),
        asyncio.create_task(follow(lambda: keeper.addresses.get(SUPERVISOR_NAME), tell)),
    ]
    running = asyncio.create_task(keeper.run())
    waiting = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            await running
    finally:
        for task in (*beside, waiting):
            task.cancel()
        await asyncio.gather(*beside, waiting, return_exceptions=True)
        await keeper.stop()
        await asyncio.gather(running, return_exceptions=True)
    return Exit.DONE


def _on_signals(stopping: asyncio.Event, tell: Tell) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if stopping.is_set():
            # The processes are tied to this one and end with it.
            os._exit(Exit.INTERRUPTED)
        stopping.set()
        tell("stopping: the router, the balancer, the members, the supervisor")

    for number in SIGNALS:
        loop.add_signal_handler(number, stop)


async def _report(keeper: Keeper, members: int, listener: Listener) -> None:
    """Say when the cluster serves, and then see to the wished number of members."""
    took_s = await _until_ready(keeper, listener)
    listener.ready(keeper, took_s)
    if members:
        said = await wish_for(keeper.addresses.get(SUPERVISOR_NAME), members)
        if said:
            listener.event(said)


async def _until_ready(keeper: Keeper, listener: Listener) -> float:
    began = time.monotonic()
    while True:
        try:
            await until_ready(
                lambda: keeper.addresses.get(ROUTER_NAME), keeper.spec.partitions, READY_S
            )
        except NotRunningError as error:
            listener.event(str(error))
            for line in restless(keeper.layout):
                listener.event(line)
        else:
            return time.monotonic() - began


def restless(layout: Layout) -> list[str]:
    """What the logs of processes that were started again say last, for whoever wonders why."""
    lines = []
    for info in layout.read_processes().values():
        if info.restarts:
            lines.append(f"{info.name} was started {info.restarts + 1} times; its log ends with:")
            lines += [f"  {line}" for line in last_lines(layout, info.name)]
    return lines


def last_lines(layout: Layout, name: str) -> list[str]:
    """The end of a process's log."""
    with contextlib.suppress(OSError):
        with layout.log_file(name).open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 4096))
            text = file.read().decode("utf-8", "replace")
        return text.splitlines()[-_LOG_LINES:]
    return []


async def wish_for(address: str | None, members: int) -> str:
    """Ask the supervisor for so many members, where it wishes for others; a sentence if it did.

    The ring remembers what was wished for, and it counts for more than the folder.
    """
    if address is None:
        return ""
    async with open_channel(address) as channel:
        stub = SupervisorServiceStub(channel)
        try:
            status = await stub.GetStatus(pb.GetStatusRequest(), timeout=_ASK_S)
            if status.wished_members == members:
                return ""
            await stub.SetMemberCount(pb.SetMemberCountRequest(count=members), timeout=_ASK_S)
        except grpc.aio.AioRpcError as error:
            return f"the number of members cannot be set to {members}: {error.details()}"
    return f"{members} members are wished for, {status.wished_members} were before"


def address_in(layout: Layout, name: str) -> Callable[[], str | None]:
    """Where a process of this folder listens, as its keeper has written it down."""
    directory = FileDirectory(layout.addresses_file)
    return lambda: directory.address_of(name)
