"""``python -m becket.router``: wires a router process, and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import cast

from becket.adapters.local.directory import open_directory
from becket.adapters.local.topology import FileTopology
from becket.router.service import RouterService
from becket.router.settings import RouterSettings
from becket.runtime.service import Runtime, main


def _build(runtime: Runtime) -> RouterService:
    settings = cast("RouterSettings", runtime.settings)
    topology = FileTopology(Path(settings.topology_file)) if settings.topology_file else None
    directory = open_directory(settings.addresses_file, settings.address_template)
    return RouterService(runtime, settings, directory, topology)


if __name__ == "__main__":
    sys.exit(main("router", RouterSettings, _build))
