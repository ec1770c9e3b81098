"""A supervisor on Kubernetes: its ports over the one access to the API.

Owns that wiring; only here does a supervisor import the Kubernetes client. Must not decide
anything.
"""

from __future__ import annotations

import random
from contextlib import AsyncExitStack

from becket.adapters.kubernetes.access import open_access
from becket.adapters.kubernetes.lease import LeaseLeadership
from becket.adapters.kubernetes.platform import KubernetesPlatform
from becket.adapters.kubernetes.topology import KubernetesTopology
from becket.runtime.contract import Runtime
from becket.supervisor.cycle import Ports
from becket.supervisor.instruments import observe_ages
from becket.supervisor.service import SupervisorProcess
from becket.supervisor.settings import SupervisorSettings


async def build_on_kubernetes(
    runtime: Runtime, settings: SupervisorSettings, *, kubeconfig: str = ""
) -> SupervisorProcess:
    """A supervisor over the API that the environment names.

    :raises InvalidInputError: there are no credentials for it.
    """
    async with AsyncExitStack() as stack:
        opened = open_access(settings.kubernetes, kubeconfig=kubeconfig)
        access = await stack.enter_async_context(opened)
        rng = random.Random()  # noqa: S311 - spreads load
        topology = KubernetesTopology(access, rng=rng)
        platform = KubernetesPlatform(access, settings.name, rng=rng)
        address = settings.advertise or settings.listen
        leadership = LeaseLeadership(access, settings.name, address, rng=rng)
        observe_ages(runtime.meter, platform.ages)
        ports = Ports(topology, platform, leadership, platform, topology)
        return SupervisorProcess(runtime, settings, ports, close=stack.pop_all().aclose)
    raise AssertionError("an access that is open was swallowed")
