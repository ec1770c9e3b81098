"""All single changes at 3 to 50 members: ``python -m tests.properties.placement_grid``.

Prints the worst figures of each kind of change. The unit test walks a thin part of the same grid;
the figures of the whole are kept in ``docs/design/placement.md``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from becket.core.ring.members import Member
from becket.core.ring.ring import Ring
from tests.properties.placement_checks import Verdict, change, cluster, first, reweighted

WEIGHTS = (1, 50, 133, 200, 1000)
"""The weights that a member of weight 100 changes to."""


@dataclass
class Worst:
    """The worst of many verdicts."""

    cases: int = 0
    ratio: float = 1.0
    above: int = 0
    balance: float = 1.0
    off: float = 0.0
    where: dict[str, str] = field(default_factory=dict)

    def add(self, verdict: Verdict, name: str) -> None:
        """Count one more."""
        self.cases += 1
        for word, value in (
            ("ratio", verdict.ratio),
            ("above", verdict.moved - verdict.bound),
            ("balance", verdict.balance),
            ("off", verdict.off),
        ):
            if value > getattr(self, word):
                setattr(self, word, value)
                self.where[word] = name


def single_changes(
    members: Sequence[Member], zones: int, every: int = 1
) -> Iterator[tuple[str, str, tuple[Member, ...]]]:
    """(kind, name, members after): joins, leaves and changed weights of every n-th member."""
    count = len(members)
    for zone in range(zones + 1 if zones > 1 else 1):
        newcomer = Member("new", "m-999", f"z{zone}", "new-node")
        yield "join", f"join in z{zone}", (*members, newcomer)
    for index in range(count % every, count, every):
        if count > 3:
            without = (*members[:index], *members[index + 1 :])
            yield "leave", f"{members[index].name} leaves", without
        for weight in WEIGHTS:
            name = f"{members[index].name} gets weight {weight}"
            yield "weight", name, reweighted(members, index, weight)


def walk(counts: Sequence[int], partitions: int, zones: int, every: int = 1) -> dict[str, Worst]:
    """The worst figures by kind of change."""
    worst: dict[str, Worst] = {}
    for count in counts:
        members = cluster(count, zones)
        ring: Ring = first(partitions, members)
        for kind, name, after in single_changes(members, zones, every):
            _, verdict = change(ring, after)
            worst.setdefault(kind, Worst()).add(verdict, f"{count} members, {name}")
    return worst


def main() -> None:
    """Print one line for each zone count and kind of change."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--partitions", type=int, default=1024)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--zones", type=int, nargs="*", default=[1, 2, 3, 5])
    options = parser.parse_args()
    print(
        "| zones | change | cases | worst moved/bound | most above bound | max/share | off share |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for zones in options.zones:
        worst = walk(range(3, 51), options.partitions, zones, options.every)
        for kind, found in worst.items():
            print(
                f"| {zones} | {kind} | {found.cases} | {found.ratio:.4f} | {found.above} |"
                f" {found.balance:.4f} | {found.off:.3f} |",
                flush=True,
            )
            print(f"<!-- {found.where} -->", flush=True)


if __name__ == "__main__":
    main()
