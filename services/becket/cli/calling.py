"""Questions to the services of a cluster: those of ring, supervisor and balancer at the target.

Owns the channel, the time limit and the reading of errors. Must not repeat a call. A router answers
for supervisor and balancer, so one target is enough.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

import grpc

from becket.adapters.rpc.channels import open_channel
from becket.adapters.rpc.errors import from_rpc_error
from becket.api.v1.balancer_pb2_grpc import BalancerServiceStub
from becket.api.v1.ring_pb2_grpc import RingServiceStub
from becket.api.v1.supervisor_pb2_grpc import SupervisorServiceStub
from becket.cli.exits import UnreachableError, UsageError
from becket.core.errors import BecketError, NotAppliedError, OutcomeUnknownError

Request_contra = TypeVar("Request_contra", contravariant=True)
Answer_co = TypeVar("Answer_co", covariant=True)
Request = TypeVar("Request")
Answer = TypeVar("Answer")


class Call(Protocol[Request_contra, Answer_co]):
    """A unary call of a stub."""

    def __call__(self, request: Request_contra, *, timeout: float) -> Awaitable[Answer_co]:
        """Call it."""
        ...


class Services:
    """The services that are asked about the cluster."""

    def __init__(self, channel: grpc.aio.Channel, target: str, timeout_s: float) -> None:
        self.ring = RingServiceStub(channel)
        self.supervisor = SupervisorServiceStub(channel)
        self.balancer = BalancerServiceStub(channel)
        self.target = target
        self._timeout_s = timeout_s

    async def ask(self, call: Call[Request, Answer], request: Request) -> Answer:
        """The answer to a question that changes nothing.

        :raises UnreachableError: nobody answers.
        """
        try:
            return await call(request, timeout=self._timeout_s)
        except grpc.aio.AioRpcError as error:
            raise told(error, self.target) from error


def told(error: grpc.aio.AioRpcError, target: str) -> BecketError:
    """What the failure of a question means; its outcome is never unknown."""
    code, details = error.code(), error.details() or ""
    found = from_rpc_error(error)
    if not isinstance(found, OutcomeUnknownError):
        if code is grpc.StatusCode.UNIMPLEMENTED:
            return UnreachableError(f"who answers at {target} does not know this call: {details}")
        return found
    if code is grpc.StatusCode.UNAVAILABLE:
        return UnreachableError(f"nobody answers at {target}: {details}")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return NotAppliedError(f"there was no answer from {target} in time")
    return NotAppliedError(f"{target} answered with {code.name}: {details}")


def check_target(target: str) -> str:
    """The target, when it is host:port."""
    host, colon, port = target.rpartition(":")
    if not (host and colon and port.isdecimal() and 0 < int(port) < 65_536):
        raise UsageError(f"--target: {target} is not host:port, such as 127.0.0.1:7400")
    return target


@asynccontextmanager
async def services_at(target: str, timeout_s: float) -> AsyncIterator[Services]:
    """The services that answer at host:port."""
    async with open_channel(check_target(target)) as channel:
        yield Services(channel, target, timeout_s)
