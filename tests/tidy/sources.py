"""The files that the rules judge.

Owns which files belong to the repository and how a Python file is read. Must not judge anything.
Invariant: what is ignored by git, or generated, is seen by no rule unless it asks for it.
"""

from __future__ import annotations

import ast
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GENERATED = "services/becket/api/"
# Where there is no git, these are the folders that hold nothing of the repository.
NOT_OURS = {".git", ".venv", ".build", ".hypothesis", "__pycache__", "build", "dist"}


@dataclass(frozen=True)
class Finding:
    """A broken rule: where, and what to do instead."""

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


@dataclass(frozen=True)
class Source:
    """One text file, by its path from the root."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The file as Python."""
        return ast.parse(self.text, self.path)

    @property
    def lines(self) -> int:
        """How many lines the file has."""
        return len(self.text.splitlines())

    @property
    def name(self) -> str:
        """The module's own name, without its package."""
        return Path(self.path).stem

    def find(self, line: int, message: str) -> Finding:
        """A finding in this file."""
        return Finding(self.path, line, message)


def git(*arguments: str) -> str | None:
    """What git prints; None where there is no git, no repository, or no such thing in it."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


@cache
def repository_files() -> tuple[str, ...]:
    """Every file that is committed or about to be, by its path from the root."""
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    found = set(listed.split("\0")) if listed is not None else set(_walk())
    return tuple(sorted(path for path in found if path and (ROOT / path).is_file()))


def _walk() -> Iterator[str]:
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [
            name for name in folders if name not in NOT_OURS and not name.endswith("_cache")
        ]
        for name in files:
            if not name.endswith(".pyc") and ".egg-info" not in folder:
                yield (Path(folder) / name).relative_to(ROOT).as_posix()


@cache
def read(path: str) -> Source | None:
    """A file of the repository; None where it is not text."""
    try:
        return Source(path, (ROOT / path).read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        return None


@cache
def texts() -> tuple[Source, ...]:
    """Every text file that people write."""
    found = (read(path) for path in repository_files() if not path.startswith(GENERATED))
    return tuple(source for source in found if source is not None)


@cache
def python() -> tuple[Source, ...]:
    """Every Python file that people write."""
    return tuple(source for source in texts() if source.path.endswith(".py"))
