"""Rules about names and words.

Owns what may not stand in any file: names that say nothing, notes to oneself, what belongs to one
machine. Patterns are written so that this file does not match itself.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from tests.tidy.sources import Finding, Source

EMPTY_NAMES = {"common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"}

FORBIDDEN = (
    (
        re.compile(r"\b(?:TOD[O]|FIXM[E]|XX[X])\b"),
        "a note to oneself: do it, or say what is missing where its reader looks for it",
    ),
    (
        re.compile(r"(?<![\w.:/-])/(?:home|root|Users|work|opt|mnt)/\w"),
        "a path of one machine: make it relative, or a setting",
    ),
    (
        re.compile(
            r"pypi\.org|pythonhosted\.org|proxy\.golang\.org|sum\.golang\.org|registry\.npmjs\.org"
            r"|static\.crates\.io|conda\.anaconda\.org"
        ),
        "the host of a package registry: which one is used is the machine's to say",
    ),
)
# Checksums are not words.
NOT_WORDS = {"go.sum"}

LOCATION = re.compile(r"https?:|file:|--(?:extra-)?index-url|--find-links|--trusted-host|\s@\s")
PINNED = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*(?:\[[\w,-]+\])?==\S+")


def empty_name(source: Source) -> Iterator[Finding]:
    """Modules and packages whose name says nothing of what they own."""
    for part in PurePosixPath(source.path).with_suffix("").parts:
        if part.removeprefix("test_") in EMPTY_NAMES:
            yield source.find(1, f"{part!r} says nothing: name it after what it owns")


def missing_docstring(source: Source) -> Iterator[Finding]:
    """Modules that do not say what they own; an empty ``__init__`` has nothing to say."""
    if source.text.strip() and ast.get_docstring(source.tree) is None:
        yield source.find(1, "no docstring: say what it owns, what it must not do, its invariants")


def forbidden_words(source: Source) -> Iterator[Finding]:
    """What may not stand in any file."""
    if PurePosixPath(source.path).name in NOT_WORDS:
        return
    for number, line in enumerate(source.text.splitlines(), 1):
        for pattern, advice in FORBIDDEN:
            found = pattern.search(line)
            if found is not None:
                yield source.find(number, f"{found.group()!r}: {advice}")


def loose_requirements(source: Source) -> Iterator[Finding]:
    """Lines of a lock that pin no file, or that say from where it comes."""
    lines = source.text.replace("\\\n", " ").splitlines()
    for number, line in enumerate(lines, 1):
        if LOCATION.search(line):
            yield source.find(number, "a lock names no place: run `make lock`")
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not PINNED.match(line) or "--hash=sha256:" not in line:
            yield source.find(number, "not pinned to hashes: run `make lock`")


def make_targets(makefile: str) -> set[str]:
    """The targets of a Makefile that people may name."""
    return set(re.findall(r"^([a-z][a-z0-9-]*):", makefile, re.MULTILINE))


def unknown_targets(source: Source, targets: set[str]) -> Iterator[Finding]:
    """Commands in a document that the Makefile does not know."""
    for number, line in enumerate(source.text.splitlines(), 1):
        for target in re.findall(r"(?:`|^\s*|\$ )make ([a-z][a-z0-9-]*)", line):
            if target not in targets:
                yield source.find(number, f"`make {target}` is no target of the Makefile")
