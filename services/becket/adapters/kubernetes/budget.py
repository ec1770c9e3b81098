"""The disruption budget of storage: the only one, made and kept by the supervisor.

Owns the object (KUBERNETES.md, "Disruption budget"): two budgets on a pod make every eviction
fail, so helm renders none. Must not decide how many pods may go. Invariants: ``maxUnavailable`` is
a number, never ``minAvailable``; the policy is IfHealthyBudget, since AlwaysAllow evicts an unready
voter even at a budget of zero; the set owns the budget, so it goes with it.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from becket.adapters.kubernetes.access import Access, Json
from becket.adapters.kubernetes.failures import KubernetesError
from becket.adapters.kubernetes.one_object import OneObject, sentence
from becket.adapters.kubernetes.scale import StorageSet
from becket.ports.platform import PlatformError

POLICY = "IfHealthyBudget"
MANAGED_BY = "becket-supervisor"


class DisruptionBudget:
    """The budget as it is known, and the one hand on it."""

    def __init__(
        self,
        access: Access,
        storage: StorageSet,
        *,
        rng: random.Random,
        on_change: Callable[[], None],
    ) -> None:
        name = access.settings.budget
        target = access.target("poddisruptionbudgets", name, group="policy/v1")
        self.held = OneObject(access, target, rng=rng, on_change=on_change)
        self._access = access
        self._storage = storage

    @property
    def count(self) -> int | None:
        """How many pods may be missing; None where there is no budget as it should be."""
        found, owner = self.held.current, self._storage.held.current
        if found is None or owner is None:
            return None
        count = found.get("spec", {}).get("maxUnavailable")
        return count if isinstance(count, int) and _is_so(found, owner, count) else None

    async def allow(self, count: int) -> None:
        """Let so many pods be missing.

        :raises PlatformError: it is not known that the budget is so now.
        """
        owner = self._storage.held.current
        if owner is None:
            name = self._access.settings.storage_set
            raise PlatformError(f"the disruption budget waits: no StatefulSet {name} is known")
        target = self.held.target
        try:
            found = await self.held.read()
            if found is None:
                empty: Json = {"metadata": {"name": target.name, "namespace": target.namespace}}
                made = _wished(empty, owner, count)
                written = await self._access.create(target._replace(name=""), made)
            else:
                if _is_so(found, owner, count):
                    self.held.note_written(found)
                    return
                written = await self._access.update(target, _wished(found, owner, count))
        except KubernetesError as error:
            raise sentence(error) from error
        self.held.note_written(written)


def _is_so(found: Json, owner: Json, count: int) -> bool:
    """Whether the budget is as it should be. A server that knows no policy drops it: so be it."""
    spec = found.get("spec", {})
    owners = found["metadata"].get("ownerReferences") or []
    return (
        spec.get("maxUnavailable") == count
        and "minAvailable" not in spec
        and spec.get("unhealthyPodEvictionPolicy", POLICY) == POLICY
        and spec.get("selector") == _selector(owner)
        and owner["metadata"]["uid"] in [each.get("uid") for each in owners]
    )


def _selector(owner: Json) -> Json:
    return {"matchLabels": dict(owner["spec"]["selector"]["matchLabels"])}


def _wished(found: Json, owner: Json, count: int) -> Json:
    """The budget as it should be."""
    metadata = dict(found["metadata"])
    metadata["labels"] = {
        **metadata.get("labels", {}),
        **owner["spec"]["selector"]["matchLabels"],
        "app.kubernetes.io/managed-by": MANAGED_BY,
    }
    metadata["ownerReferences"] = [
        {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": False,
        }
    ]
    spec = {key: value for key, value in found.get("spec", {}).items() if key != "minAvailable"}
    spec["maxUnavailable"] = count
    spec["unhealthyPodEvictionPolicy"] = POLICY
    spec["selector"] = _selector(owner)
    return {
        **found,
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata,
        "spec": spec,
    }
