"""A member's report as the core's value.

Owns the mapping only. What a member says of things that the ring does not know is kept as it is:
the decisions look at the ring.
"""

from __future__ import annotations

from becket.adapters.rpc.rings import epoch_from_proto
from becket.api.v1 import replica_pb2 as pb
from becket.core.load.weights import Load
from becket.core.plans.wishes import Certificate
from becket.core.supervision.snapshot import Coordinated, Seen


def seen_from_proto(name: str, report: pb.WatchMemberResponse, now_us: int) -> Seen:
    """What the process of this name says."""
    hello = report.hello
    return Seen(
        name=name,
        disk=hello.disk_id,
        incarnation=hello.incarnation,
        cluster=hello.cluster_id,
        ring_version=hello.ring_version,
        at_us=now_us,
        suspects=frozenset(report.suspected_disk_ids),
        certificates=tuple(
            Certificate(c.partition, c.generation, tuple(epoch_from_proto(c.epoch)), c.disk_id)
            for c in report.certificates
        ),
        coordinates=tuple(
            Coordinated(
                p.partition,
                p.generation,
                epoch_from_proto(p.epoch),
                tuple(p.lagging_disk_ids),
                p.bytes,
                p.copied_bytes,
            )
            for p in report.partitions
        ),
        pid=report.pid,
        used_bytes=report.used_bytes,
        total_bytes=report.total_bytes,
        p99_us=report.latency_p99.ToMicroseconds(),
        operations=report.recent_operations,
        load=_load(report.load) if report.HasField("load") else None,
        damaged_cells=report.damaged_cells,
        mended_cells=report.mended_cells,
        unreadable=report.unreadable_disk,
    )


def _load(load: pb.MemberLoad) -> Load:
    return Load(load.in_flight, load.latency.ToNanoseconds() / 1000, load.cpu_utilization)
