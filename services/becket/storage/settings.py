"""What a storage process is told beside what every service is.

Owns the settings and the relations between the two groups of times: a process whose loop stood
still for longer than a lease must not call others silent (PROTOCOL R11a), so both agree on it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from becket.adapters.engines.rocks import RocksSettings
from becket.core.errors import InvalidInputError
from becket.core.membership.settings import MembershipSettings
from becket.core.plans.throttle import ThrottleSettings
from becket.core.replication.settings import Settings as ReplicationSettings
from becket.runtime.settings import CHECKED, ServiceSettings

MIB = 1 << 20

REPLICATION = ReplicationSettings(
    # Streams lose nothing while they last: sending again is for what a broken one took along.
    resend_us=300_000,
    # Under steady writes hardly anybody is level at a given moment, so this is what a take-over
    # waits for in vain.
    stand_unlevel_us=100_000,
    # Beside those of the last seconds, which cover any deadline in use; each is decoded with its
    # cell at every write.
    records_kept=2,
    # Of each partition, one by one. A member makes up to 16 copies at once and takes in some
    # thousand such cells a second: with more on the way each waits so long that it is sent again,
    # and beats come late.
    copy_window=8,
)

COPYING = ThrottleSettings(
    # Eight keys a tick here, not partitions: 200 a second at the least.
    least_percent=100,
    # Of one member, of which five may share what a client sends.
    least_operations=20,
)


class StorageSettings(ServiceSettings):
    """Settings of one member."""

    data_folder: Path = Field(Path("data"), description="the volume: one disk, one process")
    durability: Literal["fsync", "os"] = Field(
        "fsync", description="os: survives processes and pods, not machines"
    )
    lock_wait_s: float = Field(
        0, ge=0, le=600, description="a predecessor that still ends may hold the volume so long"
    )
    balancer_address: str = Field(
        "", description="where the balancer answers, where no directory lists it"
    )
    tick_ms: int = Field(40, ge=10, le=50, description="how often the core lets time pass")
    full_mib: int = Field(64, ge=1, description="free space below which writes are refused")
    rocks: Annotated[RocksSettings, CHECKED] = RocksSettings()
    replication: Annotated[ReplicationSettings, CHECKED] = REPLICATION
    membership: Annotated[MembershipSettings, CHECKED] = MembershipSettings()
    copying: Annotated[ThrottleSettings, CHECKED] = COPYING

    @model_validator(mode="after")
    def _agree(self) -> Self:
        for name in ("lease_us", "suspicion_us", "suspicion_factor"):
            if getattr(self.membership, name) != getattr(self.replication, name):
                problem = f"must equal replication.{name}"
                raise InvalidInputError(f"membership.{name}", problem)
        return self
