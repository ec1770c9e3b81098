"""Storage pods as a platform shows them: the second witness beside what members say themselves.

Owns the values, and how names and ordinals go together. Must not decide anything, nor know an API.
Invariants: a pod is named by its uid, since its name outlives it; what is not known is told apart
from what is known to be absent; times are of the supervisor's monotonic clock, never of another's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Claim(Enum):
    """What is known of a member's volume claim."""

    UNKNOWN = "unknown"
    PENDING = "pending"
    """No volume is there yet."""
    BOUND = "bound"
    LOST = "lost"
    """Its volume is gone, and what was on it."""
    ABSENT = "absent"
    """The API was asked for exactly this claim, and there is none."""


class Node(Enum):
    """What is known of the node that a pod runs on."""

    UNKNOWN = "unknown"
    READY = "ready"
    NOT_READY = "not ready"
    ABSENT = "gone"


@dataclass(frozen=True)
class Pod:
    """One storage pod.

    ``address`` is host:port, empty before the pod has one. ``zone`` is None until the node and its
    zone are known, and empty where there are no zones. ``is_whole``: its readiness gate is open.
    ``unready_since_us``: since when the platform calls it not ready without a break, as far
    as this process has seen it; None where it is ready.
    """

    name: str
    uid: str
    address: str = ""
    node: str = ""
    zone: str | None = None
    is_ready: bool = False
    is_terminating: bool = False
    is_whole: bool = False
    unready_since_us: int | None = None
    node_state: Node = Node.UNKNOWN


@dataclass(frozen=True)
class PlatformView:
    """What the platform shows at one moment.

    ``stem`` is what names of storage pods begin with, up to the ordinal. ``chart_count`` is the
    member count that the chart wishes for, ``scale`` how many pods the platform was told to run;
    None where that is not known. ``problems`` are sentences. ``is_current`` is False while the
    platform does not answer, or has not yet: then nothing may be concluded from what is missing.
    ``sinking`` is a smaller scale that was asked for and may be in force by now; ``evictions`` how
    many pods may be missing by evictions.
    """

    stem: str
    pods: tuple[Pod, ...] = ()
    chart_count: int | None = None
    scale: int | None = None
    claims: Mapping[str, Claim] = field(default_factory=dict)
    """By the member's name, also where it has no pod."""
    problems: tuple[str, ...] = ()
    is_current: bool = True
    sinking: int | None = None
    evictions: int | None = None

    def name_of(self, ordinal: int) -> str:
        """The name of the pod with this ordinal."""
        return f"{self.stem}{ordinal}"

    def ordinal_of(self, name: str) -> int | None:
        """The ordinal in a name; None for a name that no pod of the set can have."""
        digits = name.removeprefix(self.stem)
        if digits == name or not digits.isascii() or not digits.isdigit():
            return None
        return int(digits) if digits == str(int(digits)) else None

    def pod(self, name: str) -> Pod | None:
        """The pod of this name; of two, as there are for a moment, the one that is not leaving."""
        found = [pod for pod in self.pods if pod.name == name]
        return min(found, key=lambda pod: (pod.is_terminating, not pod.address), default=None)
