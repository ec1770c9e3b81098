"""Why a volume claim gets no volume, where that can be told.

Owns the question whether the class that a claim names is there, asked only while claims wait. Must
not change anything. Without the right to read classes it tells no more than that a claim waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from becket.adapters.kubernetes.access import Access, Json, Target
from becket.adapters.kubernetes.failures import ForbiddenError, KubernetesError
from becket.adapters.kubernetes.pods import Claims

LOOK_S = 5.0
PATIENCE_US = 30_000_000
"""A claim may wait so long for its volume before that is told: a volume takes its time."""

DEFAULT = "storageclass.kubernetes.io/is-default-class"


class StorageClasses:
    """The storage classes, as long as a claim waits."""

    def __init__(self, access: Access, claims: Claims) -> None:
        self._access = access
        self._claims = claims
        self._known: dict[str, bool] | None = None
        """Each class by name, and whether it is the default; None where they are not known."""

    async def run(self) -> None:
        """Ask for the classes while claims wait, for ever."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self._claims.pending() and self._access.settings.cluster_role:
                await self._look()

    async def _look(self) -> None:
        try:
            found = await self._access.get(Target("storage.k8s.io/v1", "storageclasses"))
        except ForbiddenError:
            self._known = None
        except KubernetesError:
            return
        else:
            self._known = {
                str(item["metadata"]["name"]): _is_default(item) for item in found.get("items", ())
            }

    def problems(self, now_us: int) -> Iterator[str]:
        """A sentence for each claim that waits for good, or for long."""
        for name, claim in sorted(self._claims.pending().items()):
            lacking = self._lacking(claim)
            waited_us = self._claims.pending_us(name, now_us)
            if lacking:
                yield f"the volume claim of {name} waits in vain: {lacking}"
            elif waited_us >= PATIENCE_US:
                advice = f"see kubectl describe pvc {claim['metadata']['name']}"
                yield f"the volume claim of {name} has no volume yet: {advice}"

    def _lacking(self, claim: Json) -> str:
        if self._known is None:
            return ""
        wished = (claim.get("spec") or {}).get("storageClassName")
        if wished:
            return "" if wished in self._known else f"there is no StorageClass {wished}"
        if wished is None and not any(self._known.values()):
            return "it names no StorageClass, and the cluster has no default one"
        return ""


def _is_default(found: Json) -> bool:
    return (found["metadata"].get("annotations") or {}).get(DEFAULT) == "true"
