"""The balancer as a service: it looks at its ledger once a second and tells what has changed.

Owns the main loop and the instruments. Holds no state that anybody needs after a restart: members
report again within a second or two.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import grpc
from opentelemetry.metrics import CallbackOptions, Observation

from becket.adapters import clocks
from becket.api.v1 import balancer_pb2_grpc
from becket.balancer.board import Board
from becket.balancer.messages import weights_to_proto
from becket.balancer.servicer import BalancerServicer, Clock
from becket.balancer.settings import BalancerSettings
from becket.core.load.ledger import Ledger
from becket.runtime.contract import Runtime

NAME = "becket.api.v1.BalancerService"


class BalancerService:
    """One balancer; ``look`` is its whole work."""

    def __init__(
        self,
        runtime: Runtime,
        settings: BalancerSettings,
        clock: Clock = clocks.monotonic_us,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._log = runtime.log
        self._ledger = Ledger(settings.load)
        self._board = Board(weights_to_proto(self._ledger.told, settings.load.staleness_us))
        self._servicer = BalancerServicer(
            self._ledger,
            self._board,
            clock=clock,
            stream_age_s=settings.stream_age_s,
            idle_s=settings.load.gone_us(settings.load.members) / 1_000_000,
        )
        self._observe(runtime)

    def _observe(self, runtime: Runtime) -> None:
        meter = runtime.meter
        meter.create_observable_gauge(
            "becket.balancer.weight", [self._weights], "1", "The weight of each member."
        )
        meter.create_observable_gauge(
            "becket.balancer.wide_keys",
            [lambda _: (Observation(len(self._ledger.told.wide_keys)),)],
            "{key}",
            "Keys whose reads are spread.",
        )
        meter.create_observable_counter(
            "becket.balancer.reports",
            [lambda _: (Observation(self._servicer.reports),)],
            "{report}",
            "Reports taken in.",
        )

    def _weights(self, _options: CallbackOptions) -> Iterable[Observation]:
        for disk, weighed in self._ledger.told.members.items():
            yield Observation(weighed.weight, {"becket.disk": disk})

    def add_to(self, server: grpc.aio.Server) -> Sequence[str]:
        balancer_pb2_grpc.add_BalancerServiceServicer_to_server(self._servicer, server)
        return [NAME]

    async def start(self, _address: str) -> None:
        # Ready at once: no weights are the mean for all, which is what callers take anyway.
        self.look()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._settings.look_interval_ms / 1000)
            self.look()

    def look(self) -> None:
        """Compute the weights of now and tell them."""
        before = self._ledger.told
        weights = self._ledger.look(self._clock())
        if weights.number != before.number:
            self._log.info(
                "weights",
                number=weights.number,
                members=len(weights.members),
                wide_keys=len(weights.wide_keys),
            )
        self._board.put(weights_to_proto(weights, self._settings.load.staleness_us))

    async def drain(self) -> None:
        """Nothing to hand over: the skeleton ends the streams, and members report elsewhere."""

    async def close(self) -> None:
        """Nothing to give back."""
