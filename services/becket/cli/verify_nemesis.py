"""The faults of a verification: planned under a seed, done one after the other, measured.

Owns the plan and when the next fault may come. Invariants: the plan depends on the seed alone, not
on what the cluster does; a fault comes only when no partition loses its majority by it, and the
next one only when the cluster has recovered from the one before, a wiped disk's copies included;
the exception is ``all``, which kills every process at once and takes no disk.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from becket.adapters.clocks import monotonic_us
from becket.cli import chaos
from becket.cli.chaos import ALL, KINDS, ROLES, Fault, Scene, Victim, Victims
from becket.cli.verify_probes import Probes
from becket.cli.verify_recording import Recorder
from becket.cli.verify_workload import Workers
from becket.core.errors import BecketError

PATIENCE_S = 120.0
"""How long a cluster may take to recover."""

WHOLE_S = 300.0
"""How long the copies of a wiped disk may take: ring changes pause while members flap."""

OTHERS_SHARE = 10
"""Beside so many kills there is one fault of each other kind."""

_COUNT_S = 0.05
_BEFORE_S, _FOCUS_S, _STEADY_S, _AFTER_S = 0.6, 0.3, 1.0, 1.2
"""Before: what was asked at full speed is answered by then. Focus: each probed key has been written
at the rate at which it is measured. Steady: what is measured without a fault, to compare with.
After: a member that listens again still keeps the pause of its start, and then stands."""

_PAUSES_S = (0.6, 2.5)
"""Longer than a lease, shorter and longer than a caller's patience."""


class Blow(NamedTuple):
    """One planned fault. ``draw`` (0..1) chooses among those whom it can hit then."""

    kind: str
    draw: float
    pause_s: float


class Measure(NamedTuple):
    """What came of one fault. ``errors``: operations and probes that failed or are unknown.

    ``slowest_us``: the slowest write to the keys whose longest gap is told. ``steady_us``: the
    longest gap of the same keys in the second before it.
    """

    kind: str
    victim: str
    gap_us: int
    recovery_us: int
    errors: int
    steady_us: int = 0
    slowest_us: int = 0


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
    """Does the planned faults while ``progress`` (0..1) goes on; looks every ``look_s``."""

    victims: Victims
    probes: Probes
    workers: Workers
    recorder: Recorder
    tell: Callable[[str], None]
    look_s: float = 0.05
    measures: list[Measure] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    async def run(self, blows: Sequence[Blow], progress: Callable[[], float]) -> None:
        """Do all of them; ends early when the cluster does not recover, and says so."""
        for number, blow in enumerate(blows, 1):
            while progress() < number / (len(blows) + 1):  # noqa: ASYNC110 - a count, or a clock
                await asyncio.sleep(_COUNT_S)
            self.workers.go_easy(easy=True)
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
                self.workers.go_easy(easy=False)
                self.probes.focus = ()
            self.measures.append(measure)
            self.tell(
                f"fault {number} of {len(blows)}: {measure.kind} {measure.victim}: "
                f"longest gap {measure.gap_us / 1000:.0f} ms "
                f"({measure.steady_us / 1000:.0f} before), "
                f"slowest write {measure.slowest_us / 1000:.0f} ms, {measure.errors} errors, "
                f"recovered after {measure.recovery_us / 1e6:.1f} s"
            )

    async def _do(self, blow: Blow) -> Measure:
        errors = self._errors()
        scene, hit, keys = await self._aim(blow)
        self.probes.focus = frozenset(keys)
        await asyncio.sleep(_FOCUS_S)
        steady_from_us = monotonic_us()
        await asyncio.sleep(_STEADY_S)
        began_us = monotonic_us()
        steady_us = self.probes.gap_us(keys, steady_from_us, began_us)
        if blow.kind == Fault.PAUSE:
            await self.victims.pause(hit[0], blow.pause_s)
        else:
            is_other = blow.kind == ALL or blow.kind in ROLES
            await self.victims.strike(Fault.KILL if is_other else Fault(blow.kind), hit)
        is_restarted = blow.kind != Fault.PAUSE
        await self._recovered(scene, hit if is_restarted else [], wiped=blow.kind == Fault.WIPE)
        recovered_us = monotonic_us()
        await asyncio.sleep(_AFTER_S)
        until_us = monotonic_us()
        gap_us = self.probes.gap_us(keys, began_us, until_us)
        slowest_us = self.probes.slowest_us(keys, began_us, until_us)
        name = "every process" if blow.kind == ALL else hit[0].name
        errors = self._errors() - errors
        recovery_us = recovered_us - began_us
        return Measure(blow.kind, name, gap_us, recovery_us, errors, steady_us, slowest_us)

    async def _aim(self, blow: Blow) -> tuple[Scene, Sequence[Victim], list[bytes]]:
        """Who is hit, and the probed keys that this concerns."""
        if blow.kind == ALL:
            scene = await self.victims.look()
            return scene, list(scene.processes.values()), self.probes.keys
        async with asyncio.timeout(PATIENCE_S):
            while True:
                scene = await self.victims.look()
                if blow.kind in ROLES:
                    held = dict.fromkeys(scene.names((blow.kind,)), self.probes.keys)
                    fit = [*held]
                else:
                    held, fit = await self._coordinators(scene, Fault(blow.kind))
                if fit:
                    name = fit[int(blow.draw * len(fit))]
                    return scene, [scene.processes[name]], held[name]
                await asyncio.sleep(self.look_s)

    async def _coordinators(
        self, scene: Scene, fault: Fault
    ) -> tuple[dict[str, list[bytes]], list[str]]:
        """What each member coordinates, and whom of those that do the fault may hit by now."""
        is_ready = scene.is_whole or fault is not Fault.WIPE
        names = scene.members if is_ready else []
        held = {name: await self.probes.of_member(name) for name in names}
        fit = [n for n in names if held[n] and not chaos.objections(scene, fault, n)]
        return held, fit

    async def _recovered(self, before: Scene, hit: Sequence[Victim], *, wiped: bool) -> None:
        """Wait until every process runs and listens, and every probed key takes writes."""
        async with asyncio.timeout(WHOLE_S if wiped else PATIENCE_S):
            while True:
                now = await self.victims.look()
                is_back = await self.victims.are_back(hit, now)
                if is_back and now.has_all_of(before) and (not wiped or now.is_whole):
                    break
                await asyncio.sleep(self.look_s)
            since_us = monotonic_us()
            while not self.probes.all_succeeded_since(since_us):  # noqa: ASYNC110 - likewise
                await asyncio.sleep(_COUNT_S)

    def _errors(self) -> int:
        counts = self.recorder.counts
        return counts.refused + counts.unknown + self.probes.errors
