"""What of a plan outlives its supervisor, in words."""

from __future__ import annotations

import pytest

from becket.core.plans.note import MOST_BYTES, NO_NOTE, Note, read_note
from becket.core.plans.plan import PlanState


@pytest.mark.parametrize(
    "note",
    [
        NO_NOTE,
        Note(PlanState.PAUSED),
        Note(PlanState.CANCELLED, "0123456789abcdef"),
        Note(PlanState.RUNNING, "0123456789abcdef", "plan-7-abc123", 192),
    ],
)
def test_a_note_is_read_as_it_was_written(note: Note) -> None:
    assert read_note(note.text) == note


@pytest.mark.parametrize(
    "text",
    [
        *("", "  ", "pause", "paused a b c d e", "paused mark plan x", "running m p -1"),
        "paused " + "x" * MOST_BYTES,
    ],
)
def test_anything_else_says_nothing(text: str) -> None:
    assert read_note(text) == NO_NOTE
