"""The roles of a member in one partition, as a table.

Theory of operation. A member is a FOLLOWER of each partition until nobody is heard for the
suspicion time. It then asks whether the others would promise (ASKING: nothing changes anywhere,
R11a), and only with a joint quorum of yes does it raise promises (PREPARING, R11). A joint quorum
of promises makes it COORDINATING under its epoch (R12). A planned stop or a planned change of the
config goes through DRAINING: no operation starts, those that have started get a little time, then
the epoch ends for ever (R24). A hand-over skips the asking: the coordinator itself has released.

Whatever shows that the epoch is over (a higher generation, R6; a higher promise, R8; a client's
newer stamp, R30; nobody answering) leads back to FOLLOWER, from every role. There is no way back
into a role under the same epoch: every arrow into COORDINATING starts with a new one.

An event that the table does not name is a bug, not a surprise of the network: late and repeated
messages are sorted out before they become events.
"""

from __future__ import annotations

from enum import Enum

from becket.core.errors import BugError


class Role(Enum):
    """What a member is to one partition now."""

    FOLLOWER = "follower"
    ASKING = "asking"
    PREPARING = "preparing"
    COORDINATING = "coordinating"
    DRAINING = "draining"


class Event(Enum):
    """What changes a role."""

    SILENCE = "nobody heard for the suspicion time"
    HANDED_OVER = "the coordinator handed over to this member"
    RENEWED = "own drain ended, to go on under a new epoch"
    AGREED = "a joint quorum would promise"
    PROMISED = "a joint quorum has promised"
    REFUSED = "a member knows a higher generation or epoch"
    TIMED_OUT = "the candidature took too long"
    ADOPTED = "a higher generation was adopted"
    DEPOSED = "own promise was raised to another epoch"
    OUTDATED = "a client has seen a newer epoch"
    ISOLATED = "no quorum was heard for too long"
    LEAVE = "asked to hand over"
    DRAINED = "started operations ended, or their time did"


_END = {
    Event.REFUSED: Role.FOLLOWER,
    Event.ADOPTED: Role.FOLLOWER,
    Event.DEPOSED: Role.FOLLOWER,
}

TRANSITIONS: dict[Role, dict[Event, Role]] = {
    Role.FOLLOWER: {
        Event.SILENCE: Role.ASKING,
        Event.HANDED_OVER: Role.PREPARING,
        Event.RENEWED: Role.PREPARING,
        Event.ADOPTED: Role.FOLLOWER,
        Event.DEPOSED: Role.FOLLOWER,
    },
    Role.ASKING: {
        **_END,
        Event.AGREED: Role.PREPARING,
        Event.HANDED_OVER: Role.PREPARING,
        Event.TIMED_OUT: Role.FOLLOWER,
    },
    Role.PREPARING: {
        **_END,
        Event.PROMISED: Role.COORDINATING,
        Event.TIMED_OUT: Role.FOLLOWER,
    },
    Role.COORDINATING: {
        **_END,
        Event.OUTDATED: Role.FOLLOWER,
        Event.ISOLATED: Role.FOLLOWER,
        Event.LEAVE: Role.DRAINING,
    },
    Role.DRAINING: {
        **_END,
        Event.OUTDATED: Role.FOLLOWER,
        Event.ISOLATED: Role.FOLLOWER,
        Event.DRAINED: Role.FOLLOWER,
    },
}


class IllegalTransitionError(BugError):
    """An event that the table does not allow in this role."""


def advance(role: Role, event: Event, story: str) -> Role:
    """The next role; raises IllegalTransitionError with the story so far."""
    after = TRANSITIONS[role].get(event)
    if after is None:
        raise IllegalTransitionError(f"{event.name} while {role.name}: {story}")
    return after
