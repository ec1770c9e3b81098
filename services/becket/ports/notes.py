"""The notes port: a line of text that outlives the supervisor that wrote it.

Guarantees that every adapter gives: what ``read`` returns was given to ``keep`` as a whole, by this
process or one before it; a note that cannot be read is empty, and one that cannot be kept is told
nowhere, since nothing but people's convenience rests on it.
"""

from __future__ import annotations

from typing import Protocol


class Notes(Protocol):
    """One note."""

    def read(self) -> str:
        """The note; empty where there is none."""

    def keep(self, note: str) -> None:
        """Keep this one from now on; it costs nothing where it is kept already."""
