"""Beats: signs of life out and in, rumours, and who coordinates."""

from __future__ import annotations

from becket.adapters.rpc.ring_view import RingView
from becket.api.v1 import replica_pb2 as pb
from becket.core.membership.settings import MembershipSettings
from becket.core.membership.watching import watchers_of
from becket.core.replication.messages import Claim, ClaimReply
from becket.core.replication.versions import Epoch, Identity
from becket.storage.beats import Beats

OWN, PEER = Identity("own", 1), Identity("peer", 4)
ANSWER = ClaimReply(7, 0, unknown=False, except_=(), clock_us=5, level=(3,), bounded=())


class Stage:
    """Beats with what they ask for written down."""

    def __init__(self, *members: str) -> None:
        self.view = RingView()
        self.beats = Beats(MembershipSettings(), OWN, self.view)
        self.due: list[str] = []
        self.suspected: list[Identity] = []
        self.beats.beat = self.due.extend
        self.beats.suspect = self.suspected.append
        self.beats.set_members(["own", "peer", *members])


async def test_a_beat_goes_to_each_watcher_and_is_numbered() -> None:
    stage = Stage()
    stage.beats.tick()
    assert stage.due == ["peer"]
    claim = Claim(1, 2, None, 0, 5, bounded=False)
    beat = stage.beats.request("peer", claim)
    assert beat.number == 1
    assert beat.claim.id == 1
    assert not stage.beats.request("peer", None).HasField("claim")


async def test_news_of_coordinators_are_told_once_to_each_peer() -> None:
    stage = Stage("third")
    epoch = Epoch(3, "own", 1)
    stage.beats.tell({7: epoch}, ["own", "peer", "third"])
    for peer in ("peer", "third"):
        (told,) = stage.beats.request(peer, None).coordinators
        assert (told.partition, told.epoch.counter, told.epoch.disk_id) == (7, 3, "own")
        assert not stage.beats.request(peer, None).coordinators


async def test_a_member_speaks_of_its_own_reigns_only() -> None:
    stage = Stage("third")
    beat = pb.BeatRequest(number=1)
    for partition, disk, incarnation in ((0, "peer", 4), (1, "third", 1), (2, "peer", 3)):
        item = beat.coordinators.add(partition=partition)
        item.epoch.counter, item.epoch.disk_id, item.epoch.incarnation = 9, disk, incarnation
    stage.beats.on_beat(PEER, beat)
    assert stage.view.table.epochs == {0: Epoch(9, "peer", 4)}


async def test_a_beat_of_a_process_that_was_replaced_is_no_sign_of_life() -> None:
    stage = Stage()
    stage.beats.on_beat(PEER, pb.BeatRequest(number=5))
    stage.beats.on_beat(Identity("peer", 3), pb.BeatRequest(number=50))
    assert stage.beats.suspects == frozenset()


async def test_watchers_rumours_make_a_suspect_in_a_large_cluster() -> None:
    others = [f"m{number:02}" for number in range(20)]
    stage = Stage(*others)
    watchers = watchers_of(["own", "peer", *others], MembershipSettings())
    silent = next(d for d in others if "own" not in watchers[d])
    for watcher in [d for d in others if d != silent][:2]:
        beat = pb.BeatRequest(number=1)
        beat.silences.add(watcher_disk_id=watcher, disk_id=silent, incarnation=0, number=0)
        stage.beats.on_beat(Identity(watcher, 1), beat)
    assert silent in stage.beats.suspects
    assert [identity.disk for identity in stage.suspected] == [silent]
    beat = pb.BeatRequest(number=2)
    beat.sounds.add(watcher_disk_id=others[0], disk_id=silent, incarnation=1, number=9)
    stage.beats.on_beat(Identity(others[0], 1), beat)
    assert silent not in stage.beats.suspects


async def test_beats_go_along_with_claims() -> None:
    stage = Stage()
    stage.beats.tick()
    stage.due.clear()
    stage.beats.go_along()
    assert stage.due == ["peer"]
    assert stage.beats.request("peer", None).number == 2


async def test_an_answer_that_can_wait_goes_with_the_next_beat_and_only_the_newest() -> None:
    stage = Stage()
    for number in (1, 2):
        stage.beats.reply("peer", ANSWER._replace(id=number))
    assert stage.beats.request("peer", None).claim_reply.id == 2
    assert not stage.beats.request("peer", None).HasField("claim_reply")
    stage.beats.reply("peer", ANSWER._replace(id=3))
    stage.beats.set_members(["own"])
    assert not stage.beats.request("peer", None).HasField("claim_reply")
