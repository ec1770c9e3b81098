"""What an API server keeps, for tests: objects of any kind, one history, resource versions, UIDs.

Owns the meaning of create, update, patch and delete, as the API defines it where Becket relies on
it: conditions on UID and resource version, writes that change nothing and so make no version,
subresources that reach only their part, times of a Lease in microseconds. Must not know of HTTP.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any, NamedTuple

Json = dict[str, Any]


class Refusal(Exception):  # noqa: N818 - what the API says, no error of the fake
    """An answer that is no success."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "code": status,
        }


class Place(NamedTuple):
    """What a path names; ``namespace`` empty: all of them, or none."""

    group: str
    kind: str
    namespace: str = ""
    name: str = ""
    sub: str = ""


class Change(NamedTuple):
    """One write, as the history has it. None: the object was not, or is no more."""

    version: int
    place: Place
    before: Json | None
    after: Json | None


PATH = re.compile(
    r"/(?:api/(?P<core>v1)|apis/(?P<group>[^/]+/[^/]+))"
    r"(?:/namespaces/(?P<namespace>[^/]+)(?=/[^/]))?"
    r"/(?P<kind>[^/]+)(?:/(?P<name>[^/]+)(?:/(?P<sub>[^/]+))?)?"
)
MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)")
MERGE_KEYS = {"conditions": "type", "containers": "name", "ownerReferences": "uid"}


def place_of(path: str) -> Place:
    """The place that a path names."""
    found = PATH.fullmatch(path)
    if found is None:
        raise Refusal(404, "NotFound", f"the server could not find {path}")
    parts = found.groupdict(default="")
    return Place(
        parts["core"] or parts["group"],
        parts["kind"],
        parts["namespace"],
        parts["name"],
        parts["sub"],
    )


class Store:
    """All objects."""

    def __init__(self) -> None:
        self.version = 100
        self.compacted = 0
        """Watches from before this version are refused with 410."""
        self.history: list[Change] = []
        self.objects: dict[Place, Json] = {}
        self.changed: list[Callable[[Change], None]] = []
        self._made = 0

    # Reading

    def get(self, place: Place) -> Json:
        """One object."""
        key = place._replace(sub="")
        found = self.objects.get(key)
        if found is None:
            raise Refusal(404, "NotFound", f'{place.kind} "{place.name}" not found')
        return scale_of(found) if place.sub == "scale" else found

    def list(self, place: Place, query: Mapping[str, str]) -> Json:
        """The collection as a list object; pages by ``limit`` and ``continue``."""
        items = [
            item
            for key, item in sorted(self.objects.items())
            if in_collection(key, place) and is_selected(item, query)
        ]
        start = int(query.get("continue", "0") or 0)
        end = start + (int(query.get("limit") or 0) or len(items))
        metadata: Json = {"resourceVersion": str(self.version)}
        if end < len(items):
            metadata["continue"] = str(end)
        return {"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items[start:end]}

    def events_since(self, place: Place, version: int, query: Mapping[str, str]) -> Iterator[Json]:
        """What a watch of the collection from this version is told."""
        for change in self.history:
            if change.version > version and (event := event_of(change, place, query)):
                yield event

    # Writing

    def create(self, place: Place, body: Json) -> Json:
        """Make an object in a collection."""
        metadata = dict(body.get("metadata") or {})
        self._made += 1
        name = metadata.get("name") or f"{metadata.get('generateName', '')}{self._made:05}"
        key = place._replace(name=name)
        if key in self.objects:
            raise Refusal(409, "AlreadyExists", f'{place.kind} "{name}" already exists')
        if metadata.get("resourceVersion"):
            raise Refusal(
                400, "BadRequest", "resourceVersion should not be set on objects to be created"
            )
        metadata.update(
            name=name, uid=f"uid-{self._made}", creationTimestamp="2026-01-01T00:00:00Z"
        )
        if place.namespace:
            metadata["namespace"] = place.namespace
        return self._put(key, None, {**deepcopy(body), "metadata": metadata})

    def update(self, place: Place, body: Json) -> Json:
        """Replace an object, or the part of it that a subresource reaches."""
        key = place._replace(sub="")
        found = self.get(key)
        if place.sub == "scale":
            check_conditions(place, found, body)
            after = deepcopy(found)
            after.setdefault("spec", {})["replicas"] = body.get("spec", {}).get("replicas", 0)
            return scale_of(self._put(key, found, after))
        check_conditions(place, found, body)
        if place.sub == "status":
            after = {**deepcopy(found), "status": deepcopy(body.get("status") or {})}
        else:
            after = deepcopy(body)
            if "status" in found:
                after["status"] = deepcopy(found["status"])
        fixed = ("name", "namespace", "uid", "creationTimestamp")
        kept = {field: found["metadata"][field] for field in fixed if field in found["metadata"]}
        after["metadata"] = {**after["metadata"], **kept}
        return self._put(key, found, after)

    def patch(self, place: Place, body: object, content_type: str) -> Json:
        """Change parts of an object."""
        if not isinstance(body, dict):
            raise Refusal(415, "UnsupportedMediaType", "this server takes no JSON patch")
        found = self.get(place)
        check_conditions(place, found, body)
        strategic = "strategic" in content_type
        return self.update(place, merged(found, body, strategic=strategic))

    def delete(self, place: Place, options: Json | None) -> Json:
        """Remove an object."""
        key = place._replace(sub="")
        found = self.get(key)
        wanted = (options or {}).get("preconditions") or {}
        for field in ("uid", "resourceVersion"):
            if wanted.get(field) not in (None, found["metadata"][field]):
                raise Refusal(409, "Conflict", f"the {field} in the precondition does not match")
        self.version += 1
        del self.objects[key]
        gone = deepcopy(found)
        gone["metadata"]["resourceVersion"] = str(self.version)
        self._tell(Change(self.version, key, gone, None))
        return gone

    def _put(self, key: Place, before: Json | None, after: Json) -> Json:
        check_object(key, after)
        if before is not None:
            after["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"]
            if json.dumps(after, sort_keys=True) == json.dumps(before, sort_keys=True):
                return before
        self.version += 1
        after["metadata"]["resourceVersion"] = str(self.version)
        self.objects[key] = after
        self._tell(Change(self.version, key, before, after))
        return after

    def _tell(self, change: Change) -> None:
        self.history.append(change)
        for tell in list(self.changed):
            tell(change)


def check_object(key: Place, body: Json) -> None:
    """Refuse what the API's validation refuses, where Becket could get it wrong."""
    spec = body.get("spec") or {}
    if key.kind == "leases":
        for field in ("renewTime", "acquireTime"):
            if field in spec and not MICRO_TIME.fullmatch(spec[field]):
                raise Refusal(400, "BadRequest", f"{field}: {spec[field]!r} is no MicroTime")
        if spec.get("leaseDurationSeconds", 1) < 1 or spec.get("leaseTransitions", 0) < 0:
            raise Refusal(422, "Invalid", "spec.leaseDurationSeconds: must be greater than 0")
    if body["metadata"]["name"] != key.name:
        raise Refusal(400, "BadRequest", "the name of the object does not match the URL")


def check_conditions(place: Place, found: Json, body: Json) -> None:
    """Refuse a write whose UID or resource version is not that of the object."""
    for field in ("uid", "resourceVersion"):
        wanted = (body.get("metadata") or {}).get(field)
        if wanted not in (None, "", found["metadata"][field]):
            message = f'Operation cannot be fulfilled on {place.kind} "{place.name}": {field}'
            raise Refusal(409, "Conflict", message)


def scale_of(found: Json) -> Json:
    """The Scale of an object: it has no labels."""
    fields = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    metadata = {field: found["metadata"][field] for field in fields if field in found["metadata"]}
    replicas = (found.get("spec") or {}).get("replicas", 1)
    status = {"replicas": (found.get("status") or {}).get("replicas", 0)}
    kind = {"kind": "Scale", "apiVersion": "autoscaling/v1"}
    return {**kind, "metadata": metadata, "spec": {"replicas": replicas}, "status": status}


def merged(found: Any, patch: Any, *, strategic: bool) -> Any:  # noqa: ANN401 - JSON
    """``found`` changed by a merge patch, or by what Becket uses of a strategic one."""
    if not isinstance(patch, dict):
        return deepcopy(patch)
    result = dict(found) if isinstance(found, dict) else {}
    for name, value in patch.items():
        key = MERGE_KEYS.get(name) if strategic and isinstance(value, list) else None
        if value is None:
            result.pop(name, None)
        elif key is not None:
            listed = {each[key]: each for each in result.get(name) or []}
            for each in value:
                listed[each[key]] = merged(listed.get(each[key]), each, strategic=True)
            result[name] = list(listed.values())
        else:
            result[name] = merged(result.get(name), value, strategic=strategic)
    return result


# Selection


def in_collection(key: Place, place: Place) -> bool:
    """Whether an object is of the collection."""
    same_kind = (key.group, key.kind) == (place.group, place.kind)
    return same_kind and place.namespace in ("", key.namespace)


def is_selected(item: Json, query: Mapping[str, str]) -> bool:
    """Whether the query's selectors take the object."""
    for part in filter(None, query.get("fieldSelector", "").split(",")):
        path, is_equal, value = _condition(part)
        if (_field(item, path) == value) != is_equal:
            return False
    labels = item["metadata"].get("labels") or {}
    for part in filter(None, query.get("labelSelector", "").split(",")):
        if "=" not in part:
            if (part.lstrip("!") in labels) == part.startswith("!"):
                return False
            continue
        name, is_equal, value = _condition(part)
        if (labels.get(name) == value) != is_equal:
            return False
    return True


def _condition(part: str) -> tuple[str, bool, str]:
    name, _, value = part.partition("=")
    return name.removesuffix("!"), not name.endswith("!"), value.removeprefix("=")


def _field(item: Json, path: str) -> str:
    found: Any = item
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return "" if found is None else str(found)


def event_of(change: Change, place: Place, query: Mapping[str, str]) -> Json | None:
    """What a watch of the collection is told of a change; None: nothing."""
    if not in_collection(change.place, place):
        return None
    before = change.before is not None and is_selected(change.before, query)
    after = change.after is not None and is_selected(change.after, query)
    if after:
        return {"type": "MODIFIED" if before else "ADDED", "object": change.after}
    if not before or change.before is None:
        return None
    gone = deepcopy(change.before)
    gone["metadata"]["resourceVersion"] = str(change.version)
    return {"type": "DELETED", "object": gone}
