"""Wide keys: certain reads make them, certain coolness ends them, and there are never many."""

from __future__ import annotations

import pytest

from becket.core.load.hot_keys import HotKey
from becket.core.load.settings import LoadSettings
from becket.core.load.wide_keys import Reads, merged, wide_keys

SETTINGS = LoadSettings(wide_reads_per_second=100, wide_share=0.05, cool_share=0.5, wide_keys=3)
NOBODY = frozenset[bytes]()


def test_rates_are_added_over_members_and_fade_with_their_reports() -> None:
    found = merged(
        [
            ((HotKey(b"a", 100, 10), HotKey(b"b", 50, 50)), 1.0),
            ((HotKey(b"a", 40, 0),), 0.5),
        ]
    )
    assert found == {b"a": Reads(110, 120), b"b": Reads(0, 50)}


@pytest.mark.parametrize(
    ("present", "reads", "operations", "expected"),
    [
        # The rate alone decides where members do little.
        (NOBODY, {b"k": Reads(100, 100)}, 0, (b"k",)),
        (NOBODY, {b"k": Reads(99, 99)}, 0, ()),
        # Then the share of what a member does.
        (NOBODY, {b"k": Reads(499, 499)}, 10_000, ()),
        (NOBODY, {b"k": Reads(500, 500)}, 10_000, (b"k",)),
        # What may be an error of the sketch makes no key wide.
        (NOBODY, {b"k": Reads(99, 1000)}, 0, ()),
        # Once wide, it stays so until it is certainly cool.
        (frozenset({b"k"}), {b"k": Reads(10, 50)}, 0, (b"k",)),
        (frozenset({b"k"}), {b"k": Reads(10, 49)}, 0, ()),
        (frozenset({b"k"}), {}, 0, ()),
        # The hottest, in their order, and no more than allowed.
        (
            NOBODY,
            {b"%d" % n: Reads(100 + n % 4, 200) for n in range(8)},
            0,
            (b"3", b"7", b"2"),
        ),
    ],
)
def test_a_table_of_choices(
    present: frozenset[bytes],
    reads: dict[bytes, Reads],
    operations: float,
    expected: tuple[bytes, ...],
) -> None:
    assert wide_keys(present, reads, operations, SETTINGS) == expected
