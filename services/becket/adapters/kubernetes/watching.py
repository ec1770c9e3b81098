"""A mirror of one kind of object: list, then watch, for ever (KUBERNETES.md, Watching the API).

Theory of operation. A quorum list (no resource version) gives the objects and the version to watch
from. The watch asks for bookmarks and a jittered end by the server; what does not come in time,
ends badly or is no event leads to another list after a jittered pause. 410 comes as a status or as
an event in a stream of 200, and means the same. Within a busy watch a full list is taken every few
minutes, so what it swallowed is found. The client's own ``Watch`` is not used: it
opens a second ApiClient, watches again from the version that was just refused, has no limit of
silence, and calls what cannot be read an event.

Owns the objects as last seen, as plain JSON by UID: an object that was deleted and made again is
another one. Must not judge them. Invariants: of an object nothing older replaces what is known, by
resource version; a list older than what is known changes nothing (unless that goes on for a whole
relist time: then the API was restored from a backup); nothing grows beyond what the API holds. An
object that a list lacks is no longer mirrored, which is no proof: whoever would delete something on
that ground reads it first.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from functools import partial
from types import MethodType
from typing import Any

import aiohttp

from becket.adapters.clocks import monotonic_us
from becket.adapters.kubernetes.access import Json, answer_of
from becket.adapters.kubernetes.failures import (
    KubernetesError,
    UnavailableError,
    of_status,
    outcomes,
)
from becket.adapters.kubernetes.settings import KubernetesSettings

PAGE = 500
"""Objects of one page of a list."""

MOST_PAGES = 200
LINE_BYTES = 8 << 20
"""The longest event: an object has 1.5 MB at most, and the API adds little."""

SHORT_US = 1_000_000
"""A watch that ends sooner is an outage: it is not opened again without a pause."""

ListCall = Callable[..., Awaitable[Any]]
"""``access.lister(target)``, or a generated call such as ``access.core.list_namespaced_pod``."""


class _QuietError(Exception):
    """A watch has brought nothing for the time limit of reading: it may be hung."""


class Mirror:
    """One kind, or a selection of it. ``run`` it; everything else only looks.

    ``selector`` goes to every call: ``label_selector``, ``field_selector``, and for generated calls
    ``namespace``. ``on_change`` is called after objects came, changed or went, and once when the
    first list is in; it must not raise.
    """

    def __init__(
        self,
        list_call: ListCall,
        settings: KubernetesSettings,
        *,
        rng: random.Random,
        on_change: Callable[[], None] = lambda: None,
        **selector: str,
    ) -> None:
        self.objects: Mapping[str, Json] = {}
        """By UID, without ``managedFields``. Every change makes a new mapping; an object must not
        be changed."""
        self.is_synced = False
        """Whether a list has ever succeeded; what was known then stays while the API is away."""
        self.problem = ""
        """Why the API tells nothing now; empty while it does."""
        self.stale_lists = 0
        """Lists that went back in time, and were not believed."""
        self._call = _unread(list_call)
        self._settings = settings
        self._rng = rng
        self._on_change = on_change
        self._selector = selector
        self._what = " ".join(("the objects of", *selector.values())) if selector else "objects"
        self._version = 0
        """The newest resource version that a list, an event or a bookmark has named."""
        self._failures = 0
        self._heard_us = monotonic_us()
        self._stale_since_us: int | None = None

    def age_s(self, now_us: int | None = None) -> float:
        """How long ago the API last told something, also a bookmark or a list, in seconds.

        Before its first word: since the mirror was made.
        """
        return ((monotonic_us() if now_us is None else now_us) - self._heard_us) / 1e6

    async def run(self) -> None:
        """Follow the API for ever; only cancellation ends it."""
        while True:
            try:
                await self._list()
                while True:
                    await self._watch()
            except _QuietError:
                continue  # The list that follows says whether the API is there.
            except KubernetesError as error:
                self.problem = str(error)
                await asyncio.sleep(self._pause_s())
                self._failures += 1

    def _pause_s(self) -> float:
        settings = self._settings
        grown_ms = settings.backoff_least_ms << min(self._failures, 20)
        most_ms = min(grown_ms, settings.backoff_most_ms)
        return most_ms / 1000 * self._rng.uniform(0.5, 1)

    def _heard(self) -> None:
        self._heard_us = monotonic_us()
        self.problem = ""

    # The list

    async def _list(self) -> None:
        """Take what there is.

        :raises KubernetesError: no answer, or one that goes back in time.
        """
        known = self._version
        found: dict[str, Json] = {}
        version, token = 0, None
        for _ in range(MOST_PAGES):
            page = await self._page(token)
            metadata = _part(page, "metadata")
            version = version or _version_of(page)
            for item in page.get("items") or ():
                found[_uid_of(item)] = item
            token = metadata.get("continue")
            if not token:
                break
        else:
            raise UnavailableError(f"list {self._what}: more than {MOST_PAGES} pages")
        if version < known:
            self._check_restored(version)
        elif version < self._version:
            return  # A watch has overtaken the list: the next one will do.
        self._stale_since_us = None
        self._version = version
        self._heard()
        self._replace(found)

    async def _page(self, token: str | None) -> Json:
        call_s = self._settings.call_ms / 1000
        parameters = dict(self._selector, limit=PAGE, _request_timeout=call_s)
        if token:
            parameters["_continue"] = token
        with outcomes("list", self._what):
            async with asyncio.timeout(call_s):
                response = await self._call(**parameters)
                try:
                    return await answer_of(response, "list", self._what)
                finally:
                    response.release()

    def _check_restored(self, version: int) -> None:
        """A list went back in time: from a cache, or the API's store was restored from a backup.

        :raises UnavailableError: it has not done so for a whole relist time yet.
        """
        now_us = monotonic_us()
        self.stale_lists += 1
        if self._stale_since_us is None:
            self._stale_since_us = now_us
        if now_us - self._stale_since_us < self._settings.relist_s * 1_000_000:
            problem = f"it is of version {version}, but {self._version} was seen"
            raise UnavailableError(f"list {self._what}: {problem}")

    def _replace(self, found: dict[str, Json]) -> None:
        before = {uid: _version_of(item) for uid, item in self.objects.items()}
        after = {uid: _version_of(item) for uid, item in found.items()}
        is_first, self.is_synced = not self.is_synced, True
        if is_first or before != after:
            self.objects = {uid: _lean(item) for uid, item in found.items()}
            self._on_change()

    # The watch

    async def _watch(self) -> None:
        """Follow events until the server ends the stream in order.

        :raises _QuietError: nothing came for too long.
        :raises KubernetesError: anything else.
        """
        began_us = monotonic_us()
        life_s = self._settings.watch_s * self._rng.uniform(1, 2)
        response = await self._open(life_s)
        try:
            async with aclosing(self._lines(response)) as lines:
                async for line in lines:
                    with outcomes("watch", self._what):
                        self._take(json.loads(line))
                    self._failures = 0
        finally:
            response.close()
        if monotonic_us() - began_us < SHORT_US:
            raise UnavailableError(f"watch {self._what}: it ended at once")
        self._failures = 0

    async def _open(self, life_s: float) -> aiohttp.ClientResponse:
        settings = self._settings
        with outcomes("watch", self._what):
            async with asyncio.timeout(settings.call_ms / 1000):
                response: aiohttp.ClientResponse = await self._call(
                    **self._selector,
                    watch=True,
                    allow_watch_bookmarks=True,
                    resource_version=str(self._version),
                    timeout_seconds=max(1, int(life_s)),
                    _request_timeout=life_s + settings.read_s,
                )
                if response.status != 200:
                    try:
                        await answer_of(response, "watch", self._what)
                        raise of_status(response.status, "no stream", "watch", self._what)
                    finally:
                        response.release()
        return response

    async def _lines(self, response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
        """The stream's lines; between two of them a full list is taken where one is due."""
        waiting = bytearray()
        searched = 0
        list_us = self._next_list_us()
        quiet_us = self._quiet_us()
        while True:
            now_us = monotonic_us()
            if now_us >= list_us:
                await self._list_beside()
                list_us = self._next_list_us()
            chunk = await self._chunk(response, min(list_us, quiet_us) - now_us)
            if chunk is None:
                if monotonic_us() >= quiet_us:
                    raise _QuietError
                continue
            if not chunk:
                return
            quiet_us = self._quiet_us()
            waiting += chunk
            while (end := waiting.find(b"\n", searched)) >= 0:
                line = bytes(waiting[:end])
                del waiting[: end + 1]
                searched = 0
                if line.strip():
                    yield line
            searched = len(waiting)
            if searched > LINE_BYTES:
                raise UnavailableError(f"watch {self._what}: an event is over {LINE_BYTES} bytes")

    async def _chunk(self, response: aiohttp.ClientResponse, limit_us: int) -> bytes | None:
        """What the stream brings next; empty: its end. None: nothing within the limit."""
        try:
            with outcomes("watch", self._what):
                async with asyncio.timeout(max(limit_us, 0) / 1e6):
                    return await response.content.readany()
        except UnavailableError as error:
            if isinstance(error.__cause__, TimeoutError):
                return None
            raise

    def _quiet_us(self) -> int:
        return monotonic_us() + self._settings.read_s * 1_000_000

    def _next_list_us(self) -> int:
        return monotonic_us() + int(self._settings.relist_s * 1e6 * self._rng.uniform(0.8, 1.2))

    async def _list_beside(self) -> None:
        """Take a list while the watch lives, which a list that fails does not end."""
        try:
            await self._list()
        except KubernetesError as error:
            self.problem = str(error)

    def _take(self, event: object) -> None:
        """Take one event.

        :raises KubernetesError: it is an error, or no event.
        """
        if not isinstance(event, dict):
            raise UnavailableError(f"watch {self._what}: a line is no event")
        kind, item = event.get("type"), _part(event, "object")
        if kind == "ERROR":
            code = item.get("code")
            said = str(item.get("message") or item.get("reason") or "")
            raise of_status(code if isinstance(code, int) else 0, said, "watch", self._what)
        version = _version_of(item)
        self._heard()
        if version <= self._version:
            return  # A list that was taken meanwhile knows it.
        if kind in ("ADDED", "MODIFIED"):
            self.objects = {**self.objects, _uid_of(item): _lean(item)}
        elif kind == "DELETED":
            gone = _uid_of(item)
            self.objects = {uid: each for uid, each in self.objects.items() if uid != gone}
        elif kind != "BOOKMARK":
            raise UnavailableError(f"watch {self._what}: {kind!r} is no kind of event")
        self._version = version
        if kind != "BOOKMARK":
            self._on_change()


def _unread(call: ListCall) -> ListCall:
    """The call whose response has its body unread; what is no generated call is such a one."""
    if isinstance(call, partial):
        return partial(_unread(call.func), *call.args, **call.keywords)
    if isinstance(call, MethodType):
        name = f"{call.__name__}_without_preload_content"
        found: ListCall = getattr(call.__self__, name, call)
        return found
    return call


def _part(found: Json, field: str) -> Json:
    """An object within an object.

    :raises UnavailableError: there is none: what was read is no answer of this API.
    """
    part = found.get(field)
    if not isinstance(part, dict):
        raise UnavailableError(f"the API's answer has no {field}")
    return part


def _uid_of(item: object) -> str:
    uid = _part(item, "metadata").get("uid") if isinstance(item, dict) else None
    if not isinstance(uid, str) or not uid:
        raise UnavailableError("an object of the API's answer has no uid")
    return uid


def _version_of(item: Json) -> int:
    """The resource version. Of one kind they may be compared: they are revisions of one store."""
    try:
        return int(_part(item, "metadata").get("resourceVersion") or "")
    except ValueError:
        raise UnavailableError("an object of the API's answer has no resourceVersion") from None


def _lean(item: Json) -> Json:
    item["metadata"].pop("managedFields", None)
    return item
