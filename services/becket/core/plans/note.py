"""What of a plan outlives its supervisor beside the ring: its name, and what a person asked of it.

Owns the text of the note and its reading. Must not keep it anywhere. A note is short, since it is
kept with the ring object: the steps themselves are made anew from the ring. Invariant: a note that
cannot be read says nothing, and a pause is never read out of anything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import mmh3

from becket.core.plans.plan import PlanState
from becket.core.ring.members import Member

MOST_BYTES = 1024
"""A longer text is no note of ours."""


class Note(NamedTuple):
    """``mark`` names the members for whom the plan was made, ``steps`` counts all of its steps."""

    state: PlanState | None = None
    mark: str = ""
    plan_id: str = ""
    steps: int = 0

    @property
    def text(self) -> str:
        """The note in words; empty where there is none."""
        if self.state is None:
            return ""
        words = [self.state.value, self.mark, self.plan_id, str(self.steps or "")]
        return " ".join(words).strip()


NO_NOTE = Note()


def read_note(text: str) -> Note:
    """The note that ``Note.text`` wrote; ``NO_NOTE`` for anything else."""
    words = text.split() if len(text) <= MOST_BYTES else []
    states = {state.value: state for state in PlanState}
    if not words or words[0] not in states or len(words) > 4:
        return NO_NOTE
    mark, plan_id, steps = [*words[1:], "", "", ""][:3]
    if steps and not (steps.isascii() and steps.isdigit()):
        return NO_NOTE
    return Note(states[words[0]], mark, plan_id, int(steps or 0))


def mark_of(members: Sequence[Member], replicas: int) -> str:
    """Names the members for whom a plan was made; the same in every process."""
    content = f"{replicas} {[(m.disk, m.zone, m.node, m.weight, m.state.value) for m in members]}"
    return f"{mmh3.hash64(content.encode(), seed=18, x64arch=True, signed=False)[0]:016x}"
