"""A router on Kubernetes: the ring from the API's ring object.

Owns that wiring; only here does a router import the Kubernetes client. It needs the rights to read
and watch one ConfigMap, and no other: members tell their addresses themselves.
"""

from __future__ import annotations

import random
from contextlib import AsyncExitStack

from opentelemetry.metrics import CallbackOptions, Observation

from becket.adapters.kubernetes.access import open_access
from becket.adapters.kubernetes.topology import KubernetesTopology
from becket.adapters.local.directory import open_directory
from becket.router.service import RouterService
from becket.router.settings import RouterSettings
from becket.runtime.contract import Runtime


async def build_on_kubernetes(
    runtime: Runtime, settings: RouterSettings, *, kubeconfig: str = ""
) -> RouterService:
    """A router over the API that the environment names; it need not be there yet.

    :raises InvalidInputError: there are no credentials for it.
    """
    directory = open_directory(settings.addresses_file, settings.address_template)
    async with AsyncExitStack() as stack:
        opened = open_access(settings.kubernetes, kubeconfig=kubeconfig)
        access = await stack.enter_async_context(opened)
        topology = KubernetesTopology(access, rng=random.Random())  # noqa: S311 - spreads load

        def read(_options: CallbackOptions) -> list[Observation]:
            return [Observation(topology.age_s)]

        runtime.meter.create_observable_gauge(
            "becket.kubernetes.event.age",
            callbacks=[read],
            unit="s",
            description="Since the API last told something, a bookmark or a list also",
        )
        close = stack.pop_all().aclose
        return RouterService(runtime, settings, directory, topology, close=close)
    raise AssertionError("an access that is open was swallowed")
