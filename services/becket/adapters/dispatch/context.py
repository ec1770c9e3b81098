"""What calls and reads share: time, routes, stamps, budget, and the room where they wait.

Owns the choice of how long to wait and of whom to ask meanwhile. Must not know calls or reads.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from becket.adapters.dispatch.budget import Budget
from becket.adapters.dispatch.locating import Locator
from becket.adapters.dispatch.near_copies import NearCopies
from becket.adapters.dispatch.news import News
from becket.adapters.dispatch.outcomes import Told
from becket.adapters.dispatch.routing import Routes, Way
from becket.adapters.dispatch.settings import DispatchSettings
from becket.adapters.dispatch.stamps import Stamps
from becket.adapters.dispatch.timing import Clock
from becket.adapters.dispatch.waiting import Ticket, Waiter, WaitingRoom
from becket.core.replication.versions import Epoch


@dataclass
class Counts:
    """What a dispatcher has done, for whoever reports it; each only rises."""

    calls: int = 0
    retries: int = 0
    hedges: int = 0
    refused_by_budget: int = 0
    unknown: int = 0


@dataclass
class Context:
    """The parts of one dispatcher."""

    settings: DispatchSettings
    clock: Clock
    rng: random.Random
    routes: Routes
    news: News
    locator: Locator
    stamps: Stamps
    budget: Budget
    room: WaitingRoom
    arm: Callable[[], None]
    """Makes sure that time is watched."""
    counts: Counts = field(default_factory=Counts)
    copies: NearCopies = field(default_factory=NearCopies)

    def heed(self, told: Told, partition: int) -> None:
        """Take what a refusal says of the coordinator."""
        whom = told.coordinator
        if whom is None:
            return
        if whom.epoch.counter:
            self.news.take_coordinators([whom])
        elif whom.epoch.disk_id:
            self.routes.hint(partition, whom.epoch.disk_id)

    def wait(self, waiter: Waiter, epoch: Epoch, after_us: int, blind: int) -> Ticket:
        """Wait for news, at most for ``after_us``, or for a back-off with jitter where that is 0.

        ``blind``: how many attempts were made without news; past their limit they come slowly.
        """
        settings = self.settings
        if blind >= settings.blind_attempts:
            delay_us = settings.blind_pause_us
        else:
            least, most = settings.backoff_least_us, settings.backoff_most_us
            upper = min(most, least << min(blind, 8))
            delay_us = after_us or self.rng.randint(least, max(least, upper))
        self.arm()
        return self.room.wait(waiter, epoch, self.clock.now_us() + delay_us)

    def is_out_of_reach(self, partition: int) -> bool:
        """Whether an attempt could not leave this process now; then others are asked who could."""
        way = self.routes.way(partition)
        if way is not None and way.lane.is_reachable:
            return False
        self.ask_around(partition, way)
        return True

    def ask_around(self, partition: int, silent: Way | None) -> None:
        """Ask the replicas who coordinates, but the one that does not answer."""
        self.locator.ask(partition, (silent.lane.address,) if silent is not None else ())

    def may_retry(self, *, free: bool) -> bool:
        """Whether a further attempt may be made now.

        ``free``: there are news, or the attempt before never left this process and so cost nobody
        anything. The rest has a budget.
        """
        if not free and not self.budget.take(self.clock.now_us()):
            self.counts.refused_by_budget += 1
            return False
        self.counts.retries += 1
        return True
