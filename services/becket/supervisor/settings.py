"""What a supervisor is told beside what every service is told.

Owns the settings and the relations between them. Must not read anything but settings.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from becket.adapters.kubernetes.settings import KubernetesSettings
from becket.core.errors import InvalidInputError
from becket.core.hashing import check_partition_count
from becket.core.load.relief import ReliefSettings
from becket.core.membership.settings import MembershipSettings
from becket.core.plans.progress import PlanLimits
from becket.core.ring.validation import MAX_REPLICAS
from becket.core.supervision.pacing import PacingSettings
from becket.runtime.settings import CHECKED, ServiceSettings


class SupervisorSettings(ServiceSettings):
    """Settings of ``python -m becket.supervisor``."""

    topology_file: str = Field("", description="the file that holds the ring, on one machine")
    partitions: int = Field(256, description="of a new cluster; never changes afterwards")
    replicas: int = Field(
        3, ge=1, le=MAX_REPLICAS, description="copies of each partition of a new cluster"
    )
    spread_zones: bool = Field(default=True, description="spread copies over zones")
    spread_nodes: bool = Field(default=True, description="spread copies over nodes")
    membership: Annotated[MembershipSettings, CHECKED] = MembershipSettings()
    # One partition's change takes some tenths of a second however small it is: with 16 at a time a
    # member of 192 empty partitions is filled in 4 s, with 8 in 9 s (2 cores, 4 members).
    plan: Annotated[PlanLimits, CHECKED] = PlanLimits(partitions=64, copies_per_member=16)
    pacing: Annotated[PacingSettings, CHECKED] = PacingSettings()
    relief: Annotated[ReliefSettings, CHECKED] = ReliefSettings()
    gather_ms: int = Field(20, ge=0, le=10_000, description="news that comes together is one round")
    look_ms: int = Field(250, ge=10, le=60_000, description="a round without news, for the clock")
    refresh_ms: int = Field(1000, ge=10, le=600_000, description="between reads of the ring object")
    silence_ms: int = Field(
        3000, ge=100, le=600_000, description="a member whose report is older is dialled anew"
    )
    call_ms: int = Field(2000, ge=10, le=60_000, description="an offer of a ring may take so long")
    events: int = Field(1000, ge=1, le=100_000, description="so many are remembered")
    release_s: int = Field(
        60,
        ge=1,
        le=86_400,
        description="a pod neither ready nor heard for so long may be evicted, if nothing needs it",
    )
    join_s: int = Field(
        30,
        ge=0,
        le=3600,
        description="a newcomer waits so long for others that are wished for: together less moves",
    )
    kubernetes: Annotated[KubernetesSettings, CHECKED] = KubernetesSettings()

    @model_validator(mode="after")
    def _supervision(self) -> Self:
        check_partition_count(self.partitions)
        if self.gather_ms > self.look_ms:
            raise InvalidInputError("gather_ms", "must not be over look_ms")
        for field in ("wish_object", "storage_set", "lease", "budget"):
            if self.kubernetes.is_set and not getattr(self.kubernetes, field):
                raise InvalidInputError(f"kubernetes.{field}", "must name the object")
        if self.kubernetes.is_set and self.topology_file:
            raise InvalidInputError("topology_file", "the ring is in kubernetes.ring_object")
        return self
