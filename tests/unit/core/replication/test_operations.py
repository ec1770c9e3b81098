"""Operations through three real members: touch, writes, reads, outcomes (R12-R16, R24-R34)."""

from __future__ import annotations

import pytest

from becket.core.replication.cells import Kind, Operation, Outcome, Reason, Result, Verdict
from becket.core.replication.messages import Accept, Check, Claim, ClaimReply, ReadKey
from becket.core.replication.roles import Role
from becket.core.replication.versions import NO_EPOCH, ZERO, Epoch, Version
from tests.unit.core.replication.stage import DELETE, GET, Stage, if_version, increment, put


def values(stage: Stage) -> list[bytes | None]:
    """What each disk holds for the key."""
    cells = [disk.view.cells.get(0, {}).get(b"k") for disk in stage.disks.values()]
    return [cell.value if cell is not None else None for cell in cells]


def test_r11_the_first_of_the_order_stands_first() -> None:
    assert Stage().coordinator() == "a"


def test_r14_a_write_is_acknowledged_and_on_every_disk() -> None:
    stage = Stage()
    answer = stage.ask(stage.coordinator(), put("v"))
    assert answer.outcome is Outcome.OK
    assert values(stage) == [b"v"] * 3


def test_r14_no_majority_no_acknowledgement() -> None:
    stage = Stage()
    name = stage.coordinator()
    stage.ask(name, put("first"))
    stage.cut(name)
    assert stage.send(name, put("second")) not in stage.answers


def test_r15_a_write_given_up_is_unknown_and_must_be_touched_again() -> None:
    stage = Stage(round_us=300_000)
    name = stage.coordinator()
    stage.ask(name, put("first"))
    stage.hold = lambda _s, _t, message: isinstance(message, Accept)
    number = stage.send(name, put("second"))
    stage.wait(400)
    assert stage.answers[number].outcome is Outcome.UNKNOWN
    stage.heal()
    stage.seen.clear()
    assert stage.ask(name, GET).results[0].value == b"second"
    assert stage.sent(ReadKey)


def test_r15_what_has_not_started_ends_as_no() -> None:
    stage = Stage(isolation_us=500_000, round_us=5_000_000)
    name = stage.coordinator()
    stage.ask(name, put("first"))
    stage.cut(name)
    started = stage.send(name, put("second"))
    waiting = stage.send(name, put("third"))
    stage.wait(800)
    assert stage.answers[started].outcome is Outcome.UNKNOWN
    assert stage.answers[waiting].outcome is Outcome.NO


def test_r16_a_read_without_lease_asks_a_quorum_sent_after_it_arrived() -> None:
    stage = Stage()
    name = stage.coordinator()
    stage.ask(name, put("v"))
    stage.hold = lambda _s, _t, message: isinstance(message, Check | Claim)
    number = stage.send(name, GET)
    assert number not in stage.answers
    stage.release_held()
    assert stage.answers[number].results[0].value == b"v"


def test_r16_a_read_sees_the_chosen_cell_while_a_write_is_in_flight() -> None:
    stage = Stage()
    name = stage.coordinator()
    stage.ask(name, put("old"))
    stage.hold = lambda _s, _t, message: isinstance(message, Accept)
    stage.send(name, put("new"))
    assert stage.ask(name, GET).results[0].value == b"old"


def test_r23_a_leased_read_asks_nobody() -> None:
    stage = Stage()
    name = stage.coordinator()
    stage.ask(name, put("v"))
    stage.ask(name, GET)
    stage.wait(200)
    stage.ask(name, GET)
    stage.cut(name)
    assert stage.ask(name, GET).results[0].value == b"v"


def test_r23_leases_confirm_partitions_at_once_and_are_wished_for_where_they_do_not() -> None:
    stage = Stage()
    name = stage.coordinator()
    stage.ask(name, put("v"))
    member = stage.members[name]
    stage.wait(1000)
    assert member.confirm(stage.clocks(), [0, 7]) == {}
    stage._take(name)
    stage.settle()
    version = member.seats[0].coordinator.stamp  # type: ignore[union-attr]
    assert member.confirm(stage.clocks(), [0, 7]) == {0: version}
    stage.cut(name)
    stage.wait(500)
    assert member.confirm(stage.clocks(), [0]) == {}
    other = next(n for n in "abc" if n != name)
    assert stage.members[other].confirm(stage.clocks(), [7]) == {}


def read_now(stage: Stage, name: str, *keys: bytes) -> list[Result | None]:
    found = stage.members[name].read_now(stage.clocks(), [(0, key) for key in keys])
    stage._take(name)
    stage.settle()
    return found


def leased(stage: Stage) -> str:
    """Who coordinates, with a value and with leases."""
    name = stage.coordinator()
    stage.ask(name, put("v"))
    stage.ask(name, GET)
    stage.wait(200)
    return name


def test_r23_a_lease_answers_reads_at_once_and_wishes_for_one_where_there_is_none() -> None:
    stage = Stage()
    name = stage.coordinator()
    stage.ask(name, put("v"))
    stage.wait(1000)
    assert read_now(stage, name, b"k") == [None]
    stage.wait(200)
    [found, absent] = read_now(stage, name, b"k", b"never")
    assert found is not None
    assert absent is not None
    assert (found.value, absent.verdict) == (b"v", Verdict.ABSENT)
    other = next(n for n in "abc" if n != name)
    assert read_now(stage, other, b"k") == [None]
    assert stage.members[name].read_now(stage.clocks(), [(7, b"k")]) == [None]


def test_r16_what_is_read_at_once_is_chosen_though_a_write_is_in_flight() -> None:
    stage = Stage()
    name = leased(stage)
    stage.hold = lambda _s, _t, message: isinstance(message, Accept)
    stage.send(name, put("new"))
    [found] = read_now(stage, name, b"k")
    assert found is not None
    assert found.value == b"v"


def test_r15_a_key_whose_write_was_given_up_is_not_read_at_once() -> None:
    stage = Stage(round_us=300_000)
    name = leased(stage)
    stage.hold = lambda _s, _t, message: isinstance(message, Accept | ReadKey)
    number = stage.send(name, put("new"))
    stage.wait(400)
    assert stage.answers[number].outcome is Outcome.UNKNOWN
    assert stage.members[name].seats[0].role is Role.COORDINATING
    assert read_now(stage, name, b"k") == [None]


def test_r33_an_expired_value_is_not_read_at_once() -> None:
    stage = Stage()
    name = stage.coordinator()
    stage.ask(name, Operation(Kind.PUT, b"v", ttl_ms=300))
    stage.ask(name, GET)
    stage.wait(200)
    assert read_now(stage, name, b"k") != [None]
    stage.wait(200)
    assert read_now(stage, name, b"k") == [None]


def test_r23_what_was_worked_out_of_leases_ends_with_them() -> None:
    stage = Stage()
    name = leased(stage)
    coordinator = stage.members[name].seats[0].coordinator
    assert coordinator is not None
    assert coordinator.leased()
    peers = [pair for pair in stage.members[name].replica.pairs.values() if pair.granted]
    until_us = max(pair.granted_until_us for pair in peers)
    stage.cut(name)
    while stage.now_us < until_us:
        stage.members[name].tick(stage.clocks())
        stage._take(name)
        votes = [pair for pair in peers if stage.now_us < pair.granted_until_us]
        assert coordinator.leased() == bool(votes)
        stage.now_us += 1000
    stage.members[name].tick(stage.clocks())
    assert not coordinator.leased()


def test_r3_a_grant_that_leaves_the_partition_out_is_heeded_at_once() -> None:
    stage = Stage()
    name = leased(stage)
    coordinator = stage.members[name].seats[0].coordinator
    assert coordinator is not None
    stage.hold = lambda _s, to, message: to == name and isinstance(message, ClaimReply)
    stage.wait(150)
    assert coordinator.leased()
    assert stage.held
    for sender, to, message in stage.held:
        assert isinstance(message, ClaimReply)
        stage.deliver((sender, to, message._replace(except_=(0,))))
    assert not coordinator.leased()


def test_r23_after_the_lease_a_cut_off_coordinator_answers_nothing() -> None:
    stage = Stage()
    name = stage.coordinator()
    stage.ask(name, put("v"))
    stage.ask(name, GET)
    stage.wait(200)
    stage.cut(name)
    stage.wait(500)
    assert stage.send(name, GET) not in stage.answers


def test_r25_no_lease_is_asked_for_when_nobody_reads() -> None:
    stage = Stage()
    stage.coordinator()
    stage.wait(1000)
    stage.seen.clear()
    stage.wait(400)
    assert {claim.lease_us for claim in stage.sent(Claim)} == {0}


def test_r27_a_retry_gets_the_stored_result_and_is_not_executed_again() -> None:
    stage = Stage()
    name = stage.coordinator()
    first = stage.ask(name, increment(5), number=7)
    again = stage.ask(name, increment(5), number=7, retry=True)
    assert again.results == first.results
    assert stage.ask(name, GET).results[0].value == b"5"


def test_r27_an_older_number_is_refused() -> None:
    stage = Stage()
    name = stage.coordinator()
    stage.ask(name, increment(5), number=7)
    late = stage.ask(name, increment(5), number=6)
    assert (late.outcome, late.reason) == (Outcome.NO, Reason.OLD_NUMBER)


def test_r27_a_retry_is_known_after_a_take_over() -> None:
    stage = Stage()
    name = stage.coordinator()
    first = stage.ask(name, increment(5), number=7)
    stage.stop(name)
    successor = stage.coordinator()
    assert successor != name
    again = stage.ask(successor, increment(5), number=7, retry=True)
    assert again.results == first.results


def test_r28_a_negative_answer_to_a_retry_is_written() -> None:
    stage = Stage()
    name = stage.coordinator()
    stage.ask(name, put("v"), session="other")
    stale = Version(Epoch(1, "x", 1), 1)
    refused = stage.ask(name, if_version(stale, "w"), number=7, retry=True)
    assert refused.results[0].verdict is Verdict.CONDITION_FAILED
    cell = stage.disks["b"].view.cells[0][b"k"]
    assert [(r.session, r.number) for r in cell.records] == [("other", 1), ("s", 7)]
    assert cell.mod < cell.ver


def test_r30_a_stamp_of_a_newer_epoch_deposes() -> None:
    stage = Stage()
    name = stage.coordinator()
    newer = Version(Epoch(99, "z", 1), 3)
    answer = stage.ask(name, put("v"), stamp=newer)
    assert (answer.outcome, answer.reason) == (Outcome.NO, Reason.STEPPED_DOWN)
    assert stage.reigning() == []


def test_r30_a_stamp_below_the_floor_of_records_is_refused() -> None:
    stage = Stage(records_kept=1, records_limit=1)
    name = stage.coordinator()
    stamp = stage.ask(name, put("1"), session="s1").stamp
    stage.ask(name, put("2"), session="s2")
    stage.ask(name, put("3"), session="s3")
    refused = stage.ask(name, put("4"), session="s1", stamp=ZERO)
    assert refused.reason is Reason.STALE_STAMP
    assert refused.stamp > stamp
    assert stage.ask(name, put("4"), session="s1", stamp=refused.stamp).outcome is Outcome.OK


def test_r33_expiry_is_a_write() -> None:
    stage = Stage()
    name = stage.coordinator()
    stage.ask(name, put("v", ttl_ms=300))
    stage.wait(400)
    stage.hold = lambda _s, _t, message: isinstance(message, Accept)
    number = stage.send(name, GET)
    assert number not in stage.answers
    stage.release_held()
    assert stage.answers[number].results[0].verdict is Verdict.ABSENT
    assert values(stage) == [None] * 3


def test_words_a_take_over_does_not_change_what_clients_compare() -> None:
    stage = Stage()
    name = stage.coordinator()
    version = stage.ask(name, put("v")).results[0].version
    stage.hold = lambda _s, to, message: isinstance(message, Accept) and to == "c"
    version = stage.ask(name, put("w")).results[0].version
    stage.heal()
    stage.stop(name)
    successor = stage.coordinator()
    answer = stage.ask(successor, if_version(version, "x"))
    assert answer.results[0].verdict is Verdict.DONE


def test_r14a_a_batch_on_one_key_runs_in_order_under_one_number() -> None:
    stage = Stage()
    name = stage.coordinator()
    answer = stage.ask(name, increment(2), GET, increment(3), number=4)
    assert [result.value for result in answer.results] == [b"2", b"2", b"5"]
    again = stage.ask(name, increment(2), GET, increment(3), number=4, retry=True)
    assert again.results == answer.results


def test_r14a_queued_writes_of_one_key_are_folded_into_one_accept() -> None:
    stage = Stage()
    name = stage.coordinator()
    stage.ask(name, put("0"))
    stage.hold = lambda _s, _t, message: isinstance(message, Accept)
    numbers = [stage.send(name, increment(), session=f"s{i}") for i in range(5)]
    stage.seen.clear()
    stage.release_held()
    assert [stage.answers[n].results[0].value for n in numbers] == [b"1", b"2", b"3", b"4", b"5"]
    versions = [stage.answers[n].results[0].version for n in numbers]
    assert len(set(versions)) == 5
    assert len(stage.sent(Accept)) == 2


@pytest.mark.parametrize(
    ("operation", "verdict"),
    [
        (GET, Verdict.ABSENT),
        (DELETE, Verdict.ABSENT),
        (put("v", if_absent=True), Verdict.DONE),
        (if_version(Version(NO_EPOCH, 1), "v"), Verdict.CONDITION_FAILED),
        (increment(-3), Verdict.DONE),
    ],
)
def test_on_an_absent_key(operation: Operation, verdict: Verdict) -> None:
    stage = Stage()
    assert stage.ask(stage.coordinator(), operation).results[0].verdict is verdict


@pytest.mark.parametrize("value", ["x", "", "1e3", "99999999999999999999", "٣"])
def test_increment_of_what_is_no_number(value: str) -> None:
    stage = Stage()
    name = stage.coordinator()
    stage.ask(name, put(value))
    assert stage.ask(name, increment()).results[0].verdict is Verdict.NOT_A_NUMBER


def test_increment_past_64_bits_is_refused() -> None:
    stage = Stage()
    name = stage.coordinator()
    stage.ask(name, put(str(2**63 - 1)))
    assert stage.ask(name, increment()).results[0].verdict is Verdict.OUT_OF_RANGE
    assert stage.ask(name, GET).results[0].value == str(2**63 - 1).encode()


def test_a_member_that_does_not_coordinate_names_the_one_that_does() -> None:
    stage = Stage()
    stage.ask(stage.coordinator(), put("v"))
    answer = stage.ask("b", GET)
    assert (answer.outcome, answer.reason) == (Outcome.NO, Reason.WRONG_MEMBER)
    assert answer.coordinator == "a"


def test_an_overfull_queue_refuses_as_overload() -> None:
    stage = Stage(queue_limit=2)
    name = stage.coordinator()
    stage.ask(name, put("v"))
    stage.hold = lambda _s, _t, message: isinstance(message, Accept)
    sent = [stage.send(name, put("w"), session=f"s{i}") for i in range(4)]
    assert stage.answers[sent[-1]].reason is Reason.OVERLOADED
    stage.release_held()
    assert all(stage.answers[number].outcome is Outcome.OK for number in sent[:-1])


def test_a_deadline_that_has_passed_is_a_definite_no() -> None:
    stage = Stage()
    name = stage.coordinator()
    answer = stage.ask(name, put("v"), deadline_us=stage.now_us)
    assert (answer.outcome, answer.reason) == (Outcome.NO, Reason.DEADLINE)
    assert stage.ask(name, GET).results[0].verdict is Verdict.ABSENT


def test_r34_a_bounded_read_is_answered_where_the_coordinator_said_level() -> None:
    stage = Stage()
    name = stage.coordinator()
    stage.ask(name, put("v"))
    stage.ask(name, GET)
    replica = stage.members["b"]
    assert replica.read_bounded(stage.clocks(), (0, b"k"), 500_000) is None
    stage.wait(600)
    replica.read_bounded(stage.clocks(), (0, b"k"), 500_000)
    stage.wait(400)
    result = replica.read_bounded(stage.clocks(), (0, b"k"), 500_000)
    assert result is not None
    assert result.value == b"v"
    stage.cut("b")
    stage.wait(800)
    assert replica.read_bounded(stage.clocks(), (0, b"k"), 500_000) is None


def test_r34_a_replica_that_lacks_a_write_is_not_level() -> None:
    stage = Stage()
    name = stage.coordinator()
    stage.ask(name, put("v"))
    stage.wait(600)
    coordinator = stage.members[name].seats[0].coordinator
    assert coordinator is not None
    assert coordinator.levelling.is_level("b")
    stage.hold = lambda _s, to, message: isinstance(message, Accept) and to == "b"
    stage.ask(name, put("w"))
    assert not coordinator.levelling.is_level("b")
    assert coordinator.levelling.is_level("c")


def test_any_reads_what_the_replica_has() -> None:
    stage = Stage()
    stage.ask(stage.coordinator(), put("v"))
    result = stage.members["c"].read_any(0, b"k")
    assert result is not None
    assert result.value == b"v"
    assert stage.members["c"].read_any(5, b"k") is None


def test_claims_tell_a_coordinator_whom_it_has_not_reached() -> None:
    stage = Stage()
    stage.coordinator()
    stage.cut("c")
    stage.members["c"].suspect(stage.clocks(), stage.members["a"].identity)
    stage.wait(300)
    stage.heal()
    stage.seen.clear()
    stage.wait(300)
    replies = stage.sent(ClaimReply)
    assert replies
    assert all(not reply.except_ for reply in replies)


def test_kinds_that_read_do_not_write() -> None:
    stage = Stage()
    name = stage.coordinator()
    before = len(stage.disks["b"].durable.cells.get(0, {}))
    stage.ask(name, Operation(Kind.GET))
    assert len(stage.disks["b"].durable.cells.get(0, {})) == before
