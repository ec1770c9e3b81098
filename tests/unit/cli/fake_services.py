"""RingService and SupervisorService that answer what a test gives them, on a port of the system's.

Owns the fakes; they run in threads, so that a command can run its own event loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc

from becket.api.v1 import (
    balancer_pb2,
    balancer_pb2_grpc,
    ring_pb2,
    ring_pb2_grpc,
    supervisor_pb2,
    supervisor_pb2_grpc,
    types_pb2,
)

Context = Any


def member(ordinal: int, *, zone: str = "", state: int = 1) -> types_pb2.Member:
    """A member called storage-ORDINAL."""
    return types_pb2.Member(
        disk_id=f"disk-{ordinal}",
        name=f"storage-{ordinal}",
        address=f"127.0.0.1:{7500 + ordinal}",
        zone=zone,
        weight=100,
        state=types_pb2.MemberState.ValueType(state),
    )


def coordinator(partition: int, ordinal: int) -> types_pb2.Coordinator:
    """Who coordinates a partition."""
    epoch = types_pb2.Epoch(counter=1, disk_id=f"disk-{ordinal}", incarnation=1)
    return types_pb2.Coordinator(partition=partition, epoch=epoch, name=f"storage-{ordinal}")


def ring() -> types_pb2.Ring:
    """Two members of three, and a change under way in the second partition."""
    return types_pb2.Ring(
        cluster_id="test-1",
        version=7,
        replicas=2,
        members=[member(10), member(2, zone="a"), member(1)],
        partitions=[
            types_pb2.Config(partition=0, generation=1, old_disk_ids=["disk-1", "disk-2"]),
            types_pb2.Config(
                partition=1,
                generation=3,
                old_disk_ids=["disk-2", "disk-1"],
                new_disk_ids=["disk-2", "disk-10"],
            ),
        ],
    )


class FakeRing(ring_pb2_grpc.RingServiceServicer):
    """Answers from ``ring``; keeps the last question."""

    def __init__(self) -> None:
        self.explained: ring_pb2.ExplainRequest | None = None
        self.located = ring_pb2.LocateResponse(
            partition=1, coordinator=coordinator(1, 2), replicas=[member(2), member(1)]
        )

    def GetRing(  # noqa: N802
        self, request: ring_pb2.GetRingRequest, context: Context
    ) -> ring_pb2.GetRingResponse:
        del request, context
        return ring_pb2.GetRingResponse(
            ring=ring(), coordinators=[coordinator(0, 1), coordinator(1, 2)]
        )

    def Locate(  # noqa: N802
        self, request: ring_pb2.LocateRequest, context: Context
    ) -> ring_pb2.LocateResponse:
        del request, context
        return self.located

    def Explain(  # noqa: N802
        self, request: ring_pb2.ExplainRequest, context: Context
    ) -> ring_pb2.ExplainResponse:
        self.explained = request
        if "storage-9" in request.leaving:
            context.abort(grpc.StatusCode.NOT_FOUND, "leaving: there is no member storage-9")
        after = [member(2), member(11)] if request.joining else []
        return ring_pb2.ExplainResponse(
            slot=5,
            partition=1,
            replicas=[member(2)],
            replicas_after=after,
            moved_copies=3,
            sentences=["because"],
        )


class FakeSupervisor(supervisor_pb2_grpc.SupervisorServiceServicer):
    """Answers what it holds."""

    def __init__(self) -> None:
        self.members: list[supervisor_pb2.MemberStatus] = []
        self.status = supervisor_pb2.GetStatusResponse()

    def ListMembers(  # noqa: N802
        self, request: supervisor_pb2.ListMembersRequest, context: Context
    ) -> supervisor_pb2.ListMembersResponse:
        del request, context
        return supervisor_pb2.ListMembersResponse(members=self.members)

    def GetStatus(  # noqa: N802
        self, request: supervisor_pb2.GetStatusRequest, context: Context
    ) -> supervisor_pb2.GetStatusResponse:
        del request, context
        return self.status


class FakeBalancer(balancer_pb2_grpc.BalancerServiceServicer):
    """Tells ``weights``."""

    def __init__(self) -> None:
        self.weights = balancer_pb2.Weights()

    def ReportLoad(self, request_iterator: Any, context: Context) -> Any:  # noqa: ANN401, N802
        raise NotImplementedError

    def WatchWeights(self, request: Any, context: Context) -> Any:  # noqa: ANN401, N802
        raise NotImplementedError

    def GetWeights(  # noqa: N802
        self, request: balancer_pb2.GetWeightsRequest, context: Context
    ) -> balancer_pb2.GetWeightsResponse:
        del request, context
        return balancer_pb2.GetWeightsResponse(weights=self.weights)


@contextmanager
def serving(
    rings: FakeRing | None = None,
    supervisor: FakeSupervisor | None = None,
    balancer: FakeBalancer | None = None,
) -> Iterator[str]:
    """Serve what is given; the address."""
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        if rings is not None:
            ring_pb2_grpc.add_RingServiceServicer_to_server(rings, server)
        if supervisor is not None:
            supervisor_pb2_grpc.add_SupervisorServiceServicer_to_server(supervisor, server)
        if balancer is not None:
            balancer_pb2_grpc.add_BalancerServiceServicer_to_server(balancer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(0).wait()
