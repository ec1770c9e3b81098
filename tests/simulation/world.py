"""Simulated time and the network between simulated processes.

Owns the queue of events, the one source of randomness of a run, and what the network does to an
envelope. Everything that happens is an event at a true time; processes see their own clocks.
Invariant: one seed, one order of events.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass

MS = 1000
SECOND = 1_000_000


@dataclass(frozen=True)
class Weather:
    """How the network of one run treats envelopes; drawn once a run."""

    drop: float
    repeat: float
    slow: float
    delay_us: int
    slow_us: int
    linger: float
    """Share of envelopes of which an old duplicate turns up much later."""
    fickle: float = 0.0
    """Share of attempts and answers that are lost between a client and a member."""
    late: float = 0.0
    """Share of attempts and answers that arrive long after their client has given them up."""

    @classmethod
    def drawn(cls, rng: random.Random) -> Weather:
        """A calm, a lossy or a wild network."""
        mood = rng.random()
        if mood < 0.25:
            return cls(0.0, 0.0, 0.0, 2 * MS, 0, 0.0)
        return cls(
            drop=rng.choice((0.0, 0.01, 0.05, 0.15)),
            repeat=rng.choice((0.0, 0.02, 0.1)),
            slow=rng.choice((0.0, 0.05, 0.2)),
            delay_us=rng.choice((1, 3, 10)) * MS,
            slow_us=rng.choice((60, 200, 600)) * MS,
            linger=rng.choice((0.0, 0.0, 0.05, 0.2)),
            fickle=rng.choice((0.0, 0.1, 0.3)),
            late=rng.choice((0.0, 0.05, 0.2)),
        )


CALM = Weather(0.0, 0.0, 0.0, 1 * MS, 0, 0.0)


class World:
    """One run's time, randomness and network."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = self.stream("world")
        self.now_us = 0
        self.events = 0
        self.weather = CALM
        self.cuts: set[tuple[str, str]] = set()
        self.story: list[str] | None = None
        self._queue: list[tuple[int, int, Callable[..., None], tuple[object, ...]]] = []
        self._order = 0

    def stream(self, name: str) -> random.Random:
        """A source of randomness of its own, so that one part's draws change no other's."""
        return random.Random(f"{self.seed}/{name}")

    def at(self, delay_us: int, call: Callable[..., None], *args: object) -> None:
        """Call ``call(*args)`` after ``delay_us`` of true time."""
        self._order += 1
        heapq.heappush(self._queue, (self.now_us + delay_us, self._order, call, args))

    def run_until(self, until_us: int, stop: Callable[[], bool] | None = None) -> None:
        """Let events happen up to ``until_us``, or until ``stop`` says so (asked now and then)."""
        queue = self._queue
        while queue and queue[0][0] <= until_us:
            self.now_us, _, call, args = heapq.heappop(queue)
            self.events += 1
            call(*args)
            if stop is not None and self.events % 64 == 0 and stop():
                return
        self.now_us = max(self.now_us, until_us)

    def tell(self, text: str) -> None:
        """Note something for the story of this run, where one is wanted."""
        if self.story is not None:
            self.story.append(f"{self.now_us / 1000:9.1f} ms  {text}")

    def carry(self, way: tuple[str, str], deliver: Callable[..., None], *args: object) -> None:
        """Take an envelope from ``way[0]`` to ``way[1]``: perhaps late, twice, or not at all."""
        weather, rng = self.weather, self.rng
        if way in self.cuts or (weather.drop and rng.random() < weather.drop):
            return
        self.at(self._delay(), self._arrive, way, deliver, args)
        if weather.repeat and rng.random() < weather.repeat:
            self.at(self._delay(), self._arrive, way, deliver, args)
        if weather.linger and rng.random() < weather.linger:
            late = rng.randint(50 * MS, 2500 * MS)
            self.at(late, self._arrive, way, deliver, args)

    def carry_once(self, way: tuple[str, str], deliver: Callable[..., None], *args: object) -> None:
        """Take a client's attempt or its answer: late or never, but once at most (R10)."""
        weather, rng = self.weather, self.rng
        if way in self.cuts or (weather.fickle and rng.random() < weather.fickle):
            return
        delay = self._delay()
        if weather.late and rng.random() < weather.late:
            delay = rng.randint(100 * MS, 2500 * MS)
        self.at(delay, self._arrive, way, deliver, args)

    def _delay(self) -> int:
        weather, rng = self.weather, self.rng
        if weather.slow and rng.random() < weather.slow:
            return rng.randint(1, weather.slow_us)
        return 100 + int(rng.random() * weather.delay_us)

    def _arrive(
        self, way: tuple[str, str], deliver: Callable[..., None], args: tuple[object, ...]
    ) -> None:
        if way not in self.cuts:
            deliver(*args)
