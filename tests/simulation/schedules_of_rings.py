"""Written schedules about ring changes, take-overs and generations (PROTOCOL R5, R8, R12, R13).

Each takes no arguments, leads a stage, and returns it to be judged. The core as it is must pass.
"""

from __future__ import annotations

from becket.core.replication.messages import (
    Accept,
    Check,
    Compare,
    CopyIn,
    CopyKeys,
    ListKeys,
    Prepare,
    ReadKey,
    WouldPromise,
)
from tests.simulation.stage import Stage, quick
from tests.simulation.world import MS

OLD, NEW = ("m0", "m1", "m2"), ("m3", "m4", "m5")
PROMPT = quick(stand_unlevel_us=10 * MS, stand_step_us=10 * MS)
"""Whoever is told that the coordinator is gone stands almost at once."""


def newcomers_prepare_alone() -> Stage:
    """Newcomers that reach no member of old must not coordinate beside a leased coordinator."""
    stage = Stage(6)
    stage.until_reign("m0")
    stage.put("writer", "k", "before", "m0").until_over()
    stage.cut(["m0"], NEW)
    stage.hold(NEW, OLD, WouldPromise, Prepare)
    stage.begin(NEW, NEW)
    for _ in range(60):
        stage.get("reader", "k", "m0").until_over()
        others = [name for name in stage.coordinators() if name != "m0"]
        if others:
            break
        stage.run(40)
    else:
        others = ["m3"]
    stage.hold(("m1", "m2"), ["m0"])
    stage.put("writer", "k", "after", others[0]).until_over(300)
    stage.get("reader", "k", "m0").until_over(300)
    return stage


def removed_members_vote() -> Stage:
    """A member that slept through its removal finds two others that were removed."""
    stage = Stage(6)
    stage.until_reign("m0")
    stage.put("writer", "k", "value", "m0").until_over()
    others = [name for name in stage.everybody() if name != "m2"]
    stage.cut(["m2"], others)
    stage.begin(NEW, others)
    stage.until(lambda: bool(stage.certified), 8000)
    stage.change(stage.config.finish(), others)
    stage.until(lambda: bool(set(stage.coordinators()) & set(NEW)), 4000)
    new = [name for name in stage.coordinators() if name in NEW] or list(NEW)
    stage.put("writer", "k", "newer", new[0]).until_over()
    stage.mend()
    stage.cut(["m2"], NEW)
    stage.until_reign("m2", 4000)
    stage.get("reader", "k", "m2").until_over(500)
    return stage


def accept_after_rejoining() -> Stage:
    """An Accept of a generation long past reaches a member that left and came back."""
    stage = Stage(4, settings=quick(purge_age_us=50 * MS, sweep_us=50 * MS))
    stage.until_reign("m0")
    late = stage.hold(["m0"], ["m2"], Accept)
    stage.put("writer", "k", "deleted", "m0").until_over()
    late.stop()
    stage.cut(["m2"], ("m0", "m1", "m3"))
    stage.move(("m0", "m1", "m3"))
    stage.run(300)
    stage.until(lambda: bool(stage.coordinators()), 3000)
    stage.delete("writer", "k", stage.coordinators()[0]).until_over(500)
    stage.until(lambda: not any(_cells(stage, name) for name in ("m0", "m1", "m3")), 5000)
    stage.hold(stage.everybody(), ["m2"], Compare)
    stage.certified.clear()
    stage.begin(("m0", "m1", "m2"), ["m2"])
    stage.run(100)
    late.release()
    stage.run(20)
    stage.mend()
    stage.offer(stage.everybody())
    stage.until(lambda: bool(stage.certified), 8000)
    stage.change(stage.config.finish(), stage.everybody())
    stage.run(500)
    stage.process(stage.coordinators()[0]).crash()
    stage.until(lambda: bool(stage.coordinators()), 4000)
    stage.get("reader", "k", stage.coordinators()[0]).until_over(2000)
    return stage


def _cells(stage: Stage, name: str) -> bool:
    return bool(stage.process(name).disk.view.cells.get(0))


def first_touch_without_promise() -> Stage:
    """A member reads a key for a candidate's touch, then hears the old coordinator's Accept."""
    stage = Stage(5, 5, PROMPT)
    stage.until_reign("m0")
    stage.put("writer", "k", "before", "m0").until_over()
    stage.run(300)
    stage.hold(["m0"], ["m1", "m3"])
    late = stage.hold(["m0"], ["m4"], Accept)
    stage.hold(["m0"], ["m4"], Compare, Check)
    stage.hold(["m1"], ["m4"], Prepare, Check, Accept, Compare, ListKeys, CopyIn, CopyKeys)
    stage.hold(["m1"], ["m0", "m2"], ReadKey)
    stage.hold(["m1"], ["m0"])
    write = stage.put("writer", "k", "after", "m0")
    stage.run(20)
    stage.suspect("m0", ("m1", "m3", "m2", "m4"))
    stage.hold(("m2", "m3", "m4"), stage.everybody(), WouldPromise)
    stage.hold(["m2"], ["m0"])
    stage.until_reign("m1", 2000)
    stage.get("reader", "k", "m1").until_over(300)
    late.release()
    write.until_over(50)
    stage.get("reader", "k", "m1").until_over(500)
    return stage


def write_that_new_lacks() -> Stage:
    """In a change, a write that reaches all of old and one of new is asked for; old then goes."""
    stage = Stage(6, settings=PROMPT)
    stage.until_reign("m0")
    stage.put("writer", "k", "before", "m0").until_over()
    stage.begin(NEW, stage.everybody())
    stage.until(lambda: bool(stage.certified), 8000)
    stage.run(50)
    first = (stage.coordinators() or ["m3"])[0]
    rest = [name for name in NEW if name != first]
    stage.hold([first], rest, Accept, CopyIn, CopyKeys)
    stage.put("writer", "k", "after", first).until_over(60)
    stage.process(first).crash()
    stage.change(stage.config.finish(), rest)
    stage.until(lambda: bool(set(stage.coordinators()) & set(rest)), 6000)
    new = [name for name in stage.coordinators() if name in rest] or rest
    stage.get("reader", "k", new[0]).until_over(1000)
    return stage


def half_written_at_the_final_swap() -> Stage:
    """A write that only old took is read before the final change, by a new coordinator."""
    stage = Stage(6, settings=PROMPT)
    stage.until_reign("m0")
    stage.put("writer", "k", "before", "m0").until_over()
    stage.begin(NEW, stage.everybody())
    stage.until(lambda: bool(stage.certified), 8000)
    first = stage.certified[-1] if stage.certified else "m3"
    rest = [name for name in NEW if name != first]
    stage.hold([first], rest, Accept, CopyIn, CopyKeys)
    stage.put("writer", "k", "after", first)
    stage.run(30)
    stage.restart(first)
    stage.hold(OLD, rest, CopyIn, CopyKeys, Accept, ReadKey)
    stage.hold([*NEW], stage.everybody(), WouldPromise)
    stage.suspect(first, stage.everybody())
    stage.until(lambda: bool(set(stage.coordinators()) & set(OLD)), 3000)
    second = (stage.coordinators() or ["m0"])[0]
    stage.get("reader", "k", second).until_over(300)
    stage.cut([first, *OLD], rest)
    stage.change(stage.config.finish(), rest)
    stage._holds.clear()
    stage.until(lambda: bool(set(stage.coordinators()) & set(rest)), 6000)
    third = [name for name in stage.coordinators() if name in rest] or rest
    stage.get("reader", "k", third[0]).until_over(2000)
    return stage
