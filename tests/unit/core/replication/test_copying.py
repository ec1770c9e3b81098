"""The joint coordinator's copy: many keys at once where replicas agree, one by one elsewhere."""

from __future__ import annotations

from becket.core.replication.messages import (
    Accept,
    CopyIn,
    CopyKeys,
    ListKeys,
    ReadKey,
    Reply,
    Status,
)
from becket.core.ring.config import Config
from tests.unit.core.replication.stage import Stage, put


def filled(keys: int, **settings: int) -> tuple[Stage, str]:
    """Members a to d, of which a, b and c hold keys ``k00``, ``k01``, ...; and who coordinates."""
    stage = Stage("abcd", "abc", **settings)
    name = stage.coordinator()
    for number in range(keys):
        stage.ask(name, put("v"), key=b"k%02d" % number, session=f"s{number}")
    stage.seen.clear()
    return stage, name


def begin(stage: Stage) -> Config:
    """Member d takes the place of c."""
    joint = stage.config.begin(("a", "b", "d"))
    for member in stage.members:
        stage.offer(member, joint)
    return joint


def partly_copied(stage: Stage, keys: int) -> Config:
    """Member d is taking the place of c, one key a tick, and has been given so many."""
    stage.copies = 1
    joint = begin(stage)
    for _ in range(100):
        if len(stage.cells("d")) >= keys:
            return joint
        stage.wait(20)
    raise AssertionError("the keys never arrive")


def arrived(stage: Stage) -> list[bytes]:
    """Every key in a message of a copy, as often as it was sent."""
    return [key for message in stage.sent(CopyKeys) for key, _ in message.cells]


def test_keys_that_replicas_agree_on_go_many_at_once() -> None:
    stage, name = filled(40, copy_keys=16, page_keys=100)
    stage.certify(begin(stage).gen)
    assert stage.cells("d") == stage.cells(name)
    assert [len(message.cells) for message in stage.sent(CopyKeys)] == [16, 16, 8]
    assert not stage.sent(ReadKey)
    assert not stage.sent(CopyIn)


def test_a_message_of_a_copy_is_bounded_in_bytes() -> None:
    stage, _ = filled(6, copy_keys=16, copy_bytes=8)
    stage.certify(begin(stage).gen)
    assert [len(message.cells) for message in stage.sent(CopyKeys)] == [2, 2, 2]


def test_one_message_at_a_time_is_under_way() -> None:
    stage, name = filled(40, copy_keys=8)
    stage.hold = lambda _from, to, message: to == "d" and isinstance(message, CopyKeys)
    joint = begin(stage)
    stage.wait(300)
    assert len(set(arrived(stage))) == 8
    stage.heal()
    stage.certify(joint.gen)
    assert stage.cells("d") == stage.cells(name)


def test_a_key_on_which_replicas_differ_is_touched_by_itself() -> None:
    stage, name = filled(3)
    stage.hold = lambda _from, to, message: to == "c" and isinstance(message, Accept)
    stage.ask(name, put("w"), key=b"k01", session="later")
    stage.heal()
    # The page that c takes part in does not show k01 as chosen, whoever is heard first.
    stage.hold = lambda sender, _to, message: sender == "b" and isinstance(message, Reply)
    joint = begin(stage)
    stage.wait(300)
    stage.heal()
    stage.certify(joint.gen)
    assert b"k01" not in arrived(stage)
    assert b"k01" in {message.key for message in stage.sent(ReadKey)}
    assert stage.cells("d")[b"k01"] == b"w"


def test_one_majority_of_old_is_listed_and_another_where_that_takes_long() -> None:
    stage, _ = filled(6)
    begin(stage)
    stage.wait(40)
    listed = {to for _, to, message in stage.seen if isinstance(message, ListKeys)}
    assert listed in ({"b", "d"}, {"c", "d"}), "what the coordinator has it reads itself"
    stage, _ = filled(6)
    stage.hold = lambda sender, _to, message: (
        sender == "b" and isinstance(message, Reply) and bool(message.keys)
    )
    stage.certify(begin(stage).gen)
    assert len(arrived(stage)) == 6


def test_a_key_that_is_written_meanwhile_is_copied_as_it_is_then() -> None:
    stage, name = filled(8, copy_keys=1)
    stage.copies = 0
    joint = begin(stage)
    stage.wait(300)
    stage.ask(stage.coordinator(), put("w"), key=b"k05", session="later")
    stage.copies = None
    stage.certify(joint.gen)
    assert stage.cells("d")[b"k05"] == b"w"
    assert b"k05" not in arrived(stage)
    assert stage.cells("d") == stage.cells(name)


def test_another_coordinator_goes_on_where_the_copy_stood() -> None:
    stage, name = filled(30, copy_keys=4)
    joint = partly_copied(stage, 20)
    there = set(stage.cells("d"))
    stage.stop(name)
    stage.copies = None
    stage.seen.clear()
    certificate = stage.certify(joint.gen)
    assert certificate.disk != name
    assert there.isdisjoint(arrived(stage))
    assert len(stage.cells("d")) == 30


def test_a_newcomer_whose_cell_is_damaged_is_given_it_anew() -> None:
    stage, name = filled(6, copy_keys=2)
    joint = partly_copied(stage, 4)
    stage.stop(name)
    stage.disks["d"].view.corrupt.add((0, b"k01"))
    stage.start(name)
    stage.copies = None
    stage.certify(joint.gen)
    assert stage.disks["d"].view.corrupt == set()
    assert len(stage.cells("d")) == 6


def test_r17_a_list_of_a_disk_that_does_not_read_counts_for_nothing() -> None:
    stage, name = filled(6)
    x, y = (other for other in "abc" if other != name)
    stage.disks[name].unreadable.add(0)
    stage.disks[x].unreadable.add(0)
    joint = begin(stage)
    stage.wait(3000)
    assert not stage.certificates, "one list of three is no majority, whatever it shows"
    stage.disks[x].unreadable.clear()
    stage.certify(joint.gen)
    assert stage.cells("d") == stage.cells(y)
    refused = [r for r in stage.sent(Reply) if r.status is Status.CORRUPT]
    assert refused
    assert not any(reply.keys for reply in refused)


def test_what_is_lost_on_the_way_is_sent_again() -> None:
    stage, name = filled(20, copy_keys=4)
    lost: list[CopyKeys] = []

    def once(_from: str, to: str, message: object) -> bool:
        if to != "d" or not isinstance(message, CopyKeys) or message in lost:
            return False
        lost.append(message)
        return True

    stage.hold = once
    joint = begin(stage)
    stage.certify(joint.gen)
    assert len(lost) == 5
    assert stage.cells("d") == stage.cells(name)
