"""The faults of a verification: planned under a seed, done one after the other, measured.

Owns the plan and when the next fault may come. Invariants: the plan depends on the seed alone, not
on what the cluster does; a fault comes only when no partition loses its majority by it, and the
next one only when the cluster has recovered from the one before, a wiped disk's copies included;
the exception is ``all``, which kills every process at once and takes no disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from becket.adapters.clocks import monotonic_us
from becket.adapters.local.layout import Layout, ProcessInfo
from becket.cli import chaos
from becket.cli.chaos import Fault, Scene
from becket.cli.verify_probes import Probes
from becket.cli.verify_recording import Recorder
from becket.cli.verify_workload import Workers
from becket.core.errors import BecketError

ALL = "all"
KINDS = (*(fault.value for fault in Fault), ALL)
PATIENCE_S = 120.0
"""How long a cluster may take to recover."""

WHOLE_S = 300.0
"""How long the copies of a wiped disk may take: ring changes pause while members flap."""

OTHERS_SHARE = 10
"""Beside so many kills there is one fault of each other kind."""

_LOOK_S = 0.05
_BEFORE_S, _AFTER_S = 1.0, 1.2
"""Before: what was asked at full speed is answered by then. After: a member that listens again
still keeps the pause of its start, and then stands."""

_PAUSES_S = (0.6, 2.5)
"""Longer than a lease, shorter and longer than a caller's patience."""


class Blow(NamedTuple):
    """One planned fault. ``draw`` (0..1) chooses among those whom it can hit then."""

    kind: str
    draw: float
    pause_s: float


class Measure(NamedTuple):
    """What came of one fault. ``errors``: operations and probes that failed or are unknown."""

    kind: str
    victim: str
    gap_us: int
    recovery_us: int
    errors: int


def plan(seed: int, kills: int, kinds: Sequence[str]) -> list[Blow]:
    """``kills`` kills if asked for, and of each other kind a tenth as many, one at least."""
    rng = random.Random(f"{seed}/faults")  # noqa: S311 - a plan, no secret
    others = max(1, kills // OTHERS_SHARE) if kills else 0
    chosen = [kind for kind in KINDS if kind in kinds]
    blows = [kind for kind in chosen for _ in range(kills if kind == Fault.KILL else others)]
    rng.shuffle(blows)
    return [Blow(kind, rng.random(), rng.uniform(*_PAUSES_S)) for kind in blows]


@dataclass
class Nemesis:
    """Does the planned faults while ``progress`` (0..1) goes on."""

    layout: Layout
    probes: Probes
    workers: Workers
    recorder: Recorder
    tell: Callable[[str], None]
    measures: list[Measure] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    async def run(self, blows: Sequence[Blow], progress: Callable[[], float]) -> None:
        """Do all of them; ends early when the cluster does not recover, and says so."""
        for number, blow in enumerate(blows, 1):
            while progress() < number / (len(blows) + 1):  # noqa: ASYNC110 - a count, or a clock
                await asyncio.sleep(_LOOK_S)
            self._measure(on=True)
            await asyncio.sleep(_BEFORE_S)
            try:
                measure = await self._do(blow)
            except (BecketError, TimeoutError) as error:
                patience_s = WHOLE_S if blow.kind == Fault.WIPE else PATIENCE_S
                what = str(error) or f"there was no recovery within {patience_s:.0f} s"
                self.problems.append(f"fault {number}, {blow.kind}: {what}")
                self.tell(self.problems[-1])
                return
            finally:
                self._measure(on=False)
            self.measures.append(measure)
            self.tell(
                f"fault {number} of {len(blows)}: {measure.kind} {measure.victim}: "
                f"longest gap {measure.gap_us / 1000:.0f} ms, {measure.errors} errors, "
                f"recovered after {measure.recovery_us / 1e6:.1f} s"
            )

    def _measure(self, *, on: bool) -> None:
        self.probes.is_measuring = on
        self.workers.go_easy(easy=on)

    async def _do(self, blow: Blow) -> Measure:
        errors = self._errors()
        if blow.kind == ALL:
            victim, keys = "every process", self.probes.keys
            scene = await chaos.look(self.layout)
            began_us = monotonic_us()
            hit = list(scene.processes.values())
            for info in hit:
                chaos.strike(self.layout, Fault.KILL, info)
        else:
            fault = Fault(blow.kind)
            scene, info, keys = await self._victim(fault, blow.draw)
            victim, hit = info.name, [info]
            began_us = monotonic_us()
            if fault is Fault.PAUSE:
                await chaos.pause(self.layout, info, blow.pause_s)
            else:
                chaos.strike(self.layout, fault, info)
        is_restarted = blow.kind != Fault.PAUSE
        await self._recovered(scene, hit if is_restarted else [], wiped=blow.kind == Fault.WIPE)
        recovered_us = monotonic_us()
        await asyncio.sleep(_AFTER_S)
        gap_us = self.probes.gap_us(keys, began_us, monotonic_us())
        return Measure(blow.kind, victim, gap_us, recovered_us - began_us, self._errors() - errors)

    async def _victim(self, fault: Fault, draw: float) -> tuple[Scene, ProcessInfo, list[bytes]]:
        """A member that coordinates something, and whom the fault may hit by now."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                scene = await chaos.look(self.layout)
                is_ready = scene.is_whole or fault is not Fault.WIPE
                names = scene.members if is_ready else []
                held = {name: await self.probes.of_member(name) for name in names}
                fit = [n for n in names if held[n] and not chaos.objections(scene, fault, n)]
                if fit:
                    name = fit[int(draw * len(fit))]
                    return scene, scene.processes[name], held[name]
                await asyncio.sleep(_LOOK_S)

    async def _recovered(self, before: Scene, hit: Sequence[ProcessInfo], *, wiped: bool) -> None:
        """Wait until every process runs and listens, and every probed key takes writes."""
        old = {info.name: info.pid for info in hit}
        async with asyncio.timeout(WHOLE_S if wiped else PATIENCE_S):
            while True:
                if await self._is_up(before, old) and (not wiped or await self._is_whole()):
                    break
                await asyncio.sleep(_LOOK_S)
            since_us = monotonic_us()
            while not self.probes.all_succeeded_since(since_us):  # noqa: ASYNC110 - likewise
                await asyncio.sleep(_LOOK_S)

    async def _is_up(self, before: Scene, old: dict[str, int]) -> bool:
        scene = await chaos.look(self.layout)
        if scene.stopped or before.processes.keys() - scene.processes.keys():
            return False
        if any(scene.processes[name].pid == pid for name, pid in old.items()):
            return False
        return all([await _listens(scene.processes[name].address) for name in old])

    async def _is_whole(self) -> bool:
        scene = await chaos.look(self.layout)
        return scene.is_whole

    def _errors(self) -> int:
        counts = self.recorder.counts
        return counts.refused + counts.unknown + self.probes.errors


async def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(1):
            _, writer = await asyncio.open_connection(host, int(port))
    except (OSError, TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
