"""``python -m becket.balancer``: wires settings, service and skeleton."""

from __future__ import annotations

import sys

from becket.balancer.service import BalancerService
from becket.balancer.settings import BalancerSettings
from becket.runtime.contract import Runtime
from becket.runtime.service import main


def build(runtime: Runtime) -> BalancerService:
    """A balancer with the settings that ``main`` has loaded."""
    settings = runtime.settings
    assert isinstance(settings, BalancerSettings)
    return BalancerService(runtime, settings)


if __name__ == "__main__":
    sys.exit(main("balancer", BalancerSettings, build))
