"""Reports and weights as protobuf.

Owns the conversion, and nothing else. Raises InvalidInputError naming the field of the proto.
"""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration

from becket.api.v1 import balancer_pb2 as pb
from becket.core.load.hot_keys import HotKey
from becket.core.load.ledger import Weighed, Weights
from becket.core.load.reports import Report
from becket.core.ring.config import Disk


def report_of(request: pb.ReportLoadRequest) -> Report:
    """The report that a request carries, unchecked."""
    return Report(
        disk=request.disk_id,
        incarnation=request.incarnation,
        in_flight=request.in_flight,
        operations_per_second=request.operations_per_second,
        latency_us=request.latency.seconds * 1_000_000 + request.latency.nanos // 1000,
        cpu=request.cpu_utilization,
        disk_used=request.disk_utilization,
        hot_keys=tuple(
            HotKey(hot.key, hot.reads_per_second, hot.error_per_second) for hot in request.hot_keys
        ),
    )


def weights_to_proto(weights: Weights, staleness_us: int) -> pb.Weights:
    """Weights as they are told; members in the order of their disks."""
    return pb.Weights(
        number=weights.number,
        members=[_member(disk, weighed) for disk, weighed in sorted(weights.members.items())],
        wide_keys=[
            pb.WideKey(key=key, max_staleness=duration(staleness_us)) for key in weights.wide_keys
        ],
        hot_keys=[
            pb.HotKey(
                key=hot.key,
                reads_per_second=hot.reads_per_second,
                error_per_second=hot.error_per_second,
            )
            for hot in weights.hot_keys
        ],
    )


def _member(disk: Disk, weighed: Weighed) -> pb.MemberWeight:
    load = weighed.load
    return pb.MemberWeight(
        disk_id=disk,
        weight=weighed.weight,
        report_age=duration(weighed.age_us),
        operations_per_second=weighed.operations_per_second,
        latency=duration(int(load.latency_us)) if load.latency_us else None,
        in_flight=load.in_flight,
        cpu_utilization=load.cpu,
    )


def duration(microseconds: int) -> Duration:
    """So many microseconds as a duration."""
    return Duration(seconds=microseconds // 1_000_000, nanos=microseconds % 1_000_000 * 1000)
