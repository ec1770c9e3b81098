"""This member's load: measured here, reported to the balancer.

Owns the figures and their smoothing, and the reports to a balancer. Nothing depends on a report:
without a balancer, or with a silent one, everything goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Callable
from math import exp
from pathlib import Path
from typing import NamedTuple

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
LOOK_S = 0.25
"""Whoever asks more often is told the figures of the last look."""
SMOOTH_S = 3.0


class Figures(NamedTuple):
    """The load of one member: operations a second, seconds an operation, a share of 1.0."""

    in_flight: int
    rate: float
    latency_s: float
    cpu: float


class LoadMeasure:
    """Smoothed figures, for whoever asks. ``loop_wait``: what waits for the event loop, seconds."""

    def __init__(self, calls: Calls, loop_wait: Callable[[], float]) -> None:
        self._calls = calls
        self._loop_wait = loop_wait
        self._rate = self._cpu = 0.0
        self._served, self._at = calls.served, time.monotonic()
        self._is_idle = True
        self._cpu_s = time.process_time()

    def look(self) -> Figures:
        """The figures of now.

        An operation's time begins when it arrives: what it waits until the event loop turns to it
        is a part. Of a member that has had nothing to do that is all there is to say.
        """
        self._measure(time.monotonic(), time.process_time())
        latency_s = self._loop_wait() + (0.0 if self._is_idle else self._calls.latency_s)
        return Figures(self._calls.in_flight, self._rate, latency_s, min(1.0, self._cpu))

    def _measure(self, now: float, cpu_s: float) -> None:
        passed = now - self._at
        if passed < LOOK_S:
            return
        share = 1.0 - exp(-passed / SMOOTH_S)
        served = self._calls.served - self._served
        self._rate += share * (served / passed - self._rate)
        self._cpu += share * ((cpu_s - self._cpu_s) / passed - self._cpu)
        self._is_idle = not served and not self._calls.in_flight
        self._served, self._at, self._cpu_s = self._calls.served, now, cpu_s


class LoadReports:
    """The reports of one member."""

    def __init__(
        self, identity: Identity, calls: Calls, measure: LoadMeasure, folder: Path
    ) -> None:
        self._identity = identity
        self._calls = calls
        self._measure = measure
        self._folder = folder
        self._pause_s = EVERY_S

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
        """The load now."""
        figures = self._measure.look()
        report = pb.ReportLoadRequest(
            disk_id=self._identity.disk,
            incarnation=self._identity.incarnation,
            in_flight=figures.in_flight,
            operations_per_second=figures.rate,
            cpu_utilization=figures.cpu,
            disk_utilization=self.disk_used(),
        )
        for hot in self._calls.hot_keys.hottest(clocks.monotonic_us()):
            report.hot_keys.add(
                key=hot.key,
                reads_per_second=hot.reads_per_second,
                error_per_second=hot.error_per_second,
            )
        report.latency.FromNanoseconds(int(figures.latency_s * 1e9))
        return report

    def disk_used(self) -> float:
        """The share of the disk that is used, 0.0 to 1.0."""
        space = shutil.disk_usage(self._folder)
        return space.used / space.total
