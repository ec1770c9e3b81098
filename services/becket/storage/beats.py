"""Beats: this member's signs of life, and what it makes of those of others.

Owns the failure detector's dealings with the world: its messages travel on the beat streams beside
the core's claims, and what it concludes goes to the core as a hint (R11, R22 decide by themselves).
It also spreads who coordinates, so that every member can tell a lost caller where to go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from becket.adapters import clocks
from becket.adapters.rpc.peers import claim_reply_to_proto, claim_to_proto
from becket.adapters.rpc.ring_view import RingView
from becket.adapters.rpc.rings import epoch_from_proto, epoch_to_proto
from becket.api.v1 import replica_pb2 as pb
from becket.api.v1 import types_pb2
from becket.core.membership.detector import Beat, Detector, HealthChange, Message, Silence, Sound
from becket.core.membership.settings import MembershipSettings
from becket.core.membership.states import Health
from becket.core.replication.messages import Claim, ClaimReply
from becket.core.replication.versions import Epoch, Identity
from becket.core.ring.config import Disk

MAX_TOLD = 65_536
"""Coordinators that wait to be told to one peer; one entry a partition."""


class Beats:
    """The beats of one member."""

    def __init__(self, settings: MembershipSettings, own: Identity, view: RingView) -> None:
        self._detector = Detector(settings, own, clocks.monotonic_us())
        self._own = own
        self._view = view
        self._number: dict[Disk, int] = {}
        self._rumours: dict[Disk, list[Silence | Sound]] = {}
        self._news: dict[Disk, dict[int, Epoch]] = {}
        self._replies: dict[Disk, ClaimReply] = {}
        self.beat: Callable[[list[Disk]], None] = _nothing
        """Called with the peers that a beat is due to."""
        self.suspect: Callable[[Identity], None] = _nothing_of
        """Called when a peer's process is not heard any more."""
        self.on_change: Callable[[HealthChange], None] = _no_change

    def set_members(self, disks: Iterable[Disk]) -> None:
        """The ring's members."""
        known = frozenset(disks)
        self._detector.set_members(clocks.monotonic_us(), known)
        for table in (self._number, self._rumours, self._news, self._replies):
            for disk in [disk for disk in table if disk not in known]:
                del table[disk]

    @property
    def suspects(self) -> frozenset[Disk]:
        """Whom this member does not hear."""
        return self._detector.suspects()

    # Out

    def tick(self) -> None:
        """Send what is due, see who has fallen silent."""
        self._detector.tick(clocks.monotonic_us())
        self._carry_out()

    def request(self, peer: Disk, claim: Claim | None) -> pb.BeatRequest:
        """The next beat to a peer, with all that waits for it."""
        out = pb.BeatRequest(number=self._number.get(peer, 0))
        if claim is not None:
            out.claim.CopyFrom(claim_to_proto(claim))
        reply = self._replies.pop(peer, None)
        if reply is not None:
            out.claim_reply.CopyFrom(claim_reply_to_proto(reply))
        for said in self._rumours.pop(peer, ()):
            if isinstance(said, Silence):
                _fill(out.silences.add(), said.watcher, said.suspect, said.number)
            else:
                _fill(out.sounds.add(), said.watcher, said.identity, said.number)
        for partition, epoch in self._news.pop(peer, {}).items():
            out.coordinators.append(
                types_pb2.Coordinator(partition=partition, epoch=epoch_to_proto(epoch))
            )
        return out

    def go_along(self) -> None:
        """Claims go out now: beats go along, in the same messages."""
        self._detector.beat(clocks.monotonic_us())
        self._carry_out()

    def reply(self, peer: Disk, reply: ClaimReply | None) -> None:
        """Answer a claim of this peer with the next beat to it; the newest answer counts.

        None: a newer one goes another way, and what waits would only contradict it.
        """
        if reply is None:
            self._replies.pop(peer, None)
        else:
            self._replies[peer] = reply

    def tell(self, reigns: dict[int, Epoch], peers: Iterable[Disk]) -> None:
        """Let these peers know what this member coordinates now."""
        for peer in peers:
            if peer != self._own.disk:
                news = self._news.setdefault(peer, {})
                if len(news) < MAX_TOLD:
                    news.update(reigns)

    # In

    def heard(self, sender: Identity, number: int = 0) -> None:
        """A sign of life of this process; a beat has a number over 0."""
        message = Beat(sender, number)
        self._take(message)

    def closed(self, disk: Disk) -> None:
        """A stream to this peer broke: a hint, never proof."""
        self._detector.hint(clocks.monotonic_us(), disk)

    def on_beat(self, sender: Identity, beat: pb.BeatRequest) -> None:
        """What a peer's beat says beside its claim."""
        if beat.number:
            self.heard(sender, beat.number)
        for item in beat.silences:
            suspect = Identity(item.disk_id, item.incarnation)
            self._take(Silence(item.watcher_disk_id, suspect, item.number))
        for again in beat.sounds:
            identity = Identity(again.disk_id, again.incarnation)
            self._take(Sound(again.watcher_disk_id, identity, again.number))
        for coordinator in beat.coordinators:
            epoch = epoch_from_proto(coordinator.epoch)
            # Each member speaks of its own reigns: nobody can give out another's epoch.
            if epoch.owner == sender:
                self._view.offer_coordinator(coordinator.partition, epoch)

    def _take(self, message: Message) -> None:
        self._detector.receive(clocks.monotonic_us(), message)
        self._carry_out()

    def _carry_out(self) -> None:
        outcome = self._detector.take()
        due: dict[Disk, None] = {}
        for disk, message in outcome.messages:
            due[disk] = None
            if isinstance(message, Beat):
                self._number[disk] = message.number
            else:
                self._rumours.setdefault(disk, []).append(message)
        if due:
            self.beat(list(due))
        for change in outcome.changes:
            self.on_change(change)
            if change.after is Health.SUSPECT:
                self.suspect(change.identity)


def _fill(target: pb.Silence | pb.Sound, watcher: Disk, about: Identity, number: int) -> None:
    target.watcher_disk_id, target.number = watcher, number
    target.disk_id, target.incarnation = about


def _nothing(_disks: list[Disk]) -> None:
    """Until the links are there."""


def _nothing_of(_identity: Identity) -> None:
    """Until the core is there."""


def _no_change(_change: HealthChange) -> None:
    """Until somebody wants to know."""
