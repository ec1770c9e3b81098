"""This member's load, reported to the balancer.

Owns the figures and their smoothing. Nothing depends on a report: without a balancer, or with a
silent one, everything goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc

from becket.adapters import clocks
from becket.adapters.rpc.channels import open_channel
from becket.api.v1 import balancer_pb2 as pb
from becket.api.v1 import balancer_pb2_grpc as rpc
from becket.core.replication.versions import Identity
from becket.ports.directory import Directory
from becket.storage.calls import Calls

EVERY_S = 1.0
AGAIN_S = 2.0
_SMOOTHING = 0.3


class LoadReports:
    """The reports of one member."""

    def __init__(self, identity: Identity, calls: Calls, folder: Path) -> None:
        self._identity = identity
        self._calls = calls
        self._folder = folder
        self._pause_s = EVERY_S
        self._rate = 0.0
        self._served = 0
        self._at = time.monotonic()
        self._cpu_s = time.process_time()
        self._cpu = 0.0

    async def run(self, directory: Directory, otherwise: str) -> None:
        """Report to whichever balancer the directory lists, or to ``otherwise``, for ever."""
        while True:
            place = next(iter(directory.places("balancer").values()), None)
            address = place.address if place is not None else otherwise
            if address:
                # A balancer that is away is no matter of ours.
                with contextlib.suppress(grpc.aio.AioRpcError):
                    await self._report_to(address)
            await asyncio.sleep(AGAIN_S)

    async def _report_to(self, address: str) -> None:
        async with open_channel(address) as channel:
            call = rpc.BalancerServiceStub(channel).ReportLoad(self._reports())
            async for answer in call:
                self._pause_s = max(0.1, answer.next_report.ToTimedelta().total_seconds())

    async def _reports(self) -> AsyncIterator[pb.ReportLoadRequest]:
        while True:
            yield self.report()
            await asyncio.sleep(self._pause_s)

    def report(self) -> pb.ReportLoadRequest:
        """The load since the last report, smoothed."""
        now, cpu_s = time.monotonic(), time.process_time()
        passed = max(1e-3, now - self._at)
        served, self._served = self._calls.served - self._served, self._calls.served
        self._rate += _SMOOTHING * (served / passed - self._rate)
        self._cpu += _SMOOTHING * ((cpu_s - self._cpu_s) / passed - self._cpu)
        self._at, self._cpu_s = now, cpu_s
        space = shutil.disk_usage(self._folder)
        report = pb.ReportLoadRequest(
            disk_id=self._identity.disk,
            incarnation=self._identity.incarnation,
            in_flight=self._calls.in_flight,
            operations_per_second=self._rate,
            cpu_utilization=min(1.0, self._cpu),
            disk_utilization=space.used / space.total,
        )
        for hot in self._calls.hot_keys.hottest(clocks.monotonic_us()):
            report.hot_keys.add(
                key=hot.key,
                reads_per_second=hot.reads_per_second,
                error_per_second=hot.error_per_second,
            )
        report.latency.FromNanoseconds(int(self._calls.latency_s * 1e9))
        return report
