"""Kubernetes Events for what the supervisor sees and does.

Owns a short queue and its rate. Must not word anything. Invariants: telling waits for nothing and
cannot fail; no more is written than ``RATE_S`` allows after a first burst; what does not fit in the
queue is dropped, oldest first, and counted; an event that the API does not take is not sent again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

from becket.adapters import clocks
from becket.adapters.kubernetes.access import Access, Json
from becket.adapters.kubernetes.failures import ForbiddenError, KubernetesError, UnavailableError
from becket.ports.platform import Notice

GROUP = "events.k8s.io/v1"
CONTROLLER = "becket.dev/supervisor"
RATE_S = 2.0
"""One event in so long, on average."""

BURST = 30
"""So many may come at once."""

MOST_QUEUED = 64
NOTE_BYTES = 1000
"""An event's note holds 1 kB."""

FORBIDDEN_S = 300.0
"""So long nothing is tried after the API has said that this process may not write events."""

AGAIN_US = 60_000_000
"""The same sentence is not told again within this time."""


class Regarding(NamedTuple):
    """The object that an event is shown with."""

    group: str
    kind: str
    name: str
    uid: str


class Events:
    """The events of one process. ``regarding``: which object a member's name stands for."""

    def __init__(
        self, access: Access, instance: str, regarding: Callable[[str], Regarding | None]
    ) -> None:
        self.dropped = 0
        """Events that were never written."""
        self.problem = ""
        """Why the API takes none; empty while it does."""
        self._access = access
        self._instance = instance
        self._regarding = regarding
        self._queue: deque[tuple[Notice, datetime]] = deque()
        self._told: dict[Notice, int] = {}
        self._news = asyncio.Event()

    def tell(self, notice: Notice) -> None:
        """Put it into the queue."""
        now_us = clocks.monotonic_us()
        self._told = {n: at for n, at in self._told.items() if now_us - at < AGAIN_US}
        if notice in self._told:
            return
        self._told[notice] = now_us
        if len(self._queue) >= MOST_QUEUED:
            self._queue.popleft()
            self.dropped += 1
        self._queue.append((notice, datetime.now(UTC)))
        self._news.set()

    async def run(self) -> None:
        """Write what is queued, for ever."""
        allowance, before_us = float(BURST), clocks.monotonic_us()
        while True:
            if not self._queue:
                self._news.clear()
                await self._news.wait()
            now_us = clocks.monotonic_us()
            allowance = min(float(BURST), allowance + (now_us - before_us) / 1e6 / RATE_S)
            before_us = now_us
            if allowance < 1:
                await asyncio.sleep((1 - allowance) * RATE_S)
                continue
            allowance -= 1
            notice, moment = self._queue.popleft()
            await self._write(notice, moment)

    async def _write(self, notice: Notice, moment: datetime) -> None:
        regarding = self._regarding(notice.member) or self._regarding("")
        if regarding is None:
            self.dropped += 1
            return
        try:
            await self._access.create(
                self._access.target("events", group=GROUP), self._body(notice, moment, regarding)
            )
            self.problem = ""
        except ForbiddenError as error:
            self.dropped += 1
            self.problem = f"no Kubernetes Events are written: {error}"
            await asyncio.sleep(FORBIDDEN_S)
        except KubernetesError as error:
            self.dropped += 1
            if not isinstance(error, UnavailableError):
                self.problem = f"a Kubernetes Event is not taken: {error}"
            await asyncio.sleep(RATE_S)

    def _body(self, notice: Notice, moment: datetime, regarding: Regarding) -> Json:
        namespace = self._access.namespace
        note = notice.sentence.encode()[:NOTE_BYTES].decode(errors="ignore")
        return {
            "apiVersion": GROUP,
            "kind": "Event",
            "metadata": {"generateName": f"{regarding.name}-", "namespace": namespace},
            "eventTime": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "type": "Warning" if notice.is_warning else "Normal",
            "reason": notice.reason,
            "action": "Supervise",
            "note": note,
            "reportingController": CONTROLLER,
            "reportingInstance": self._instance[:128],
            "regarding": {
                "apiVersion": regarding.group,
                "kind": regarding.kind,
                "name": regarding.name,
                "namespace": namespace,
                "uid": regarding.uid,
            },
        }
