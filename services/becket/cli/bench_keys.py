"""Which keys a benchmark asks for, and what it does to them: mixes and distributions of keys.

Owns the drawing, all of it from a seed: the same seed asks for the same things in the same order.
Must not send anything. Keys are numbers here; ``key_bytes`` gives their names.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from enum import Enum, StrEnum
from typing import NamedTuple

from becket.core.errors import InvalidInputError

THETA = 0.99
"""The skew of Zipf in the Yahoo! Cloud Serving Benchmark (YCSB, Cooper et al. 2010)."""

MOST_KEYS = 100_000_000
_SPREAD = 0x9E3779B97F4A7C15
"""Odd, so that multiplying by it permutes 64-bit numbers: popular keys lie apart."""


class Kind(Enum):
    """What one operation of a benchmark does."""

    GET = "get"
    PUT = "put"
    INSERT = "insert"
    """A put of a key that has not been there."""
    MODIFY = "read-modify-write"
    SCAN = "scan"


class Shape(StrEnum):
    """How keys are chosen."""

    UNIFORM = "uniform"
    ZIPFIAN = "zipfian"
    """Few keys are asked for most of the time: the k-th most popular 1/k**0.99 as often."""
    LATEST = "latest"
    """As zipfian, and the newest keys are the popular ones."""
    SEQUENTIAL = "sequential"


class Mix(NamedTuple):
    """The shares of what is done, and the usual choice of keys."""

    shares: tuple[tuple[Kind, float], ...]
    shape: Shape = Shape.UNIFORM


MIXES = {
    "get": Mix(((Kind.GET, 1.0),)),
    "put": Mix(((Kind.PUT, 1.0),)),
    "mixed": Mix(((Kind.GET, 0.5), (Kind.PUT, 0.5))),
    "scan": Mix(((Kind.SCAN, 1.0),)),
    "load": Mix(((Kind.INSERT, 1.0),), Shape.SEQUENTIAL),
    "a": Mix(((Kind.GET, 0.5), (Kind.PUT, 0.5)), Shape.ZIPFIAN),
    "b": Mix(((Kind.GET, 0.95), (Kind.PUT, 0.05)), Shape.ZIPFIAN),
    "c": Mix(((Kind.GET, 1.0),), Shape.ZIPFIAN),
    "d": Mix(((Kind.GET, 0.95), (Kind.INSERT, 0.05)), Shape.LATEST),
    "f": Mix(((Kind.GET, 0.5), (Kind.MODIFY, 0.5)), Shape.ZIPFIAN),
}
"""By name; the single letters are those of YCSB."""


class Action(NamedTuple):
    """One thing to do: ``number`` names the key."""

    kind: Kind
    number: int


class Zipf:
    """Numbers below ``count``; k is drawn in proportion to 1 / (k + 1) ** theta.

    By the method of Gray et al., "Quickly generating billion-record synthetic databases" (SIGMOD
    1994), as YCSB does it: constant time a draw, exact for the two most popular, close for others.
    """

    def __init__(self, count: int, theta: float = THETA) -> None:
        if not 1 <= count <= MOST_KEYS:
            raise InvalidInputError("keys", f"is {count}, must be 1..{MOST_KEYS}")
        self._count = count
        self._half = 0.5**theta
        self._zeta = sum(1 / (k + 1) ** theta for k in range(count))
        self._alpha = 1 / (1 - theta)
        both = 1 + self._half
        self._eta = 0.0
        if count > 2:
            self._eta = (1 - (2 / count) ** (1 - theta)) / (1 - both / self._zeta)

    def draw(self, drawn: float) -> int:
        """The number for a uniform ``drawn`` in [0, 1)."""
        share = drawn * self._zeta
        if share < 1:
            return 0
        if share < 1 + self._half or self._count <= 2:
            return min(1, self._count - 1)
        found = int(self._count * (self._eta * drawn - self._eta + 1) ** self._alpha)
        return min(found, self._count - 1)


class Numbers:
    """How many keys there are; inserts of all workers raise it."""

    def __init__(self, count: int) -> None:
        if not 1 <= count <= MOST_KEYS:
            raise InvalidInputError("keys", f"is {count}, must be 1..{MOST_KEYS}")
        self.count = count
        self.next = count

    def take(self) -> int:
        """The number of a new key."""
        self.next += 1
        return self.next - 1


def actions(mix: Mix, shape: Shape, numbers: Numbers, seed: str) -> Iterator[Action]:
    """What to do, one after the other, without end."""
    rng = random.Random(seed)  # noqa: S311 - a workload, no secret
    kinds = [kind for kind, _ in mix.shares]
    weights = [share for _, share in mix.shares]
    choose = _chooser(shape, numbers, rng)
    fresh = (Kind.INSERT,)
    while True:
        for kind in rng.choices(kinds, weights, k=256):
            yield Action(kind, numbers.take() if kind in fresh else choose())


def _chooser(shape: Shape, numbers: Numbers, rng: random.Random) -> Callable[[], int]:
    count, random_of = numbers.count, rng.random
    if shape is Shape.UNIFORM:
        return lambda: int(random_of() * count)
    if shape is Shape.SEQUENTIAL:
        at = iter(range(1 << 62))
        return lambda: next(at) % count
    zipf = Zipf(count)
    if shape is Shape.LATEST:
        # What was inserted a moment ago may not be there yet: it is read as absent, as in YCSB.
        return lambda: max(0, numbers.next - 1 - zipf.draw(random_of()))
    return lambda: zipf.draw(random_of()) * _SPREAD % (1 << 64) * count >> 64


def key_bytes(number: int, prefix: bytes = b"bench/") -> bytes:
    """The name of a key."""
    return b"%s%012d" % (prefix, number)
