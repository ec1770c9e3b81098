"""What members have reported, and the weights that follow.

Owns the newest report of each member, its smoothing and its end, and the number of the weights.
Must not read a clock: time is an argument. Invariants: a report of an older incarnation changes
nothing; the number of members is bounded; the number rises exactly when the weights have changed
by more than the settings' share, when members come or go, or when wide keys do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp
from statistics import fmean
from typing import NamedTuple

from becket.core.errors import OverloadedError
from becket.core.load.hot_keys import HotKey
from becket.core.load.reports import MAX_HOT_KEYS, Report
from becket.core.load.settings import LoadSettings
from becket.core.load.weights import Load, weights
from becket.core.load.wide_keys import Reads, hottest, merged, wide_keys
from becket.core.ring.config import Disk


class Weighed(NamedTuple):
    """One member's weight and the age of the report that it rests on."""

    weight: float
    age_us: int
    load: Load
    operations_per_second: float


class Weights(NamedTuple):
    """The weights at one moment; ``number`` rises when they change.

    ``hot_keys``: those that are read most over all members, the hottest first.
    """

    number: int
    members: Mapping[Disk, Weighed]
    wide_keys: tuple[bytes, ...]
    hot_keys: tuple[HotKey, ...] = ()


@dataclass
class _Entry:
    report: Report
    at_us: int
    in_flight: float
    latency_us: float
    cpu: float
    since_us: int


class Ledger:
    """The state of a balancer. ``told`` are the weights of the last look."""

    def __init__(self, settings: LoadSettings) -> None:
        self.told = Weights(1, {}, ())
        self._settings = settings
        self._entries: dict[Disk, _Entry] = {}
        # What the present number stands for: small changes must not add up unseen.
        self._numbered: Weights = self.told

    def report(self, report: Report, now_us: int) -> bool:
        """Take a report in; False when it is of an older incarnation.

        Raises InvalidInputError for one that cannot be, OverloadedError for a member too many.
        """
        report.check()
        before = self._entries.get(report.disk)
        if before is None and len(self._entries) >= self._settings.members:
            after_ms = self._settings.gone_us(len(self._entries)) // 1000
            raise OverloadedError("too many members report", after_ms=after_ms)
        if before is not None and report.incarnation < before.report.incarnation:
            return False
        if before is None or report.incarnation > before.report.incarnation:
            self._entries[report.disk] = _Entry(
                report, now_us, report.in_flight, report.latency_us, report.cpu, now_us
            )
        else:
            self._smooth(before, report, now_us)
        return True

    def _smooth(self, entry: _Entry, report: Report, now_us: int) -> None:
        share = 1.0 - exp(-max(0, now_us - entry.at_us) / self._settings.smooth_us)
        entry.in_flight += share * (report.in_flight - entry.in_flight)
        entry.cpu += share * (report.cpu - entry.cpu)
        if not entry.latency_us:
            entry.latency_us = report.latency_us
        elif report.latency_us:
            entry.latency_us += share * (report.latency_us - entry.latency_us)
        entry.report, entry.at_us = report, now_us

    def interval_us(self) -> int:
        """When to report again."""
        return self._settings.interval_us(len(self._entries))

    def look(self, now_us: int) -> Weights:
        """The weights at ``now_us``; forgets members that have been silent for too long."""
        settings, known = self._settings, len(self._entries)
        gone_us = settings.gone_us(known)
        self._entries = {
            disk: entry for disk, entry in self._entries.items() if now_us - entry.at_us < gone_us
        }
        loads = {
            disk: Load(
                entry.in_flight,
                entry.latency_us,
                entry.cpu,
                settings.freshness(now_us - entry.at_us, known),
                settings.growth(now_us - entry.since_us),
            )
            for disk, entry in self._entries.items()
        }
        read = merged((e.report.hot_keys, loads[d].freshness) for d, e in self._entries.items())
        found = Weights(
            self.told.number,
            {
                disk: Weighed(
                    weight,
                    now_us - self._entries[disk].at_us,
                    loads[disk],
                    self._entries[disk].report.operations_per_second,
                )
                for disk, weight in weights(loads, settings).items()
            },
            self._wide(read),
            hottest(read, MAX_HOT_KEYS),
        )
        if self._differs(found):
            found = found._replace(number=found.number + 1)
            self._numbered = found
        self.told = found
        return found

    def _wide(self, read: Mapping[bytes, Reads]) -> tuple[bytes, ...]:
        if not self._entries:
            return ()
        done = fmean(entry.report.operations_per_second for entry in self._entries.values())
        return wide_keys(frozenset(self.told.wide_keys), read, done, self._settings)

    def _differs(self, found: Weights) -> bool:
        before = self._numbered
        if set(before.wide_keys) != set(found.wide_keys):
            return True
        if before.members.keys() != found.members.keys():
            return True
        return any(
            abs(weighed.weight - before.members[disk].weight)
            > self._settings.change * before.members[disk].weight
            for disk, weighed in found.members.items()
        )
