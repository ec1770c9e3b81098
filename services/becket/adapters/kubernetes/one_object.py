"""One object of a known name: mirrored, and changed only under the version just read.

Owns the reading before each write (KUBERNETES.md, "The leader's other writes"): what a write rests
on was read after this process began to lead, and a later leader's first write breaks its condition.
Must not know what the object means. Invariants: a change that is so already is no write; what was
written is shown at once, before the watch tells of it.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from becket.adapters.kubernetes.access import Access, Json, Target
from becket.adapters.kubernetes.failures import AbsentError, KubernetesError
from becket.adapters.kubernetes.watching import Mirror
from becket.ports.platform import PlatformError


class OneObject:
    """``run`` its mirror; ``current`` is the newest that is known."""

    def __init__(
        self,
        access: Access,
        target: Target,
        *,
        rng: random.Random,
        on_change: Callable[[], None],
    ) -> None:
        self.access = access
        self.target = target
        self._on_change = on_change
        self._written: Json | None = None
        self.mirror = Mirror(
            access.lister(target._replace(name="")),
            access.settings,
            rng=rng,
            on_change=self._changed,
            field_selector=f"metadata.name={target.name}",
        )

    @property
    def current(self) -> Json | None:
        """The object; None where there is none, or nothing is known of it yet."""
        mirrored = next(iter(self.mirror.objects.values()), None)
        if self._written is None or mirrored is None:
            return self._written or mirrored
        return max(mirrored, self._written, key=version_of)

    async def read(self) -> Json | None:
        """The object as it is now; None where there is none.

        :raises KubernetesError: no answer.
        """
        try:
            return await self.access.get(self.target)
        except AbsentError:
            return None

    def note_written(self, written: Json) -> None:
        """The API has answered a write with this object."""
        self._written = written

    def _changed(self) -> None:
        mirrored = next(iter(self.mirror.objects.values()), None)
        written = self._written
        if written is not None and (
            mirrored is None or version_of(mirrored) >= version_of(written)
        ):
            self._written = None
        self._on_change()


def version_of(found: Json) -> int:
    """The resource version, as a number: of one kind they rise."""
    version = str(found["metadata"].get("resourceVersion", ""))
    return int(version) if version.isascii() and version.isdigit() else 0


def sentence(error: KubernetesError) -> PlatformError:
    """The same as the port's error."""
    return PlatformError(str(error), after_ms=1000)
