"""Rules about sizes, and the ratchet for what broke them before they came.

Owns the limits and what counts. Invariants: an allowance is exactly the size that it excuses, and
no allowance grows or is added (``allowances.toml``).
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from statistics import median

from tests.tidy.sources import Finding, Source

FILE_LINES = 500
FUNCTION_LINES = 60
POSITIONAL = 5
INIT_LINES = 30
MEDIAN_LINES = 150

Function = ast.FunctionDef | ast.AsyncFunctionDef
Sizes = dict[str, tuple[int, int, str]]
"""What was measured: its name -> (size, limit, what to do)."""


def file_sizes(source: Source) -> Sizes:
    """The length of a file."""
    if source.name == "__init__":
        advice = "an __init__ says what the package is; move the code into a module"
        return {source.path: (source.lines, INIT_LINES, advice)}
    return {source.path: (source.lines, FILE_LINES, "split it by what it owns")}


def function_sizes(source: Source) -> Sizes:
    """The length and the positional parameters of each function of a file."""
    sizes: Sizes = {}
    for name, function in _functions(source.tree, ""):
        where = f"{source.path}::{name}"
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        sizes[f"{where} lines"] = (length, FUNCTION_LINES, "give each of its steps a name")
        # The parameters of a test are fixtures, which pytest passes by name.
        if not function.name.startswith("test_"):
            advice = "make the rest keyword-only, or group them in a type"
            sizes[f"{where} parameters"] = (_positional(function), POSITIONAL, advice)
    return sizes


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, Function]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function):
            yield prefix + child.name, child
        inner = f"{prefix}{child.name}." if isinstance(child, Function | ast.ClassDef) else prefix
        yield from _functions(child, inner)


def _positional(function: Function) -> int:
    names = [arg.arg for arg in function.args.posonlyargs + function.args.args]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def over_limit(sizes: Sizes, allowed: Mapping[str, int]) -> Iterator[Finding]:
    """What is larger than its limit and its allowance, and allowances that are too large."""
    for name, (size, limit, advice) in sizes.items():
        allowance = allowed.get(name)
        if allowance is None and size > limit:
            yield Finding(name, 0, f"{size} is over the limit of {limit}: {advice}")
        elif allowance is not None and size > allowance:
            yield Finding(name, 0, f"{size} is over its allowance of {allowance}: {advice}")
        elif allowance is not None and size <= limit:
            yield Finding(name, 0, f"{size} is within the limit: remove its allowance")
        elif allowance is not None and size < allowance:
            yield Finding(name, 0, f"it has shrunk: lower its allowance to {size}")
    for name in allowed.keys() - sizes.keys():
        yield Finding(name, 0, "there is no such thing any more: remove its allowance")


def grown_allowances(before: Mapping[str, int], now: Mapping[str, int]) -> Iterator[Finding]:
    """Allowances that are new or larger than they were."""
    for name, allowance in now.items():
        if allowance > before.get(name, 0):
            yield Finding(name, 0, "the list of allowances only shrinks: mend the code instead")


def high_median(sources: Iterable[Source]) -> Iterator[Finding]:
    """Whether files are small as a rule, not only at most."""
    middle = median([source.lines for source in sources if source.name != "__init__"] or [0])
    if middle > MEDIAN_LINES:
        yield Finding("*.py", 0, f"the median file has {middle} lines, over {MEDIAN_LINES}")
