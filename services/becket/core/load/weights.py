"""How traffic that has a choice should be spread over members.

Owns the formula. Must not know reports, clocks or protocols. Invariants: the mean of all weights
is 1.0; equal loads have equal weights; a load that nobody has heard of for long has the mean.

Theory. A member is a queue with service rate mu and arrivals lambda (M/M/1, the worst case that is
still honest). Then an operation takes ``T = 1 / (mu - lambda)`` and ``L = lambda T`` are in flight,
so ``T (L + 1) = mu / (mu - lambda)^2``: the latency times what is in flight, which a caller that
picks one of two compares, is the inverse square of the spare rate. Its root is therefore

    spare ~ sqrt((1 - cpu) / (T (L + 1)))

with the share of the processor that is idle as a second witness, because neighbours use it too. A
weight is a member's spare rate, so new traffic goes where there is room, in proportion.

The loop closes through the load itself: a heavier weight brings more arrivals and less room. At
utilisation r the slope of that loop is about ``-1.5 r / (1 - r)``; followed in full it would swing
from r = 0.4 on. Taking only a share g of each new figure keeps it quiet while ``g (1 + 1.5 r /
(1 - r)) < 2``: the settings (a report a second, smoothed over five: g = 0.18) reach r = 0.87. The
tests run the loop.

Bounds: figures further than ``spread`` times from the median are taken for that much, so that an
idle member is not flooded, and one in trouble still gets what shows that it has recovered. A
process that has just begun is idle too, and its caches are cold: its weight grows for some seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from statistics import fmean, median
from typing import NamedTuple

from becket.core.load.settings import LoadSettings
from becket.core.ring.config import Disk

LEAST_IDLE = 0.05
"""A processor that looks full is taken for this much idle: figures lag behind."""


class Load(NamedTuple):
    """One member's smoothed figures; ``freshness`` goes from 1.0 to 0.0 as they age.

    ``growth``: the share of its weight that a process gets which has just begun.
    """

    in_flight: float
    latency_us: float
    cpu: float
    freshness: float = 1.0
    growth: float = 1.0


def spare(load: Load, usual_latency_us: float) -> float:
    """The room of a member, in an unknown unit that is the same for all."""
    idle = max(LEAST_IDLE, 1.0 - load.cpu)
    return sqrt(idle / ((load.latency_us or usual_latency_us) * (load.in_flight + 1)))


def weights(loads: Mapping[Disk, Load], settings: LoadSettings) -> dict[Disk, float]:
    """The weight of each member; their mean is 1.0.

    A member without a latency (it had nothing to do) is taken to be as fast as the median.
    """
    if not loads:
        return {}
    known = [load.latency_us for load in loads.values() if load.latency_us]
    usual_latency_us = median(known) if known else 1.0
    room = {disk: spare(load, usual_latency_us) for disk, load in loads.items()}
    middle = median(room.values())
    low, high = middle / settings.spread, middle * settings.spread
    bounded = _to_mean({disk: min(high, max(low, value)) for disk, value in room.items()})
    faded = {
        disk: (1.0 + (bounded[disk] - 1.0) * load.freshness) * load.growth
        for disk, load in loads.items()
    }
    return _to_mean(faded)


def _to_mean(values: Mapping[Disk, float]) -> dict[Disk, float]:
    mean = fmean(values.values())
    return {disk: value / mean for disk, value in values.items()}
