"""Damage: counted when it is found, once, and when it is mended."""

from __future__ import annotations

from becket.adapters.engines import damage as module
from becket.adapters.engines.damage import Damage


def test_a_cell_is_counted_once_and_mended_once() -> None:
    damage = Damage()
    for _ in range(3):
        damage.note(1, b"k")
    assert (damage.found, damage.present, damage.mended) == (1, 1, 0)
    for _ in range(3):
        damage.note_written(1, b"k")
        damage.note_written(1, b"other")
    assert (damage.found, damage.present, damage.mended) == (1, 0, 1)


def test_a_partition_that_is_cleared_has_no_damage() -> None:
    damage = Damage()
    damage.note(1, b"k")
    damage.note(2, b"k")
    damage.note_cleared(1)
    assert (damage.found, damage.present, damage.mended) == (2, 1, 1)


def test_what_is_remembered_is_bounded() -> None:
    damage = Damage()
    for number in range(module.MOST + 10):
        damage.note(1, b"%d" % number)
    assert damage.present == damage.found == module.MOST


def test_why_files_do_not_read_is_kept_as_it_was_first_told() -> None:
    damage = Damage()
    assert damage.unreadable == ""
    damage.note_unreadable("table 7")
    damage.note_unreadable("table 8")
    assert damage.unreadable == "table 7"
