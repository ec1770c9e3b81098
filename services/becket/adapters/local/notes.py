"""The notes port over a small file.

Owns the file. Must not read anything into the text. A power failure may bring an older note back.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from becket.adapters.local.files import read_file, replace_file
from becket.core.plans.note import MOST_BYTES


class FileNotes:
    """The note in ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: str | None = None

    def read(self) -> str:
        """The note; empty where there is none, or nothing that could be one."""
        try:
            data = read_file(self._path) or b""
            self._kept = data.decode().strip() if len(data) <= MOST_BYTES else ""
        except (OSError, UnicodeDecodeError):
            self._kept = ""
        return self._kept

    def keep(self, note: str) -> None:
        """Keep this one from now on."""
        if note == self._kept:
            return
        with contextlib.suppress(OSError):  # A full disk must not end a supervisor: tried again.
            replace_file(self._path, f"{note}\n".encode(), durable=False)
            self._kept = note
