"""Written schedules about purges, copies, retries, expiry and reads (R4, R7, R16-R21, R24, R33).

Each takes no arguments, leads a stage, and returns it to be judged. The core as it is must pass.
"""

from __future__ import annotations

from becket.core.replication.cells import Kind, Operation
from becket.core.replication.messages import Accept, Compare, CopyIn, ListKeys, WouldPromise
from tests.simulation.stage import Running, Stage, quick
from tests.simulation.world import MS

OLD, NEW = ("m0", "m1", "m2"), ("m3", "m4", "m5")
SOON = {"stand_unlevel_us": 10 * MS, "stand_step_us": 10 * MS}
PROMPT = quick(**SOON)
PURGING = quick(**SOON, purge_age_us=50 * MS, sweep_us=50 * MS)


def _holds_cells(stage: Stage, names: tuple[str, ...]) -> bool:
    return any(stage.process(name).disk.view.cells.get(0) for name in names)


def _purged(stage: Stage, names: tuple[str, ...], at: str) -> None:
    """Delete the key and wait until these members have dropped the tombstone."""
    stage.delete("deleter", "k", at).until_over(1000)
    stage.until(lambda: not _holds_cells(stage, names), 5000)


def _reign(stage: Stage) -> str:
    stage.until(lambda: bool(stage.coordinators()), 4000)
    return (stage.coordinators() or ["m0"])[0]


def _reread_without(stage: Stage, name: str) -> None:
    """The others coordinate, with nobody comparing what is stored; the key is read."""
    stage.hold(stage.everybody(), stage.everybody(), Compare, ListKeys)
    stage.process(name).crash()
    stage.run(100)
    stage.get("reader", "k", _reign(stage)).until_over(2000)


def _unanswered(stage: Stage, at: str) -> Running:
    """A put that is executed and whose answer is lost; then somebody reads it."""
    stage.world.cuts.add((at, "retrier"))
    call = stage.call("retrier", "k", Operation(Kind.PUT, b"once")).attempt(at)
    stage.run(50)
    stage.get("reader", "k", at).until_over()
    return call


def slept_through_removal() -> Stage:
    """A member sleeps while it is removed, a key is purged, and it is added again."""
    stage = Stage(4, settings=PURGING)
    stage.until_reign("m0")
    stage.put("writer", "k", "deleted", "m0").until_over()
    stage.run(100)
    stage.cut(["m2"], ("m0", "m1", "m3"))
    stage.begin(("m0", "m1", "m3"), ("m0", "m1", "m3"))
    stage.until(lambda: bool(stage.certified), 8000)
    stage.change(stage.config.finish(), ("m0", "m1", "m3"))
    stage.run(300)
    _purged(stage, ("m0", "m1", "m3"), _reign(stage))
    stage.hold(stage.everybody(), ["m2"], Compare)
    stage.mend()
    stage.move(OLD)
    stage.run(500)
    _reread_without(stage, _reign(stage))
    return stage


def retry_after_a_change() -> Stage:
    """An executed put is deleted, the partition moves, and only then the put is retried."""
    stage = Stage(6, settings=PROMPT)
    stage.until_reign("m0")
    call = _unanswered(stage, "m0")
    stage.delete("deleter", "k", "m0").until_over()
    return _moved_and_retried(stage, call)


def retry_after_a_purge_and_a_change() -> Stage:
    """The same, and the tombstone with its records was purged before the move."""
    stage = Stage(6, settings=PURGING)
    stage.until_reign("m0")
    call = _unanswered(stage, "m0")
    _purged(stage, OLD, "m0")
    return _moved_and_retried(stage, call)


def retry_beside_another_key() -> Stage:
    """An executed put is deleted and purged; its session learns of it by another key's answer."""
    stage = Stage(3, settings=PURGING)
    stage.until_reign("m0")
    call = _unanswered(stage, "m0")
    _purged(stage, OLD, "m0")
    stage.mend()
    stage.put("retrier", "other", "x", "m0").until_over()
    stage.get("reader", "k", "m0").until_over()
    call.attempt("m0").until_over(500)
    stage.get("reader", "k", "m0").until_over()
    return stage


def _moved_and_retried(stage: Stage, call: Running) -> Stage:
    stage.move(NEW)
    stage.run(300)
    at = _reign(stage)
    stage.get("reader", "k", at).until_over(500)
    call.attempt(at).until_over(500)
    stage.get("reader", "k", at).until_over(500)
    return stage


def late_copy_after_a_purge() -> Stage:
    """A copy of a cell arrives after the key was deleted and purged everywhere."""
    stage = Stage(3, settings=PURGING)
    stage.until_reign("m0")
    stage.put("writer", "other", "x", "m0").until_over()
    stage.hold(["m0"], ["m2"], Accept)
    late = stage.hold(["m0"], ["m2"], CopyIn)
    stage.put("writer", "k", "deleted", "m0").until_over()
    stage.until(lambda: bool(late.kept), 3000)
    late.stop()
    stage._holds[0].stop()
    stage.run(500)
    stage.delete("deleter", "k", "m0").until_over(1000)
    stage.until(lambda: not any(_has(stage, name, b"k") for name in OLD), 5000)
    late.release()
    stage.run(20)
    _reread_without(stage, "m0")
    return stage


def _has(stage: Stage, name: str, key: bytes) -> bool:
    return key in stage.process(name).disk.view.cells.get(0, {})


def wiped_disk() -> Stage:
    """One of the two members that hold an acknowledged write loses its disk."""
    stage = Stage(3, settings=PROMPT)
    stage.until_reign("m0")
    stage.hold(["m0"], ["m2"])
    stage.put("writer", "k", "value", "m0").until_over()
    stage.cut(["m0"], ("m1", "m2"))
    stage.process("m1").wipe()
    stage.process("m1").start()
    stage.run(450)
    stage.suspect("m0", ("m1", "m2"))
    stage.until(lambda: bool({"m1", "m2"} & set(stage.coordinators())), 2500)
    others = [name for name in stage.coordinators() if name != "m0"] or ["m2"]
    stage.get("reader", "k", others[0]).until_over(500)
    return stage


def acknowledged_before_the_sync() -> Stage:
    """Disks are slow, an Accept is repeated, and the power fails before they are done."""
    stage = Stage(3, settings=quick(**SOON, resend_us=4 * MS))
    stage.until_reign("m0")
    stage.run(600)
    stage.cluster.slow_sync = 1.0
    stage.hold(["m0"], ["m2"], Accept)
    stage.put("writer", "k", "value", "m0").until_over(100)
    for name in ("m0", "m1"):
        stage.lose_unsynced(name)
    stage.cluster.slow_sync = 0.0
    stage.process("m1").start()
    stage.until(lambda: bool({"m1", "m2"} & set(stage.coordinators())), 3000)
    stage.get("reader", "k", _reign(stage)).until_over(500)
    return stage


def deaf_to_a_delete() -> Stage:
    """A replica misses a delete; the tombstone is purged while it is away."""
    stage = Stage(3, settings=PURGING)
    stage.until_reign("m0")
    stage.put("writer", "k", "deleted", "m0").until_over()
    stage.run(100)
    stage.cut(["m2"], ("m0", "m1"))
    stage.delete("deleter", "k", "m0").until_over()
    stage.run(1500)
    return _reread_beside(stage, "m2", OLD)


def newcomer_deaf_to_a_delete() -> Stage:
    """In a change, a newcomer that has the value misses its delete; then the change ends."""
    stage = Stage(6, settings=PURGING)
    deaf = _deleted_in_a_change(stage, NEW)
    stage.change(stage.config.finish(), stage.everybody())
    return _reread_beside(stage, deaf, NEW)


def leaver_deaf_to_a_delete() -> Stage:
    """In a change, a member that leaves misses a delete; then the change is given up."""
    stage = Stage(6, settings=PURGING)
    deaf = _deleted_in_a_change(stage, OLD)
    stage.change(stage.config.abandon(), stage.everybody())
    return _reread_beside(stage, deaf, OLD)


def _deleted_in_a_change(stage: Stage, side: tuple[str, ...]) -> str:
    stage.until_reign("m0")
    stage.put("writer", "k", "deleted", "m0").until_over()
    stage.begin(NEW, stage.everybody())
    stage.until(lambda: bool(stage.certified), 8000)
    stage.run(100)
    at = _reign(stage)
    deaf = next(name for name in reversed(side) if name != at)
    stage.cut([deaf], [name for name in stage.everybody() if name != deaf])
    stage.delete("deleter", "k", at).until_over(1000)
    stage.run(2000)
    return deaf


def _reread_beside(stage: Stage, deaf: str, side: tuple[str, ...]) -> Stage:
    """The deaf member and one other of its side decide what the key holds."""
    stage.hold(stage.everybody(), stage.everybody(), Compare, ListKeys)
    stage.mend()
    other = next(name for name in side if name != deaf)
    away = [name for name in stage.everybody() if name not in (deaf, other)]
    stage.cut(away, (deaf, other))
    for name in away:
        stage.suspect(name, (deaf, other))
    stage.until(lambda: bool({deaf, other} & set(stage.coordinators())), 6000)
    reigning = [name for name in stage.coordinators() if name in (deaf, other)] or [other]
    stage.get("reader", "k", reigning[0]).until_over(1500)
    return stage


def expired_on_one_clock() -> Stage:
    """A value is expired by one coordinator's clock, not yet by the next one's."""
    stage = Stage(3, settings=PROMPT, skews=(400, -400, -400))
    stage.until_reign("m1")
    if "m0" not in stage.coordinators():
        stage.process(_reign(stage)).hand_over(leaving=False)
        stage.until_reign("m0")
    write = Operation(Kind.PUT, b"short-lived", ttl_ms=200)
    stage.call("writer", "k", write).attempt("m0").until_over()
    stage.run(250)
    stage.get("reader", "k", "m0").until_over()
    stage.process("m0").hand_over(leaving=True)
    stage.until(lambda: bool({"m1", "m2"} & set(stage.coordinators())), 2000)
    stage.get("reader", "k", _reign(stage)).until_over()
    return stage


def read_while_handing_over() -> Stage:
    """A hand-over waits for an open write; reads arrive meanwhile."""
    stage = Stage(3, settings=PROMPT)
    stage.until_reign("m0")
    stage.put("writer", "k", "before", "m0").until_over()
    for _ in range(4):
        stage.get("reader", "k", "m0").until_over()
        stage.run(60)
    stage.hold(["m0"], ("m1", "m2"), Accept)
    stage.put("blocker", "other", "x", "m0")
    stage.run(2)
    stage.hold(("m1", "m2"), ["m0"])
    stage.process("m0").hand_over(leaving=False)
    stage.until(lambda: bool({"m1", "m2"} & set(stage.coordinators())), 40)
    new = [name for name in stage.coordinators() if name != "m0"] or ["m1"]
    stage.put("writer", "k", "after", new[0]).until_over(20)
    stage.get("reader", "k", "m0").until_over(60)
    return stage


def woken_coordinator() -> Stage:
    """A coordinator stands still, another one writes, and the first is asked as it wakes."""
    stage = Stage(3, settings=PROMPT)
    stage.until_reign("m0")
    stage.put("writer", "k", "before", "m0").until_over()
    for _ in range(4):
        stage.get("reader", "k", "m0").until_over()
        stage.run(60)
    stage.cut(["m0"], ("m1", "m2"))
    stage.process("m0").pause(1500 * MS)
    stage.until(lambda: bool({"m1", "m2"} & set(stage.coordinators())), 1400)
    new = [name for name in stage.coordinators() if name != "m0"] or ["m1"]
    stage.put("writer", "k", "after", new[0]).until_over(50)
    reads = [stage.get(f"reader{n}", "k", "m0") for n in range(6)]
    stage.until(lambda: all(read.is_over for read in reads), 1600)
    return stage


def two_coordinators_in_a_change() -> Stage:
    """A coordinator of a change reaches only old; the change has ended, and new goes on."""
    return _beside_the_end_of_a_change(stage=Stage(6, settings=PROMPT), leased=False)


def leased_by_old_alone() -> Stage:
    """The same, and the coordinator of the change is granted leases, by old alone."""
    return _beside_the_end_of_a_change(stage=Stage(6, settings=PROMPT), leased=True)


def _beside_the_end_of_a_change(stage: Stage, *, leased: bool) -> Stage:
    stage.until_reign("m0")
    stage.put("writer", "k", "before", "m0").until_over()
    stage.begin(NEW, stage.everybody())
    stage.until(lambda: bool(stage.certified), 8000)
    stage.run(50)
    quiet = stage.hold(NEW, stage.everybody(), WouldPromise)
    stage.restart(_reign(stage))
    stage.run(20)
    for name in NEW:
        stage.suspect(name, stage.everybody())
    stage.until(lambda: bool(set(stage.coordinators()) & set(OLD)), 3000)
    old = _reign(stage)
    stage.get("reader", "k", old).until_over(500)
    stage.cut(OLD, NEW)
    quiet.stop()
    stage.change(stage.config.finish(), NEW)
    end = stage.world.now_us + 3000 * MS
    while stage.world.now_us < end and not set(stage.coordinators()) & set(NEW):
        if leased:
            stage.get("keeper", "k", old).until_over(20)
        stage.run(40)
    new = [name for name in stage.coordinators() if name in NEW] or list(NEW)
    stage.put("writer", "k", "after", new[0]).until_over(200)
    stage.get("reader", "k", old).until_over(300)
    return stage
