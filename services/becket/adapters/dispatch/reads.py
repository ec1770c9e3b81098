"""Reads: no session, no effects, hence free to be tried again and to be hedged.

Theory of operation. The reads of one caller's list that go to one member are one parcel. What
comes back without an answer goes on by partition: to the coordinator that a refusal names, to the
next replica for a relaxed read, otherwise when news comes or a back-off ends. A linearizable read
that is slow is tried a second time, beside the first; the first answer counts.

Owns the attempts of reads. Invariant: what another open attempt covers, the end of one attempt does
not start again.
"""

from __future__ import annotations

from collections.abc import Iterable

from google.rpc import status_pb2

from becket.adapters.dispatch.context import Context
from becket.adapters.dispatch.lanes import Lane, UnreachableError
from becket.adapters.dispatch.near_copies import Fill
from becket.adapters.dispatch.outcomes import LOST, UNSENT, Told, failure, told_by
from becket.adapters.dispatch.parcels import Parcel, ParcelState
from becket.adapters.dispatch.routing import Way
from becket.adapters.dispatch.submissions import OPERATION_BYTES, Submission
from becket.adapters.dispatch.waiting import NEVER, Ticket
from becket.api.v1 import key_value_pb2 as kv
from becket.core.errors import NotAppliedError, OverloadedError
from becket.core.replication.cells import Reason
from becket.core.ring.config import Disk

_REDIRECTS = 3
_FAMILY = 8
"""At most so many attempts at the same reads are open side by side."""


class Reading(Parcel):
    """Reads of one caller on their way to one member.

    ``partition`` -1: of several partitions, which is so only in a first attempt.
    """

    __slots__ = (
        "_family",
        "asked",
        "attempts",
        "blind",
        "fill",
        "last",
        "partition",
        "places",
        "reads",
        "redirects",
        "submission",
        "ticket",
        "tried",
        "way",
    )

    def __init__(self, reads: Reads, submission: Submission, partition: int) -> None:
        super().__init__([], [], 0, writes=False)
        self.reads = reads
        self.submission = submission
        self.partition = partition
        self.places: list[int] = []
        self.way: Way | None = None
        # None while it is alone: a list that holds its owner would wait for the collector.
        self._family: list[Reading] | None = None
        self.asked = False
        self.attempts = 0
        self.blind = 0
        self.redirects = 0
        self.tried: tuple[Disk, ...] | None = None
        """The replicas that a relaxed read was refused by; None for a linearizable one."""
        self.fill: Fill | None = None
        """What is asked in place of the one read, where its answer will be kept."""
        self.ticket: Ticket | None = None
        self.last: Told | None = None

    def add(self, place: int, operation: kv.Operation, key: bytes) -> None:
        """Take one more read."""
        self.places.append(place)
        self.operations.append(operation)
        self.keys.append(key)
        self.size += OPERATION_BYTES + len(key)

    @property
    def family(self) -> list[Reading]:
        """This attempt and those beside it, the oldest first."""
        return self._family if self._family is not None else [self]

    @property
    def has_twins(self) -> bool:
        """Whether there have been other attempts beside this one."""
        return self._family is not None

    def join(self, other: Reading) -> None:
        """Stand beside another attempt at the same reads; one list for all of them."""
        family = other.family
        other._family = self._family = family
        family.append(self)

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for any of its reads."""
        submission = self.submission
        return not submission.left or all(
            submission.results[place] is not None for place in self.places
        )

    @property
    def is_open(self) -> bool:
        """Whether it is in a lane."""
        return self.state in (ParcelState.QUEUED, ParcelState.SENT)

    # Parcel

    def on_results(self, results: list[kv.Result]) -> None:
        submission, failed = self.submission, []
        if self.fill is not None:
            self.reads.on_filled(self.keys[0], self.fill, results[0])
        if len(results) == 1 and not results[0].HasField("status"):
            submission.settle(self.places[0], results[0])
            return
        for place, result in zip(self.places, results, strict=True):
            if result.HasField("status"):
                failed.append((place, told_by(result.status)))
            else:
                submission.settle(place, result)
        if failed:
            self.reads.on_failed(self, failed)

    def on_refused(self, status: status_pb2.Status, *, company: bool) -> None:
        told = told_by(status)
        if company and told.is_final:
            self.alone = True
            told = told._replace(is_final=False, after_us=1)
        self.reads.on_failed(self, [(place, told) for place in self.places])

    def on_lost(self, *, sent: bool) -> None:
        told = LOST if sent else UNSENT
        self.reads.on_failed(self, [(place, told) for place in self.places])

    def on_waiting(self, age_us: int) -> int:
        return self.reads.on_waiting(self, age_us)

    # Waiter

    def resume(self, *, news: bool) -> None:
        self.ticket = None
        self.reads.resume(self, news=news)


class Reads:
    """Every read under way in one dispatcher."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def begin(
        self, submission: Submission, places: Iterable[tuple[int, int, bytes]], now_us: int
    ) -> None:
        """Start reads given as (place, partition, key)."""
        routes = self._context.routes
        readings: dict[Lane, Reading] = {}
        operations = submission.operations
        for place, partition, key in places:
            operation = operations[place]
            if operation.get.consistency > kv.CONSISTENCY_LINEARIZABLE:
                self._begin_relaxed(submission, (place, partition, key), operation)
                continue
            way = routes.way(partition)
            if way is None:
                reading = Reading(self, submission, partition)
                reading.add(place, operation, key)
                self.try_now(reading)
                continue
            found = readings.get(way.lane)
            if found is None:
                found = readings[way.lane] = Reading(self, submission, partition)
                found.way = way
            elif found.partition != partition:
                found.partition = -1
            found.add(place, operation, key)
        for reading in readings.values():
            assert reading.way is not None
            self._put(reading, reading.way, now_us)

    def begin_lone(self, submission: Submission, partition: int, now_us: int) -> None:
        """Start the one linearizable read of a submission that names its key."""
        reading = Reading(self, submission, partition)
        reading.add(0, submission.operations[0], submission.read_key)
        way = self._context.routes.way(partition)
        if way is None:
            self.try_now(reading)
        else:
            self._put(reading, way, now_us)

    def _begin_relaxed(
        self, submission: Submission, at: tuple[int, int, bytes], operation: kv.Operation
    ) -> None:
        """From the copy of a hot key that is kept here, or by any replica."""
        place, partition, key = at
        copies, fill = self._context.copies, None
        if key in copies.wide:
            now_us = self._context.clock.now_us()
            found = copies.find(operation.get, now_us)
            if found is not None:
                submission.settle(place, found)
                return
            fill = copies.fill(operation, now_us)
        reading = Reading(self, submission, partition)
        reading.tried, reading.fill = (), fill
        reading.add(place, operation if fill is None else fill.operation, key)
        self.try_now(reading)

    def on_filled(self, key: bytes, fill: Fill, result: kv.Result) -> None:
        """The answer to a fill has come."""
        self._context.copies.take(key, fill, result)

    def try_now(self, reading: Reading) -> None:
        """Make an attempt at reads of one partition, or wait where there is nobody to ask."""
        context = self._context
        if reading.is_over:
            return
        if reading.tried is not None:
            way = context.routes.relaxed(reading.partition, reading.tried)
        else:
            way = context.routes.way(reading.partition)
        if way is None:
            context.ask_around(reading.partition, None)
            self._wait(reading, 0)
            return
        self._put(reading, way, context.clock.now_us())

    def _put(self, reading: Reading, way: Way, now_us: int) -> None:
        reading.way = way
        reading.asked = False
        reading.attempts += 1
        left_us = reading.submission.deadline_us - now_us
        reading.patience_us = max(1000, min(way.lane.attempt_us, left_us))
        try:
            way.lane.put(reading, now_us)
        except UnreachableError:
            self.on_failed(reading, [(place, UNSENT) for place in reading.places])
        except OverloadedError as error:
            result = failure(error)
            for place in reading.places:
                reading.submission.settle(place, result)

    # Failures

    def on_failed(self, reading: Reading, failed: list[tuple[int, Told]]) -> None:
        """Some reads got no answer; each partition goes on by itself."""
        submission = reading.submission
        twins = [twin for twin in reading.family if twin is not reading and twin.is_open]
        elsewhere = {place for twin in twins for place in twin.places}
        if not submission.left:
            return
        full = any(told.is_crowded for _, told in failed) and submission.is_full
        following: dict[int, Reading] = {}
        for place, told in failed:
            if not submission.left:
                return
            if submission.results[place] is not None or place in elsewhere:
                continue
            if told.is_crowded:
                # A member that leaves out even the first answer would do so for ever.
                final = full or (reading.alone and place == reading.places[0])
            else:
                final = told.is_final
            if final and told.status is not None:
                submission.settle(place, kv.Result(status=told.status))
                continue
            key = submission.operations[place].get.key
            partition = self._partition(reading, key)
            after = following.get(partition)
            if after is None:
                after = following[partition] = self._following(reading, partition, told)
            after.add(place, submission.operations[place], key)
        way = reading.way
        for after in following.values():
            self._go_on(after, way)

    def _partition(self, reading: Reading, key: bytes) -> int:
        ring = self._context.routes.view.ring
        if reading.partition >= 0 or ring is None:
            return reading.partition
        return ring.partition_of(key)

    def _following(self, reading: Reading, partition: int, told: Told) -> Reading:
        after = Reading(self, reading.submission, partition)
        after.attempts, after.blind = reading.attempts, reading.blind
        after.redirects = reading.redirects
        # An answer too large for its message breaks the stream: try it without company. So is one
        # that was left out twice: alone, at least the first of its reads is answered.
        crowded = told.is_crowded and reading.last is not None and reading.last.is_crowded
        after.alone = reading.alone or told is LOST or crowded
        after.last = told
        if told.is_crowded:
            after.attempts, after.tried = reading.attempts - 1, reading.tried
        elif reading.tried is not None and reading.way is not None:
            after.tried = (*reading.tried, reading.way.disk)
        return after

    def _go_on(self, reading: Reading, way: Way | None) -> None:
        context, told = self._context, reading.last
        assert told is not None
        if told.is_crowded:
            self.try_now(reading)  # It costs nobody more than it would have cost before.
            return
        context.heed(told, reading.partition)
        if reading.tried is not None and reading.tried.count(reading.tried[-1]) == 1:
            # Another replica may answer; past the last one it is the coordinator's turn.
            self.try_now(reading)
            return
        after = context.routes.way(reading.partition)
        moved = after is not None and (
            way is None or (after.disk, after.lane) != (way.disk, way.lane)
        )
        if moved and reading.redirects < _REDIRECTS:
            reading.redirects += 1
            context.counts.retries += 1
            self.try_now(reading)
            return
        if told.reason is not Reason.OVERLOADED and not told.after_us:
            context.ask_around(reading.partition, way if told.status is None else None)
        self._wait(reading, told.after_us)

    def _wait(self, reading: Reading, after_us: int) -> None:
        context = self._context
        epoch = context.routes.epoch(reading.partition)
        reading.ticket = context.wait(reading, epoch, after_us, reading.blind)

    def resume(self, reading: Reading, *, news: bool) -> None:
        """A wait is over: another attempt, where the budget allows one."""
        context = self._context
        if reading.is_over or reading.attempts >= context.settings.all_attempts:
            return
        unsent = reading.last is UNSENT
        if unsent and not news and context.is_out_of_reach(reading.partition):
            self._wait(reading, context.settings.unsent_pause_us)
            return
        if not context.may_retry(free=news or unsent):
            last = reading.last
            if last is not None and last.reason is Reason.OVERLOADED and last.status is not None:
                self._settle_all(reading, kv.Result(status=last.status))
            else:
                self._wait(reading, 0)
            return
        reading.redirects = 0
        reading.blind += not (news or unsent)
        if reading.tried is not None:
            reading.tried = ()
        self.try_now(reading)

    # Hedging

    def on_waiting(self, reading: Reading, age_us: int) -> int:
        """An attempt is unanswered: hedge it when it is slow, ask others when it is silent."""
        way, context = reading.way, self._context
        if way is None or reading.is_over:
            return NEVER
        settings, attempt_us = context.settings, way.lane.attempt_us
        if not reading.asked and age_us >= attempt_us:
            reading.asked = True
            for partition in self._partitions(reading):
                context.ask_around(partition, way)
        later_us = NEVER if reading.asked else attempt_us
        family = [each for each in reading.family if each.is_open]
        if family[0] is not reading:
            return later_us
        if not reading.has_twins:
            slow_us = min(max(way.lane.latency.p95_us, settings.hedge_least_us), attempt_us)
            if age_us < slow_us:
                return slow_us
            if not self._hedge(reading, way):
                later_us = min(later_us, age_us + settings.hedge_least_us)
        if reading.tried is None and age_us >= settings.superseded_us:
            self._follow(reading, family)
        return later_us

    def _follow(self, reading: Reading, family: list[Reading]) -> None:
        """Another coordinator is known, and none of the open attempts is made there."""
        lanes = {each.way.lane for each in family if each.way is not None}
        routes = self._context.routes
        ways = {each: routes.way(each) for each in self._partitions(reading)}
        moved = {p: way for p, way in ways.items() if way is not None and way.lane not in lanes}
        if moved and len(reading.family) < _FAMILY:
            self._context.counts.retries += 1
            self._send_twins(reading, moved)

    def _partitions(self, reading: Reading) -> set[int]:
        return {self._partition(reading, key) for key in reading.keys}

    def _hedge(self, reading: Reading, way: Way) -> bool:
        """Try what is unanswered a second time; False where that cannot be now."""
        context = self._context
        ways: dict[int, Way] = {}
        for partition in self._partitions(reading):
            second = self._second_way(reading, partition)
            # In a full lane it would only queue behind the first.
            if second is not None and not (second.lane is way.lane and way.lane.is_full):
                ways[partition] = second
        if not ways or not context.budget.take(context.clock.now_us()):
            return False
        context.counts.hedges += 1
        self._send_twins(reading, ways)
        return True

    def _second_way(self, reading: Reading, partition: int) -> Way | None:
        routes = self._context.routes
        if reading.tried is None or reading.way is None:
            return routes.way(partition)
        return routes.relaxed(partition, (*reading.tried, reading.way.disk))

    def _send_twins(self, reading: Reading, ways: dict[int, Way]) -> None:
        """Attempts beside an open one, for what is unanswered of the partitions in ``ways``."""
        submission = reading.submission
        now_us = self._context.clock.now_us()
        twins: dict[Lane, Reading] = {}
        for place, operation, key in zip(
            reading.places, reading.operations, reading.keys, strict=True
        ):
            partition = self._partition(reading, key)
            target = ways.get(partition)
            if target is None or submission.results[place] is not None:
                continue
            twin = twins.get(target.lane)
            if twin is None:
                twin = twins[target.lane] = Reading(self, submission, partition)
                twin.way, twin.tried = target, reading.tried
                twin.join(reading)
            elif twin.partition != partition:
                twin.partition = -1
            twin.add(place, operation, key)
        for twin in twins.values():
            assert twin.way is not None
            self._put(twin, twin.way, now_us)

    # The end

    def expire(self, submission: Submission, place: int) -> None:
        """The caller waits no longer; a read has no effect, so it was certainly not applied."""
        submission.settle(place, failure(NotAppliedError("the read was not answered in time")))

    def _settle_all(self, reading: Reading, result: kv.Result) -> None:
        for place in reading.places:
            reading.submission.settle(place, result)
