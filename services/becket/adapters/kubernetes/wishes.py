"""The member count that the chart states: one key of a ConfigMap that only helm writes.

Owns the reading of that key. Must not compare it with anything: whether it has changed is for
``core.supervision.counting`` to say (KUBERNETES.md, "Member count").
"""

from __future__ import annotations

import random
from collections.abc import Callable

from becket.adapters.kubernetes.access import Access
from becket.adapters.kubernetes.one_object import OneObject
from becket.core.ring.validation import MAX_MEMBERS

KEY = "storage.replicas"
MOST_DIGITS = 9


class ChartWishes:
    """The ConfigMap as it is known."""

    def __init__(
        self, access: Access, *, rng: random.Random, on_change: Callable[[], None]
    ) -> None:
        self._name = access.settings.wish_object
        target = access.target("configmaps", self._name)
        self.held = OneObject(access, target, rng=rng, on_change=on_change)

    @property
    def count(self) -> int | None:
        """The member count; None where none is stated, or nothing that could be one."""
        text = self._text()
        if text is None or not text.isascii() or not text.isdigit() or len(text) > MOST_DIGITS:
            return None
        return int(text)

    @property
    def problem(self) -> str:
        """What is wrong with the object; empty where nothing is."""
        if not self.held.mirror.is_synced:
            return ""
        if self.held.current is None:
            return f"there is no ConfigMap {self._name}: how many members are wished is not known"
        text = self._text()
        if self.count is None or text is None:
            what = "is missing" if text is None else f"is {text[:40]!r}"
            return f"{KEY} in ConfigMap {self._name} {what}: it must be 1 to {MAX_MEMBERS}"
        return ""

    def _text(self) -> str | None:
        found = self.held.current
        text = None if found is None else (found.get("data") or {}).get(KEY)
        return text.strip() if isinstance(text, str) else None
