"""The platform port over the Kubernetes API: one set of storage pods and what belongs to it.

Owns the putting together of mirrors and hands, and the directory that follows from pods. Must not
decide anything. Invariants: an address is that of a pod that is there now, never a stored one
(KUBERNETES.md, "Identity and storage"); nothing is told to be current before pods, set and wish
have been read once, nor while the API has said nothing for long.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping

from becket.adapters import clocks
from becket.adapters.kubernetes.access import Access
from becket.adapters.kubernetes.budget import DisruptionBudget
from becket.adapters.kubernetes.events import Events, Regarding
from becket.adapters.kubernetes.failures import AbsentError, ConflictError, KubernetesError
from becket.adapters.kubernetes.gates import open_gate
from becket.adapters.kubernetes.nodes import Nodes
from becket.adapters.kubernetes.one_object import sentence
from becket.adapters.kubernetes.pods import Claims, Pods
from becket.adapters.kubernetes.scale import StorageSet
from becket.adapters.kubernetes.storage_classes import StorageClasses
from becket.adapters.kubernetes.watching import Mirror
from becket.adapters.kubernetes.wishes import ChartWishes
from becket.core.supervision.pods import PlatformView
from becket.ports.directory import Place
from becket.ports.platform import Notice, PlatformError

NOTE = "becket.dev/plan"
"""The annotation of the ring object that keeps a leader's note."""

SILENT_S = 15.0
"""Beyond the time that a watch may be silent, plus a list's, what is known is old."""


class KubernetesPlatform:
    """What runs storage; also the directory of its processes."""

    def __init__(self, access: Access, instance: str, *, rng: random.Random) -> None:
        self._access = access
        self._changed: Callable[[], None] = lambda: None
        self.nodes = Nodes(access, rng=rng, on_change=self._on_change)
        self.pods = Pods(access, self.nodes, rng=rng, on_change=self._on_change)
        self.claims = Claims(access, rng=rng, on_change=self._on_change)
        self.wishes = ChartWishes(access, rng=rng, on_change=self._on_change)
        self.storage = StorageSet(access, rng=rng, on_change=self._on_change)
        self.budget = DisruptionBudget(access, self.storage, rng=rng, on_change=self._on_change)
        self.classes = StorageClasses(access, self.claims)
        self.events = Events(access, instance, self._regarding)
        self._ring = access.target("configmaps", access.settings.ring_object)

    def _on_change(self) -> None:
        self._changed()

    # Directory

    def address_of(self, name: str) -> str | None:
        """Where the process in the pod of this name answers."""
        return self.pods.address_of(name)

    def places(self, service: str) -> Mapping[str, Place]:
        """The storage processes that there are; who should be follows from the ring."""
        if service != "storage":
            return {}
        found = self.pods.all(clocks.monotonic_us())
        return {p.name: Place(p.name, service, p.address, p.zone or "", p.node) for p in found}

    # Looking

    def view(self, now_us: int) -> PlatformView:
        """What is known now."""
        return PlatformView(
            stem=self.pods.stem,
            pods=self.pods.all(now_us),
            chart_count=self.wishes.count,
            scale=self.storage.count,
            claims=self.claims.all() if self.storage.has_claims else {},
            problems=tuple(self._problems(now_us)),
            is_current=not self._is_blind(now_us),
            sinking=self.storage.sinking,
            evictions=self.budget.count,
        )

    def _needed(self) -> tuple[Mirror, ...]:
        """What nothing can be concluded without."""
        return self.pods.mirror, self.storage.held.mirror, self.wishes.held.mirror

    def ages(self) -> dict[str, float]:
        """How long ago the API last told of each kind, in seconds."""
        found = {
            "pods": self.pods.mirror,
            "statefulsets": self.storage.held.mirror,
            "configmaps": self.wishes.held.mirror,
            "persistentvolumeclaims": self.claims.mirror,
            "poddisruptionbudgets": self.budget.held.mirror,
        }
        if self.nodes.mirror is not None:
            found["nodes"] = self.nodes.mirror
        return {kind: mirror.age_s() for kind, mirror in found.items()}

    def _is_blind(self, now_us: int) -> bool:
        limit_s = self._access.settings.read_s + SILENT_S
        return any(not m.is_synced or m.age_s(now_us) > limit_s for m in self._needed())

    def _problems(self, now_us: int) -> Iterator[str]:
        heard = [mirror.problem for mirror in self._needed() if mirror.problem]
        if heard:
            yield f"the Kubernetes API tells nothing: {heard[0]}"
        elif self._is_blind(now_us):
            yield "the Kubernetes API has not told of pods and wishes yet"
        if self.storage.held.mirror.is_synced and self.storage.held.current is None:
            yield f"there is no StatefulSet {self._access.settings.storage_set}"
        if self.claims.mirror.problem and not heard:
            yield f"volume claims are not known: {self.claims.mirror.problem}"
        yield from (each for each in (self.wishes.problem, self.nodes.problem) if each)
        yield from self.classes.problems(now_us)
        if self.events.problem:
            yield self.events.problem

    async def run(self, changed: Callable[[], None]) -> None:
        """Follow everything for ever."""
        self._changed = changed
        mirrors = [
            *self._needed(),
            self.claims.mirror,
            self.budget.held.mirror,
            *([] if self.nodes.mirror is None else [self.nodes.mirror]),
        ]
        async with asyncio.TaskGroup() as tasks:
            for mirror in mirrors:
                tasks.create_task(mirror.run())
            tasks.create_task(self.claims.look(self._claimants))
            tasks.create_task(self.classes.run())
            tasks.create_task(self.events.run())

    def _claimants(self) -> list[str]:
        """Whose volume claims there should be."""
        if not self.storage.has_claims:
            return []
        return [f"{self.pods.stem}{ordinal}" for ordinal in range(self.storage.count or 0)]

    def _regarding(self, member: str) -> Regarding | None:
        for pod in self.pods.mirror.objects.values():
            if member and pod["metadata"].get("name") == member:
                return Regarding("v1", "Pod", member, str(pod["metadata"]["uid"]))
        found = self.storage.held.current
        if member or found is None:
            return None
        metadata = found["metadata"]
        return Regarding("apps/v1", "StatefulSet", metadata["name"], metadata["uid"])

    def tell(self, notice: Notice) -> None:
        """Write an Event, some time soon."""
        self.events.tell(notice)

    # Changes

    async def scale_to(self, count: int) -> None:
        """Run so many pods."""
        await self.storage.scale_to(count)

    async def allow_evictions(self, count: int) -> None:
        """Let so many pods be missing by evictions."""
        await self.budget.allow(count)

    async def open_gate(self, name: str, uid: str) -> None:
        """Open the readiness gate of this pod."""
        if await open_gate(self._access, name, uid) is not None:
            self.pods.note_opened(uid)

    async def read_note(self) -> str:
        """What the leader before has kept in the ring object."""
        try:
            found = await self._access.get(self._ring)
        except AbsentError:
            return ""
        except KubernetesError as error:
            raise sentence(error) from error
        return str((found["metadata"].get("annotations") or {}).get(NOTE, ""))

    async def keep_note(self, note: str) -> None:
        """Keep a text in the ring object; there has to be one."""
        try:
            found = await self._access.get(self._ring)
            metadata = found["metadata"]
            if (metadata.get("annotations") or {}).get(NOTE, "") == note:
                return
            await self._access.patch(
                self._ring,
                {
                    "metadata": {
                        "uid": metadata["uid"],
                        "resourceVersion": metadata["resourceVersion"],
                        "annotations": {NOTE: note or None},
                    }
                },
            )
        except AbsentError as error:
            raise PlatformError("there is no ring object that could keep a note") from error
        except ConflictError as error:
            raise PlatformError("the ring object was changed at the same time") from error
        except KubernetesError as error:
            raise sentence(error) from error
