"""A reign begins behind its fence, with what was read since, and ends when the lead does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from becket.adapters.local.leadership import AlwaysLeader
from becket.core.errors import RetryLaterError
from becket.ports.leadership import Leader
from becket.supervisor import leading
from becket.supervisor.leading import Reign

PATIENCE_S = 20.0


class Chosen:
    """A leadership by the test's word."""

    def __init__(self) -> None:
        self.is_leader = False
        self.term = 0
        self.leader: Leader | None = None
        self.outbids: list[int] = []
        self.is_released = False
        self._changed: Callable[[], None] = lambda: None

    def choose(self, term: int) -> None:
        self.is_leader, self.term = term > 0, term
        self._changed()

    async def run(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        await asyncio.Event().wait()

    async def release(self) -> None:
        self.is_released = True
        self.choose(0)

    def outbid(self, term: int) -> None:
        self.outbids.append(term)
        self.choose(term + 1)


class Scene:
    """A fence, what is read, and the order in which both happen."""

    def __init__(self) -> None:
        self.fence = 0
        self.done: list[str] = []
        self.away = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.leadership = Chosen()
        self.reign = Reign(self.leadership, self, prepare=self.prepare, changed=self.note)
        self._changed = asyncio.Event()

    async def raise_fence(self, term: int) -> bool:
        if self.away:
            self.away -= 1
            raise RetryLaterError("the API is away")
        self.done.append(f"fence {term}")
        if term <= self.fence:
            return False
        self.fence = term
        return True

    async def prepare(self) -> None:
        await self.gate.wait()
        self.done.append(f"read, acting: {self.reign.may_act}")

    def note(self) -> None:
        self._changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def reigning() -> AsyncIterator[Scene]:
    scene = Scene()
    task = asyncio.create_task(scene.reign.run())
    await asyncio.sleep(0)
    try:
        yield scene
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leading, "PAUSE_S", 0.001)


async def test_first_the_fence_then_the_look_then_the_acts() -> None:
    async with reigning() as scene:
        assert not scene.reign.may_act
        scene.leadership.choose(3)
        await scene.until(lambda: scene.reign.may_act)
        assert scene.done == ["fence 3", "read, acting: False"]
        assert scene.reign.term == 3


async def test_a_reign_that_ends_acts_no_more_and_the_next_one_begins_anew() -> None:
    async with reigning() as scene:
        scene.leadership.choose(3)
        await scene.until(lambda: scene.reign.may_act)
        scene.leadership.choose(0)
        assert not scene.reign.may_act
        scene.leadership.choose(5)
        assert not scene.reign.may_act, "before its own fence stands"
        await scene.until(lambda: scene.reign.may_act)
        assert scene.done[2:] == ["fence 5", "read, acting: False"]


async def test_a_reign_that_ends_while_it_begins_never_acts() -> None:
    async with reigning() as scene:
        scene.gate.clear()
        scene.leadership.choose(3)
        async with asyncio.timeout(PATIENCE_S):
            while not scene.done:  # noqa: ASYNC110 - the fence tells nobody
                await asyncio.sleep(0)
        scene.leadership.choose(0)
        scene.leadership.choose(4)
        scene.gate.set()
        await scene.until(lambda: scene.reign.may_act)
        assert scene.reign.term == 4


async def test_a_higher_fence_is_outbid() -> None:
    async with reigning() as scene:
        scene.fence = 9
        scene.leadership.choose(3)
        await scene.until(lambda: scene.reign.may_act)
        assert scene.leadership.outbids == [9]
        assert scene.reign.term == 10


async def test_an_api_that_is_away_is_told_and_tried_again() -> None:
    async with reigning() as scene:
        scene.away = 3
        scene.leadership.choose(2)
        await scene.until(lambda: scene.reign.problem)
        assert scene.reign.problem == "the API is away"
        await scene.until(lambda: scene.reign.may_act)
        assert scene.reign.problem == ""


async def test_who_has_released_never_acts_again() -> None:
    async with reigning() as scene:
        scene.leadership.choose(2)
        await scene.until(lambda: scene.reign.may_act)
        await scene.reign.release()
        assert scene.leadership.is_released
        scene.leadership.choose(3)
        await asyncio.sleep(0.01)
        assert not scene.reign.may_act
        assert scene.done == ["fence 2", "read, acting: False"]


async def test_on_one_machine_there_is_nothing_to_wait_for() -> None:
    async def never() -> None:
        raise AssertionError("there is nothing to prepare")

    reign = Reign(AlwaysLeader("supervisor-0"), None, prepare=never, changed=lambda: None)
    assert reign.may_act
    assert reign.leader == Leader("supervisor-0", "")
