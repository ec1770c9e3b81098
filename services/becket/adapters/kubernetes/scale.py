"""The StatefulSet of storage, and how many pods it runs.

Owns ``spec.replicas``, by the scale subresource (KUBERNETES.md, "spec.replicas"): no other field of
the set is ever written. Must not decide how many. Invariant: a smaller scale that may be in force
is told (``sinking``) from before it is sent until it is known what became of it.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from becket.adapters.kubernetes.access import Access, Json
from becket.adapters.kubernetes.failures import KubernetesError, UnavailableError
from becket.adapters.kubernetes.one_object import OneObject, sentence, version_of

CLAIM = "data"
"""The volume claim template, whose name begins each claim's."""


class StorageSet:
    """The set as it is known, and the one hand on it."""

    def __init__(
        self, access: Access, *, rng: random.Random, on_change: Callable[[], None]
    ) -> None:
        name = access.settings.storage_set
        target = access.target("statefulsets", name, group="apps/v1")
        self.held = OneObject(access, target, rng=rng, on_change=on_change)
        self._access = access
        self._scale = target._replace(sub="scale")
        self._sinking: tuple[int, int] | None = None
        """The version under which a smaller scale was sent, and that scale."""

    @property
    def count(self) -> int | None:
        """How many pods it runs; None where that is not known."""
        found = self.held.current
        if found is None:
            return None
        count = found["spec"].get("replicas", 1)
        return count if isinstance(count, int) else None

    @property
    def sinking(self) -> int | None:
        """A smaller scale that may be in force by now."""
        if self._sinking is None:
            return None
        sent_on, count = self._sinking
        found = self.held.current
        # The condition of what was sent fails once the set has another version.
        return count if found is None or version_of(found) <= sent_on else None

    @property
    def has_claims(self) -> bool:
        """Whether each pod has a volume claim of its own."""
        found = self.held.current
        templates = [] if found is None else found["spec"].get("volumeClaimTemplates") or []
        return any(each.get("metadata", {}).get("name") == CLAIM for each in templates)

    async def scale_to(self, count: int) -> None:
        """Run so many pods.

        :raises PlatformError: it is not known that the set runs so many now.
        """
        try:
            found = await self._access.get(self._scale)
            before = found.get("spec", {}).get("replicas", 0)
            if before == count:
                return
            if count < before:
                self._sinking = (version_of(found), count)
            changed = {**found, "spec": {**found.get("spec", {}), "replicas": count}}
            changed.pop("status", None)
            self._note(await self._access.update(self._scale, changed), count)
        except UnavailableError as error:
            raise sentence(error) from error
        except KubernetesError as error:
            self._sinking = None
            raise sentence(error) from error

    def _note(self, answer: Json, count: int) -> None:
        self._sinking = None
        known = self.held.current
        if known is not None:
            metadata = {**known["metadata"], "resourceVersion": _version(answer)}
            spec = {**known["spec"], "replicas": count}
            self.held.note_written({**known, "metadata": metadata, "spec": spec})


def _version(answer: Json) -> str:
    return str(answer["metadata"].get("resourceVersion", ""))
