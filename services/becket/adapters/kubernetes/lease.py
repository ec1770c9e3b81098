"""Leadership by a Lease of ``coordination.k8s.io/v1`` (KUBERNETES.md, Watching the API).

The package's own election is unsafe: its Lease lock cannot create the Lease, a dropped connection
ends the elector while the leader runs on, nothing is released at a stop, and there is no number to
fence by. So this is our own; its rules are those of ``election``.

Owns reading and writing the Lease, one request at a time. Must not decide who may lead. Invariants:
every write is conditional on the resource version of what was read; after a write whose outcome is
not known the Lease is read first; no request of a leader lasts longer than its reign.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from becket.adapters.clocks import monotonic_us
from becket.adapters.kubernetes.access import Access, Json, Target
from becket.adapters.kubernetes.election import Election, Seen
from becket.adapters.kubernetes.failures import (
    AbsentError,
    ConflictError,
    KubernetesError,
)
from becket.ports.leadership import Leader

GROUP = "coordination.k8s.io/v1"
ADDRESS = "becket.dev/address"
"""The annotation that says where the holder answers."""

RELEASE_TRIES = 3
LEAST_REQUEST_S = 0.05


class LeaseLeadership:
    """The leadership port over the Lease that the settings name.

    ``name``: of this process, its pod's. ``address``: where others reach it, host:port.
    """

    def __init__(
        self,
        access: Access,
        name: str,
        address: str,
        *,
        rng: random.Random,
        clock: Callable[[], int] = monotonic_us,
    ) -> None:
        self.problem = ""
        """Why the Lease could not be read or written last; empty where it could."""
        settings = access.settings
        self._access = access
        self._target = access.target("leases", settings.lease, group=GROUP)
        self._name = name
        self._address = address
        self._rng = rng
        self._clock = clock
        # A container that was restarted in its pod is another holder.
        identity = f"{name}_{secrets.token_hex(4)}"
        self._election = Election(identity, lease_ms=settings.lease_ms)
        self._renew_us = settings.renew_ms * 1000
        self._retry_us = settings.renew_ms * 1000 // 8
        self._found: Json | None = None
        self._is_certain = False
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self._told: object = None

    # Leadership

    @property
    def is_leader(self) -> bool:
        """Whether this process leads at this very moment."""
        return self._election.is_leader(self._clock())

    @property
    def term(self) -> int:
        """The Lease's transitions while this process leads, else 0."""
        return self._election.term(self._clock())

    @property
    def leader(self) -> Leader | None:
        """Who leads as far as is known here."""
        now_us = self._clock()
        if self._election.is_leader(now_us):
            return Leader(self._name, self._address)
        seen = self._election.holder(now_us)
        return None if seen is None else Leader(_name_in(seen.holder), seen.address)

    async def run(self, changed: Callable[[], None]) -> None:
        """Take part for ever; only cancellation ends it, and it does not release."""
        while True:
            started_us = self._clock()
            await self._step()
            self._tell(changed)
            await self._pause(self._pause_us(started_us))
            self._tell(changed)  # A reign may have ended meanwhile.

    def _tell(self, changed: Callable[[], None]) -> None:
        state = (self.is_leader, self.term, self.leader)
        if state != self._told:
            self._told = state
            changed()

    async def release(self) -> None:
        """Lead no more, at once; then, as far as the API answers, free the Lease.

        Ends within some requests' time limits, whatever the API does.
        """
        self._election.resign()
        self._wake.set()
        for _ in range(RELEASE_TRIES):
            await self._step()
            if self._is_certain:
                return

    def outbid(self, term: int) -> None:
        """Make this reign's term higher than ``term`` by the next renewal, which comes at once."""
        self._election.outbid(term)
        if 0 < self.term <= term:
            self._wake.set()

    # The loop

    def _pause_us(self, started_us: int) -> int:
        """How long until the next step, which begins a renewal time after the last one began."""
        now_us = self._clock()
        election, rng = self._election, self._rng
        retry_us = int(self._retry_us * rng.uniform(0.5, 1))
        left_us = election.left_us(now_us)
        if left_us:
            if self.problem:
                return min(retry_us, left_us)
            next_us = started_us + int(self._renew_us * rng.uniform(0.8, 1))
            return min(max(next_us - now_us, retry_us), left_us)
        pause_us = int(self._renew_us * rng.uniform(0.8, 1.2))
        wait_us = election.wait_us(now_us)
        return wait_us + retry_us if 0 < wait_us < pause_us else pause_us

    async def _pause(self, pause_us: int) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_us / 1e6):
                await self._wake.wait()
        self._wake.clear()

    # Requests

    async def _step(self) -> None:
        """Read what has to be read, and write what may be written."""
        async with self._lock:
            try:
                if not self._is_certain or not self.is_leader:
                    await self._read()
                try:
                    await self._write()
                except (AbsentError, ConflictError):
                    # Whoever was first is to be known at once: this reign may have ended.
                    await self._read()
                self.problem = ""
            except KubernetesError as error:
                self.problem = str(error)

    async def _read(self) -> None:
        self._is_certain = False
        try:
            found = await self._request("GET", self._target)
        except AbsentError:
            found = None
        seen = None if found is None else seen_in(found)
        self._found, self._is_certain = found, True
        self._election.saw(seen, self._clock())

    async def _write(self) -> None:
        renewed = datetime.now(UTC).isoformat(timespec="microseconds")
        wish = self._election.wish(self._clock(), renewed)
        if wish is None:
            return
        address = self._address if wish.holder else ""
        body = _body(self._found, self._target, wish._replace(address=address))
        method = "POST" if self._found is None else "PUT"
        self._is_certain = False
        started_us = self._clock()
        self._found = await self._request(method, self._target, body)
        self._is_certain = True
        self._election.wrote(seen_in(self._found), started_us, self._clock())

    async def _request(self, method: str, target: Target, body: Json | None = None) -> Json:
        limit_s = self._access.call_s
        left_us = self._election.left_us(self._clock())
        if left_us:
            # The reign's end is to be noticed in time.
            limit_s = max(LEAST_REQUEST_S, min(limit_s, left_us / 1e6))
        return await self._access.request(method, target, body=body, limit_s=limit_s)


def seen_in(found: Json) -> Seen:
    """What a Lease says; what it does not say reads as released."""
    spec = found.get("spec") or {}
    annotations = found.get("metadata", {}).get("annotations") or {}
    return Seen(
        holder=str(spec.get("holderIdentity") or ""),
        transitions=_number(spec.get("leaseTransitions")),
        duration_s=_number(spec.get("leaseDurationSeconds")),
        renewed=str(spec.get("renewTime") or ""),
        address=str(annotations.get(ADDRESS) or ""),
    )


def _number(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _body(found: Json | None, target: Target, wish: Seen) -> Json:
    """The Lease to write; what others have put into it stays."""
    metadata = dict((found or {}).get("metadata") or {})
    metadata.update(name=target.name, namespace=target.namespace)
    metadata["annotations"] = {**(metadata.get("annotations") or {}), ADDRESS: wish.address}
    before = dict((found or {}).get("spec") or {})
    spec = {
        **before,
        "holderIdentity": wish.holder,
        "leaseTransitions": wish.transitions,
        "leaseDurationSeconds": wish.duration_s,
        "renewTime": wish.renewed,
    }
    if wish.transitions != before.get("leaseTransitions"):
        spec["acquireTime"] = wish.renewed
    kind = {"apiVersion": GROUP, "kind": "Lease"}
    return {**kind, "metadata": metadata, "spec": spec}


def _name_in(identity: str) -> str:
    return identity.rpartition("_")[0] or identity
