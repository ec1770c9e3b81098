"""The directory port: one suite for the adapters that know places, and what files do to one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from becket.adapters.local.directory import (
    MOST_PLACES,
    FileDirectory,
    TemplateDirectory,
    write_places,
)
from becket.adapters.local.memory import MemoryDirectory
from becket.core.errors import InvalidInputError
from becket.ports.directory import Directory, Place

PLACES = [
    Place("storage-0", "storage", "127.0.0.1:1000", "a", "n0", 50),
    Place("storage-1", "storage", "", "b", "n1"),
    Place("router-0", "router", "127.0.0.1:2000"),
]


class Book:
    """An adapter under test, and the hand that changes what it knows."""

    def __init__(self, kind: str, folder: Path) -> None:
        path = folder / "addresses.json"
        memory = MemoryDirectory()

        def fill(places: Iterable[Place]) -> None:
            memory.all = {place.name: place for place in places}

        self.directory: Directory = memory if kind == "memory" else FileDirectory(path)
        self.write: Callable[[Iterable[Place]], None] = (
            fill if kind == "memory" else lambda places: write_places(path, places)
        )


@pytest.fixture(params=["memory", "file"])
def book(request: pytest.FixtureRequest, tmp_path: Path) -> Book:
    return Book(request.param, tmp_path)


def test_nothing_is_known_before_it_is_told(book: Book) -> None:
    assert book.directory.address_of("storage-0") is None
    assert book.directory.places("storage") == {}


def test_places_and_addresses(book: Book) -> None:
    book.write(PLACES)
    assert book.directory.places("storage") == {p.name: p for p in PLACES[:2]}
    assert book.directory.address_of("storage-0") == "127.0.0.1:1000"
    assert book.directory.address_of("storage-1") is None
    assert book.directory.address_of("router-0") == "127.0.0.1:2000"


def test_every_change_is_seen_at_once(book: Book) -> None:
    for number in range(50):
        book.write([Place("storage-0", "storage", f"127.0.0.1:{1000 + number}")])
        assert book.directory.address_of("storage-0") == f"127.0.0.1:{1000 + number}"
    book.write([])
    assert book.directory.address_of("storage-0") is None
    assert book.directory.places("storage") == {}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is no JSON"),
        ("[]", "is no object"),
        ('{"a": 1}', "a: is no object"),
        ('{"a": {"address": "x:1"}}', "a.service: is missing"),
        ('{"a": {"service": 3}}', "a.service: must be a text"),
        ('{"a": {"service": "storage", "zone": "' + "z" * 300 + '"}}', "a.zone: must be a text"),
        ('{"a": {"service": "storage", "weight": 0}}', "a.weight: must be a whole number"),
        ('{"a": {"service": "storage", "weight": true}}', "a.weight: must be a whole number"),
    ],
)
def test_a_file_that_does_not_read_changes_nothing_and_is_told(
    tmp_path: Path, content: str, told: str
) -> None:
    path = tmp_path / "addresses.json"
    write_places(path, PLACES)
    directory = FileDirectory(path)
    assert directory.address_of("storage-0") == "127.0.0.1:1000"
    path.write_text(content)
    assert directory.address_of("storage-0") == "127.0.0.1:1000"
    assert told in directory.problem
    path.write_text(json.dumps({"x": {"service": "storage", "address": "h:1", "later": 1}}))
    assert directory.address_of("x") == "h:1"
    assert directory.problem == ""


def test_a_file_that_vanishes_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "addresses.json"
    write_places(path, PLACES)
    directory = FileDirectory(path)
    assert len(directory.places("storage")) == 2
    path.unlink()
    assert len(directory.places("storage")) == 2


def test_a_template_gives_every_name_an_address_and_knows_no_places() -> None:
    directory = TemplateDirectory("{name}.becket-storage:7400")
    assert directory.address_of("storage-3") == "storage-3.becket-storage:7400"
    assert directory.places("storage") == {}
    for bad in ("", "a/b", "a b", "-a", "x" * 300):
        assert directory.address_of(bad) is None


def test_what_a_process_says_of_itself_goes_before_the_template() -> None:
    directory = TemplateDirectory("{name}.becket-storage:7400")
    directory.learn("storage-0", "10.0.0.7:7400")
    directory.learn("storage-0", "10.0.0.8:7400")
    assert directory.address_of("storage-0") == "10.0.0.8:7400"
    assert directory.address_of("storage-1") == "storage-1.becket-storage:7400"


def test_what_is_learnt_is_bounded() -> None:
    directory = TemplateDirectory("{name}.becket-storage:7400")
    for number in range(MOST_PLACES + 1):
        directory.learn(f"storage-{number}", "10.0.0.7:7400")
    assert directory.address_of("storage-0") == "storage-0.becket-storage:7400"
    assert directory.address_of(f"storage-{MOST_PLACES}") == "10.0.0.7:7400"


@pytest.mark.parametrize(
    "template", ["", "host:7400", "{name}", "{name}:port", "{name}{name}:1", "{name}.{zone}:1"]
)
def test_a_template_that_cannot_work_is_refused(template: str) -> None:
    with pytest.raises(InvalidInputError, match="address_template"):
        TemplateDirectory(template)
