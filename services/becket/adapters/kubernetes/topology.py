"""The ring kept in one ConfigMap (KUBERNETES.md, One writer for each field).

Theory of operation. The ring's bytes are in ``binaryData`` under ``ring``. Every write carries the
UID and the resource version of the object that it replaces, so it takes place on exactly what was
read; an object version is both together, because an object that is made again may never be taken
for the one before. The API takes a write that changes nothing for none, so each bears a mark drawn
anew. Beside the ring an annotation holds the fence: the term of the newest leader
that has begun to act, and who it was (terms begin anew when the Lease is deleted). A leader raises
the fence first: what an earlier one has under way fails from then on, because it is conditional on
an object that is no more.

Owns the object's format. Must not judge rings, nor delete anything. Invariants: an object without a
ring counts as absent, and one whose ring cannot be read as no answer; what others have put into the
object stays in it; nothing is written by who is fenced off; False means that the write has not
taken place and never will, so a request is never repeated on the way.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import random
import secrets
from collections.abc import AsyncGenerator
from typing import NamedTuple

from becket.adapters.kubernetes.access import Access, Json
from becket.adapters.kubernetes.failures import (
    AbsentError,
    ConflictError,
    KubernetesError,
)
from becket.adapters.kubernetes.watching import Mirror
from becket.core.errors import EncodingError
from becket.core.ring.encoding import decode, encode
from becket.core.ring.ring import Ring
from becket.ports.topology import ObjectVersion, TopologyObject, TopologyUnavailableError

KEY = "ring"
"""Of ``binaryData``."""

FENCE = "becket.dev/lease-transitions"
FENCE_OWNER = "becket.dev/lease-owner"
MARK = "becket.dev/write"
FENCE_TRIES = 8
"""Each is lost to another write of the object, and there are few."""


class Fence(NamedTuple):
    """What keeps out the leaders of before. ``owner`` tells apart reigns of the same term."""

    term: int
    owner: str


class KubernetesTopology:
    """The topology port over the ConfigMap that the settings name."""

    def __init__(self, access: Access, *, rng: random.Random) -> None:
        self.fence = 0
        """The highest fence that was seen in the object; see ``Leadership.outbid``."""
        self._access = access
        self._target = access.target("configmaps", access.settings.ring_object)
        self._rng = rng
        self._mine = Fence(0, secrets.token_hex(8))
        self._last: Json | None = None
        self._mirror: Mirror | None = None

    @property
    def age_s(self) -> float:
        """How long ago the API told something to the watch, in seconds; 0 before there is one."""
        return 0.0 if self._mirror is None else self._mirror.age_s()

    @property
    def problem(self) -> str:
        """Why the watch is told nothing; empty while it is."""
        return "" if self._mirror is None else self._mirror.problem

    # Topology

    async def read(self) -> TopologyObject | None:
        """The object as it is now; an object that holds no ring counts as absent."""
        found = await self._read()
        return None if found is None else self._ring_in(found)

    async def compare_and_swap(self, expected: ObjectVersion | None, ring: Ring) -> bool:
        """Write the ring into the object if it still has this version and no higher fence."""
        data = base64.b64encode(encode(ring)).decode()
        found = self._last
        if found is None or _version_of(found) != expected:
            found = await self._read()
        if found is None:
            return expected is None and await self._put(None, _with_ring(self._new(), data))
        if (_version_of(found) if _has_ring(found) else None) != expected:
            return False
        self._check_fence(found)
        return await self._put(found, _with_ring(found, data))

    async def watch(self) -> AsyncGenerator[TopologyObject, None]:
        """The object now, and after each change, as a mirror of it tells."""
        changed = asyncio.Event()
        mirror = Mirror(
            self._access.lister(self._target._replace(name="")),
            self._access.settings,
            rng=self._rng,
            on_change=changed.set,
            field_selector=f"metadata.name={self._target.name}",
        )
        self._mirror = mirror
        told: ObjectVersion | None = None
        running = asyncio.create_task(mirror.run())
        running.add_done_callback(lambda _: changed.set())
        try:
            while not running.done():
                changed.clear()
                found = self._newest(mirror)
                if found is not None and found.object_version != told:
                    told = found.object_version
                    yield found
                else:
                    await changed.wait()
            await running
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    # The fence

    async def raise_fence(self, term: int) -> bool:
        """Keep out the leaders of lower terms, from when this returns True.

        Makes the object where it is absent. False: there is a fence of a higher term, or one of
        this term that is another leader's (``fence`` has the number).

        :raises TopologyUnavailableError: it is not known whether the fence was raised.
        """
        mine = Fence(term, self._mine.owner)
        for _ in range(FENCE_TRIES):
            found = await self._read()
            there = _fence_in(found)
            if there == mine:  # An answer was lost.
                self._mine = mine
                return True
            if there.term >= term:
                return False
            if await self._put(found, self._fenced(found, mine)):
                self._mine, self.fence = mine, term
                return True
        problem = f"{self._target.words} was changed by others {FENCE_TRIES} times in a row"
        raise TopologyUnavailableError(problem)

    def _check_fence(self, found: Json) -> None:
        there = _fence_in(found)
        if there.term and there != self._mine and there.term >= self._mine.term:
            self.fence = max(self.fence, there.term)
            problem = f"a leader of term {there.term} has fenced it off from this one's"
            raise TopologyUnavailableError(f"{self._target.words}: {problem} {self._mine.term}")

    def _fenced(self, found: Json | None, fence: Fence) -> Json:
        marks = {FENCE: str(fence.term), FENCE_OWNER: fence.owner}
        return _annotated(self._new() if found is None else found, marks)

    # Requests

    async def _read(self) -> Json | None:
        try:
            found = await self._access.get(self._target)
        except AbsentError:
            self._last = None
            return None
        except KubernetesError as error:
            raise TopologyUnavailableError(str(error)) from error
        self._last = found
        self.fence = max(self.fence, _fence_in(found).term)
        return found

    async def _put(self, found: Json | None, body: Json) -> bool:
        """Write the object in the place of ``found``, whose UID and version ``body`` carries."""
        try:
            if found is None:
                self._last = await self._access.create(self._target, body)
            else:
                self._last = await self._access.update(self._target, body)
        except ConflictError:
            return False
        except AbsentError as error:
            if found is not None:
                return False
            raise TopologyUnavailableError(f"{error}; is there such a namespace?") from error
        except KubernetesError as error:
            raise TopologyUnavailableError(str(error)) from error
        return True

    def _new(self) -> Json:
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": self._target.name,
                "namespace": self._target.namespace,
                "labels": {"app.kubernetes.io/managed-by": "becket"},
            },
        }

    # What an object says

    def _newest(self, mirror: Mirror) -> TopologyObject | None:
        objects = sorted(mirror.objects.values(), key=_number_of)
        try:
            return self._ring_in(objects[-1]) if objects else None
        except TopologyUnavailableError:
            return None  # Whoever reads is told why.

    def _ring_in(self, found: Json) -> TopologyObject | None:
        if not _has_ring(found):
            return None
        try:
            encoded = base64.b64decode(found["binaryData"][KEY], validate=True)
            return TopologyObject(decode(encoded), encoded, _version_of(found))
        except (binascii.Error, EncodingError, TypeError) as error:
            advice = f"remove its key {KEY!r} to have the ring restored from the members"
            problem = f"{self._target.words} is damaged ({error}); {advice}"
            raise TopologyUnavailableError(problem) from error


def _with_ring(found: Json, data: str) -> Json:
    marked = _annotated(found, {MARK: secrets.token_hex(8)})
    return {**marked, "binaryData": {**(found.get("binaryData") or {}), KEY: data}}


def _annotated(found: Json, marks: dict[str, str]) -> Json:
    metadata = found["metadata"]
    annotations = {**(metadata.get("annotations") or {}), **marks}
    return {**found, "metadata": {**metadata, "annotations": annotations}}


def _has_ring(found: Json) -> bool:
    return bool((found.get("binaryData") or {}).get(KEY))


def _version_of(found: Json) -> ObjectVersion:
    metadata = found["metadata"]
    return f"{metadata['uid']}/{metadata['resourceVersion']}"


def _number_of(found: Json) -> int:
    return int(found["metadata"]["resourceVersion"])


def _fence_in(found: Json | None) -> Fence:
    """The fence of an object; 0 where it has none.

    :raises TopologyUnavailableError: somebody has put something else in its place.
    """
    annotations = {} if found is None else found["metadata"].get("annotations") or {}
    number = str(annotations.get(FENCE) or "0")
    if not number.isdecimal() or len(number) > 18:
        problem = f"its annotation {FENCE} is {number[:40]!r}, which is no number; remove it"
        raise TopologyUnavailableError(f"the ring object: {problem}")
    return Fence(int(number), str(annotations.get(FENCE_OWNER) or ""))
