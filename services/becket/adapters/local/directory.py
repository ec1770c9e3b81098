"""Directories of a cluster on one machine, and of one whose names follow a template.

Owns the format of ``addresses.json``: {name: {"service", "address", "zone", "node", "weight"}}.
Must not dial anything. Invariant: a file that cannot be read changes nothing; what was known stays,
and ``problem`` says what is wrong with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast

from becket.adapters.local.files import Glance, read_file, replace_file
from becket.core.errors import InvalidInputError
from becket.core.ring.members import MAX_NAME_BYTES, MAX_WEIGHT, USUAL_WEIGHT
from becket.ports.directory import LearningDirectory, Place

MOST_PLACES = 8_192
"""The most entries that a file may have."""

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


class FileDirectory:
    """The directory port over ``addresses.json``; it is read anew when it has been replaced."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem = ""
        """Why the file as it is now is not used; empty where it is."""
        self._glance = Glance(path)
        self._places: dict[str, Place] = {}
        self._by_service: dict[str, dict[str, Place]] = {}

    def address_of(self, name: str) -> str | None:
        """The address of this process; one ``stat``, and a read after a change."""
        self._refresh()
        place = self._places.get(name)
        return None if place is None or not place.address else place.address

    def places(self, service: str) -> Mapping[str, Place]:
        """The processes of one service, by name."""
        self._refresh()
        return self._by_service.get(service, {})

    def learn(self, name: str, address: str) -> None:
        """Nothing: the file is written by whoever starts the processes."""

    def _refresh(self) -> None:
        if not self._glance.changed():
            return
        try:
            places = read_places(self.path)
        except (InvalidInputError, OSError) as error:
            self.problem = str(error)
            return
        self.problem = ""
        self._places = places
        self._by_service = {}
        for place in places.values():
            self._by_service.setdefault(place.service, {})[place.name] = place


class TemplateDirectory:
    """The directory port where addresses follow from names, as in ``{name}.becket-storage:7400``.

    It knows no places: who should exist is told elsewhere. An address that a process has told
    itself goes before the template.
    """

    def __init__(self, template: str) -> None:
        before, found, after = template.partition("{name}")
        if not found or "{" in before + after or "}" in before + after:
            raise InvalidInputError("address_template", "must hold {name} once, and no other field")
        if not re.search(r":[0-9]{1,5}$", after):
            raise InvalidInputError("address_template", "must end with a colon and a port")
        self._before, self._after = before, after
        self._learnt: dict[str, str] = {}

    def address_of(self, name: str) -> str | None:
        """What was learnt, else by the template; None for what can be no name of a process.

        A name's record follows a pod's new address after seconds, and the pod tells it at once.
        """
        learnt = self._learnt.get(name)
        if learnt is not None:
            return learnt
        if len(name) > MAX_NAME_BYTES or not _NAME.fullmatch(name):
            return None
        return f"{self._before}{name}{self._after}"

    def places(self, service: str) -> Mapping[str, Place]:  # noqa: ARG002
        """Nothing: a template names nobody."""
        return {}

    def learn(self, name: str, address: str) -> None:
        """Prefer this address, until another one is told; the oldest are forgotten beyond a limit.

        Only for a process that has proven who it is (disk and incarnation in its hello).
        """
        self._learnt.pop(name, None)
        if len(self._learnt) >= MOST_PLACES:
            del self._learnt[next(iter(self._learnt))]
        self._learnt[name] = address


def open_directory(addresses_file: str, address_template: str) -> LearningDirectory:
    """The directory that a service's settings name: the file, or without one the template.

    :raises InvalidInputError: the template is none.
    """
    if addresses_file:
        return FileDirectory(Path(addresses_file))
    return TemplateDirectory(address_template)


def write_places(path: Path, places: Iterable[Place]) -> None:
    """Replace the file with these places."""
    content = {
        place.name: {
            "service": place.service,
            "address": place.address,
            "zone": place.zone,
            "node": place.node,
            "weight": place.weight,
        }
        for place in places
    }
    # Addresses are learnt anew at every start: nothing is lost with them.
    replace_file(path, json.dumps(content, indent=1).encode() + b"\n", durable=False)


def read_places(path: Path) -> dict[str, Place]:
    """The places that the file holds; none where there is no file.

    :raises InvalidInputError: it does not hold places; ``field`` names what is wrong.
    """
    data = read_file(path)
    if data is None:
        return {}
    try:
        content = json.loads(data)
    except ValueError as error:
        raise InvalidInputError(path.name, f"is no JSON: {error}") from error
    if not isinstance(content, dict) or len(content) > MOST_PLACES:
        raise InvalidInputError(path.name, f"is no object of at most {MOST_PLACES} names")
    return {name: _place(name, item) for name, item in content.items()}


def _place(name: str, item: object) -> Place:
    if not isinstance(item, dict):
        raise InvalidInputError(name, "is no object")
    fields = cast("dict[str, object]", item)
    service, address, zone, node = (
        _text(name, fields, key) for key in ("service", "address", "zone", "node")
    )
    weight = fields.get("weight", USUAL_WEIGHT)
    if not isinstance(weight, int) or isinstance(weight, bool) or not 1 <= weight <= MAX_WEIGHT:
        raise InvalidInputError(f"{name}.weight", f"must be a whole number in 1..{MAX_WEIGHT}")
    return Place(name, service, address, zone, node, weight)


def _text(name: str, fields: Mapping[str, object], key: str) -> str:
    value = fields.get(key, "")
    if not isinstance(value, str) or len(value.encode()) > MAX_NAME_BYTES:
        raise InvalidInputError(f"{name}.{key}", f"must be a text of up to {MAX_NAME_BYTES} bytes")
    if key == "service" and not value:
        raise InvalidInputError(f"{name}.service", "is missing")
    return value
