"""Simulated clients: sessions of the shipped core, stale routers, and retries of every kind.

Owns what a client asks, where it sends it, and when it gives up. The outcome of each call is the
session's word, written into the history.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from becket.core.errors import InvalidInputError
from becket.core.histories.entries import Entry
from becket.core.replication.cells import Answer, Kind, Operation, Outcome, Reason
from becket.core.replication.versions import Version
from becket.core.sessions import Call, Session
from tests.simulation.world import MS

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster
    from tests.simulation.processes import Process


@dataclass(frozen=True)
class Manners:
    """How one client behaves; drawn once a client."""

    timeout_us: int
    pause_us: int
    patience: int
    """Attempts before it ends a call with what it knows."""
    retry_pause_us: int
    reads: float
    """Share of single reads among its calls."""
    nosy: float
    """How often it finds whoever believes to coordinate, also one deposed long ago."""


class Client:
    """One client with one session; one call at a time on a key, up to two keys at once."""

    def __init__(self, cluster: Cluster, name: str, calls: int, rng: random.Random) -> None:
        self.cluster = cluster
        self.world = cluster.world
        self.name = name
        self.session = Session(name)
        self.left = calls
        self.open = 0
        self.pace_us = 0
        """How far apart its calls are to be, so that they meet faults all through the run."""
        self._rng = rng
        self._manners = self._drawn(rng)
        self._hints: dict[int, str] = {}
        self._versions: dict[bytes, Version] = {}
        self._values = count(1)

    @staticmethod
    def _drawn(rng: random.Random) -> Manners:
        draw = rng.random()
        nosy = rng.choice((0.1, 0.6))
        if draw < 0.3:
            pause = rng.choice((300, 900, 1800)) * MS
            return Manners(rng.choice((100, 300, 800)) * MS, 100 * MS, 4, pause, 0.2, nosy)
        if draw < 0.55:
            # One that watches a key, and is answered quickly or not at all.
            return Manners(60 * MS, rng.choice((10, 60)) * MS, 2, 20 * MS, 0.8, 0.8)
        pause = rng.choice((1, 40, 200)) * MS
        return Manners(rng.choice((120, 250)) * MS, pause, 8, 20 * MS, 0.3, nosy)

    # Calls

    def begin(self) -> None:
        """Start the next call, if any is left, and come back for another one."""
        if self.left <= 0:
            return
        self.left -= 1
        partition = self._rng.randrange(self.cluster.shape.partitions)
        key = f"p{partition}k{self._rng.randrange(self.cluster.shape.keys)}".encode()
        if self._rng.random() < 0.04:
            self._read_relaxed((partition, key), 6)
            self._next()
            return
        try:
            call = self.session.begin(partition, key, self._operations(key))
        except InvalidInputError:
            self._next()
            return
        self.run(call)
        if self._rng.random() < 0.3:
            self._next()

    def run(self, call: Call) -> Running:
        """Send the call's first attempt."""
        self.open += 1
        entry = Entry(self.name, call.key, call.operations, self.world.now_us)
        self.cluster.history.entries.append(entry)
        running = Running(self, call, entry)
        self._attempt(running)
        return running

    def insist(self, partition: int, key: bytes, operation: Operation) -> Running:
        """One call that is tried until it succeeds."""
        self._manners = Manners(400 * MS, 0, 1000, 20 * MS, 0.0, 0.0)
        return self.run(self.session.begin(partition, key, (operation,)))

    def _next(self) -> None:
        pause = self._rng.randint(0, 2 * self._manners.pause_us)
        if self._rng.random() < 0.6:
            pause = self._rng.randint(0, 2 * self.pace_us)
        self.world.at(pause, self.begin)

    def _operations(self, key: bytes) -> tuple[Operation, ...]:
        size = 1 if self._rng.random() < 0.85 else self._rng.randint(2, 3)
        if self._rng.random() < self._manners.reads:
            return (Operation(Kind.GET),)
        return tuple(self._write(key) for _ in range(size))

    def _write(self, key: bytes) -> Operation:
        rng = self._rng
        draw = rng.random()
        value = f"{self.name}.{next(self._values)}".encode()
        if draw < 0.25:
            return Operation(Kind.INCREMENT, delta=rng.choice((1, 10, 100)))
        if draw < self.cluster.shape.deletes:
            return Operation(Kind.DELETE)
        if draw < 0.6:
            # Numbers as values, so that increments meet something to count on.
            value = str(rng.randrange(10**6)).encode()
        if draw < 0.7:
            return Operation(Kind.PUT, value, if_absent=True)
        version = self._versions.get(key)
        if draw < 0.85 and version is not None:
            return Operation(Kind.PUT, value, if_version=version)
        ttl_ms = rng.choice((100, 400, 900)) if rng.random() < 0.2 else 0
        return Operation(Kind.PUT, value, ttl_ms=ttl_ms)

    # Attempts

    def _attempt(self, running: Running) -> None:
        call = running.call
        if call.outcome is not None:
            return
        if running.attempts >= self._manners.patience:
            self.session.stop(call)
            self._finish(running)
            return
        running.attempts += 1
        target = self._target(call.partition)
        attempt = self.session.attempt(call, self.cluster.next_attempt_id(), 0)
        running.attempt_id = attempt.id
        self.cluster.call(self.name, target, attempt, self._manners.timeout_us, running.on_answer)
        self.world.at(self._manners.timeout_us, self._time_out, running, attempt.id)

    def _target(self, partition: int) -> Process:
        if self._rng.random() < self._manners.nosy:
            reigning = self.cluster.reigning(partition)
            if reigning:
                return self._rng.choice(reigning)
        hinted = self.cluster.process_of(self._hints.get(partition, ""))
        if hinted is not None and self._rng.random() < 0.9:
            return hinted
        config = self.cluster.topology.configs[partition]
        if self._rng.random() < 0.8:
            process = self.cluster.process_of(self._rng.choice(config.members))
            if process is not None:
                return process
        return self._rng.choice(self.cluster.processes)

    def _time_out(self, running: Running, attempt_id: int) -> None:
        call = running.call
        if call.outcome is not None or call.open_id != attempt_id:
            return
        self._hints.pop(call.partition, None)
        self.session.give_up(call)
        self.world.at(self._manners.retry_pause_us, self._attempt, running)

    def take(self, running: Running, answer: Answer) -> None:
        """An answer has come, perhaps of an attempt given up long ago."""
        call = running.call
        was_open = call.open_id == answer.id and call.outcome is None
        over = self.session.answer(call, answer)
        if answer.coordinator:
            self._hints[call.partition] = answer.coordinator
        if over and was_open:
            self._finish(running)
        elif was_open:
            if answer.outcome is Outcome.NO and not answer.coordinator:
                self._hints.pop(call.partition, None)
            quick = answer.reason in (Reason.WRONG_MEMBER, Reason.STEPPED_DOWN)
            pause = 10 * MS if quick else self._manners.retry_pause_us
            self.world.at(pause, self._attempt, running)

    def _finish(self, running: Running) -> None:
        call, entry = running.call, running.entry
        self.open -= 1
        if call.outcome is Outcome.OK:
            entry.ended_us = self.world.now_us
            entry.results = call.results
            for result in call.results:
                if result.version is not None:
                    self._versions[call.key] = result.version
        elif call.outcome is Outcome.NO:
            entry.ended_us = self.world.now_us
            entry.refused = True
        running.done()
        self._next()

    # Relaxed reads

    def _read_relaxed(self, at: tuple[int, bytes], times: int) -> None:
        """R34 at some replicas, a few times; each is judged by itself, with its staleness.

        The first ones are seldom answered: a replica asks about its level only when it is read.
        """
        partition, key = at
        staleness_us = self._rng.choice((150, 600)) * MS
        target = self.cluster.process_of(
            self._rng.choice(self.cluster.topology.configs[partition].members)
        )
        if times > 1:
            self.world.at(self._rng.randint(20, 200) * MS, self._read_relaxed, at, times - 1)
        result = target.read_bounded(at, staleness_us) if target is not None else None
        if result is None:
            return
        now = self.world.now_us
        entry = Entry(self.name, key, (Operation(Kind.GET),), now, now, (result,))
        entry.staleness_us = staleness_us
        self.cluster.history.entries.append(entry)


class Running:
    """A call under way, with its place in the history."""

    def __init__(self, client: Client, call: Call, entry: Entry) -> None:
        self.client = client
        self.name = client.name
        self.call = call
        self.entry = entry
        self.attempts = 0
        self.attempt_id = 0
        self.finished = False

    def on_answer(self, answer: Answer) -> None:
        """Hand an answer to the client."""
        self.client.take(self, answer)

    def done(self) -> None:
        """The call has ended."""
        self.finished = True
