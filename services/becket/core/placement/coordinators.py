"""Which replica of each partition stands first for coordinator.

Owns the spread of coordinators over members. Must not move a copy. A move costs no data but a
generation, so few are made: the first replica stays first unless it left or has too many.

Theory: a member that holds ``c`` copies of ``r`` each should stand first for ``c / r`` partitions.
The numbers around that always exist: let every replica stand for the r-th part of its partition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from becket.core.placement.exchange import fill, shift
from becket.core.placement.holding import Holding
from becket.core.placement.shares import Layout


def spread_coordinators(
    where: Layout,
    held: Sequence[Sequence[int]],
    first: Sequence[int | None],
    changing: int,
) -> list[int]:
    """The place that stands first for each partition.

    ``held[p]`` are the places that will hold partition ``p``, all of the same number; ``first[p]``
    is the one that stands first now, or None. ``changing`` are the partitions that get a new
    generation anyway, as bits: those change their first replica before others do.
    """
    copies = [0] * len(where.weights)
    allowed = [0] * len(where.weights)
    for partition, places in enumerate(held):
        for place in places:
            copies[place] += 1
            allowed[place] |= 1 << partition
    standing = [
        [now] if now is not None and now in places else []
        for now, places in zip(first, held, strict=True)
    ]
    original = [0] * len(where.weights)
    for partition, places in enumerate(standing):
        for place in places:
            original[place] |= 1 << partition
    free = replace(where, node_limit=len(copies), zone_limit=len(copies))
    game = Holding(
        free,
        standing,
        1,
        original=original,
        allowed=allowed,
        reluctant=[mask & ~changing for mask in original],
    )
    _balance(game, copies, len(held[0]))
    return [places[0] for places in game.holders]


def _balance(game: Holding, copies: Sequence[int], replicas: int) -> None:
    members = range(len(copies))
    low = [n // replicas for n in copies]
    high = [-(-n // replicas) for n in copies]
    # Those below their floor first, so that the vacancies end where they are needed most.
    for most in (low, high):
        counts = game.counts()
        fill(game, [max(0, most[i] - counts[i]) for i in members])
    counts = game.counts()
    for most in (low, high):
        shift(
            game,
            [max(0, counts[i] - high[i]) for i in members],
            [max(0, most[i] - counts[i]) for i in members],
        )
        counts = game.counts()
    shift(
        game,
        [max(0, counts[i] - low[i]) for i in members],
        [max(0, low[i] - counts[i]) for i in members],
    )
