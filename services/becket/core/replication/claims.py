"""The claims that members send each other: beats, leases and levels in one (R22-R25, R34).

Owns when a claim is sent, what it covers, and what a member makes of one. Must not decide who
stands. Invariant: the moment a lease is counted from is taken before its request is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from becket.core.replication import invariants
from becket.core.replication.context import Context
from becket.core.replication.coordinator import Coordinator
from becket.core.replication.leases import Covered, Pair, SentClaim, digest_of
from becket.core.replication.messages import Claim, ClaimReply, Sent
from becket.core.replication.seats import Seat
from becket.core.replication.versions import Identity
from becket.core.ring.config import Disk


class Claims:
    """One member's claims to its peers, and theirs to it."""

    def __init__(self, ctx: Context, seats: dict[int, Seat]) -> None:
        self._ctx = ctx
        self._seats = seats
        self._due_us = 0
        self._covered: dict[Disk, tuple[Covered, int]] = {}
        self._covered_serial = -1
        self._reigning: tuple[tuple[int, Coordinator], ...] = ()
        self._reigning_serial = -1
        self._peers: tuple[Disk, ...] = ()
        self._peers_serial = -1
        self.reigns = 0
        """Goes up whenever a reign begins or ends."""
        self.bounded_us = -(10**15)
        """When a bounded read was last asked for here."""
        self.on_matched: Callable[[Iterable[int]], None] = _nobody

    # As owner

    def hurry(self) -> None:
        """Send claims at the next occasion: a reign began, or a read wants a lease."""
        self._due_us = 0

    def tick(self) -> None:
        """Send every peer a claim when it is time."""
        now, settings = self._ctx.now_us, self._ctx.settings
        if now < self._due_us:
            return
        self._due_us = now + settings.claim_us
        lease_us = settings.lease_us if self._wants_lease() else 0
        bounded = now - self.bounded_us < settings.lease_us
        for peer in self._all_peers():
            self._send(self._ctx.replica.pair(peer), lease_us, bounded)

    def _wants_lease(self) -> bool:
        """R25: leases are renewed only while linearizable reads use them."""
        since = self._ctx.now_us - self._ctx.settings.lease_us
        return any(coordinator.read_us >= since for _, coordinator in self.coordinated())

    def _send(self, pair: Pair, lease_us: int, bounded: bool) -> None:
        covered, digest = self._cover(pair.peer)
        now = self._ctx.now_us
        until = self._ctx.settings.lease_until(now)
        invariants.lease_is_short(until, now, self._ctx.settings.lease_us)
        claim_id = self._ctx.next_id()
        listed = covered if pair.send_list or digest != pair.acked_digest else None
        pair.note_sent(claim_id, SentClaim(now, lease_us, until, covered, digest))
        claim = Claim(claim_id, digest, listed, lease_us, now, bounded, self._ctx.leaving)
        self._ctx.send(pair.peer, claim)

    def _cover(self, peer: Disk) -> tuple[Covered, int]:
        if self._covered_serial != self.reigns:
            self._covered_serial = self.reigns
            self._covered.clear()
        found = self._covered.get(peer)
        if found is None:
            covered = tuple(
                (number, coordinator.gen, coordinator.epoch)
                for number, coordinator in self.coordinated()
                if peer in coordinator.config.member_set
            )
            found = self._covered[peer] = (covered, digest_of(covered))
        return found

    def coordinated(self) -> tuple[tuple[int, Coordinator], ...]:
        """The partitions that are coordinated here, in rising order."""
        if self._reigning_serial != self.reigns:
            self._reigning_serial = self.reigns
            self._reigning = tuple(
                (number, seat.coordinator)
                for number, seat in sorted(self._seats.items())
                if seat.coordinator is not None
            )
        return self._reigning

    def _all_peers(self) -> tuple[Disk, ...]:
        if self._peers_serial != self._ctx.replica.configs:
            self._peers_serial = self._ctx.replica.configs
            peers: dict[Disk, None] = {}
            for part in self._ctx.replica.parts.values():
                config = part.record.config
                if config is not None and self._ctx.disk in config.member_set:
                    peers.update(dict.fromkeys(config.members))
            peers.pop(self._ctx.disk, None)
            self._peers = tuple(peers)
        return self._peers

    def on_reply(self, sender: Identity, reply: ClaimReply) -> None:
        """What the peer grants, and where this member is level."""
        pair = self._ctx.replica.pair(sender.disk)
        sent = pair.sent.pop(reply.id, None)
        if sent is None:
            return
        if reply.unknown:
            pair.send_list = True
            self._due_us = min(self._due_us, self._ctx.now_us)
            return
        pair.send_list = False
        pair.replied_us = self._ctx.now_us
        pair.acked_digest = sent.digest
        pair.note_granted(sent, reply.except_)
        self._ctx.replica.grants += 1
        pair.level = frozenset(reply.level)
        for partition in reply.bounded:
            pair.bounded[partition] = reply.clock_us
        for partition in reply.except_:
            seat = self._seats.get(partition)
            if seat is not None and seat.coordinator is not None:
                seat.coordinator.introduce(sender.disk)

    # As grantor

    def on_claim(self, sender: Identity, claim: Claim) -> None:
        """Check the claim against the own promises, grant, and tell the claimant its levels."""
        pair = self._ctx.replica.pair(sender.disk)
        if not pair.hear(sender.incarnation, claim.id, self._ctx.now_us):
            return
        pair.leaving = claim.leaving
        known = pair.learn(claim)
        if known:
            self._refresh(pair, sender)
            pair.grant(claim.lease_us, self._ctx.now_us)
        level, bounded = self._levels(sender.disk, claim.bounded)
        reply = ClaimReply(
            claim.id, claim.lease_us, not known, pair.except_, claim.clock_us, level, bounded
        )
        self._ctx.out.replies.append(Sent(sender.disk, reply))

    def _refresh(self, pair: Pair, sender: Identity) -> None:
        """Which claimed partitions stand here under exactly that generation and epoch."""
        replica = self._ctx.replica
        if pair.checked_serial == replica.serial:
            return
        pair.checked_serial = replica.serial
        matched, except_ = set(), []
        for number, gen, epoch in pair.covered:
            part = replica.parts.get(number)
            if (
                part is not None
                and part.gen == gen
                and part.record.promised == epoch
                and epoch.owner == sender
                and epoch > part.released
            ):
                matched.add(number)
            else:
                except_.append(number)
        if pair.matched != matched:
            pair.matched = frozenset(matched)
            self.on_matched(sorted(matched))
        pair.except_ = tuple(except_)

    def _levels(self, claimant: Disk, bounded: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """R34: where the claimant is level, and where that was said inside a lease."""
        level, leased = [], []
        for number, coordinator in self.coordinated():
            if coordinator.draining or claimant not in coordinator.config.member_set:
                continue
            if coordinator.levelling.is_level(claimant):
                level.append(number)
                if bounded:
                    coordinator.read_us = self._ctx.now_us
                    if coordinator.leased():
                        leased.append(number)
        return tuple(level), tuple(leased)


def _nobody(_partitions: Iterable[int]) -> None:
    """Until a member says otherwise, nobody waits for claims."""
