"""What a router process is told beside what every service is.

Owns the settings and the relations between them. Must not read anything but settings.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from becket.adapters.dispatch.settings import DispatchSettings
from becket.adapters.kubernetes.settings import KubernetesSettings
from becket.core.errors import InvalidInputError
from becket.runtime.settings import CHECKED, ServiceSettings


class RouterSettings(ServiceSettings):
    """Settings of ``python -m becket.router``."""

    topology_file: str = Field("", description="the file that holds the ring, on one machine")
    member_addresses: tuple[str, ...] = Field(
        (), description="members to learn the ring from, where no directory lists them"
    )
    supervisor_address: str = Field(
        "", description="where supervisors answer, where no directory lists them"
    )
    balancer_address: str = Field(
        "", description="where the balancer answers, where no directory lists it"
    )
    zone: str = Field(
        "", max_length=253, description="relaxed reads stay in this zone while it is not overloaded"
    )
    pipeline_batches: int = Field(
        64, ge=1, le=10_000, description="batches of one stream under way at once"
    )
    directory_ms: int = Field(
        1000, ge=10, le=60_000, description="how often the directory is asked who there is"
    )
    dispatch: Annotated[DispatchSettings, CHECKED] = DispatchSettings()
    kubernetes: Annotated[KubernetesSettings, CHECKED] = KubernetesSettings()

    @model_validator(mode="after")
    def _batches_agree(self) -> Self:
        if self.dispatch.batch_bytes > self.limits.batch_bytes:
            problem = "must not be over limits.batch_bytes: members refuse larger batches"
            raise InvalidInputError("dispatch.batch_bytes", problem)
        if self.dispatch.batch_operations > self.limits.batch_operations:
            problem = "must not be over limits.batch_operations: members refuse larger batches"
            raise InvalidInputError("dispatch.batch_operations", problem)
        return self

    @model_validator(mode="after")
    def _one_topology(self) -> Self:
        if self.topology_file and self.kubernetes.is_set:
            problem = "must not be set with kubernetes.ring_object: there is one ring"
            raise InvalidInputError("topology_file", problem)
        return self
