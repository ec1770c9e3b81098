"""Removing one safeguard from the sources, without a switch in what is shipped.

Owns the import hook that compiles a module from changed text. Must run before the module is
imported, so each mutant has a process of its own. Invariant: every text that a mutant replaces
occurs exactly once, so a mutant never silently becomes the original.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType


class StaleMutantError(Exception):
    """A text to be replaced is not there exactly once: the source has moved on."""


@dataclass(frozen=True)
class Change:
    """In ``module``, ``old`` becomes ``new``; an empty ``old`` appends ``new`` at the end."""

    module: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """One safeguard, and the changes that remove it.

    ``harmless``: the protocol's model did not catch it. ``schedule``: the written one, of
    ``schedules``, that shows the mutant where chance seldom or never does.
    """

    name: str
    rule: str
    removed: str
    changes: tuple[Change, ...]
    harmless: bool = False
    schedule: str = ""


_INVARIANTS = "becket.core.replication.invariants"
_CLUSTER = "tests.simulation.cluster"

WITHOUT_INVARIANTS = (
    Change(
        _INVARIANTS,
        "",
        "for _name in [n for n, v in globals().items() if callable(v) and n[0].islower()]:\n"
        "    globals()[_name] = lambda *_: None\n",
    ),
    Change(_CLUSTER, "", "Cluster.audit_topology = lambda self: None\n"),
)
"""Nothing is asserted at run time, so that only what clients see can catch a mutant."""


def mutated(source: str, changes: Sequence[Change]) -> str:
    """The text with the changes made; raises StaleMutantError."""
    for change in changes:
        if not change.old:
            source = f"{source}\n\n{change.new}"
            continue
        found = source.count(change.old)
        if found != 1:
            raise StaleMutantError(f"{change.module}: {found} times: {change.old!r}")
        source = source.replace(change.old, change.new)
    return source


class _Loader(SourceFileLoader):
    def __init__(self, fullname: str, path: str, changes: Sequence[Change]) -> None:
        super().__init__(fullname, path)
        self._changes = changes

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        text = self.get_data(path).decode()
        return compile(mutated(text, self._changes), path, "exec", dont_inherit=True)


class Mutator(MetaPathFinder):
    """Finds the modules that a mutant changes, and leaves all others alone."""

    def __init__(self, changes: Sequence[Change]) -> None:
        self._by_module: dict[str, list[Change]] = {}
        for change in changes:
            self._by_module.setdefault(change.module, []).append(change)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """The module's spec, with a loader that changes its text."""
        changes = self._by_module.get(fullname)
        if changes is None:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None:
            raise StaleMutantError(f"no module {fullname}")
        spec.loader = _Loader(fullname, spec.origin, changes)
        return spec


def install(changes: Sequence[Change]) -> None:
    """Change the modules from now on; raises StaleMutantError when one is imported already."""
    loaded = [change.module for change in changes if change.module in sys.modules]
    if loaded:
        raise StaleMutantError(f"imported before it could be changed: {loaded[0]}")
    sys.meta_path.insert(0, Mutator(changes))


def core(module: str, old: str, new: str) -> Change:
    """A change of ``becket.core.replication.<module>``."""
    return Change(f"becket.core.replication.{module}", old, new)


def shell(module: str, old: str, new: str) -> Change:
    """A change of ``tests.simulation.<module>``."""
    return Change(f"tests.simulation.{module}", old, new)
