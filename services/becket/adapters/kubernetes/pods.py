"""Storage pods and their volume claims, as the API tells of them.

Owns the reading of both kinds. Must not change them, nor conclude that anybody is dead. Invariants:
only pods of the one set count, whoever else has its labels; since when a pod is unready is measured
by the own clock; that a claim is gone is said only after the API was asked for exactly that claim.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable

from becket.adapters import clocks
from becket.adapters.kubernetes.access import Access, Json
from becket.adapters.kubernetes.failures import AbsentError, KubernetesError
from becket.adapters.kubernetes.gates import condition_of, is_open
from becket.adapters.kubernetes.nodes import Nodes
from becket.adapters.kubernetes.scale import CLAIM
from becket.adapters.kubernetes.watching import Mirror
from becket.core.supervision.pods import Claim, Pod

SELECTOR = "app.kubernetes.io/component=storage"
ASK_S = 2.0
"""Between two looks for claims that a list lacks."""

MOST_ASKED = 20
"""So many claims are asked for in one look."""

_PHASES = {"Pending": Claim.PENDING, "Bound": Claim.BOUND, "Lost": Claim.LOST}
_OVER = ("Succeeded", "Failed")


class Pods:
    """The pods of the storage set."""

    def __init__(
        self, access: Access, nodes: Nodes, *, rng: random.Random, on_change: Callable[[], None]
    ) -> None:
        settings = access.settings
        self.stem = f"{settings.storage_set}-"
        self._set = settings.storage_set
        self._port = settings.storage_port
        self._nodes = nodes
        self._opened: set[str] = set()
        self._unready_since: dict[str, int] = {}
        self._addresses: tuple[object, dict[str, str]] = ((), {})
        """Of which state of the mirror, and the address by name."""
        self.mirror = Mirror(
            access.lister(access.target("pods")),
            settings,
            rng=rng,
            on_change=on_change,
            label_selector=SELECTOR,
        )

    def note_opened(self, uid: str) -> None:
        """The gate of this pod is open, whatever the mirror still shows."""
        self._opened.add(uid)

    def all(self, now_us: int) -> tuple[Pod, ...]:
        """Every pod of the set."""
        mine = [pod for pod in self.mirror.objects.values() if self._is_mine(pod)]
        uids = {str(pod["metadata"]["uid"]) for pod in mine}
        self._opened &= uids
        unready = {uid: since for uid, since in self._unready_since.items() if uid in uids}
        self._unready_since = unready
        return tuple(self._pod(pod, now_us) for pod in mine)

    def address_of(self, name: str) -> str | None:
        """Where the process in the pod of this name answers; None where it has no address."""
        objects, addresses = self._addresses
        if objects is not self.mirror.objects:
            addresses = self._by_name()
            self._addresses = (self.mirror.objects, addresses)
        return addresses.get(name)

    def _by_name(self) -> dict[str, str]:
        """Of two pods of one name, as there are for a moment, the one that stays, or the newer."""
        found = [
            (not _is_terminating(pod), str(pod["metadata"].get("creationTimestamp", "")), pod)
            for pod in self.mirror.objects.values()
            if self._is_mine(pod) and self._address(pod)
        ]
        found.sort(key=lambda each: each[:2])
        return {str(pod["metadata"]["name"]): self._address(pod) for _, _, pod in found}

    def _is_mine(self, pod: Json) -> bool:
        name = str(pod["metadata"].get("name", ""))
        owners = pod["metadata"].get("ownerReferences") or []
        return name.startswith(self.stem) and any(
            owner.get("kind") == "StatefulSet" and owner.get("name") == self._set
            for owner in owners
        )

    def _address(self, pod: Json) -> str:
        status = pod.get("status") or {}
        ip = str(status.get("podIP") or "")
        if not ip or status.get("phase") in _OVER:
            return ""
        return f"[{ip}]:{self._port}" if ":" in ip else f"{ip}:{self._port}"

    def _pod(self, pod: Json, now_us: int) -> Pod:
        metadata = pod["metadata"]
        uid = str(metadata["uid"])
        is_ready = condition_of(pod, "Ready") == "True"
        if is_ready:
            self._unready_since.pop(uid, None)
        else:
            self._unready_since.setdefault(uid, now_us)
        node = str((pod.get("spec") or {}).get("nodeName") or "")
        where = self._nodes.of(node)
        return Pod(
            name=str(metadata["name"]),
            uid=uid,
            address=self._address(pod),
            node=node,
            zone=where.zone if node else None,
            is_ready=is_ready,
            is_terminating=_is_terminating(pod),
            is_whole=uid in self._opened or is_open(pod),
            unready_since_us=self._unready_since.get(uid),
            node_state=where.state,
        )


def _is_terminating(pod: Json) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


class Claims:
    """The volume claims of the storage set."""

    def __init__(
        self, access: Access, *, rng: random.Random, on_change: Callable[[], None]
    ) -> None:
        self._access = access
        self._stem = f"{CLAIM}-{access.settings.storage_set}-"
        self._on_change = on_change
        self._gone: set[str] = set()
        """Claims that the API said are not there."""
        self._pending_since: dict[str, int] = {}
        self.mirror = Mirror(
            access.lister(access.target("persistentvolumeclaims")),
            access.settings,
            rng=rng,
            on_change=on_change,
            label_selector=SELECTOR,
        )

    def all(self) -> dict[str, Claim]:
        """What is known of each claim, by the name of its member."""
        found = dict.fromkeys(self._gone, Claim.ABSENT)
        for claim in self._mine():
            phase = (claim.get("status") or {}).get("phase")
            found[_member(claim)] = _PHASES.get(str(phase), Claim.UNKNOWN)
        return found

    def pending(self) -> dict[str, Json]:
        """Claims without a volume, by the name of their member."""
        return {
            _member(claim): claim
            for claim in self._mine()
            if (claim.get("status") or {}).get("phase") == "Pending"
        }

    def pending_us(self, name: str, now_us: int) -> int:
        """For how long a member's claim has had no volume, as far as this process has seen."""
        return now_us - self._pending_since.get(name, now_us)

    async def look(self, expected: Callable[[], Iterable[str]]) -> None:
        """Ask for claims that the mirror lacks, again and again; ``expected``: whose there are."""
        while True:
            await asyncio.sleep(ASK_S)
            self._note_pending()
            if not self.mirror.is_synced or self.mirror.problem:
                continue
            names = list(expected())
            known = {_member(claim) for claim in self._mine()}
            gone = {name for name in self._gone if name in names and name not in known}
            for name in [name for name in names if name not in known][:MOST_ASKED]:
                if await self._is_gone(name):
                    gone.add(name)
                else:
                    gone.discard(name)
            if gone != self._gone:
                self._gone = gone
                self._on_change()

    async def _is_gone(self, name: str) -> bool:
        try:
            await self._access.get(self._access.target("persistentvolumeclaims", f"{CLAIM}-{name}"))
        except AbsentError:
            return True
        except KubernetesError:
            return False
        return False

    def _note_pending(self) -> None:
        now_us = clocks.monotonic_us()
        since = self._pending_since
        self._pending_since = {name: since.get(name, now_us) for name in self.pending()}

    def _mine(self) -> list[Json]:
        return [
            claim
            for claim in self.mirror.objects.values()
            if str(claim["metadata"].get("name", "")).startswith(self._stem)
        ]


def _member(claim: Json) -> str:
    return str(claim["metadata"]["name"]).removeprefix(f"{CLAIM}-")
