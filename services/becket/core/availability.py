"""How likely it is that a partition loses its majority, and so takes no writes.

Owns the model of DESIGN section 8. Must not draw random numbers of its own: the generator of a
simulation is an argument.

Theory. A member is down for the share ``p = repair / (repair + between failures)`` of the time,
independently of the others; so is a zone, with its own times, and takes all its members with it. Of
``n`` replicas in zones of their own, which never fail, the number that is down is binomial,
P(X = k) = C(n, k) p^k (1 - p)^(n - k); with zones it is the convolution, zone by zone, of "all of
them" and that binomial. What the model leaves out: failures that have a common cause other than a
zone, and that a member which stays away is replaced (so a repair time is at most the delay of a
replacement plus the time of a copy). It is a bound for orientation, not a promise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import comb, isfinite, sqrt
from typing import Protocol

from becket.core.errors import InvalidInputError

HOURS_PER_YEAR = 8766.0


class Chance(Protocol):
    """A seeded generator such as ``random.Random``."""

    def random(self) -> float:
        """A number, 0 to below 1, each as likely as any other."""


@dataclass(frozen=True)
class Failing:
    """How often something fails, and for how long it is then away; both in hours, as means.

    ``between_h`` 0: it never fails.
    """

    between_h: float
    repair_h: float

    def __post_init__(self) -> None:
        """Raise InvalidInputError naming the field."""
        for field, value in (("between_h", self.between_h), ("repair_h", self.repair_h)):
            if not isfinite(value) or value < 0:
                raise InvalidInputError(field, f"{value} is not a number of hours, 0 or more")

    @property
    def down(self) -> float:
        """The share of the time for which it is down."""
        return self.repair_h / (self.repair_h + self.between_h) if self.between_h else 0.0


def binomial(n: int, k: int, p: float) -> float:
    """P(X = k): so many of n independent ones are down, each with probability p."""
    return comb(n, k) * p**k * (1.0 - p) ** (n - k)


def lost_majority(zone_sizes: Sequence[int], member: Failing, zone: Failing) -> float:
    """The probability that fewer than a majority of a partition's replicas is up.

    ``zone_sizes``: how many of its replicas are in each of its zones.
    """
    total = sum(zone_sizes)
    # found[k]: the probability that k of the replicas looked at so far are down.
    found = [1.0]
    for size in zone_sizes:
        alone = [(1.0 - zone.down) * binomial(size, k, member.down) for k in range(size + 1)]
        alone[size] += zone.down
        new = [0.0] * (len(found) + size)
        for i, one in enumerate(found):
            for j, other in enumerate(alone):
                new[i + j] += one * other
        found = new
    majority = total // 2 + 1
    return sum(found[k] for k in range(total + 1) if total - k < majority)


Shape = tuple[int, ...]
"""How many replicas a partition has in each of its zones, the largest first."""


def shape_of(replicas: Iterable[Hashable], zone_of: Mapping[Hashable, str]) -> Shape:
    """The shape of one partition; ``zone_of`` names each replica's zone.

    :raises KeyError: a replica that ``zone_of`` does not name.
    """
    return tuple(sorted(Counter(zone_of[each] for each in replicas).values(), reverse=True))


@dataclass(frozen=True)
class Simulated:
    """Shares of the draws. ``lost``: of all partitions; ``any_lost``: of the whole cluster.

    ``error`` and ``any_error`` are their standard errors over ``draws`` draws.
    """

    draws: int
    lost: float
    error: float
    any_lost: float
    any_error: float


def simulate(
    partitions: Sequence[Sequence[str]],
    zone_of: Mapping[str, str],
    failing: tuple[Failing, Failing],
    rng: Chance,
    draws: int,
) -> Simulated:
    """Draw who is down, ``draws`` times, and look at every partition.

    ``failing`` is that of members and that of zones.

    :raises InvalidInputError: fewer than 2 draws, or no partition.
    """
    if draws < 2 or not partitions:
        raise InvalidInputError("draws", f"{draws} are too few: at least 2, of 1 partition or more")
    member, zone = failing
    zones = sorted(set(zone_of.values()))
    total = squares = 0.0
    any_lost = 0
    for _ in range(draws):
        dark = {name for name in zones if rng.random() < zone.down}
        down = {m for m, z in zone_of.items() if rng.random() < member.down or z in dark}
        share = _lost(partitions, down) / len(partitions) if down else 0.0
        total += share
        squares += share * share
        any_lost += share > 0
    mean, often = total / draws, any_lost / draws
    variance = max(0.0, squares / draws - mean * mean)
    return Simulated(draws, mean, sqrt(variance / draws), often, sqrt(often * (1 - often) / draws))


def _lost(partitions: Sequence[Sequence[str]], down: set[str]) -> int:
    return sum(
        2 * sum(each not in down for each in replicas) <= len(replicas) for replicas in partitions
    )
