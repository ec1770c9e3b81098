"""Written schedules about leases (PROTOCOL R3, R22, R23).

Each takes no arguments, leads a stage, and returns it to be judged. The core as it is must pass.
"""

from __future__ import annotations

from becket.core.replication.cells import Kind, Operation
from becket.core.replication.messages import (
    Accept,
    ClaimReply,
    Compare,
    CopyIn,
    ListKeys,
    Prepare,
    WouldPromise,
)
from tests.simulation.stage import Stage, quick
from tests.simulation.world import MS

PROMPT = quick(stand_unlevel_us=10 * MS, stand_step_us=10 * MS)
OTHERS = ("m1", "m2")


def _leased(stage: Stage) -> None:
    """A write, and reads until a lease is held."""
    stage.until_reign("m0")
    stage.put("writer", "k", "before", "m0").until_over()
    for _ in range(4):
        stage.get("reader", "k", "m0").until_over()
        stage.run(60)


def _taken_over(stage: Stage, members: tuple[str, ...]) -> None:
    """Others are told that m0 is gone, coordinate if they may, and write; then m0 is read."""
    stage.suspect("m0", members)
    stage.until(lambda: bool(set(stage.coordinators()) & set(members)), 600)
    new = [name for name in stage.coordinators() if name in members]
    stage.put("writer", "k", "after", new[0] if new else members[0]).until_over(100)
    stage.get("reader", "k", "m0").until_over(50)


def everybody_restarts() -> Stage:
    """Both grantors of a lease forget it in a restart."""
    stage = Stage(3, settings=PROMPT)
    _leased(stage)
    stage.cut(["m0"], OTHERS)
    for name in OTHERS:
        stage.restart(name)
    stage.run(30)
    _taken_over(stage, OTHERS)
    return stage


def clocks_apart() -> Stage:
    """The owner's clock is as slow, the grantors' clocks as fast as is allowed."""
    slow = quick(stand_unlevel_us=10 * MS, stand_step_us=10 * MS, clock_rate_error=0.3)
    stage = Stage(3, settings=slow, rates="-++")
    if not stage.until_reign("m0", 500):
        stage.process((stage.coordinators() or ["m1"])[0]).hand_over(leaving=False)
    _leased(stage)
    stage.cut(["m0"], OTHERS)
    _taken_over(stage, OTHERS)
    return stage


def slow_reply() -> Stage:
    """A grant arrives long after its request was sent."""
    stage = Stage(3, settings=PROMPT)
    stage.until_reign("m0")
    stage.put("writer", "k", "before", "m0").until_over()
    stage.run(900)
    replies = stage.hold(OTHERS, ["m0"], ClaimReply)
    stage.get("reader", "k", "m0").until_over()
    stage.hold(["m0"], OTHERS)
    stage.run(300)
    replies.release()
    stage.run(10)
    stage.cut(["m0"], OTHERS)
    _taken_over(stage, OTHERS)
    return stage


def adopted_in_a_lease() -> Stage:
    """Grantors of a lease adopt a change that the lease's owner has not heard of."""
    stage = Stage(4, settings=PROMPT)
    _leased(stage)
    stage.cut(["m0"], ("m1", "m2", "m3"))
    stage.begin(("m1", "m2", "m3"), ("m1", "m2", "m3"))
    stage.run(80)
    _taken_over(stage, OTHERS)
    return stage


def untouched_in_a_lease() -> Stage:
    """A coordinator that lacks a chosen write has leases, and has not touched the key."""
    stage = Stage(3, settings=PROMPT)
    stage.until_reign("m0")
    stage.put("writer", "k", "before", "m0").until_over()
    stage.run(100)
    stage.hold(stage.everybody(), ["m2"], Accept, CopyIn)
    stage.hold(stage.everybody(), stage.everybody(), Compare, ListKeys)
    stage.put("writer", "k", "after", "m0").until_over()
    stage.hold(["m1"], stage.everybody(), WouldPromise, Prepare)
    stage.process("m0").crash()
    stage.suspect("m0", OTHERS)
    stage.until(lambda: stage.coordinators() == ["m2"], 4000)
    for _ in range(4):
        stage.get("reader", "other", "m2").until_over()
        stage.run(60)
    stage.get("reader", "k", "m2").until_over()
    return stage


def deposed_out_of_earshot() -> Stage:
    """A coordinator that hears no member is asked by a client that has seen a newer epoch.

    The client goes where the last answer sends it, so a coordinator that refuses by the stamp and
    stays (R30) keeps the client to itself, while a majority would serve it.
    """
    stage = Stage(3, settings=quick(stand_unlevel_us=10 * MS, isolation_us=60_000 * MS))
    _leased(stage)
    stage.cut(["m0"], OTHERS)
    stage.suspect("m0", OTHERS)
    stage.until(lambda: bool(set(stage.coordinators()) & set(OTHERS)), 2000)
    newer = [name for name in stage.coordinators() if name in OTHERS]
    stage.put("writer", "k", "seen", newer[0] if newer else "m1").until_over(1000)
    call = stage.call("writer", "k", Operation(Kind.PUT, b"after"))
    ask = "m0"
    for attempt in range(40):
        call.attempt(ask).until_over(100)
        if call.is_over:
            break
        ask = call.hint or OTHERS[attempt % len(OTHERS)]
    if not call.is_done:
        stage.overdue = "a client that follows the answers never reaches the majority"
    return stage
