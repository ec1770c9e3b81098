"""When this process may act: it leads, its fence is raised, and what it acts on was read since.

Owns the beginning of a reign, in that order (KUBERNETES.md, "The leader's other writes"). Must not
elect anybody, nor act. Invariant: ``may_act`` is worked out when it is asked for, so a process
whose reign has ended, or that was paused meanwhile, acts on nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from becket.core.errors import RetryLaterError
from becket.ports.leadership import Leader, Leadership

PAUSE_S = 0.5
"""Between two attempts to begin."""


class Fence(Protocol):
    """What keeps the writes of earlier leaders out."""

    fence: int
    """The highest number that was seen."""

    async def raise_fence(self, term: int) -> bool:
        """As ``KubernetesTopology.raise_fence``."""
        ...


class Reign:
    """One process's right to act. ``run`` it; ``prepare`` reads what will be acted on."""

    def __init__(
        self,
        leadership: Leadership,
        fence: Fence | None,
        *,
        prepare: Callable[[], Awaitable[None]],
        changed: Callable[[], None],
    ) -> None:
        self.problem = ""
        """Why a reign cannot begin; empty where it can."""
        self._leadership = leadership
        self._fence = fence
        self._prepare = prepare
        self._changed = changed
        # On one machine there is nobody to keep out, and nothing to wait for.
        self._begun = 0 if fence is not None else leadership.term
        self._news = asyncio.Event()
        self._released = False

    @property
    def may_act(self) -> bool:
        """Whether this process may act at this very moment."""
        leads = self._leadership.is_leader and not self._released
        return leads and self._leadership.term == self._begun

    @property
    def leader(self) -> Leader | None:
        """Who leads, as far as is known."""
        return self._leadership.leader

    @property
    def term(self) -> int:
        """The number of the reign that has begun last here."""
        return self._begun

    async def run(self) -> None:
        """Take part in the election and begin each reign that comes, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._leadership.run(self._note))
            tasks.create_task(self._begin_each())

    async def release(self) -> None:
        """Act no more, and let another one lead soon."""
        self._released = True
        self._changed()
        await self._leadership.release()

    def _note(self) -> None:
        self._news.set()
        self._changed()

    async def _begin_each(self) -> None:
        while True:
            self._news.clear()
            leadership = self._leadership
            if leadership.is_leader and leadership.term != self._begun and not self._released:
                await self._begin(leadership.term)
                pause_s: float | None = PAUSE_S
            else:
                pause_s = None
            if self.may_act or pause_s is None:
                await self._news.wait()
                continue
            try:
                async with asyncio.timeout(pause_s):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def _begin(self, term: int) -> None:
        try:
            if self._fence is not None and not await self._fence.raise_fence(term):
                self._leadership.outbid(self._fence.fence)
                self.problem = f"a fence of {self._fence.fence} is above this reign's {term}"
                return
            await self._prepare()
        except RetryLaterError as error:
            self.problem = str(error)
            self._changed()
            return
        self.problem = ""
        if self._leadership.is_leader and self._leadership.term == term:
            self._begun = term
            self._changed()
