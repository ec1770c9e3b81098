"""A sentence of the supervisor, as it goes to log, status and events.

Owns its kind, and when two sentences of different rounds mean the same thing. Must not word
anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from becket.core.ring.ring import Ring


class Topic(Enum):
    """What a sentence is about; the order is that of their weight in a status."""

    FREEZE = "freeze"
    RING = "ring"
    MEMBER = "member"
    PLAN = "plan"
    PLATFORM = "platform"
    """Pods, their number, their claims, and what may be done to them."""
    LEADER = "leader"


@dataclass(frozen=True)
class Said:
    """One sentence. ``key`` stays the same while only numbers in the sentence change.

    ``is_warning``: somebody should look at it; otherwise it is for information. ``is_passing``: it
    comes and goes too often to be an event, and is for the status only.
    """

    topic: Topic
    sentence: str
    member: str = ""
    key: str = ""
    is_warning: bool = False
    is_passing: bool = False

    @property
    def identity(self) -> tuple[Topic, str]:
        """What makes it new, or the same as before."""
        return self.topic, self.key or self.sentence


def by_weight(sentences: Iterable[Said]) -> tuple[Said, ...]:
    """The most important first, otherwise in the order in which they were said."""
    order = list(Topic)
    return tuple(sorted(sentences, key=lambda said: order.index(said.topic)))


def named(sentence: str, ring: Ring) -> str:
    """The sentence with members' names in place of their disks."""
    for member in ring.members:
        sentence = sentence.replace(member.disk, member.name)
    return sentence
