"""How a reign begins, what it counts, and how it ends (R3, R6, R9, R11, R12, R24, R34)."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from becket.core.replication.cells import Outcome, Reason
from becket.core.replication.coordinator import Coordinator
from becket.core.replication.keys import Keys
from becket.core.replication.messages import Accept, HandOver, Prepare, Reply, Status
from becket.core.replication.reigns import Reigns
from becket.core.replication.replica import Part
from becket.core.replication.roles import Role
from becket.core.replication.seats import Seat
from becket.core.replication.standing import Standing
from becket.core.replication.store import EMPTY
from becket.core.replication.versions import NO_EPOCH, ZERO, Identity
from tests.unit.core.replication.stage import GET, Stage, many, put


def reign(stage: Stage, name: str) -> Coordinator:
    """The coordinator object of a member that coordinates."""
    coordinator = stage.members[name].seats[0].coordinator
    assert coordinator is not None
    return coordinator


def refusal(coordinator: Coordinator, **changes: Any) -> Reply:  # noqa: ANN401 - fields of Reply
    """A refusal that would end the reign, if it counted."""
    reply = Reply(
        0, coordinator.gen, coordinator.epoch, 1, Status.EPOCH, ZERO, promised=coordinator.epoch
    )
    return reply._replace(**changes)


# What counts


def test_r9_replies_of_another_reign_or_of_a_stranger_say_nothing() -> None:
    stage = Stage()
    coordinator = reign(stage, stage.coordinator())
    other = coordinator.epoch._replace(counter=99)
    coordinator.receive("b", refusal(coordinator, epoch=other))
    coordinator.receive("b", refusal(coordinator, gen=7))
    coordinator.receive("stranger", refusal(coordinator))
    assert stage.reigning() == ["a"]
    coordinator.receive("b", refusal(coordinator))
    assert stage.reigning() == []


def test_r9_each_disk_counts_once() -> None:
    stage = Stage("abcde", "abcde")
    name = stage.coordinator()
    stage.ask(name, put("first"))
    stage.hold = lambda _s, to, message: isinstance(message, Accept) and to != "b"
    number = stage.send(name, put("second"))
    (accept,) = [m for _, to, m in stage.seen[-20:] if to == "b" and isinstance(m, Accept)][-1:]
    ack = Reply(0, accept.gen, accept.epoch, accept.id, Status.OK, ZERO)
    for _ in range(5):
        stage.members[name].receive(stage.clocks(), Identity("b", 1), [ack])
    assert number not in stage.answers


def test_r12_floors_of_late_replies_count() -> None:
    stage = Stage()
    coordinator = reign(stage, stage.coordinator())
    floor = coordinator.stamp._replace(seq=77)
    late = Reply(0, coordinator.gen, coordinator.epoch, 1, Status.OK, floor)
    coordinator.receive("c", late)
    assert coordinator.known_floor == floor


def test_r34_an_open_write_that_may_be_chosen_counts_as_lacking() -> None:
    stage = Stage()
    name = stage.coordinator()
    stage.ask(name, put("first"))
    keys = reign(stage, name).keys
    assert isinstance(keys, Keys)
    assert not keys.has_started()
    stage.hold = lambda sender, to, message: (
        (isinstance(message, Accept) and to == "c") or sender == "b" or to == "b"
    )
    stage.send(name, put("second"))
    assert keys.has_started()
    assert not keys.open_without("b"), "nobody but the coordinator has it yet"
    stage.hold = lambda _s, to, _message: to == "c"
    stage.wait(120)
    assert not keys.has_started(), "b has it now"
    assert not reign(stage, name).levelling.is_level("c")


def test_r34_a_write_given_up_counts_as_lacking_wherever_it_was_not_acked() -> None:
    stage = Stage(round_us=200_000, compare_us=60_000_000)
    name = stage.coordinator()
    stage.ask(name, put("first"))
    stage.wait(500)
    levelling = reign(stage, name).levelling
    assert levelling.is_level("b")
    stage.hold = lambda sender, to, m: "b" in (sender, to) or (sender == "c" and type(m) is Reply)
    stage.send(name, put("second"))
    stage.wait(240)
    stage.hold = lambda sender, to, _message: "b" in (sender, to)
    assert stage.ask(name, GET).results[0].value == b"second", "c has it, so it is chosen"
    assert not levelling.is_level("b")


def test_r35_an_ack_missed_while_digests_are_compared_is_looked_into_soon() -> None:
    stage = Stage(laggard_us=40_000, compare_us=60_000_000, calm_us=0)
    stage.hold = lambda sender, _to, m: sender == "b" and type(m) is Reply and len(m.digests) > 1
    name = stage.coordinator()
    assert name == "a"
    stage.wait(20)
    assert stage.held, "b's digests are on their way"
    stage.hold = lambda _s, to, m: to == "b" and isinstance(m, Accept)
    stage.ask(name, put("v"))
    stage.wait(80)
    levelling = reign(stage, name).levelling
    assert levelling.is_behind("b"), "its ack is missed"
    stage.release_held()
    stage.wait(2500)
    assert not levelling.is_behind("b"), "long before the next comparison is due"


# How it begins


def test_r9_a_counter_is_never_used_twice() -> None:
    stage = Stage()
    stage.cut("a")
    stage.wait(6000)
    asked = [message.epoch for _, _, message in stage.seen if isinstance(message, Prepare)]
    assert asked
    standing = stage.members["a"]._standing
    assert isinstance(standing, Standing)
    before = stage.members["a"].replica.parts[0].max_counter
    stage.wait(2000)
    assert stage.members["a"].replica.parts[0].max_counter > before


def test_r11_silence_is_counted_from_the_last_sign_of_the_coordinator() -> None:
    stage = Stage()
    stage.coordinator()
    stage.wait(500)
    member = stage.members["c"]
    standing, seat = member._standing, member.seats[0]
    assert standing.silent_wait_us(seat) > 200_000
    stage.cut("c")
    stage.wait(500)
    assert standing.silent_wait_us(seat) <= 0
    member.suspect(stage.clocks(), Identity("a", 1))
    assert standing.silent_wait_us(seat) <= 0


def test_r11_a_coordinator_whose_claims_came_late_may_be_silent_for_longer() -> None:
    stage = Stage()
    stage.coordinator()
    stage.wait(500)
    member = stage.members["c"]
    standing, seat = member._standing, member.seats[0]
    stage.cut("a")
    stage.wait(300)
    stage.heal()
    stage.wait(500)
    assert stage.reigning() == ["a"]
    stage.cut("a")
    stage.wait(420)
    assert standing.silent_wait_us(seat) > 0
    member.suspect(stage.clocks(), Identity("a", 1))
    assert standing.silent_wait_us(seat) <= 0, "a hint is still believed at once"


def test_a_hint_that_a_process_is_gone_saves_waiting_but_needs_a_quorum() -> None:
    stage = Stage()
    stage.coordinator()
    stage.wait(1500)
    for name in "bc":
        stage.members[name].suspect(stage.clocks(), Identity("a", 1))
    stage.stop("a")
    stage.wait(120)
    assert stage.reigning() == ["b"]
    stage = Stage()
    stage.coordinator()
    stage.wait(1500)
    stage.members["c"].suspect(stage.clocks(), Identity("a", 1))
    stage.wait(300)
    assert stage.reigning() == ["a"], "the others hear it"


def test_r24_a_late_or_foreign_hand_over_changes_nothing() -> None:
    stage = Stage()
    name = stage.coordinator()
    stage.ask(name, put("v"))
    member = stage.members["b"]
    epoch = member.seats[0].part.record.promised
    old = HandOver(0, stage.config.gen, epoch._replace(counter=0), stage.config)
    member.receive(stage.clocks(), Identity("a", 1), [old])
    assert member.seats[0].role is Role.FOLLOWER
    foreign = HandOver(0, stage.config.gen + 5, epoch, stage.config)
    member.receive(stage.clocks(), Identity("a", 1), [foreign])
    assert member.seats[0].role is Role.FOLLOWER


# How it ends


def test_r3_older_and_equal_configs_are_ignored() -> None:
    stage = Stage("abcd")
    stage.ask(stage.coordinator(), put("v"))
    joint = stage.config.begin(("a", "b", "d"))
    for name in "abcd":
        stage.offer(name, joint)
    for name in "abcd":
        stage.offer(name, stage.config)
        stage.offer(name, joint)
    stage.wait(1500)
    assert all(stage.members[name].seats[0].part.gen == joint.gen for name in "abcd")


def test_r6_standing_ends_with_a_higher_generation() -> None:
    stage = Stage("abcd", gossip_us=0)
    stage.coordinator()
    stage.stop("a")
    stage.hold = lambda _s, _t, message: isinstance(message, Prepare)
    stage.wait(700)
    assert Role.PREPARING in {stage.members[name].seats[0].role for name in "bc"}
    joint = stage.config.begin(("b", "c", "d"))
    for name in "bcd":
        stage.members[name].offer(stage.clocks(), [(0, joint)])
    for name in "bcd":
        stage.members[name].tick(stage.clocks())
        assert stage.members[name].seats[0].role is Role.FOLLOWER


def test_r24_arrivals_wait_in_a_bounded_queue() -> None:
    stage = Stage(park_limit=2)
    name = stage.coordinator()
    stage.ask(name, put("v"))
    stage.wait(300)
    stage.hold = lambda _s, _t, message: isinstance(message, HandOver)
    stage.members[name].hand_over(stage.clocks(), leaving=True)
    stage._take(name)
    assert isinstance(stage.members[name]._reigns, Reigns)
    sent = [stage.send(name, GET, session=str(n)) for n in range(3)]
    assert stage.answers[sent[2]].reason is Reason.OVERLOADED
    stage.wait(200)
    assert [stage.answers[n].outcome for n in sent] == [Outcome.NO] * 3
    assert stage.answers[sent[0]].reason is Reason.WRONG_MEMBER


def test_partitions_taken_over_together_are_given_back_one_after_the_other() -> None:
    stage = Stage()
    reigns, now_us = stage.members["a"]._reigns, stage.now_us
    pause = stage.settings.return_us
    seats = [Seat(Part(number, EMPTY, now_us), list[Seat]().append) for number in range(64)]
    times = {reigns.next_return_us(seat) - now_us for seat in seats}
    assert len(times) == 16
    assert min(times) == pause
    assert max(times) < 2 * pause


def test_r24_a_member_that_leaves_has_few_partitions_under_way_at_a_time() -> None:
    stage = many(12, hand_over_window=4)
    stage.hold = lambda _s, _t, message: isinstance(message, HandOver)
    member = stage.members["a"]
    assert member.hand_over(stage.clocks(), leaving=True) == 8
    stage._take("a")
    stage.settle()
    assert member.hand_over(stage.clocks(), leaving=True) == 8, "nobody has taken over yet"
    stage.release_held()
    left = [member.hand_over(stage.clocks(), leaving=True)]
    while left[-1]:
        stage._take("a")
        stage.settle()
        left.append(member.hand_over(stage.clocks(), leaving=True))
    assert left == [4, 0]


def test_r24_a_successor_that_does_not_show_itself_holds_the_others_up_for_the_parking_time() -> (
    None
):
    stage = many(8, hand_over_window=4)
    stage.hold = lambda _s, _t, message: isinstance(message, HandOver)
    member = stage.members["a"]
    member.hand_over(stage.clocks(), leaving=True)
    stage._take("a")
    stage.settle()
    stage.now_us += stage.settings.park_us
    assert member.hand_over(stage.clocks(), leaving=True) == 0


def test_r24_nothing_is_given_back_to_a_member_that_is_about_to_stop() -> None:
    stage = Stage()
    assert stage.coordinator() == "a"
    stage.ask("a", put("v"))
    stage.wait(1000)
    member = stage.members["a"]
    while member.hand_over(stage.clocks(), leaving=True):
        stage._take("a")
        stage.wait(20)
    stage._take("a")
    stage.wait(20)
    assert stage.reigning() == ["b"]
    stage.seen.clear()
    stage.wait(5 * stage.settings.return_us // 1000)
    assert stage.sent(HandOver) == [], "the first of the order is alive and level, but it leaves"
    stage.start("a")
    stage.wait(5 * stage.settings.return_us // 1000)
    assert stage.reigning() == ["a"], "its next process has it back"


def test_r24_members_that_leave_together_hand_nothing_to_one_another() -> None:
    stage = Stage()
    stage.coordinator()
    stage.wait(1000)
    for name in "cba":
        stage.members[name].hand_over(stage.clocks(), leaving=True)
        stage._take(name)
        stage.settle()
    assert stage.sent(HandOver) == []
    assert stage.reigning() == ["a"], "whoever calls until it ends is served until then"


@given(st.data())
def test_the_quick_look_at_a_follower_says_what_the_long_one_does(data: st.DataObject) -> None:
    stage = Stage()
    stage.wait(800)
    member = stage.members["b"]
    seat, replica = member.seats[0], member.replica
    part, now_us = seat.part, member._ctx.now_us
    ago = st.integers(-1000, 600_000).map(lambda us: now_us - us)
    at_park, at_suspicion = stage.settings.park_us, stage.settings.suspicion_us
    part.touched_us = data.draw(ago | st.sampled_from([now_us - at_park, now_us - at_suspicion]))
    part.released = data.draw(st.sampled_from([NO_EPOCH, part.record.promised]))
    if data.draw(st.booleans()):
        pair = replica.pair(part.record.promised.disk)
        pair.heard_us = data.draw(ago | st.just(now_us - at_suspicion))
        pair.matched = frozenset(data.draw(st.sampled_from([(), (0,)])))
    else:
        replica.pairs.clear()
    seat.role = Role.FOLLOWER
    standing = member._standing
    assert standing.suspects(part) == (standing.silent_wait_us(seat) <= 0)
