"""How a cluster in the foreground tells what happens: lines with the time, in colour at a terminal.

Owns the form. Must not know what happens.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


class Teller:
    """Tells sentences; plain lines where stdout is no terminal."""

    def __init__(self) -> None:
        self._console: Console | None = None
        if sys.stdout.isatty():
            from rich.console import Console

            self._console = Console(highlight=False)

    def event(self, sentence: str) -> None:
        """Something happened just now."""
        at = time.strftime("%H:%M:%S")
        if self._console is None:
            self._plain(f"{at} {sentence}")
        else:
            self._console.print(f"[dim]{at}[/dim]", _escaped(sentence))

    def line(self, text: str = "", *, style: str = "") -> None:
        """A line of a report."""
        if self._console is None:
            self._plain(text)
        else:
            self._console.print(_escaped(text), style=style or None)

    def _plain(self, text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
