"""``python -m becket.storage``: wires a storage process, and nothing else."""

from __future__ import annotations

import sys
from typing import cast

from becket.adapters.local.directory import open_directory
from becket.runtime.service import Runtime, main
from becket.storage.disk import until_open
from becket.storage.service import StorageService
from becket.storage.settings import StorageSettings


async def _build(runtime: Runtime) -> StorageService:
    settings = cast("StorageSettings", runtime.settings)
    disk = await until_open(settings.data_folder, settings.rocks, settings.lock_wait_s)
    directory = open_directory(settings.addresses_file, settings.address_template)
    return StorageService(runtime, settings, directory, disk)


if __name__ == "__main__":
    sys.exit(main("storage", StorageSettings, _build))
