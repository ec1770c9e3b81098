"""``python -m becket.router``: wires a router process, and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import cast

from becket.adapters.local.directory import open_directory
from becket.adapters.local.topology import FileTopology
from becket.router.service import RouterService
from becket.router.settings import RouterSettings
from becket.runtime.service import Runtime, main


def build(runtime: Runtime) -> RouterService | Awaitable[RouterService]:
    """A router over the ports that its settings name."""
    settings = cast("RouterSettings", runtime.settings)
    if settings.kubernetes.is_set:
        # Only here: on one machine nobody waits for the client, nor holds its memory.
        from becket.router.on_kubernetes import build_on_kubernetes  # noqa: PLC0415

        return build_on_kubernetes(runtime, settings)
    topology = FileTopology(Path(settings.topology_file)) if settings.topology_file else None
    directory = open_directory(settings.addresses_file, settings.address_template)
    return RouterService(runtime, settings, directory, topology)


if __name__ == "__main__":
    sys.exit(main("router", RouterSettings, build))
