"""The fewest copies that any placement within the limits has to make.

Owns the proof that a placement moves no more than it must. Must not look at the placement: it
takes the copies that are there, the limits, the shares, and a price for each member, and what it
returns is a true lower bound *whatever the prices are*.

Theory (weak duality of linear programs): pretend that each member charges a price for every copy it
holds, and is paid back the price of the copies that it has to hold. A placement that gives every
member between the floor and the ceiling of its share pays, in sum, its copies made and the prices,
and gets back at most ``max(price * floor, price * ceiling)`` a member. Each partition by itself
cannot pay less than its cheapest set of members within the limits of node and zone. So

    copies made >= sum over partitions of the cheapest set - sum over members of what is paid back.

With all prices zero this says that missing copies must be made. With a price of one less for each
member that must gain, it is ``sum max(0, target - present)``. The distances that remain when no
circle of moves saves a copy make both sides equal (strong duality), zones and nodes included.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from becket.core.placement.shares import Layout


def lower_bound(
    where: Layout,
    before: Sequence[Sequence[int]],
    shares: Sequence[Fraction],
    prices: Sequence[int],
) -> int:
    """The bound that these prices prove.

    ``before[p]`` are the places that hold partition ``p`` now and may hold copies later; ``shares``
    are the fair shares in copies (their sum is replicas x partitions); ``prices`` has a whole
    number, of either sign, for each place.
    """
    replicas = int(sum(shares)) // len(before)
    by_price = sorted(range(len(prices)), key=lambda place: (prices[place], place))
    spent = sum(_cheapest(where, frozenset(held), by_price, prices, replicas) for held in before)
    paid_back = sum(
        max(price * math.floor(share), price * math.ceil(share))
        for price, share in zip(prices, shares, strict=True)
    )
    return spent - paid_back


def _cheapest(
    where: Layout,
    held: frozenset[int],
    by_price: Sequence[int],
    prices: Sequence[int],
    replicas: int,
) -> int:
    """What the cheapest set of ``replicas`` places within the limits costs one partition.

    Sets within nested limits are a matroid: taking the cheapest that still fits is exact. A place
    that holds the partition costs its price, any other its price and one copy.
    """
    staying = sorted(held, key=lambda place: (prices[place], place))
    nodes: dict[int, int] = {}
    zones: dict[int, int] = {}
    total = taken = 0
    at_staying = at_any = 0
    while taken < replicas:
        while at_any < len(by_price) and by_price[at_any] in held:
            at_any += 1
        stays = at_staying < len(staying) and (
            at_any == len(by_price) or prices[staying[at_staying]] <= prices[by_price[at_any]] + 1
        )
        if stays:
            place, cost = staying[at_staying], prices[staying[at_staying]]
            at_staying += 1
        else:
            place, cost = by_price[at_any], prices[by_price[at_any]] + 1
            at_any += 1
        node, zone = where.node[place], where.zone[place]
        if nodes.get(node, 0) < where.node_limit and zones.get(zone, 0) < where.zone_limit:
            nodes[node] = nodes.get(node, 0) + 1
            zones[zone] = zones.get(zone, 0) + 1
            total += cost
            taken += 1
    return total
