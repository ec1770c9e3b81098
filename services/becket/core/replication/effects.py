"""What one step of a member asks its shell to do; the core does nothing itself.

Order matters and is the shell's duty: ``writes`` go to the engine as one transaction before the
next step; ``requests`` and ``answers`` may leave at once; ``replies`` and ``synced_answers`` wait
until everything that was applied up to this step is synced (R8); a reply to the member's own disk
comes back as a received message by the same rule.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from becket.core.replication.cells import Answer
from becket.core.replication.messages import Sent
from becket.core.replication.store import Write
from becket.core.replication.versions import Epoch
from becket.core.ring.config import Disk


class Certificate(NamedTuple):
    """A joint coordinator's word that its copy is complete (R19)."""

    partition: int
    gen: int
    epoch: Epoch
    disk: Disk


@dataclass(slots=True)
class Effects:
    """The outcome of one step."""

    writes: list[Write] = field(default_factory=list)
    requests: list[Sent] = field(default_factory=list)
    replies: list[Sent] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    synced_answers: list[Answer] = field(default_factory=list)
    certificates: list[Certificate] = field(default_factory=list)
