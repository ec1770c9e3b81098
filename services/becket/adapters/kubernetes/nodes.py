"""Nodes: where a pod runs, in which zone, and whether the node is well.

Owns the reading of labels and conditions. Must not conclude anything: a node that is away is a
second witness, heartbeats are the first. Without the right to read nodes every member is in the
zone of the settings, and nothing is known of its node (KUBERNETES.md, "Least rights").
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

from becket.adapters.kubernetes.access import Access, Json, Target
from becket.adapters.kubernetes.watching import Mirror
from becket.core.supervision.pods import Node

ZONES = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")
BLIND = (
    "nodes may not be read (rbac.clusterRole is off): zones come from storage.zone,"
    " and whether a node is well is known by heartbeats only"
)


class Whereabouts(NamedTuple):
    """Where a pod is. ``zone`` is None where that is not known yet."""

    zone: str | None
    state: Node


class Nodes:
    """All nodes, or none where they may not be read."""

    def __init__(
        self, access: Access, *, rng: random.Random, on_change: Callable[[], None]
    ) -> None:
        settings = access.settings
        self._zone = settings.zone
        self.mirror: Mirror | None = None
        if settings.cluster_role:
            lister = access.lister(Target("v1", "nodes"))
            self.mirror = Mirror(lister, settings, rng=rng, on_change=on_change)

    def of(self, name: str) -> Whereabouts:
        """Zone and state of the node of this name; empty for a pod that has none yet."""
        if self.mirror is None:
            return Whereabouts(self._zone, Node.UNKNOWN)
        if not name or not self.mirror.is_synced:
            return Whereabouts(None, Node.UNKNOWN)
        found = next(
            (n for n in self.mirror.objects.values() if n["metadata"].get("name") == name), None
        )
        if found is None:
            return Whereabouts(None, Node.ABSENT)
        labels = found["metadata"].get("labels") or {}
        zone = next((labels[label] for label in ZONES if labels.get(label)), self._zone)
        return Whereabouts(zone, _state(found))

    @property
    def problem(self) -> str:
        """Why nodes are not known; empty where they are."""
        if self.mirror is None:
            return BLIND
        if self.mirror.is_synced or not self.mirror.problem:
            return ""
        return f"nodes are not known, members get no zone: {self.mirror.problem}"


def _state(node: Json) -> Node:
    for condition in (node.get("status") or {}).get("conditions") or []:
        if condition.get("type") == "Ready":
            return Node.READY if condition.get("status") == "True" else Node.NOT_READY
    return Node.UNKNOWN
