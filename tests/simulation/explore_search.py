"""Breadth first through every state of a scope, and the shortest way to a violation.

Owns the search and its numbers. A message may be lost, which needs no move: there is a run in
which it is never delivered, and a history is judged as soon as it comes into being, so every
prefix of every run is judged too.
"""

from __future__ import annotations

import time
from array import array
from dataclasses import dataclass, field

from tests.simulation.explore_moves import Label, Moves, State
from tests.simulation.explore_scope import Scope
from tests.simulation.explore_story import tell


@dataclass
class Found:
    """What an exploration has found; ``problem`` is empty where nothing is violated."""

    scope: str
    states: int = 0
    moves: int = 0
    ends: int = 0
    """States after which nothing can happen."""
    depth: int = 0
    members: int = 0
    """Distinct states of single members."""
    steps: int = 0
    """Steps of members that were run; all others were remembered."""
    histories: int = 0
    seconds: float = 0.0
    """Of processor time."""
    whole: bool = True
    """Whether every state was met before the limit."""
    problem: str = ""
    story: list[str] = field(default_factory=list)


class Search:
    """One exploration."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.moves = Moves(scope)
        self._order: list[State] = []
        self._seen: dict[State, int] = {}
        self._parents = array("q")
        self._labels: list[Label] = []

    def run(self) -> Found:
        """Explore until there is nothing new, something is violated, or the limit is met."""
        began = time.process_time()
        found = Found(self.scope.name)
        self._meet(self.moves.first(), -1, ())
        depths = array("q", [0])
        place = 0
        while place < len(self._order) and not found.problem and found.whole:
            quiet = True
            for label, after in self.moves.of(self._order[place]):
                found.moves += 1
                quiet = False
                if isinstance(after, str):
                    found.problem = after
                    found.story = self._story(place, label)
                    break
                if self._meet(after, place, label):
                    depths.append(depths[place] + 1)
            found.ends += quiet
            place += 1
            found.whole = len(self._order) <= self.scope.limit
        found.states = len(self._order)
        found.depth = depths[-1]
        found.members, found.steps = self.moves.members.count, self.moves.members.steps_run
        found.histories = len(self.moves.histories.values)
        found.seconds = time.process_time() - began
        return found

    def _meet(self, state: State, parent: int, label: Label) -> bool:
        if state in self._seen:
            return False
        self._seen[state] = len(self._order)
        self._order.append(state)
        self._parents.append(parent)
        self._labels.append(label)
        return True

    def _story(self, place: int, last: Label) -> list[str]:
        labels = [last]
        while place > 0:
            labels.append(self._labels[place])
            place = self._parents[place]
        return [tell(self.moves, label) for label in reversed(labels)]


def explore(scope: Scope) -> Found:
    """Explore one scope."""
    return Search(scope).run()
