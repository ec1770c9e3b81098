"""``becket up`` and ``becket down``: a cluster of processes on this machine.

Owns what is printed and the order of things. Must not start a service itself: the keeper does. A
detached cluster is kept by a process of its own (``background``); this one only waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from becket.adapters.local.keeper import Keeper
from becket.adapters.local.layout import ROUTER_PORT, Layout
from becket.cli.clusters import ROUTER_NAME, Wish, check_not_running, decide
from becket.cli.exits import Exit, NotRunningError
from becket.cli.readiness import until_ready
from becket.cli.running import READY_S, Order, address_in, keep, last_lines, restless
from becket.cli.telling import Teller

KEEPER_LOG = "keeper"
STOP_S = 90.0
"""Four stages of 15 s at most, and some more."""
_LOOK_S = 0.05
_KEPT_LOG_BYTES = 1 << 20


def up(folder: Path, wish: Wish, *, detach: bool) -> Exit:
    """Start the cluster of ``folder``; returns when it has stopped or, detached, when it serves."""
    layout = Layout(folder)
    check_not_running(layout)
    order = Order(folder, decide(layout, wish), wish.members or 0)
    if detach:
        return asyncio.run(_detached(layout, order))
    return asyncio.run(keep(order, _Foreground(Teller())))


def down(folder: Path) -> Exit:
    """Stop the cluster of ``folder``, in order; nothing to stop is fine."""
    teller, layout = Teller(), Layout(folder)
    pid = layout.running_keeper()
    if not pid:
        teller.line(f"no cluster is up in {folder}")
        return Exit.DONE
    began = time.monotonic()
    _send(pid, signal.SIGTERM)
    if not _wait_for_end(layout, pid, STOP_S):
        teller.line(f"the keeper has not ended in {STOP_S:.0f} s: it is killed")
        # Its processes are tied to it and end with it.
        _send(pid, signal.SIGKILL)
        if not _wait_for_end(layout, pid, STOP_S):
            raise NotRunningError(f"process {pid} does not end")
    teller.line(f"the cluster in {folder} is down, after {time.monotonic() - began:.1f} s")
    teller.line("its data stays: becket up starts it again")
    return Exit.DONE


def _wait_for_end(layout: Layout, pid: int, within_s: float) -> bool:
    until = time.monotonic() + within_s
    while layout.running_keeper() == pid:
        if time.monotonic() > until:
            return False
        time.sleep(_LOOK_S)
    return True


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


class _Foreground:
    """Tells what a cluster at a terminal does."""

    def __init__(self, teller: Teller) -> None:
        self._teller = teller
        self.event = teller.event

    def started(self, keeper: Keeper) -> None:
        tell_processes(self._teller, keeper.layout, keeper.addresses)

    def ready(self, keeper: Keeper, took_s: float) -> None:
        self._teller.line()
        tell_ready(self._teller, keeper.spec.partitions, took_s)
        tell_next(self._teller, keeper.addresses[ROUTER_NAME])
        self._teller.line("Ctrl-C stops the cluster; its data stays.")
        self._teller.line()


def tell_processes(teller: Teller, layout: Layout, addresses: dict[str, str]) -> None:
    """Say what was started, and where."""
    spec = layout.read_spec()
    if spec is not None:
        shape = f"{spec.partitions} partitions, {spec.replicas} replicas of each"
        teller.line(f"Cluster {spec.cluster_name}: {spec.members} members, {shape}", style="bold")
    teller.line(f"  data   {layout.folder}")
    teller.line(f"  logs   {layout.logs_folder}")
    processes = layout.read_processes()
    for name, address in sorted(addresses.items()):
        pid = f"pid {processes[name].pid}" if name in processes else ""
        teller.line(f"  {name:<14} {address:<22} {pid}".rstrip())


def tell_ready(teller: Teller, partitions: int, took_s: float) -> None:
    """Say that the cluster serves."""
    text = f"ready after {took_s:.1f} s: all {partitions} partitions answer"
    teller.line(text, style="bold green")


def tell_next(teller: Teller, router: str) -> None:
    """Say what to try."""
    teller.line()
    teller.line("Try:")
    if router != f"127.0.0.1:{ROUTER_PORT}":
        teller.line(f"  export BECKET_TARGET={router}")
    for command in (
        "becket put greeting hello",
        "becket get greeting",
        "becket members",
        "becket status",
    ):
        teller.line(f"  {command}")
    teller.line()


async def _detached(layout: Layout, order: Order) -> Exit:
    teller = Teller()
    layout.make_folders()
    # What a keeper left behind that was killed must not be taken for the new one's.
    layout.processes_file.unlink(missing_ok=True)
    process = _spawn(layout, order)
    partitions = order.spec.partitions
    try:
        took_s = await _until_ready(layout, process, partitions)
    except NotRunningError:
        for line in restless(layout):
            teller.line(line)
        _send(process.pid, signal.SIGTERM)
        raise
    except asyncio.CancelledError:
        # A cluster that nobody waits for is not left behind.
        _send(process.pid, signal.SIGTERM)
        raise
    tell_processes(teller, layout, _addresses(layout))
    tell_ready(teller, partitions, took_s)
    tell_next(teller, _addresses(layout)[ROUTER_NAME])
    teller.line(f"becket down --data {layout.folder}  stops the cluster; its data stays.")
    return Exit.DONE


async def _until_ready(layout: Layout, process: subprocess.Popen[bytes], partitions: int) -> float:
    """The seconds until every partition answered.

    :raises NotRunningError: the keeper ended, or it took too long.
    """
    address_of = address_in(layout, ROUTER_NAME)
    is_started = layout.processes_file.exists
    waiting = asyncio.create_task(
        until_ready(lambda: address_of() if is_started() else None, partitions, READY_S)
    )
    try:
        while not waiting.done():
            if process.poll() is not None:
                said = "; ".join(last_lines(layout, KEEPER_LOG))
                raise NotRunningError(f"the keeper ended with {process.returncode}: {said}")
            await asyncio.wait({waiting}, timeout=_LOOK_S)
    finally:
        waiting.cancel()
    return waiting.result()


def _addresses(layout: Layout) -> dict[str, str]:
    return {name: info.address for name, info in layout.read_processes().items()}


def _spawn(layout: Layout, order: Order) -> subprocess.Popen[bytes]:
    """The keeper as a process of its own session, which outlives this terminal."""
    log = layout.log_file(KEEPER_LOG)
    if log.exists() and log.stat().st_size > _KEPT_LOG_BYTES:
        log.replace(log.with_name(f"{log.name}.1"))
    content = json.dumps({"spec": dataclasses.asdict(order.spec), "members": order.members})
    argv = [sys.executable, "-m", "becket.cli.background", str(layout.folder), content]
    with log.open("ab") as file:
        return subprocess.Popen(  # noqa: S603 - this interpreter, a module of ours
            argv,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
