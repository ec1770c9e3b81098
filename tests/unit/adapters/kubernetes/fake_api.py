"""An API server for tests, in the event loop of the test: any kind, and faults on demand.

Owns HTTP, watches, and the faults that a test asks for. What objects mean is ``fake_store``'s. A
fault is taken off the list once it has been used as often as it says. Kinds are generic: a path as
the API has it is all that is needed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, NamedTuple, Self

from aiohttp import web

from becket.adapters.kubernetes.access import Access, open_access
from becket.adapters.kubernetes.settings import KubernetesSettings
from tests.unit.adapters.kubernetes.fake_store import (
    Change,
    Json,
    Place,
    Refusal,
    Store,
    event_of,
    place_of,
)

NAMESPACE = "ns"
BOOKMARK_S = 0.02
PATIENCE_S = 20.0
VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}

What = Literal[
    "refuse",  # answer with ``status`` and do nothing
    "drop_before",  # close the connection, having done nothing
    "drop_after",  # do it, and close the connection without an answer
    "hold",  # do nothing, and never answer
    "hold_after",  # do it, and never answer
    "slow",  # wait for ``release`` to be set, then do it
    "old_list",  # answer a list with what was kept by ``keep_list``
    "gone_status",  # answer a watch with status 410
    "gone_event",  # answer a watch with 200, and an event that says 410
    "quiet",  # answer a watch with 200, and never a word
    "ends",  # answer a watch with 200, and end it at once
    "babble",  # answer a watch with what is no event
]


@dataclass
class Fault:
    """What goes wrong with the next ``times`` requests of this verb and kind; empty: of any."""

    what: What
    verb: str = ""
    kind: str = ""
    times: int = 1
    status: int = 500
    message: str = "the fault that the test asked for"
    release: asyncio.Event = field(default_factory=asyncio.Event)
    met: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a request has met the fault."""


class Asked(NamedTuple):
    """A request as it came in."""

    verb: str
    place: Place
    query: dict[str, str]


class Watcher:
    """A watch that is open."""

    def __init__(self, place: Place, query: dict[str, str]) -> None:
        self.place = place
        self.query = query
        self.events: asyncio.Queue[Json | None] = asyncio.Queue()
        self.is_quiet = False
        """Nothing is sent any more."""
        self.is_deaf = False
        """Changes are missed, bookmarks are not."""

    def tell(self, change: Change) -> None:
        """Pass on what the watch is to know of a change."""
        event = event_of(change, self.place, self.query)
        if event is not None and not self.is_quiet and not self.is_deaf:
            self.events.put_nowait(event)


class FakeApi:
    """The server. Used as ``async with FakeApi() as api``."""

    def __init__(self) -> None:
        self.store = Store()
        self.faults: list[Fault] = []
        self.asked: list[Asked] = []
        self.watchers: list[Watcher] = []
        self.admit: Callable[[str, Place, object], str] = lambda _verb, _place, _body: ""
        """Why a write is refused by policy; empty: it is not."""
        self.forbidden: set[tuple[str, str]] = set()
        """(verb, kind) that the role lacks; a subresource as ``statefulsets/scale``."""
        self.bookmark_s = BOOKMARK_S
        self.port = 0
        self._old: dict[Place, Json] = {}
        self._runner: web.AppRunner | None = None
        self._asked = asyncio.Event()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; the same port again after a ``stop``."""
        app = web.Application(client_max_size=16 << 20)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close every connection and listen no more; what is kept stays."""
        runner, self._runner = self._runner, None
        if runner is not None:
            self.end_watches()
            for site in list(runner.sites):
                await site.stop()
            # What was accepted a moment ago becomes a connection now; the cleanup closes it.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await runner.cleanup()

    def write_kubeconfig(self, path: Path) -> Path:
        """Write a file for ``KUBECONFIG``."""
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": self.url}}],
            "users": [{"name": "fake", "user": {"token": "fake-token"}}],
            "contexts": [
                {
                    "name": "fake",
                    "context": {"cluster": "fake", "user": "fake", "namespace": NAMESPACE},
                }
            ],
        }
        path.write_text(json.dumps(content))  # JSON is YAML.
        return path

    # What a test asks for

    def put(self, path: str, body: Json) -> Json:
        """Make or replace an object as another client would; ``path`` names it, or its status."""
        place = place_of(path)
        metadata = {**(body.get("metadata") or {}), "name": place.name}
        key = place._replace(sub="")
        if key in self.store.objects:
            return self.store.update(place, {**body, "metadata": metadata})
        return self.store.create(key, {**body, "metadata": metadata})

    def take(self, path: str) -> Json | None:
        """The object of this path; None where there is none."""
        return self.store.objects.get(place_of(path)._replace(sub=""))

    def remove(self, path: str) -> None:
        """Delete an object as another client would."""
        self.store.delete(place_of(path), None)

    def fail(self, what: What, verb: str = "", kind: str = "", times: int = 1) -> Fault:
        """Ask for a fault."""
        fault = Fault(what, verb, kind, times)
        self.faults.append(fault)
        return fault

    def keep_list(self, path: str) -> None:
        """Keep the collection as it is now, for ``old_list``."""
        place = place_of(path)
        self._old[place] = json.loads(json.dumps(self.store.list(place, {})))

    def compact(self) -> None:
        """Forget the history: a watch from before now is refused with 410."""
        self.store.compacted = self.store.version
        self.store.history.clear()

    def end_watches(self) -> None:
        """End every open watch in order, as the server's time limit does."""
        for watcher in self.watchers:
            watcher.events.put_nowait(None)

    def tell_watchers(self, event: Json) -> None:
        """Send an event to every open watch, whatever it is."""
        for watcher in self.watchers:
            watcher.events.put_nowait(event)

    def silence_watches(self) -> None:
        """Let every open watch hang."""
        for watcher in self.watchers:
            watcher.is_quiet = True

    def count(self, verb: str, kind: str = "") -> int:
        """How many such requests came."""
        return sum(each.verb == verb and kind in ("", each.place.kind) for each in self.asked)

    async def wait_asked(self, verb: str, kind: str = "", times: int = 1) -> None:
        """Wait until so many such requests have come."""
        async with asyncio.timeout(PATIENCE_S):
            while self.count(verb, kind) < times:
                self._asked.clear()
                await self._asked.wait()

    # Serving

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        try:
            place = place_of(request.path)
            verb = _verb(request.method, place, query)
            self.asked.append(Asked(verb, place, query))
            self._asked.set()
            body = await _body_of(request)
            self._check(verb, place, body)
            fault = self._fault(verb, place)
            if fault is not None and verb != "watch":
                answer = await self._go_wrong(fault, request, verb, place, body)
                if answer is not None:
                    return answer
            if verb == "watch":
                return await self._watch(request, place, query, fault)
            return _json(self._do(verb, place, query, body, request.content_type))
        except Refusal as refusal:
            return _json(refusal.body, refusal.status)

    def _check(self, verb: str, place: Place, body: object) -> None:
        kind = f"{place.kind}/{place.sub}" if place.sub else place.kind
        if (verb, kind) in self.forbidden:
            message = f'{kind} "{place.name}" is forbidden: User "fake" cannot {verb} {kind}'
            raise Refusal(403, "Forbidden", message)
        if verb in VERBS.values() and (why := self.admit(verb, place, body)):
            raise Refusal(403, "Forbidden", why)

    def _fault(self, verb: str, place: Place) -> Fault | None:
        for fault in self.faults:
            if fault.verb in ("", verb) and fault.kind in ("", place.kind):
                fault.times -= 1
                if fault.times <= 0:
                    self.faults.remove(fault)
                fault.met.set()
                return fault
        return None

    async def _go_wrong(
        self, fault: Fault, request: web.Request, verb: str, place: Place, body: object
    ) -> web.StreamResponse | None:
        """The answer of a fault; None: the request goes on as usual."""
        if fault.what == "refuse":
            raise Refusal(fault.status, "Fault", fault.message)
        if fault.what == "old_list":
            return _json(self._old[place])
        if fault.what == "slow":
            await fault.release.wait()
            return None
        if fault.what in ("drop_after", "hold_after"):
            self._do(verb, place, dict(request.query), body, request.content_type)
        if fault.what in ("hold", "hold_after"):
            await asyncio.Event().wait()  # until the server's end cancels it
        if request.transport is not None:
            request.transport.close()
        return web.Response()

    def _do(
        self, verb: str, place: Place, query: dict[str, str], body: object, content_type: str
    ) -> Json:
        if verb == "get":
            return self.store.get(place)
        if verb == "list":
            return self.store.list(place, query)
        if verb == "patch":
            return self.store.patch(place, body, content_type)
        if verb == "delete":
            return self.store.delete(place, body if isinstance(body, dict) else None)
        if not isinstance(body, dict):
            raise Refusal(400, "BadRequest", "the body is no object")
        if verb == "update":
            return self.store.update(place, body)
        if place.sub == "eviction":
            return self.store.delete(place, None)
        return self.store.create(place, body)

    async def _watch(
        self, request: web.Request, place: Place, query: dict[str, str], fault: Fault | None
    ) -> web.StreamResponse:
        version = int(query.get("resourceVersion") or 0)
        what = "" if fault is None else fault.what
        if what == "gone_status" or version < self.store.compacted:
            raise Refusal(410, "Expired", f"too old resource version: {version}")
        if what == "refuse" and fault is not None:
            raise Refusal(fault.status, "Fault", fault.message)
        if what == "drop_before":
            if request.transport is not None:
                request.transport.close()
            return web.Response()
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        if what == "babble":
            await response.write(b'{"type": "NONSENSE"}\n<html>\n')
        if what == "gone_event":
            body = Refusal(410, "Expired", f"too old resource version: {version}").body
            await response.write(_line({"type": "ERROR", "object": body}))
        if what == "":
            await self._tell(response, Watcher(place, query), version)
        elif what == "quiet":
            await asyncio.Event().wait()  # until the server's end cancels it
        with suppress(ConnectionError):
            await response.write_eof()
        return response

    async def _tell(self, response: web.StreamResponse, watcher: Watcher, version: int) -> None:
        for past in self.store.events_since(watcher.place, version, watcher.query):
            watcher.events.put_nowait(past)
        self.watchers.append(watcher)
        self.store.changed.append(watcher.tell)
        has_bookmarks = watcher.query.get("allowWatchBookmarks") == "true"
        try:
            async with asyncio.timeout(int(watcher.query.get("timeoutSeconds", "3600"))):
                while True:
                    try:
                        async with asyncio.timeout(self.bookmark_s if has_bookmarks else None):
                            event = await watcher.events.get()
                    except TimeoutError:
                        if not watcher.events.empty():
                            continue  # A bookmark never overtakes an event.
                        event = self._bookmark(watcher)
                        if watcher.is_quiet:
                            continue
                    if event is None:
                        return
                    await response.write(_line(event))
        except (TimeoutError, ConnectionError):
            return
        finally:
            self.watchers.remove(watcher)
            self.store.changed.remove(watcher.tell)

    def _bookmark(self, watcher: Watcher) -> Json:
        metadata = {"resourceVersion": str(self.store.version)}
        return {"type": "BOOKMARK", "object": {"kind": watcher.place.kind, "metadata": metadata}}


def _verb(method: str, place: Place, query: dict[str, str]) -> str:
    if method == "GET":
        if query.get("watch") == "true":
            return "watch"
        return "get" if place.name else "list"
    return VERBS[method]


async def _body_of(request: web.Request) -> object:
    data = await request.read()
    return json.loads(data) if data else None


def _line(event: Json) -> bytes:
    return json.dumps(event).encode() + b"\n"


def _json(body: Json, status: int = 200) -> web.Response:
    return web.json_response(body, status=status)


def settings_for(**changed: str | int | bool) -> KubernetesSettings:
    """Settings with the names of a chart, and times for tests."""
    values: dict[str, str | int | bool] = {
        "ring_object": "becket-ring",
        "namespace": NAMESPACE,
        "wish_object": "becket-wish",
        "storage_set": "becket-storage",
        "lease": "becket-supervisor",
        "budget": "becket-storage",
        "call_ms": 1000,
        "backoff_least_ms": 1,
        "backoff_most_ms": 20,
        "lease_ms": 1000,
        "renew_ms": 50,
        **changed,
    }
    return KubernetesSettings(**values)  # type: ignore[arg-type] # each by its name


async def until(condition: Callable[[], object]) -> None:
    """Wait until the condition holds, of what cannot be waited on."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0)


@asynccontextmanager
async def access_to(
    api: FakeApi, settings: KubernetesSettings | None = None
) -> AsyncIterator[Access]:
    """The access of one process to the fake."""
    with TemporaryDirectory() as folder:
        file = api.write_kubeconfig(Path(folder) / "kubeconfig")
        async with open_access(settings or settings_for(), kubeconfig=str(file)) as access:
            yield access
