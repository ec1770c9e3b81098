"""What a process is told of the Kubernetes that it runs in, frozen, with the relations checked.

Owns the values only. Must not import the Kubernetes client: every router and supervisor reads these
settings, also on one machine, where ``ring_object`` is empty and nothing else here matters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from becket.core.errors import InvalidInputError

MARGIN = 8
"""A leader stops this share of the lease (one in eight) before others may take it."""

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


@dataclass(frozen=True)
class KubernetesSettings:
    """Names of objects, and times in the unit that ends each name.

    Raises InvalidInputError naming the field where a value or a relation is impossible.
    """

    ring_object: str = ""
    """The ConfigMap that holds the ring; empty: this process does not run on Kubernetes."""
    namespace: str = ""
    """Of all objects; empty: the one of the pod's service account."""
    wish_object: str = ""
    """The ConfigMap in which helm states the wished member count."""
    storage_set: str = ""
    """The StatefulSet of storage."""
    lease: str = ""
    """The Lease by which supervisors elect their leader."""
    budget: str = ""
    """The PodDisruptionBudget of storage, which the supervisor makes."""
    storage_port: int = 7400
    cluster_role: bool = True
    """Whether nodes, volumes and storage classes may be read."""
    zone: str = ""
    """The zone of every member where nodes may not be read."""
    call_ms: int = 3000
    """One request, from its start to its last byte; a watch: until it has begun."""
    watch_s: int = 300
    """The server ends a watch after one to two times this."""
    read_s: int = 45
    """A watch that brings nothing for so long counts as hung; bookmarks come each minute."""
    relist_s: int = 300
    """A full list is taken beside the watch so often."""
    backoff_least_ms: int = 100
    backoff_most_ms: int = 5000
    lease_ms: int = 8000
    """How long a leader that says nothing is one: whole seconds, as the Lease has them."""
    renew_ms: int = 2000

    def __post_init__(self) -> None:
        """Check each value and each relation."""
        for field in ("ring_object", "wish_object", "storage_set", "lease", "budget"):
            name = getattr(self, field)
            if name and not _NAME.fullmatch(name):
                raise InvalidInputError(field, f"{name!r} can be no name of an object")
        if self.namespace and not _LABEL.fullmatch(self.namespace):
            raise InvalidInputError("namespace", f"{self.namespace!r} can be no namespace")
        if not 1 <= self.storage_port <= 65_535:
            raise InvalidInputError("storage_port", "must be in 1..65535")
        for field, least, most in (
            ("call_ms", 10, 60_000),
            ("watch_s", 1, 3600),
            ("read_s", 1, 600),
            ("relist_s", 1, 86_400),
            ("backoff_least_ms", 1, 60_000),
            ("backoff_most_ms", 1, 600_000),
            ("lease_ms", 1000, 600_000),
            ("renew_ms", 10, 600_000),
        ):
            if not least <= getattr(self, field) <= most:
                raise InvalidInputError(field, f"must be in {least}..{most}")
        if self.backoff_least_ms > self.backoff_most_ms:
            raise InvalidInputError("backoff_least_ms", "must not be over backoff_most_ms")
        if self.lease_ms % 1000:
            raise InvalidInputError("lease_ms", "must be whole seconds: a Lease counts in seconds")
        if 2 * self.renew_ms >= self.lease_ms - self.lease_ms // MARGIN:
            problem = f"must allow two in a lease of {self.lease_ms} ms less an eighth"
            raise InvalidInputError("renew_ms", problem)

    @property
    def is_set(self) -> bool:
        """Whether this process runs on Kubernetes."""
        return bool(self.ring_object)
