"""The binomial model, by zones, agrees with what is drawn."""

from __future__ import annotations

import random
from itertools import product

import pytest

from becket.core.availability import Failing, binomial, lost_majority, shape_of, simulate
from becket.core.errors import InvalidInputError

NEVER = Failing(0.0, 1.0)
OFTEN = Failing(9.0, 1.0)


def test_the_textbook_case() -> None:
    assert OFTEN.down == 0.1
    assert sum(binomial(5, k, 0.3) for k in range(6)) == pytest.approx(1.0)
    # Two or three of three: 3 p^2 (1 - p) + p^3.
    assert lost_majority((1, 1, 1), OFTEN, NEVER) == pytest.approx(0.028)
    assert lost_majority((1,), OFTEN, NEVER) == pytest.approx(0.1)
    assert lost_majority((1, 1), OFTEN, NEVER) == pytest.approx(0.19), "two need both"
    assert lost_majority((1, 1, 1), NEVER, NEVER) == 0.0


@pytest.mark.parametrize("sizes", [(3,), (2, 1), (1, 1, 1), (2, 2, 1), (3, 2)])
def test_zones_agree_with_every_case_counted(sizes: tuple[int, ...]) -> None:
    zone = Failing(3.0, 1.0)
    zones = [place for place, size in enumerate(sizes) for _ in range(size)]
    total = 0.0
    for dark in product((False, True), repeat=len(sizes)):
        for down in product((False, True), repeat=len(zones)):
            weight = 1.0
            for is_dark in dark:
                weight *= zone.down if is_dark else 1 - zone.down
            for is_down in down:
                weight *= OFTEN.down if is_down else 1 - OFTEN.down
            up = sum(not d and not dark[z] for d, z in zip(down, zones, strict=True))
            total += weight * (2 * up <= len(zones))
    assert lost_majority(sizes, OFTEN, zone) == pytest.approx(total)


@pytest.mark.parametrize("zone", [NEVER, Failing(19.0, 1.0)])
def test_the_simulation_agrees_within_its_error(zone: Failing) -> None:
    zone_of = {f"m-{i}": f"z-{i % 3}" for i in range(6)}
    names = [*zone_of]
    partitions = [[names[i], names[(i + 1) % 6], names[(i + 2) % 6]] for i in range(6)]
    partitions.append(["m-0", "m-3", "m-1"])  # two of them in one zone
    shapes = [shape_of(each, zone_of) for each in partitions]  # type: ignore[arg-type]
    assert shapes[-1] == (2, 1)
    model = sum(lost_majority(shape, OFTEN, zone) for shape in shapes) / len(shapes)
    found = simulate(partitions, zone_of, (OFTEN, zone), random.Random(7), 20_000)
    assert 0 < found.error < 0.01
    assert abs(found.lost - model) < 4 * found.error
    assert found.any_lost > found.lost
    again = simulate(partitions, zone_of, (OFTEN, zone), random.Random(7), 20_000)
    assert again == found


def test_what_cannot_be_is_refused() -> None:
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InvalidInputError, match="between_h"):
            Failing(wrong, 1.0)
    with pytest.raises(InvalidInputError, match="draws"):
        simulate([["a"]], {"a": ""}, (OFTEN, NEVER), random.Random(1), 1)
