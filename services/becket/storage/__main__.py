"""``python -m becket.storage``: wires a storage process, and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import cast

from becket.adapters.local.directory import FileDirectory, TemplateDirectory
from becket.ports.directory import Directory
from becket.runtime.service import Runtime, main
from becket.storage.disk import open_disk
from becket.storage.service import StorageService
from becket.storage.settings import StorageSettings


def _directory(settings: StorageSettings) -> Directory:
    if settings.addresses_file:
        return FileDirectory(Path(settings.addresses_file))
    return TemplateDirectory(settings.address_template)


def _build(runtime: Runtime) -> StorageService:
    settings = cast("StorageSettings", runtime.settings)
    disk = open_disk(settings.data_folder, settings.rocks)
    return StorageService(runtime, settings, _directory(settings), disk)


if __name__ == "__main__":
    sys.exit(main("storage", StorageSettings, _build))
