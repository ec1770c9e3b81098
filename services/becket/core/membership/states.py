"""What a member is to another one, as a table.

Theory of operation. A peer is ALIVE while its beats come, or while nobody who watches it says
otherwise. Silence for the suspicion time makes it SUSPECT, and so do enough watchers that report
silence; a suspect's partitions are taken over by the replicas that find a quorum to agree (that is
replication's business, and needs no certainty). A suspect that stays silent becomes DEAD, which
only matters to people and to the supervisor. Any beat brings it back from either: a beat is proof,
silence is not. A beat of a process that was replaced since is no beat at all.
"""

from __future__ import annotations

from enum import Enum

from becket.core.errors import BugError


class Health(Enum):
    """What is thought of a peer."""

    ALIVE = "alive"
    SUSPECT = "suspect"
    DEAD = "dead"


class Sign(Enum):
    """What is learnt of a peer."""

    BEAT = "a beat of its present process"
    SILENCE = "no beat for the suspicion time"
    RUMOUR = "enough of its watchers report silence"
    REFUTED = "a watcher reports a beat later than the silence"
    LONG_SILENCE = "nothing for long"


CHANGES: dict[Health, dict[Sign, Health]] = {
    Health.ALIVE: {
        Sign.BEAT: Health.ALIVE,
        Sign.SILENCE: Health.SUSPECT,
        Sign.RUMOUR: Health.SUSPECT,
        Sign.REFUTED: Health.ALIVE,
    },
    Health.SUSPECT: {
        Sign.BEAT: Health.ALIVE,
        Sign.SILENCE: Health.SUSPECT,
        Sign.RUMOUR: Health.SUSPECT,
        Sign.REFUTED: Health.ALIVE,
        Sign.LONG_SILENCE: Health.DEAD,
    },
    Health.DEAD: {
        Sign.BEAT: Health.ALIVE,
        Sign.SILENCE: Health.DEAD,
        Sign.RUMOUR: Health.DEAD,
        Sign.REFUTED: Health.ALIVE,
        Sign.LONG_SILENCE: Health.DEAD,
    },
}


class IllegalSignError(BugError):
    """A sign that the table does not allow for this health."""


def change(health: Health, sign: Sign, story: str) -> Health:
    """The health after a sign; raises IllegalSignError with the story so far."""
    after = CHANGES[health].get(sign)
    if after is None:
        raise IllegalSignError(f"{sign.name} of one that is {health.name}: {story}")
    return after
