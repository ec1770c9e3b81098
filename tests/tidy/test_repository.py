"""Applies each rule to the whole repository. A failure lists every place, with what to do."""

from __future__ import annotations

import ast
import os
import tomllib
from collections.abc import Iterable

import pytest

from tests.tidy import purity, sizes, sources, words
from tests.tidy.sources import Finding, Source

ALLOWANCES = "tests/tidy/allowances.toml"


def must_be_empty(findings: Iterable[Finding]) -> None:
    lines = [str(finding) for finding in findings]
    if lines:
        pytest.fail("\n".join(lines), pytrace=False)


def text_of(path: str) -> str:
    source = sources.read(path)
    assert source is not None
    return source.text


def python_in(*folders: str) -> tuple[Source, ...]:
    return tuple(source for source in sources.python() if source.path.startswith(folders))


def allowances(text: str) -> dict[str, int]:
    return dict(tomllib.loads(text)["allowances"])


def test_sizes_are_within_limits_or_allowances() -> None:
    measured: sizes.Sizes = {}
    for source in sources.texts():
        if source.path.endswith((".py", ".proto")):
            measured |= sizes.file_sizes(source)
    for source in sources.python():
        measured |= sizes.function_sizes(source)
    allowed = allowances(text_of(ALLOWANCES))
    must_be_empty(sizes.over_limit(measured, allowed))


def test_allowances_only_shrink() -> None:
    now = allowances(text_of(ALLOWANCES))
    for commit in ("HEAD", "HEAD~1"):
        before = sources.git("show", f"{commit}:{ALLOWANCES}")
        if before is not None:
            must_be_empty(sizes.grown_allowances(allowances(before), now))


def test_files_are_small_as_a_rule() -> None:
    must_be_empty(sizes.high_median(python_in("services/")))


def test_what_is_compiled_remembers_by_fields() -> None:
    """A cached property of a compiled class is worked out anew at each access."""
    listed = dict[str, tuple[str, ...]]()
    for node in ast.parse(text_of("setup.py")).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple):
            (name,) = node.targets
            listed[ast.unparse(name)] = ast.literal_eval(node.value)
    folders = [f"services/becket/{folder}/" for folder in listed["FOLDERS"]]
    modules = [f"services/becket/{module}.py" for module in listed["MODULES"]]
    must_be_empty(
        Finding(source.path, number, "compiled: a field, filled once, in place of this")
        for source in python_in(*folders, *modules)
        for number, line in enumerate(source.text.splitlines(), 1)
        if "@cached_property" in line
    )


def test_core_calls_nothing_impure() -> None:
    must_be_empty(
        finding for source in python_in(purity.CORE) for finding in purity.impure_calls(source)
    )


def test_core_imports_nothing_impure() -> None:
    must_be_empty(
        finding for source in python_in(purity.CORE) for finding in purity.impure_imports(source)
    )


def test_each_core_module_has_its_tests() -> None:
    tests = python_in("tests/unit/core/", "tests/properties/")
    must_be_empty(purity.untested(python_in(purity.CORE), tests))


def test_names_say_something() -> None:
    must_be_empty(finding for source in sources.python() for finding in words.empty_name(source))


def test_modules_say_what_they_own() -> None:
    must_be_empty(
        finding
        for source in python_in("services/", "tests/", "protos/", "bench/")
        for finding in words.missing_docstring(source)
    )


def test_no_file_has_a_forbidden_word() -> None:
    must_be_empty(
        finding for source in sources.texts() for finding in words.forbidden_words(source)
    )


def test_locks_are_pinned_and_name_no_place() -> None:
    locks = [source for source in sources.texts() if source.path.startswith("requirements/")]
    assert {source.path for source in locks} >= {
        f"requirements/{name}.txt" for name in ("core", "client", "server", "dev")
    }
    must_be_empty(finding for source in locks for finding in words.loose_requirements(source))


def test_documents_name_commands_that_exist() -> None:
    targets = words.make_targets(text_of("Makefile"))
    documents = [source for source in sources.texts() if source.path.endswith(".md")]
    must_be_empty(
        finding for source in documents for finding in words.unknown_targets(source, targets)
    )


def test_readme_names_the_two_commands() -> None:
    readme = text_of("README.md")
    assert "make up" in readme
    assert "make test" in readme


def test_ci_runs_what_a_person_runs() -> None:
    script = sources.ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK), ".ci/run is not executable: chmod +x .ci/run"
    assert "make test" in script.read_text()
    staged = sources.git("ls-files", "--stage", ".ci/run")
    assert not staged or staged.startswith("100755"), "git add --chmod=+x .ci/run"
