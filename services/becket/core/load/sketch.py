"""Which keys are asked for most often, in a bounded space.

Owns the sketch ``SpaceSaving``. Must not know what a key is for, nor what time it is.

Theory (Metwally, Agrawal, El Abbadi: Efficient computation of frequent and top-k elements, 2005):
``capacity`` counters; a key that has none takes over the smallest and adds to it, remembering as
``error`` what it took over. With N added in all and weights allowed:

- a counter never counts too few: ``times - error <= true count <= times``;
- ``error <= N / capacity``, so every key asked for more often than that has a counter;
- a key without a counter was asked for at most as often as the smallest counter says.

Multiplying every counter by the same factor keeps all three for counts that fade likewise (up to
the rounding of floats).

The smallest counter is found by a heap that lags behind: a count that has grown since it was
pushed is pushed again when it comes up. A hit costs one dictionary update, a miss O(log capacity).
"""

from __future__ import annotations

from heapq import heapify, heappush, heapreplace, nsmallest
from typing import NamedTuple

from becket.core.errors import InvalidInputError

MAX_CAPACITY = 65_536


class Counted(NamedTuple):
    """One key: asked for ``times`` times at most and ``times - error`` at least."""

    key: bytes
    times: float
    error: float


class SpaceSaving:
    """The sketch. Raises InvalidInputError for a capacity outside 1..65,536."""

    def __init__(self, capacity: int) -> None:
        if not 1 <= capacity <= MAX_CAPACITY:
            raise InvalidInputError("capacity", f"must be in 1..{MAX_CAPACITY}")
        self.capacity = capacity
        self.total = 0.0
        """All that was added, faded as the counters are."""
        self._counts: dict[bytes, float] = {}
        self._errors: dict[bytes, float] = {}
        self._heap: list[tuple[float, bytes]] = []

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, key: bytes, count: float = 1) -> None:
        """Count ``key`` as asked for ``count`` times (more than none)."""
        self.total += count
        counts = self._counts
        known = counts.get(key)
        if known is not None:
            counts[key] = known + count
        elif len(counts) < self.capacity:
            counts[key] = count
            heappush(self._heap, (count, key))
        else:
            least, victim = self._smallest()
            del counts[victim]
            self._errors.pop(victim, None)
            counts[key] = least + count
            self._errors[key] = least
            heapreplace(self._heap, (least + count, key))

    def _smallest(self) -> tuple[float, bytes]:
        """The smallest counter, which is then at the top of the heap."""
        heap, counts = self._heap, self._counts
        while True:
            pushed, key = heap[0]
            count = counts[key]
            if count == pushed:
                return count, key
            heapreplace(heap, (count, key))

    def least(self) -> float:
        """What a key without a counter was asked for at most."""
        return 0.0 if len(self._counts) < self.capacity else self._smallest()[0]

    def top(self, most: int) -> tuple[Counted, ...]:
        """The ``most`` largest counters, the largest first; of equal ones the smaller key."""
        largest = nsmallest(most, self._counts.items(), key=lambda item: (-item[1], item[0]))
        return tuple(Counted(key, count, self._errors.get(key, 0.0)) for key, count in largest)

    def scale(self, factor: float) -> None:
        """Fade: multiply all counts by ``factor``, in (0, 1]."""
        assert 0 < factor <= 1, factor
        self.total *= factor
        self._counts = {key: count * factor for key, count in self._counts.items()}
        self._errors = {key: error * factor for key, error in self._errors.items()}
        self._heap = [(count, key) for key, count in self._counts.items()]
        heapify(self._heap)
