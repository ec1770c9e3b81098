"""How busy this process is, told with every answer (ORCA, Open Request Cost Aggregation).

Owns the figures of unary calls and of the event loop, and the bytes of the newest report. Must not
know any service. Invariant: a call costs one look at ready bytes; whatever is computed is computed
a few times a second, however many calls there are.

Theory. gRPC's ``weighted_round_robin`` gives a server the weight ``rate / utilization``. With the
mean number of calls that are here as utilization, which by Little's law is rate x time, the weight
is the inverse of a call's time: the spare rate of a queue (``core.load.weights``), so that new
calls go where there is room. The time of a call begins when it arrives, not when the event loop
turns to it, and in a process with one loop that wait is the queue. It is measured by a clock that
ticks in the loop: by how much a tick comes late is how long a call waits that comes at that moment.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from time import perf_counter

from becket.adapters.interception import Call, Context, Layer
from becket.adapters.telemetry.names import SERVER_ERRORS, code_name
from becket.api.v1.orca_pb2 import OrcaLoadReport

TRAILER = "endpoint-load-metrics-bin"
PREFIX = "becket."
"""Calls of Becket's own services carry a report; those of health and reflection do not."""
TICK_S = 0.02
TICKS = 10
"""A report is made anew after so many ticks."""
SHARE = 0.3
"""So much of each new figure is taken: reports follow a change within a second."""
LEAST_ROUND_S = 0.001

Trailers = tuple[tuple[str, bytes], ...]
Shares = Callable[[], Mapping[str, float]]
"""Shares of resources that are used, 0.0 to 1.0, by name."""


class LoadMeter(Layer):
    """Measures unary calls and gives each answer the newest report. ``run`` it."""

    def __init__(self) -> None:
        self.trailers: Trailers = ()
        """What each answer carries; nothing before there is a report."""
        self.shares: Shares = dict
        """What else a service has to tell; it may set this."""
        self.loop_wait_s = 0.0
        """How long what arrives waits for the event loop, smoothed."""
        self._in_flight = 0
        self._ended = self._failed = 0
        self._spent_s = 0.0
        self._waited_s = 0.0
        self._waits = 0
        self._rate = self._error_rate = self._time_s = self._cpu = 0.0
        self._at_s = perf_counter()
        self._cpu_s = time.process_time()

    # Calls

    def wrap_unary(self, method: str, call: Call) -> Call:
        if not method.startswith(PREFIX):
            return call

        async def measured(request: object, context: Context) -> object:
            if self.trailers:
                context.set_trailing_metadata(self.trailers)
            self._in_flight += 1
            begun = perf_counter()
            try:
                return await call(request, context)
            except BaseException:
                self._failed += code_name(context.code()) in SERVER_ERRORS
                raise
            finally:
                self._spent_s += perf_counter() - begun
                self._in_flight -= 1
                self._ended += 1

        return measured

    def wrap_stream(self, method: str, call: Call) -> Call:
        del method
        return call  # A report with the last message of a stream would come too late.

    # Time

    async def run(self) -> None:
        """Tick for ever."""
        loop = asyncio.get_running_loop()
        ticks = 0
        while True:
            due = loop.time() + TICK_S
            await asyncio.sleep(TICK_S)
            self.note_wait(loop.time() - due)
            ticks += 1
            if ticks % TICKS == 0:
                self.look(perf_counter(), time.process_time())

    def note_wait(self, late_s: float) -> None:
        """A tick came late by so much.

        A loop that stood still for longer than a tick has missed some: each would have come late by
        a tick less than the one before it.
        """
        late_s = max(0.0, late_s)
        missed = int(late_s / TICK_S)
        self._waited_s += late_s * (missed + 1) - TICK_S * missed * (missed + 1) / 2
        self._waits += missed + 1

    def look(self, now_s: float, cpu_s: float) -> None:
        """Make the report of now; ``cpu_s`` is the processor time that was used so far."""
        passed_s = now_s - self._at_s
        if passed_s < LEAST_ROUND_S:
            return
        self._rate += SHARE * (self._ended / passed_s - self._rate)
        self._error_rate += SHARE * (self._failed / passed_s - self._error_rate)
        self._cpu += SHARE * ((cpu_s - self._cpu_s) / passed_s - self._cpu)
        if self._waits:
            self.loop_wait_s += SHARE * (self._waited_s / self._waits - self.loop_wait_s)
        if self._ended:
            took_s = self._spent_s / self._ended
            self._time_s += SHARE * (took_s - self._time_s) if self._time_s else took_s
        self._at_s, self._cpu_s = now_s, cpu_s
        self._ended = self._failed = self._waits = 0
        self._spent_s = self._waited_s = 0.0
        report = self.report()
        self.trailers = ((TRAILER, report.SerializeToString()),)

    def report(self) -> OrcaLoadReport:
        """The figures as of the last look."""
        return OrcaLoadReport(
            cpu_utilization=min(1.0, max(0.0, self._cpu)),
            utilization=dict(self.shares()),
            rps_fractional=self._rate,
            eps=self._error_rate,
            named_metrics={"in_flight": self._in_flight, "loop_wait": self.loop_wait_s},
            application_utilization=self._rate * (self._time_s + self.loop_wait_s),
        )
