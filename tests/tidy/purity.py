"""Rules that keep the core pure: no clock, no chance, no input or output.

Owns what the core may not call, with what to use instead. import-linter knows only imports; these
rules know calls, and which third parties are allowed.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator

from tests.tidy.sources import Finding, Source

CORE = "services/becket/core/"
THIRD_PARTIES = {"mmh3"}

_EFFECT = "return an effect, and let the shell do it"
BANNED_MODULES = {
    "asyncio": f"the core is called, it never waits: {_EFFECT}",
    "concurrent": f"the core has no threads: {_EFFECT}",
    "io": _EFFECT,
    "logging": "return the sentence as data; the shell logs it",
    "multiprocessing": f"the core has no processes: {_EFFECT}",
    "os": f"{_EFFECT}; for os.urandom take a random.Random-like argument, or the bytes",
    "pathlib": _EFFECT,
    "random": "take the generator as an argument called rng",
    "secrets": "take the bytes as an argument",
    "socket": _EFFECT,
    "subprocess": _EFFECT,
    "threading": f"the core has no threads: {_EFFECT}",
    "time": "take the time as an argument called now_us",
    "uuid": "take the identity as an argument",
}
BANNED_BUILTINS = {
    "breakpoint": "remove it",
    "eval": "parse the text",
    "exec": "write the code",
    "hash": "it differs from process to process: use becket.core.hashing",
    "input": _EFFECT,
    "open": _EFFECT,
    "print": "return the sentence as data; the shell prints it",
}
BANNED_METHODS = {
    "now": "take the time as an argument called now_us",
    "today": "take the time as an argument called now_us",
    "utcnow": "take the time as an argument called now_us",
}


def impure_calls(source: Source) -> Iterator[Finding]:
    """Calls in a core module whose answer depends on more than their arguments."""
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Name) and called.id in BANNED_BUILTINS:
            yield source.find(node.lineno, f"{called.id}(): {BANNED_BUILTINS[called.id]}")
        if isinstance(called, ast.Attribute) and called.attr in BANNED_METHODS:
            owner = ast.unparse(called.value).rpartition(".")[2]
            if owner in {"date", "datetime"}:
                advice = BANNED_METHODS[called.attr]
                yield source.find(node.lineno, f"{owner}.{called.attr}(): {advice}")


def impure_imports(source: Source) -> Iterator[Finding]:
    """Imports of a core module that reach out of the core."""
    for line, module in imported(source):
        top = module.partition(".")[0]
        if top in BANNED_MODULES:
            yield source.find(line, f"import of {module}: {BANNED_MODULES[top]}")
        elif top == "becket":
            if not f"{module}.".startswith("becket.core."):
                yield source.find(line, f"import of {module}: the core imports only itself")
        elif top not in sys.stdlib_module_names and top not in THIRD_PARTIES:
            allowed = ", ".join(sorted(THIRD_PARTIES))
            yield source.find(line, f"import of {module}: of third parties only {allowed}")


def imported(source: Source) -> Iterator[tuple[int, str]]:
    """Each module that a file imports; ``from a import b`` counts as ``a`` and as ``a.b``."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            if node.module == "becket":
                yield from ((node.lineno, f"becket.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, node.module


def tested_modules(tests: Source) -> set[str]:
    """The modules that a file of tests imports, directly and by name."""
    found = {module for _, module in imported(tests)}
    for node in ast.walk(tests.tree):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def untested(core: tuple[Source, ...], tests: tuple[Source, ...]) -> Iterator[Finding]:
    """Core modules that no unit test and no property imports."""
    seen = {module for source in tests for module in tested_modules(source)}
    for source in core:
        if source.name == "__init__":
            continue
        module = source.path.removeprefix("services/").removesuffix(".py").replace("/", ".")
        if module not in seen:
            advice = "add one that does to tests/unit/core or tests/properties"
            yield source.find(1, f"no test imports {module} by this name: {advice}")
