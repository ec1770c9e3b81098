"""A tiny service for the skeleton's tests, and a process of it: ``python -m tests...sample``.

It speaks BalancerService, because that has a call of each kind. What a call does is told by the
metadata ``do``.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc

from becket.api.v1 import balancer_pb2 as pb
from becket.api.v1 import balancer_pb2_grpc
from becket.core.errors import ConditionFailedError, InvalidInputError, OutcomeUnknownError
from becket.runtime.contract import Runtime
from becket.runtime.host import Host
from becket.runtime.logs import open_log
from becket.runtime.service import main
from becket.runtime.settings import ServiceSettings

NAME = "becket.api.v1.BalancerService"
Context = grpc.aio.ServicerContext[Any, Any]


class SampleSettings(ServiceSettings):
    sample_fails: str = ""


def _wish(context: Context) -> str:
    return next(
        (str(value) for key, value in context.invocation_metadata() or () if key == "do"), ""
    )


ERRORS: dict[str, Exception] = {
    "invalid": InvalidInputError("key", "is 5000 bytes, must be 1..4096"),
    "condition": ConditionFailedError(b"v7"),
    "unknown": OutcomeUnknownError("the quorum did not answer"),
    "bug": ZeroDivisionError("secret of the stack"),
}


class Sample(balancer_pb2_grpc.BalancerServiceServicer):
    """``steps`` is the story of its life."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.steps: list[str] = []
        self.entered = asyncio.Event()
        self.release = asyncio.Event()
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.fails = getattr(runtime.settings, "sample_fails", "")

    def add_to(self, server: grpc.aio.Server) -> Sequence[str]:
        balancer_pb2_grpc.add_BalancerServiceServicer_to_server(self, server)
        return [NAME]

    def _step(self, step: str) -> None:
        ready = "ready" if self.runtime.health.ready else "not ready"
        self.steps.append(f"{step} ({ready})")
        self.runtime.log.info("step", step=self.steps[-1])
        if self.fails == step:
            raise ZeroDivisionError(step)

    async def start(self, address: str) -> None:
        assert address == self.runtime.address
        self._step("start")

    async def run(self) -> None:
        self._step("run")
        if self.fails != "return":
            await self.failure

    async def drain(self) -> None:
        self._step("drain")
        if self.fails == "hang":
            await asyncio.Event().wait()

    async def close(self) -> None:
        self._step("close")

    async def GetWeights(  # noqa: N802 - named by the proto
        self, _request: pb.GetWeightsRequest, context: Context
    ) -> pb.GetWeightsResponse:
        wish = _wish(context)
        if wish in ERRORS:
            raise ERRORS[wish]
        if wish == "wait":
            self.entered.set()
            await self.release.wait()
        return pb.GetWeightsResponse(weights=pb.Weights(number=7))

    async def WatchWeights(  # noqa: N802 - likewise
        self, _request: pb.WatchWeightsRequest, context: Context
    ) -> AsyncIterator[pb.WatchWeightsResponse]:
        yield pb.WatchWeightsResponse(weights=pb.Weights(number=1))
        wish = _wish(context)
        if wish in ERRORS:
            raise ERRORS[wish]
        if wish == "wait":
            await self.release.wait()

    async def ReportLoad(  # noqa: N802 - likewise
        self, request_iterator: AsyncIterator[pb.ReportLoadRequest], _context: Context
    ) -> AsyncIterator[pb.ReportLoadResponse]:
        async for request in request_iterator:
            answer = pb.ReportLoadResponse()
            answer.next_report.seconds = request.incarnation
            yield answer


@asynccontextmanager
async def hosted(
    kind: type[Sample] = Sample,
    **values: Any,  # noqa: ANN401 - settings
) -> AsyncIterator[tuple[Host, Sample]]:
    """A host with a sample in this process, stopped at the end."""
    made: list[Sample] = []

    def build(runtime: Runtime) -> Sample:
        made.append(kind(runtime))
        return made[0]

    settings = SampleSettings(**{"stop_grace_s": 5, **values})
    host = Host("sample", settings, build, open_log("info", "json"))
    stop = asyncio.Event()
    running = asyncio.create_task(host.run(stop))
    async with asyncio.timeout(30):
        await host.listening.wait()
        yield host, made[0]
        stop.set()
        assert await running == 0


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what the other side of a connection will do, five seconds at most."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the condition is seen, not told
            await asyncio.sleep(0.001)


if __name__ == "__main__":
    sys.exit(main("sample", SampleSettings, Sample))
