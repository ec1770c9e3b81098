"""Small rings that several tests start from."""

from __future__ import annotations

from becket.core.ring.config import Config, first_config
from becket.core.ring.members import Member, MemberCount, in_order
from becket.core.ring.ring import Ring


def members(count: int, zones: int = 1, weight: int = 100) -> tuple[Member, ...]:
    """``count`` members ``m-0 ..``, each on its own node, dealt over the zones."""
    return tuple(
        Member(f"disk-{i}", f"m-{i}", f"z{i % zones}", f"node-{i}", weight) for i in range(count)
    )


def ring_of(*configs: Config, count: int = 5, replicas: int = 3, version: int = 1) -> Ring:
    """A ring of these configs over ``count`` members."""
    return Ring(version, "test", replicas, in_order(members(count)), configs, MemberCount(5, 5), 3)


def turning_ring(count: int = 5, partitions: int = 4, replicas: int = 3) -> Ring:
    """A ring in which partition p has the replicas p, p+1, ... (turned round)."""
    configs = [
        first_config(tuple(f"disk-{(p + r) % count}" for r in range(replicas)))
        for p in range(partitions)
    ]
    return ring_of(*configs, count=count, replicas=replicas)
