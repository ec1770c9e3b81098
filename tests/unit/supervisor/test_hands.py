"""Hands: in which order, how often, and never for one who may not act."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from becket.core.supervision.deciding import PlatformWishes
from becket.core.supervision.gates import Gate
from becket.core.supervision.pods import PlatformView
from becket.ports.platform import Notice, PlatformError
from becket.runtime.logs import open_log
from becket.supervisor import hands as hands_module
from becket.supervisor.hands import Hands

PATIENCE_S = 20.0
VIEW = PlatformView("m-", evictions=1)
GATES = (Gate("m-1", "uid-1"), Gate("m-2", "uid-2"))


class Platform:
    """Does what it is told to, or fails as often as it is told to."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.failing: dict[str, int] = {}
        self.gate = asyncio.Event()
        self.gate.set()

    def view(self, now_us: int) -> PlatformView:
        raise NotImplementedError

    async def run(self, changed: Callable[[], None]) -> None:
        raise NotImplementedError

    def tell(self, notice: Notice) -> None:
        raise NotImplementedError

    async def read_note(self) -> str:
        raise NotImplementedError

    async def _do(self, kind: str, what: str) -> None:
        await self.gate.wait()
        if self.failing.get(kind, 0):
            self.failing[kind] -= 1
            raise PlatformError(f"{kind} is refused")
        self.done.append(what)

    async def scale_to(self, count: int) -> None:
        await self._do("scale", f"scale {count}")

    async def allow_evictions(self, count: int) -> None:
        await self._do("budget", f"budget {count}")

    async def open_gate(self, name: str, uid: str) -> None:
        await self._do("gate", f"gate {name} {uid}")

    async def keep_note(self, note: str) -> None:
        await self._do("note", f"note {note}")


class Scene:
    """Hands, what they have said, and whether they may act."""

    def __init__(self) -> None:
        self.platform = Platform()
        self.may_act = True
        self.told: list[str] = []
        self._changed = asyncio.Event()
        self.hands = Hands(
            self.platform,
            may_act=lambda: self.may_act,
            changed=self._changed.set,
            done=lambda sentence, _member: self.told.append(sentence),
            log=open_log("error", "json"),
        )

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def working() -> AsyncIterator[Scene]:
    scene = Scene()
    task = asyncio.create_task(scene.hands.run())
    try:
        yield scene
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hands_module, "LEAST_PAUSE_S", 0.001)
    monkeypatch.setattr(hands_module, "MOST_PAUSE_S", 0.01)


async def test_fewer_evictions_come_first_and_more_come_last() -> None:
    async with working() as scene:
        scene.hands.know_note("")
        scene.hands.want(PlatformWishes(5, 0, GATES), VIEW, "paused")
        await scene.until(lambda: len(scene.platform.done) == 5)
        assert scene.platform.done == [
            "budget 0",
            "scale 5",
            "gate m-1 uid-1",
            "gate m-2 uid-2",
            "note paused",
        ]
        closed = PlatformView("m-", evictions=0)
        scene.hands.want(PlatformWishes(6, 1), closed, "paused")
        await scene.until(lambda: len(scene.platform.done) == 7)
        assert scene.platform.done[5:] == ["scale 6", "budget 1"]
        assert "storage is scaled to 6 pods" in scene.told


async def test_what_is_so_already_is_not_done() -> None:
    async with working() as scene:
        scene.hands.want(PlatformWishes(None, 1), VIEW, "")
        await asyncio.sleep(0.01)
        scene.hands.know_note("")
        scene.hands.want(PlatformWishes(None, None), VIEW, "")
        await asyncio.sleep(0.01)
        assert scene.platform.done == []


async def test_a_deed_that_fails_is_told_tried_again_and_holds_up_no_other() -> None:
    async with working() as scene:
        scene.platform.failing = {"scale": 3}
        scene.hands.want(PlatformWishes(5, 0), VIEW, "")
        await scene.until(lambda: scene.hands.problems)
        assert scene.hands.problems == ("the scale: scale is refused",)
        assert scene.platform.done == ["budget 0"]
        await scene.until(lambda: len(scene.platform.done) == 2)
        assert not scene.hands.problems


async def test_what_is_wanted_no_more_is_forgotten() -> None:
    async with working() as scene:
        scene.platform.failing = {"scale": 10**6}
        scene.hands.want(PlatformWishes(5), VIEW, "")
        await scene.until(lambda: scene.hands.problems)
        scene.hands.want(PlatformWishes(), VIEW, "")
        assert scene.hands.problems == ()


async def test_only_the_newest_wish_counts_when_its_turn_comes() -> None:
    async with working() as scene:
        scene.platform.gate.clear()
        scene.hands.want(PlatformWishes(3, 0, GATES), VIEW, "")
        await asyncio.sleep(0.01)  # the budget waits, the scale comes after it
        scene.hands.want(PlatformWishes(None, 0, GATES[1:]), VIEW, "")
        scene.platform.gate.set()
        await scene.until(lambda: len(scene.platform.done) >= 2)
        await asyncio.sleep(0.01)
        assert [deed for deed in scene.platform.done if deed != "budget 0"] == ["gate m-2 uid-2"]


async def test_who_may_not_act_does_nothing() -> None:
    async with working() as scene:
        scene.may_act = False
        scene.hands.want(PlatformWishes(5, 0, GATES), VIEW, "")
        await asyncio.sleep(0.02)
        assert scene.platform.done == []
        scene.hands.rest()
        scene.may_act = True
        scene.hands.want(PlatformWishes(), VIEW, "")
        await asyncio.sleep(0.02)
        assert scene.platform.done == []


async def test_a_lead_that_is_lost_between_two_deeds_stops_the_second() -> None:
    async with working() as scene:
        scene.platform.gate.clear()
        scene.hands.want(PlatformWishes(3, 0), VIEW, "")
        await asyncio.sleep(0.01)
        scene.may_act = False
        scene.platform.gate.set()
        await scene.until(lambda: scene.platform.done)
        await asyncio.sleep(0.02)
        assert scene.platform.done == ["budget 0"]
