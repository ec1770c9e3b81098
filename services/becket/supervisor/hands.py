"""Carries out what the platform is to do, one deed after the other, beside the rounds.

Owns the deeds that are wanted, their pauses after a failure, and why one fails. Must not decide
what is wanted. Invariants: nothing is begun by a process that may not act at that moment; a deed
that fails holds up no round and no other deed for longer than its own time limit; the newest wish
of a deed is the only one; letting fewer pods go comes before everything, letting more go after it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial

from structlog.typing import FilteringBoundLogger

from becket.adapters import clocks
from becket.core.supervision.deciding import NO_PLATFORM_WISHES, PlatformWishes
from becket.core.supervision.gates import Gate
from becket.core.supervision.pods import PlatformView
from becket.ports.platform import Platform, PlatformError

LEAST_PAUSE_S, MOST_PAUSE_S = 0.2, 15.0
MOST_GATES = 8
"""So many gates are opened in one go before everything else has its turn again."""


@dataclass(frozen=True)
class _Deed:
    """Something to do. ``name`` stays the same while only the number in it changes."""

    name: str
    order: int
    act: Callable[[], Awaitable[None]]


@dataclass
class _Failure:
    sentence: str
    times: int
    again_us: int


class Hands:
    """One process's hands on the platform. ``run`` them; ``want`` something each round.

    ``done`` is told what was done, and for which member.
    """

    def __init__(
        self,
        platform: Platform,
        *,
        may_act: Callable[[], bool],
        changed: Callable[[], None],
        done: Callable[[str, str], None],
        log: FilteringBoundLogger,
    ) -> None:
        self._platform = platform
        self._done = done
        self._may_act = may_act
        self._changed = changed
        self._log = log
        self._wishes = NO_PLATFORM_WISHES
        self._evictions: int | None = None
        self._note: str | None = None
        self._kept: str | None = None
        self._failures: dict[str, _Failure] = {}
        self._news = asyncio.Event()

    @property
    def problems(self) -> tuple[str, ...]:
        """Why something that is wanted is not done."""
        return tuple(f"{name}: {each.sentence}" for name, each in sorted(self._failures.items()))

    def want(self, wishes: PlatformWishes, view: PlatformView, note: str) -> None:
        """From now on this is wanted, and nothing else."""
        self._wishes, self._evictions, self._note = wishes, view.evictions, note
        deeds = {deed.name for deed in self._deeds()}
        for name in self._failures.keys() - deeds:
            del self._failures[name]
        if deeds - self._failures.keys():
            self._news.set()

    def know_note(self, kept: str) -> None:
        """This is what the platform keeps."""
        self._kept = kept

    def rest(self) -> None:
        """Nothing is wanted any more."""
        self._wishes, self._note, self._kept = NO_PLATFORM_WISHES, None, None
        self._failures.clear()

    async def run(self) -> None:
        """Do what is wanted, for ever."""
        while True:
            self._news.clear()
            for deed in sorted(self._deeds(), key=lambda deed: deed.order):
                await self._try(deed)
            try:
                async with asyncio.timeout(self._pause_s()):
                    await self._news.wait()
            except TimeoutError:
                continue

    def _pause_s(self) -> float | None:
        if not self._failures:
            return None
        next_us = min(failure.again_us for failure in self._failures.values())
        return max(LEAST_PAUSE_S / 4, (next_us - clocks.monotonic_us()) / 1e6)

    def _deeds(self) -> list[_Deed]:
        wishes = self._wishes
        found = []
        allowed, scale = wishes.evictions, wishes.scale
        if allowed is not None and allowed != self._evictions:
            order = 0 if not allowed else 3
            found.append(_Deed("the disruption budget", order, partial(self._allow, allowed)))
        if scale is not None:
            found.append(_Deed("the scale", 1, partial(self._scale, scale)))
        found += [
            _Deed(f"the gate of {gate.name}", 2, partial(self._open, gate))
            for gate in wishes.gates[:MOST_GATES]
        ]
        note = self._note
        if note is not None and self._kept is not None and note != self._kept:
            found.append(_Deed("what was asked of the plan", 4, partial(self._keep, note)))
        return found

    async def _try(self, deed: _Deed) -> None:
        failure = self._failures.get(deed.name)
        now_us = clocks.monotonic_us()
        if not self._may_act() or (failure is not None and now_us < failure.again_us):
            return
        try:
            await deed.act()
        except PlatformError as error:
            times = 1 if failure is None else failure.times + 1
            pause_s = min(MOST_PAUSE_S, LEAST_PAUSE_S * 2 ** min(times, 10))
            pause_s *= random.uniform(0.5, 1)  # noqa: S311 - spreads load
            again_us = clocks.monotonic_us() + int(pause_s * 1e6)
            self._failures[deed.name] = _Failure(str(error), times, again_us)
            self._log.info("not done", deed=deed.name, problem=str(error))
            self._changed()
        else:
            self._failures.pop(deed.name, None)
            self._log.info("done", deed=deed.name)
            self._changed()

    # Deeds. What is done is no longer wanted, until the next round says so again; what is wanted no
    # more by the time that its turn comes is left alone.

    async def _allow(self, count: int) -> None:
        if self._wishes.evictions != count:
            return
        await self._platform.allow_evictions(count)
        self._evictions = count

    async def _scale(self, count: int) -> None:
        if self._wishes.scale != count:
            return
        await self._platform.scale_to(count)
        if self._wishes.scale == count:
            self._wishes = replace(self._wishes, scale=None)
        self._done(f"storage is scaled to {count} pods", "")

    async def _open(self, gate: Gate) -> None:
        if gate not in self._wishes.gates:
            return
        await self._platform.open_gate(gate.name, gate.uid)
        left = tuple(each for each in self._wishes.gates if each != gate)
        self._wishes = replace(self._wishes, gates=left)
        self._done(f"{gate.name} is ready: all its partitions are whole", gate.name)

    async def _keep(self, note: str) -> None:
        await self._platform.keep_note(note)
        self._kept = note
