"""``becket verify``: a cluster under load and faults, and whether it kept its promises.

Owns the order of things: a cluster, workers, probes, faults, the last read of every key, the
verdict. Must not judge (``verify_recording``) nor choose faults (``verify_nemesis``). Invariants:
a cluster that was started here is stopped, and its folder removed unless it has something to tell.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from becket.adapters.local.keeper import Keeper
from becket.adapters.local.layout import ClusterSpec, Layout
from becket.cli.chaos import Victims
from becket.cli.chaos_local import LocalVictims
from becket.cli.chaos_pods import PodVictims
from becket.cli.clusters import ROUTER_NAME
from becket.cli.exits import NotRunningError
from becket.cli.readiness import until_ready
from becket.cli.releases import Place as ReleasePlace
from becket.cli.releases import open_release
from becket.cli.verify_nemesis import Blow, Nemesis
from becket.cli.verify_outcome import Outcome
from becket.cli.verify_probes import Probes
from becket.cli.verify_recording import Recorder
from becket.cli.verify_workload import Load, Workers
from becket.client.client import Client
from becket.core.errors import BecketError

READY_S = 60.0
READ_BACK_S = 60.0
_TELL_S = 5.0
_CHECK_S = 0.05
_CLIENTS = 2
_LOOK_S = 0.05
_LOOK_PODS_S = 0.3
"""A look at pods costs the Kubernetes API two lists."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Order:
    """What is to be verified. Where ``spec`` is None the cluster runs already.

    ``operations`` over 0: until so many are acknowledged; else for ``duration_s``.
    """

    seed: int
    load: Load
    blows: tuple[Blow, ...]
    operations: int = 0
    duration_s: float = 60.0
    spec: ClusterSpec | None = None
    folder: Path | None = None
    target: str = ""
    release: ReleasePlace | None = None


@dataclass
class Place:
    """A cluster that runs: where it answers, and its processes if they can be hurt from here."""

    target: str
    victims: Victims | None
    look_s: float = _LOOK_S
    is_evidence: bool = False
    """Whether the folder of a cluster that was started here has something to tell."""


async def verify(order: Order, tell: Tell) -> Outcome:
    """Do all of it.

    :raises NotRunningError: there is no cluster, or it does not get ready.
    """
    async with AsyncExitStack() as stack:
        place = await stack.enter_async_context(_cluster(order, tell))
        clients = [
            await stack.enter_async_context(Client(place.target, timeout=order.load.timeout_s))
            for _ in range(_CLIENTS + 1)
        ]
        outcome = await _Run(order, place, tell).run(clients)
        place.is_evidence = not outcome.is_proven
        return outcome


class _Run:
    """One verification of a cluster that is ready."""

    def __init__(self, order: Order, place: Place, tell: Tell) -> None:
        self._order, self._place, self._tell = order, place, tell
        self._recorder = Recorder()
        self._name = secrets.token_hex(4)
        """Keys of another run hold values that this one does not know."""
        self._workers = Workers(self._recorder, order.load, order.seed, self._name)
        self._began = time.monotonic()
        self._outcome = Outcome(order.seed, self._recorder.counts, reasons=self._recorder.reasons)

    async def run(self, clients: list[Client]) -> Outcome:
        order, outcome = self._order, self._outcome
        tasks = [asyncio.create_task(self._workers.run(clients[:-1]))]
        watch = asyncio.create_task(self._watch())
        try:
            if order.blows and self._place.victims is not None:
                await self._suffer(clients[-1], self._place.victims)
            while self._progress() < 1:
                # A worker that fails ends the run, with its error.
                if (await asyncio.wait(tasks, timeout=_CHECK_S))[0]:
                    break
            self._workers.stop()
            await tasks[0]
            outcome.seconds = time.monotonic() - self._began
            await self._read_back(clients[-1])
        finally:
            self._workers.stop()
            for task in (*tasks, watch):
                task.cancel()
            await asyncio.gather(*tasks, watch, return_exceptions=True)
        outcome.violations, outcome.undecided = self._recorder.finish()
        return outcome

    async def _suffer(self, client: Client, victims: Victims) -> None:
        partitions = (await client.ring()).partitions
        probes = Probes(client, partitions, self._name)
        nemesis = Nemesis(victims, probes, self._workers, self._recorder, self._tell)
        nemesis.look_s = self._place.look_s
        probing = asyncio.create_task(probes.run())
        try:
            await nemesis.run(self._order.blows, self._progress)
        finally:
            probing.cancel()
            await asyncio.gather(probing, return_exceptions=True)
        self._outcome.measures = nemesis.measures
        self._outcome.problems = nemesis.problems

    def _progress(self) -> float:
        """How much of the work is done, 0 to 1."""
        if self._order.operations:
            return min(1.0, self._recorder.counts.acknowledged / self._order.operations)
        return min(1.0, (time.monotonic() - self._began) / self._order.duration_s)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_TELL_S)
            counts = self._recorder.counts
            rate = counts.acknowledged / (time.monotonic() - self._began)
            self._tell(
                f"{counts.acknowledged:,} acknowledged ({rate:,.0f} a second), "
                f"{counts.unknown:,} unknown, {counts.refused:,} refused"
            )

    async def _read_back(self, client: Client) -> None:
        """Read every key once more, now that nothing is under way."""
        left = self._recorder.keys
        until = time.monotonic() + READ_BACK_S
        while left and time.monotonic() < until:
            failed = []
            for entry in await self._workers.read_back(client, left):
                if entry.results is None:
                    failed.append(entry.key)
                elif self._recorder.is_lost(entry.key, entry.results[0]):
                    self._outcome.lost.append(entry.key)
            if failed:
                await asyncio.sleep(_CHECK_S)
            left = failed
        self._outcome.unread = left


@asynccontextmanager
async def _cluster(order: Order, tell: Tell) -> AsyncIterator[Place]:
    """The cluster of the order: the running one, or a new one that ends with this."""
    if order.release is not None:
        async with open_release(order.release) as release:
            target = order.target or await release.target()
            yield Place(target, PodVictims(release), _LOOK_PODS_S)
    elif order.spec is not None:
        async with _own(order.spec, tell) as place:
            yield place
    else:
        yield await _running(order)


@asynccontextmanager
async def _own(spec: ClusterSpec, tell: Tell) -> AsyncIterator[Place]:
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="becket-"))
    keeper = Keeper(Layout(folder), spec, tell=lambda _: None)
    keeping: asyncio.Task[None] | None = None
    place = Place("", LocalVictims(keeper.layout))
    try:
        await keeper.start()
        keeping = asyncio.create_task(keeper.run())
        took_s = await until_ready(
            lambda: keeper.addresses.get(ROUTER_NAME), spec.partitions, READY_S
        )
        tell(f"a cluster of {spec.members} members in {folder}, ready after {took_s:.1f} s")
        place.target = keeper.addresses[ROUTER_NAME]
        yield place
    except BecketError:
        place.is_evidence = True
        raise
    finally:
        await keeper.stop()
        if keeping is not None:
            await asyncio.gather(keeping, return_exceptions=True)
        if place.is_evidence:
            tell(f"the folder of the cluster stays: {folder}")
        else:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def _running(order: Order) -> Place:
    if order.folder is None:
        return Place(order.target, None)
    layout = Layout(order.folder)
    if not layout.running_keeper():
        raise NotRunningError(f"no cluster is up in {order.folder}")
    with contextlib.suppress(BecketError, OSError):
        router = layout.read_processes().get(ROUTER_NAME)
        if router is not None:
            return Place(router.address, LocalVictims(layout))
    raise NotRunningError(f"no router runs in {order.folder}")
