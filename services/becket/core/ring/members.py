"""A member as the ring knows it, and the member count that is wished for.

Owns the long-lived facts: identity, place, weight, whether the member may hold copies. Must not
know health: a dead member is not a gone one (DESIGN section 5), and a restart changes no ring.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from becket.core.ring.config import Disk

USUAL_WEIGHT = 100
"""The weight of an ordinary member. Weights are whole numbers, so that shares are exact."""

MAX_WEIGHT = 10_000
"""The largest weight; the smallest is 1."""

MAX_NAME_BYTES = 253
"""The longest disk id, name, zone or node in UTF-8 (a Kubernetes name has no more)."""


class MemberState(Enum):
    """What the ring wants of a member. The values are those of the encoding."""

    ACTIVE = 0
    """Holds copies and may be given more."""
    DRAINING = 1
    """Still serves what it holds; every copy is to move away (a drain, a scale-in)."""
    GONE = 2
    """Its disk is lost, or it was dead for longer than the replacement delay: it never answers."""


@dataclass(frozen=True)
class Member:
    """One storage process with one disk.

    ``weight`` is its capacity relative to the others, 1..10,000. Empty ``zone`` or ``node`` means
    "not known": such a member counts as alone on a node of its own, or in the zone of all others
    without one.
    """

    disk: Disk
    name: str
    zone: str = ""
    node: str = ""
    weight: int = USUAL_WEIGHT
    state: MemberState = MemberState.ACTIVE

    @property
    def may_hold(self) -> bool:
        """Whether the planner may leave or put copies here."""
        return self.state is MemberState.ACTIVE


@dataclass(frozen=True)
class MemberCount:
    """How many members are wished for, beside the last value seen in the chart.

    A chart value that *changed* replaces the wish, an unchanged one does not
    (KUBERNETES.md, "Member count"). Zero means that nobody has said anything yet.
    """

    wished: int = 0
    chart: int = 0

    def seen_in_chart(self, value: int) -> MemberCount:
        """The count after the chart's value was read."""
        return self if value == self.chart else MemberCount(wished=value, chart=value)

    def asked(self, value: int) -> MemberCount:
        """The count after a person asked for ``value`` (``becket scale``)."""
        return MemberCount(wished=value, chart=self.chart)


NO_COUNT = MemberCount()
"""Nobody has said anything yet."""


def in_order(members: Iterable[Member]) -> tuple[Member, ...]:
    """Members in the order in which a ring keeps them: by name, numbers as numbers, then disk.

    ``store-2`` comes before ``store-10``, as a reader expects.
    """
    return tuple(sorted(members, key=_place))


def _place(member: Member) -> tuple[str, int, str, str]:
    stem = member.name.rstrip("0123456789")
    digits = member.name[len(stem) :]
    return stem, int(digits) if digits.isascii() and digits else 0, member.name, member.disk
