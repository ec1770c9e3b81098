"""Watching a plan to its end: a bar at a terminal, lines elsewhere.

Owns the picture and the end of the watch. Must not change anything. A supervisor that is away for a
while does not end it: another one goes on with the plan under the same name.
"""

from __future__ import annotations

import asyncio
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

from becket.api.v1 import supervisor_pb2 as pb
from becket.cli import plans
from becket.cli.calling import Services
from becket.cli.exits import Exit, UnfinishedError
from becket.cli.output import say
from becket.cli.wishes import scaled
from becket.core.errors import BecketError, NotFoundError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LOOK_S = 0.3


class Picture:
    """How far a plan is, on standard error."""

    def __init__(self) -> None:
        self._last = ""
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            console = Console(stderr=True)
            columns = (BarColumn(), TextColumn("{task.percentage:>3.0f} %  {task.description}"))
            self._progress = Progress(*columns, console=console)
            self._progress.start()
            self._task = self._progress.add_task("", total=None)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def show(self, plan: pb.Plan) -> None:
        """The plan as it is now."""
        done, total = plans.progress(plan)
        if self._progress is not None and self._task is not None:
            line = plans.progress_line(plan)
            self._progress.update(self._task, total=total, completed=done, description=line)
            return
        # A line for each step that is done, and not for each second that passes.
        key = f"{plan.plan_id} {plan.state} {done}"
        if key != self._last:
            self._last = key
            say(plans.progress_line(plan))

    def tell(self, sentence: str) -> None:
        """Why there is nothing to show."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, description=sentence)
        elif sentence != self._last:
            self._last = sentence
            say(sentence)


async def watch(services: Services, plan_id: str, within_s: float) -> Exit:
    """Follow a plan to its end. One that others replace is followed to the end of those.

    :raises UnfinishedError: it goes on for longer than that.
    """
    seen: pb.Plan | None = None
    until = asyncio.get_running_loop().time() + within_s
    with Picture() as picture:
        while True:
            try:
                seen, is_over = await _look(services, plan_id, seen)
            except NotFoundError:
                raise
            except BecketError as error:
                picture.tell(str(error))
                is_over = False
            else:
                picture.show(seen)
                plan_id = seen.plan_id
            if is_over and seen is not None:
                break
            await _pause(until, plan_id, within_s)
    return Exit.NOT_DONE if seen.state == pb.PLAN_STATE_CANCELLED else Exit.DONE


async def _look(services: Services, plan_id: str, seen: pb.Plan | None) -> tuple[pb.Plan, bool]:
    try:
        plan = await plans.get(services, plan_id)
    except NotFoundError:
        if seen is None:
            raise
        # The supervisor that knew it is gone. Another one has the rest of it, or there is none.
        current = await plans.present(services)
        if current is not None:
            return current, False
        over = pb.Plan()
        over.CopyFrom(seen)
        over.state, over.copied_bytes = pb.PLAN_STATE_DONE, seen.total_bytes
        for step in over.steps:
            step.state = pb.STEP_STATE_DONE
        return over, True
    if plan.state == pb.PLAN_STATE_CANCELLED and not _was_cancelled(seen):
        current = await plans.present(services)
        if current is not None and current.plan_id != plan_id:
            return current, False
    return plan, plan.state in (pb.PLAN_STATE_DONE, pb.PLAN_STATE_CANCELLED)


def _was_cancelled(seen: pb.Plan | None) -> bool:
    return seen is not None and seen.state == pb.PLAN_STATE_CANCELLED


async def watch_scale(services: Services, count: int, within_s: float) -> Exit:
    """Follow whatever plan is under way until so many members hold everything.

    :raises UnfinishedError: it goes on for longer than that.
    """
    missing = scaled(count)
    until = asyncio.get_running_loop().time() + within_s
    with Picture() as picture:
        while True:
            try:
                sentence = await missing(services)
                if not sentence:
                    return Exit.DONE
                current = await plans.present(services)
            except BecketError as error:
                sentence, current = str(error), None
            if current is None:
                picture.tell(sentence)
            else:
                picture.show(current)
            await _pause(until, f"{count} members", within_s)


async def _pause(until: float, what: str, within_s: float) -> None:
    if asyncio.get_running_loop().time() + LOOK_S > until:
        raise UnfinishedError(f"{what}: not done within {within_s:g} s")
    await asyncio.sleep(LOOK_S)
