"""A flipped bit below RocksDB's own checksum, as a disk may flip it."""

from __future__ import annotations

import os
from pathlib import Path


def flip_a_bit(folder: Path) -> None:
    """Turn one bit round in the middle of an engine's largest table, in place."""
    table = max(folder.glob("*.sst"), key=lambda path: (path.stat().st_size, path.name))
    with table.open("r+b") as file:
        file.seek(table.stat().st_size // 2)
        [byte] = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes((byte ^ 1,)))
