"""What a balancer is told beside the common settings."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from becket.core.errors import InvalidInputError
from becket.core.load.settings import LoadSettings
from becket.runtime.settings import CHECKED, Name, ServiceSettings


class BalancerSettings(ServiceSettings):
    """Settings of ``python -m becket.balancer``."""

    name: Name = "balancer-0"
    look_interval_ms: Annotated[int, Field(ge=10, le=60_000)] = 1000
    """How often weights are computed; they are told only when they have changed."""
    load: Annotated[LoadSettings, CHECKED] = LoadSettings()

    @model_validator(mode="after")
    def _looks_often_enough(self) -> Self:
        if 1000 * self.look_interval_ms > self.load.fade_us:
            raise InvalidInputError("look_interval_ms", "must not be over load.fade_us")
        return self
