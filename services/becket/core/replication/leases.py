"""Leases and claims between pairs of members (PROTOCOL R22-R25, R34).

Owns, for each peer, what was granted to it, what it granted, and what it said about levels. One
claim a pair speaks for all partitions that the two share: it carries a digest of the sorted
(partition, gen, epoch) that its sender coordinates, and the list itself only where the receiver
does not know the digest. Must not decide who stands or what is read. Invariants: a lease is
counted from before the request was sent (R23); a grant is never shortened, whatever happens to
the config (R3).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import mmh3

from becket.core.replication.messages import Claim
from becket.core.replication.versions import Epoch
from becket.core.ring.config import Disk
from becket.core.suspicion import SuspicionTime

MOST_TAGS = 4096
"""Hashes remembered of what is claimed: one for each partition of a large member and more."""

Covered = tuple[tuple[int, int, Epoch], ...]


class SentClaim(NamedTuple):
    """What is remembered of a claim until its reply comes; ``at_us`` is from before sending."""

    at_us: int
    lease_us: int
    lease_until_us: int
    covered: Covered
    digest: int


class Pair:
    """What this member knows of its dealings with one peer."""

    __slots__ = (
        "acked_digest",
        "bounded",
        "checked_serial",
        "claim_id",
        "covered",
        "digest",
        "except_",
        "granted",
        "granted_sent_us",
        "granted_until_us",
        "heard_us",
        "incarnation",
        "lease_incarnation",
        "lease_until_us",
        "leaving",
        "level",
        "matched",
        "peer",
        "replied_us",
        "send_list",
        "sent",
        "suspicion",
    )

    def __init__(self, peer: Disk, suspicion: SuspicionTime) -> None:
        self.peer = peer
        self.suspicion = suspicion
        # As grantor: what the peer claims, and until when it may read alone.
        self.incarnation = 0
        self.claim_id = 0
        self.heard_us = -(10**15)
        self.leaving = False
        self.digest = -1
        self.covered: Covered = ()
        self.checked_serial = -1
        self.matched: frozenset[int] = frozenset()
        self.except_: tuple[int, ...] = ()
        self.lease_until_us = -(10**15)
        self.lease_incarnation = 0
        # As owner: what the peer has granted to this member.
        self.sent: dict[int, SentClaim] = {}
        self.send_list = True
        self.acked_digest = -1
        self.granted: dict[int, tuple[int, Epoch]] = {}
        self.granted_sent_us = -(10**15)
        self.granted_until_us = -(10**15)
        self.replied_us = -(10**15)
        # As replica: at which moment of this member's clock it was level, and where.
        self.level: frozenset[int] = frozenset()
        self.bounded: dict[int, int] = {}

    def hear(self, incarnation: int, claim_id: int, now_us: int) -> bool:
        """Note that the peer's process is alive; False for a claim that is no news.

        A claim of a process that was replaced since, or one older than a claim that was heard,
        would put what its sender covered then in the place of what it covers now.
        """
        # Numbers rise within a process, and from each process of a disk to its next.
        if incarnation < self.incarnation or claim_id <= self.claim_id:
            return False
        self.claim_id = claim_id
        if incarnation > self.incarnation:
            self.incarnation = incarnation
            self.leaving = False
            self.digest = -1
            self.covered = ()
            self.matched = frozenset()
        else:
            self.suspicion.heard(now_us - self.heard_us, now_us)
        self.heard_us = now_us
        return True

    def learn(self, claim: Claim) -> bool:
        """Take the list of a claim; False when its digest is not known here."""
        if claim.covered is not None:
            self.covered = claim.covered
            self.digest = claim.digest
            self.checked_serial = -1
        return claim.digest == self.digest

    def grant(self, lease_us: int, now_us: int) -> None:
        """Grant a lease to the peer's present process (R22)."""
        if lease_us:
            self.lease_incarnation = self.incarnation
            self.lease_until_us = max(self.lease_until_us, now_us + lease_us)

    def blocks_us(self, promised: Epoch, now_us: int) -> int:
        """How long a lease of ``promised``'s owner still refuses other candidates (R22)."""
        if promised.incarnation != self.lease_incarnation:
            return 0
        return max(0, self.lease_until_us - now_us)

    def note_sent(self, claim_id: int, sent: SentClaim) -> None:
        """Remember a claim; at most four are waited for."""
        self.sent[claim_id] = sent
        while len(self.sent) > 4:
            del self.sent[min(self.sent)]

    def note_granted(self, sent: SentClaim, except_: tuple[int, ...]) -> None:
        """The peer granted what that claim asked for, but for the partitions ``except_``."""
        if sent.at_us < self.granted_sent_us:
            return
        self.granted_sent_us = sent.at_us
        refused = frozenset(except_)
        self.granted = {p: (gen, e) for p, gen, e in sent.covered if p not in refused}
        if sent.lease_us:
            self.granted_until_us = sent.lease_until_us

    def grants(self, partition: int, gen: int, epoch: Epoch, now_us: int) -> bool:
        """Whether this peer's grant covers the partition at ``now_us``."""
        return now_us < self.granted_until_us and self.granted.get(partition) == (gen, epoch)


def digest_of(covered: Covered) -> int:
    """64 bits over what is claimed: a sum, so that what stays claimed is hashed once."""
    return sum(_tag(*claimed) for claimed in covered) % 2**64


@lru_cache(MOST_TAGS)
def _tag(partition: int, gen: int, epoch: Epoch) -> int:
    text = f"{partition},{gen},{epoch.counter},{epoch.disk},{epoch.incarnation}"
    return mmh3.hash64(text.encode(), seed=0, x64arch=True, signed=False)[0]
