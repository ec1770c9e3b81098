"""The platform port: what runs storage processes, as its supervisor sees it and may change it.

Guarantees that every adapter gives: looking waits for nothing and shows what was told last; each
change is made on the object as it was read for exactly that change, within the call, and not at all
where that object is another by then; a change that is so already is no write. A call that raises
may have taken effect: whoever asked looks again. Whether a change is wanted, and whether this
process may make it at all, is not the platform's to judge.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from becket.core.errors import RetryLaterError
from becket.core.supervision.pods import PlatformView


class PlatformError(RetryLaterError):
    """The platform gives no answer, or refuses; the message is a sentence for people."""


class Notice(NamedTuple):
    """Something that happened, for those who watch the platform rather than the supervisor.

    ``reason`` is one word; ``member`` is whom it concerns, empty for all of storage.
    """

    reason: str
    sentence: str
    member: str = ""
    is_warning: bool = False


class Platform(Protocol):
    """What runs storage."""

    def view(self, now_us: int) -> PlatformView:
        """What is known now; ``now_us`` by the clock of a snapshot."""

    async def run(self, changed: Callable[[], None]) -> None:
        """Look at the platform for ever; ``changed`` is called after what ``view`` shows has."""

    def tell(self, notice: Notice) -> None:
        """Let people know, some time soon, perhaps never: it waits for nothing and cannot fail."""

    # Changes. Each raises PlatformError.

    async def scale_to(self, count: int) -> None:
        """Run so many pods."""

    async def allow_evictions(self, count: int) -> None:
        """Let so many pods be missing by evictions, 0 or 1."""

    async def open_gate(self, name: str, uid: str) -> None:
        """Let this pod be ready as far as the cluster is concerned; for as long as it lives."""

    async def keep_note(self, note: str) -> None:
        """Keep this text, some hundred bytes, for whoever leads next."""

    async def read_note(self) -> str:
        """The text that was kept last; empty where there is none."""
