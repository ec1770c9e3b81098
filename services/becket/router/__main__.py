"""``python -m becket.router``: wires a router process, and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import cast

from becket.adapters.local.directory import FileDirectory, TemplateDirectory
from becket.adapters.local.topology import FileTopology
from becket.ports.directory import Directory
from becket.router.service import RouterService
from becket.router.settings import RouterSettings
from becket.runtime.service import Runtime, main


def _directory(settings: RouterSettings) -> Directory:
    if settings.addresses_file:
        return FileDirectory(Path(settings.addresses_file))
    return TemplateDirectory(settings.address_template)


def _build(runtime: Runtime) -> RouterService:
    settings = cast("RouterSettings", runtime.settings)
    topology = FileTopology(Path(settings.topology_file)) if settings.topology_file else None
    return RouterService(runtime, settings, _directory(settings), topology)


if __name__ == "__main__":
    sys.exit(main("router", RouterSettings, _build))
