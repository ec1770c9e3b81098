"""Take-over, hand-over, ring changes, copying, levelling and purging through real members."""

from __future__ import annotations

from becket.core.replication.cells import Outcome, Verdict
from becket.core.replication.copying import Phase
from becket.core.replication.messages import (
    Accept,
    CopyKeys,
    Drop,
    HandOver,
    Prepare,
    Release,
    Reply,
    SetFloor,
    Status,
    WouldPromise,
    WouldReply,
)
from becket.core.replication.roles import Role
from becket.core.replication.versions import ZERO
from tests.unit.core.replication.stage import DELETE, GET, Stage, increment, put

# Take-over


def test_r11_a_silent_coordinator_is_replaced_within_a_second() -> None:
    stage = Stage()
    name = stage.coordinator()
    stage.ask(name, put("v"))
    stage.wait(300)
    stage.stop(name)
    began = stage.now_us
    successor = stage.coordinator()
    assert stage.now_us - began < 1_000_000
    assert stage.ask(successor, GET).results[0].value == b"v"


def test_r11a_nobody_prepares_before_a_quorum_would_promise() -> None:
    stage = Stage()
    stage.coordinator()
    stage.wait(500)
    # c hears nobody; the others hear a.
    stage.hold = lambda _s, to, message: to == "c" and not isinstance(message, WouldReply)
    stage.seen.clear()
    stage.wait(2000)
    assert stage.reigning() == ["a"]
    assert stage.sent(WouldPromise)
    assert not stage.sent(Prepare)


def test_r11a_a_process_that_stood_still_resets_its_suspicion() -> None:
    stage = Stage()
    stage.coordinator()
    stage.wait(300)
    sleeper = stage.members.pop("c")
    stage.wait(3000)
    stage.members["c"] = sleeper
    sleeper.tick(stage.clocks())
    assert sleeper.seats[0].role is Role.FOLLOWER


def test_r12_a_new_epoch_is_above_every_promise() -> None:
    stage = Stage()
    name = stage.coordinator()
    before = stage.members[name].seats[0].part.record.promised
    stage.stop(name)
    after = stage.members[stage.coordinator()].seats[0].part.record.promised
    assert after > before


def test_r9_a_refusal_shows_the_promise_and_the_next_counter_is_above_it() -> None:
    stage = Stage()
    stage.coordinator()
    stage.cut("a")
    stage.wait(1200)
    assert stage.reigning() in (["b"], ["a", "b"])
    stage.heal()
    stage.wait(1500)
    stage.ask(stage.coordinator(), put("v"))
    promised = {m.seats[0].part.record.promised for m in stage.members.values()}
    assert len(promised) == 1


def test_r16_a_coordinator_that_hears_no_quorum_steps_down() -> None:
    stage = Stage()
    name = stage.coordinator()
    stage.cut(name)
    stage.wait(1500)
    assert name not in stage.reigning()


# Restart


def test_r22_a_restarted_member_lets_only_the_promised_disk_prepare() -> None:
    stage = Stage()
    stage.coordinator()
    for name in "abc":
        stage.stop(name)
    for name in "abc":
        stage.start(name)
    stage.wait(900)
    assert stage.reigning() == ["a"]


def test_r8_all_members_restart_and_everything_is_there() -> None:
    stage = Stage()
    stage.ask(stage.coordinator(), put("v"))
    for name in "abc":
        stage.stop(name)
        stage.start(name)
    assert stage.ask(stage.coordinator(), GET).results[0].value == b"v"


def test_r7_a_new_disk_votes_in_nothing() -> None:
    stage = Stage("abcd")
    stage.coordinator()
    assert stage.members["d"].seats == {}
    assert stage.ask("d", GET).outcome is Outcome.NO


# Hand-over


def test_r24_a_hand_over_is_done_before_suspicion_and_refuses_nothing_for_long() -> None:
    stage = Stage()
    name = stage.coordinator()
    stage.ask(name, put("v"))
    stage.wait(300)
    member = stage.members[name]
    member.hand_over(stage.clocks(), leaving=True)
    stage._take(name)
    waiting = stage.send(name, put("w"))
    stage.wait(140)
    successor = stage.coordinator()
    assert successor != name
    assert stage.answers[waiting].outcome is Outcome.NO
    assert stage.answers[waiting].coordinator == successor
    assert stage.ask(successor, GET).results[0].value == b"v"


def test_r24_an_epoch_that_was_released_is_never_resumed() -> None:
    stage = Stage()
    name = stage.coordinator()
    stage.ask(name, put("v"))
    stage.wait(300)
    stage.hold = lambda _s, _t, message: isinstance(message, HandOver)
    stage.members[name].hand_over(stage.clocks(), leaving=False)
    stage._take(name)
    stage.settle()
    assert stage.members[name].seats[0].coordinator is None
    assert all(m.seats[0].part.released.disk == name for m in stage.members.values())


def test_r24_every_member_hears_the_release() -> None:
    stage = Stage()
    name = stage.coordinator()
    stage.seen.clear()
    stage.members[name].hand_over(stage.clocks(), leaving=True)
    stage._take(name)
    stage.settle()
    assert sorted(to for _, to, m in stage.seen if isinstance(m, Release)) == ["b", "c"]


def test_a_level_member_that_comes_back_gets_its_partitions_back() -> None:
    stage = Stage()
    stage.coordinator()
    stage.stop("a")
    assert stage.coordinator() == "b"
    stage.ask("b", put("v"))
    stage.start("a")
    stage.wait(5000)
    assert stage.reigning() == ["a"]
    assert stage.ask("a", GET).results[0].value == b"v"


# Ring change


def test_r17_to_r19_a_newcomer_gets_everything_before_it_is_certified() -> None:
    stage = Stage("abcd", page_keys=2)
    name = stage.coordinator()
    for number in range(7):
        stage.ask(name, put(str(number)), key=b"k%d" % number, session=f"s{number}")
    stage.ask(name, DELETE, key=b"k3")
    joint = stage.config.begin(("a", "b", "d"))
    for member in "abcd":
        stage.offer(member, joint)
    certificate = stage.certify(joint.gen)
    assert certificate.disk == "a"
    assert stage.cells("d") == stage.cells("a")
    assert stage.cells("d")[b"k3"] is None
    copying = stage.members["a"].seats[0].coordinator.copying  # type: ignore[union-attr]
    assert copying is not None
    assert copying.is_certified
    assert Phase.CERTIFIED.value == "complete"
    assert stage.disks["d"].view.cells[0][b"k0"].records


def test_r19_no_certificate_while_a_newcomer_lacks_the_floor() -> None:
    stage = Stage("abcd")
    stage.ask(stage.coordinator(), put("v"))
    stage.hold = lambda _s, _t, message: isinstance(message, SetFloor)
    joint = stage.config.begin(("a", "b", "d"))
    for member in "abcd":
        stage.offer(member, joint)
    stage.wait(2000)
    assert stage.certificates == []
    stage.heal()
    stage.certify(joint.gen)


def test_copying_goes_no_faster_than_it_is_allowed_to() -> None:
    stage = Stage("abcd", page_keys=4)
    name = stage.coordinator()
    for number in range(12):
        stage.ask(name, put(str(number)), key=b"k%d" % number, session=f"s{number}")
    stage.copies = 0
    joint = stage.config.begin(("a", "b", "d"))
    for member in "abcd":
        stage.offer(member, joint)
    stage.wait(2000)
    assert stage.cells("d") == {}
    stage.copies = 1
    for copied in range(1, 13):
        stage.wait(20, step_ms=20)
        assert len(stage.cells("d")) <= copied
    stage.certify(joint.gen)
    assert stage.cells("d") == stage.cells(name)


def test_r14_in_joint_both_majorities_must_take_a_write() -> None:
    stage = Stage("abcdef")
    stage.ask(stage.coordinator(), put("v"))
    joint = stage.config.begin(("d", "e", "f"))
    for member in "abcdef":
        stage.offer(member, joint)
    name = stage.coordinator()
    stage.ask(name, put("w"))
    stage.cut("d", "e", "f")
    assert stage.send(name, put("x")) not in stage.answers


def test_r3_all_replicas_can_be_replaced_at_once() -> None:
    stage = Stage("abcdef")
    stage.ask(stage.coordinator(), put("v"))
    joint = stage.config.begin(("d", "e", "f"))
    for member in "abcdef":
        stage.offer(member, joint)
    certificate = stage.certify(joint.gen)
    assert certificate.disk in "def", "a member of new coordinates at the final CAS"
    for member in "abcdef":
        stage.offer(member, joint.finish())
    stage.wait(2000)
    assert stage.coordinator() in "def"
    assert stage.ask(stage.coordinator(), GET).results[0].value == b"v"


def test_r5_a_removed_member_deletes_its_cells_and_keeps_what_it_promised() -> None:
    stage = Stage("abcd")
    stage.ask(stage.coordinator(), put("v"))
    joint = stage.config.begin(("a", "b", "d"))
    for member in "abcd":
        stage.offer(member, joint)
    stage.certify(joint.gen)
    for member in "abcd":
        stage.offer(member, joint.finish())
    stage.wait(1500)
    record = stage.disks["c"].view.records[0]
    assert stage.cells("c") == {}
    assert record.config == joint.finish()
    assert record.promised > ZERO.epoch
    assert record.since is None


def test_r4_a_member_that_joins_again_starts_empty() -> None:
    stage = Stage("abcd")
    stage.ask(stage.coordinator(), put("v"))
    stage.cut("c")  # It sleeps through its removal.
    joint = stage.config.begin(("a", "b", "d"))
    for member in "abd":
        stage.offer(member, joint)
    stage.certify(joint.gen)
    final = joint.finish()
    for member in "abd":
        stage.offer(member, final)
    stage.wait(1500)
    assert stage.cells("c") == {b"k": b"v"}
    again = final.begin(("a", "b", "c"))
    stage.hold = lambda _s, to, message: to == "c" and isinstance(message, CopyKeys | Accept)
    for member in "abcd":
        stage.offer(member, again)
    stage.wait(1500)
    assert stage.cells("c") == {}


def test_r2_a_change_can_be_abandoned_at_any_time() -> None:
    stage = Stage("abcd")
    stage.ask(stage.coordinator(), put("v"))
    joint = stage.config.begin(("a", "b", "d"))
    for member in "abcd":
        stage.offer(member, joint)
    for member in "abcd":
        stage.offer(member, joint.abandon())
    stage.wait(1500)
    assert stage.ask(stage.coordinator(), GET).results[0].value == b"v"
    assert stage.cells("d") == {}


def test_r3_a_change_interrupts_no_operation() -> None:
    stage = Stage("abcd")
    name = stage.coordinator()
    stage.ask(name, put("v"))
    joint = stage.config.begin(("a", "b", "d"))
    stage.hold = lambda _s, _t, message: isinstance(message, Accept)
    started = stage.send(name, increment(), key=b"n")
    stage.offer("a", joint)
    waiting = stage.send(name, put("w"))
    stage.release_held()
    stage.wait(100)
    assert stage.answers[started].outcome is Outcome.OK
    assert stage.answers[waiting].outcome is Outcome.OK


# Levelling, purging, damage


def test_r35_a_member_that_was_away_is_brought_level_in_the_background() -> None:
    stage = Stage(compare_us=200_000, sweep_us=100_000)
    name = stage.coordinator()
    stage.stop("c")
    for number in range(20):
        stage.ask(name, put(str(number)), key=b"k%d" % number, session=f"s{number}")
    stage.start("c")
    stage.wait(3000)
    assert stage.cells("c") == stage.cells("a")
    coordinator = stage.members[name].seats[0].coordinator
    assert coordinator is not None
    assert coordinator.levelling.is_level("c")


def test_r21_a_tombstone_that_all_have_is_purged_and_the_floor_raised() -> None:
    stage = Stage(purge_age_us=200_000, sweep_us=100_000)
    name = stage.coordinator()
    stage.ask(name, put("v"))
    stage.ask(name, DELETE)
    stage.wait(1500)
    assert all(stage.cells(disk) == {} for disk in "abc")
    assert all(stage.disks[d].view.records[0].floor > ZERO for d in "abc")
    assert stage.ask(name, put("again")).outcome is not Outcome.UNKNOWN


def test_r21_a_dead_member_blocks_purging_and_nothing_else() -> None:
    stage = Stage(purge_age_us=200_000, sweep_us=100_000)
    name = stage.coordinator()
    stage.ask(name, put("v"))
    stage.stop("c")
    stage.ask(name, DELETE)
    stage.wait(1500)
    assert not stage.sent(Drop)
    assert stage.ask(name, GET).results[0].verdict is Verdict.ABSENT


def test_r21_nothing_is_purged_in_a_joint_config() -> None:
    stage = Stage("abcd", purge_age_us=100_000, sweep_us=50_000)
    stage.ask(stage.coordinator(), DELETE, retry=True)
    stage.hold = lambda _s, _t, message: isinstance(message, SetFloor)
    joint = stage.config.begin(("a", "b", "d"))
    for member in "abcd":
        stage.offer(member, joint)
    stage.wait(2000)
    assert b"k" in stage.cells("a")


def test_r8_a_damaged_cell_is_not_absent_and_is_healed_from_the_others() -> None:
    stage = Stage(sweep_us=50_000, compare_us=100_000)
    name = stage.coordinator()
    stage.ask(name, put("v"))
    for image in (stage.disks["b"].view, stage.disks["b"].durable):
        image.corrupt.add((0, b"k"))
    stage.wait(1500)
    assert any(reply.status is Status.CORRUPT for reply in stage.sent(Reply))
    assert stage.disks["b"].view.corrupt == set()
    assert stage.cells("b") == {b"k": b"v"}


def test_r8_the_coordinators_own_damaged_cell_is_read_from_the_others() -> None:
    stage = Stage()
    name = stage.coordinator()
    stage.ask(name, put("v"))
    stage.wait(500)
    stage.disks[name].view.corrupt.add((0, b"k"))
    assert stage.ask(name, GET).results[0].value == b"v"
    assert stage.disks[name].view.corrupt == set()


def test_r8_a_partition_of_two_mends_a_damaged_cell() -> None:
    stage = Stage("ab", "ab", sweep_us=50_000, compare_us=100_000)
    name = stage.coordinator()
    stage.ask(name, put("v"))
    other = "b" if name == "a" else "a"
    for image in (stage.disks[other].view, stage.disks[other].durable):
        image.corrupt.add((0, b"k"))
    stage.stop(name)
    stage.start(name)
    successor = stage.coordinator()
    assert stage.ask(successor, GET).results[0].value == b"v"
    stage.wait(1500)
    assert stage.cells(other) == {b"k": b"v"}
    assert stage.disks[other].view.corrupt == set()


def test_r8_what_only_the_damaged_member_may_hold_is_waited_for() -> None:
    stage = Stage()
    name = stage.coordinator()
    stage.ask(name, put("v"))
    stage.stop(name)
    successor = stage.coordinator()
    stage.disks[successor].view.corrupt.add((0, b"k"))
    number = stage.send(successor, GET)
    assert number not in stage.answers, "one whole copy of three may be an old one"
    stage.start(name)
    stage.wait(400)
    assert stage.answers[number].results[0].value == b"v"
