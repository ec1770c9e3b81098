"""What a verification found: the fixed JSON, and sentences.

Owns both forms and the verdict. Invariant: a key that could not be decided or read back, and a
cluster that did not recover, are never told as a success.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from becket.cli.chaos import KINDS, Fault
from becket.cli.verify_nemesis import Measure
from becket.cli.verify_recording import Counts, Found
from becket.core.histories.gaps import percentile

_MOST_KEYS = 10
_MOST_REASONS = 5


@dataclass
class Outcome:
    """Everything that is to be told."""

    seed: int
    counts: Counts
    seconds: float = 0.0
    violations: list[Found] = field(default_factory=list)
    lost: list[bytes] = field(default_factory=list)
    undecided: list[bytes] = field(default_factory=list)
    unread: list[bytes] = field(default_factory=list)
    """Keys that nobody answered for at the end."""
    measures: list[Measure] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)
    """The errors that operations ended with."""

    @property
    def is_broken(self) -> bool:
        """Whether a promise was seen broken."""
        return bool(self.violations or self.lost)

    @property
    def is_proven(self) -> bool:
        """Whether everything was looked at and nothing was found."""
        return not (self.is_broken or self.undecided or self.unread or self.problems)

    def content(self) -> dict[str, object]:
        """The JSON: first what scripts rely on, then more."""
        gaps = [measure.gap_us for measure in self.measures if measure.kind == Fault.KILL]
        return {
            "operations": self.counts.operations,
            "acknowledged": self.counts.acknowledged,
            "unknown": self.counts.unknown,
            "lost": len(self.lost),
            "violations": len(self.violations),
            "kills": len(gaps),
            "gap_p50_ms": percentile(gaps, 0.5) / 1000,
            "gap_p99_ms": percentile(gaps, 0.99) / 1000,
            "gap_max_ms": max(gaps, default=0) / 1000,
            "steady_gap_p50_ms": percentile(self._steady(), 0.5) / 1000,
            "steady_gap_max_ms": max(self._steady(), default=0) / 1000,
            "refused": self.counts.refused,
            "undecided": len(self.undecided),
            "unread": len(self.unread),
            "seconds": round(self.seconds, 1),
            "seed": self.seed,
            "faults": self._faults(),
            "problems": self.problems,
            "reasons": self.reasons,
        }

    def _steady(self) -> list[int]:
        return [measure.steady_us for measure in self.measures]

    def _faults(self) -> dict[str, dict[str, object]]:
        found: dict[str, dict[str, object]] = {}
        for kind in KINDS:
            some = [measure for measure in self.measures if measure.kind == kind]
            if some:
                found[kind] = {
                    "count": len(some),
                    "gap_p50_ms": percentile([m.gap_us for m in some], 0.5) / 1000,
                    "gap_p99_ms": percentile([m.gap_us for m in some], 0.99) / 1000,
                    "gap_max_ms": max(measure.gap_us for measure in some) / 1000,
                    "slowest_max_ms": max(m.slowest_us for m in some) / 1000,
                    "recovery_max_s": round(max(m.recovery_us for m in some) / 1e6, 2),
                    "errors": sum(measure.errors for measure in some),
                }
        return found

    def sentences(self) -> list[str]:
        """The verdict, as a person wants to read it."""
        counts = self.counts
        ends = f"{counts.acknowledged:,} acknowledged, {counts.unknown:,} of unknown outcome"
        refused = f"{counts.refused:,} refused (definitely not applied)"
        told = [f"{counts.operations:,} operations in {self.seconds:.1f} s: {ends}, {refused}"]
        for kind, found in self._faults().items():
            told.append(
                f"{found['count']} x {kind}: longest gap of a key {found['gap_max_ms']:.0f} ms "
                f"(p50 {found['gap_p50_ms']:.0f}, p99 {found['gap_p99_ms']:.0f}), "
                f"slowest write {found['slowest_max_ms']:.0f} ms, "
                f"{found['errors']} errors meanwhile, recovered within {found['recovery_max_s']} s"
            )
        if self.measures:
            steady = self._steady()
            p50, p99 = (percentile(steady, share) / 1000 for share in (0.5, 0.99))
            told.append(
                "in the second before each fault: longest gap of a key "
                f"{max(steady) / 1000:.0f} ms (p50 {p50:.0f}, p99 {p99:.0f})"
            )
        for what, keys in (
            ("no order explains the history of", [found.key for found in self.violations]),
            ("an acknowledged write is lost of", self.lost),
            ("the judge could not decide on", self.undecided),
            ("nobody answered at the end for", self.unread),
        ):
            if keys:
                told.append(f"{what} {_listed(keys)}")
        often = sorted(self.reasons.items(), key=lambda item: -item[1])[:_MOST_REASONS]
        told += [f"{count} x {reason}" for reason, count in often]
        told += self.problems
        told.append(self._verdict())
        return told

    def stories(self) -> list[str]:
        """What led to the first violation, line by line: a Job leaves no other report behind."""
        if not self.violations:
            return []
        key, problem = self.violations[0]
        told = [f"the history of {key.decode(errors='replace')}, in ms; of the last none fits:"]
        told += [f"  {entry}" for entry in (*problem.before, *problem.stuck)]
        return told

    def _verdict(self) -> str:
        if self.is_broken:
            return "BROKEN: the cluster did not keep its promise"
        if not self.is_proven:
            return "NOT PROVEN: nothing wrong was found, but not everything could be judged"
        return "every history is linearizable, and no acknowledged write is lost"


def _listed(keys: Sequence[bytes]) -> str:
    names = ", ".join(key.decode(errors="replace") for key in keys[:_MOST_KEYS])
    more = "" if len(keys) <= _MOST_KEYS else ", ..."
    return f"{len(keys)} key{'s' if len(keys) > 1 else ''} ({names}{more})"
