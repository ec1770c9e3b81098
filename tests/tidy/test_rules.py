"""Each rule must catch a bad sample and leave a good one alone: an unproven rule proves nothing."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.tidy import purity, sizes, words
from tests.tidy.sources import Finding, Source, repository_files

CORE_FILE = "services/becket/core/sample.py"


def sample(text: str, path: str = CORE_FILE) -> Source:
    return Source(path, text)


def function_of(lines: int) -> Source:
    return sample("def f():\n" + "    x = 1\n" * (lines - 1))


def messages(findings: Iterable[Finding]) -> str:
    return "\n".join(str(finding) for finding in findings)


def test_the_repository_is_seen() -> None:
    assert "tests/tidy/test_rules.py" in repository_files()


@pytest.mark.parametrize(("lines", "caught"), [(500, False), (501, True)])
def test_long_file(lines: int, caught: bool) -> None:
    measured = sizes.file_sizes(sample("x = 1\n" * lines))
    assert bool(list(sizes.over_limit(measured, {}))) is caught


@pytest.mark.parametrize(("lines", "caught"), [(30, False), (31, True)])
def test_long_init(lines: int, caught: bool) -> None:
    source = sample("x = 1\n" * lines, "services/becket/core/__init__.py")
    assert bool(list(sizes.over_limit(sizes.file_sizes(source), {}))) is caught


@pytest.mark.parametrize(("lines", "caught"), [(60, False), (61, True)])
def test_long_function(lines: int, caught: bool) -> None:
    measured = sizes.function_sizes(function_of(lines))
    assert bool(list(sizes.over_limit(measured, {}))) is caught


@pytest.mark.parametrize(
    ("text", "caught"),
    [
        ("def f(a, b, c, d, e): ...", False),
        ("def f(a, b, c, d, e, g): ...", True),
        ("def f(a, b, c, /, d, e, g): ...", True),
        ("def f(a, b, c, d, e, *, g): ...", False),
        ("class C:\n    def f(self, a, b, c, d, e): ...", False),
        ("class C:\n    async def f(self, a, b, c, d, e, g): ...", True),
        ("def f():\n    def inner(a, b, c, d, e, g): ...", True),
        ("def test_f(a, b, c, d, e, g): ...", False),
    ],
)
def test_many_parameters(text: str, caught: bool) -> None:
    found = list(sizes.over_limit(sizes.function_sizes(sample(text)), {}))
    assert bool(found) is caught


@pytest.mark.parametrize(
    ("size", "allowance", "said"),
    [
        (520, 520, ""),
        (521, 520, "over its allowance"),
        (519, 520, "lower its allowance to 519"),
        (500, 520, "remove its allowance"),
    ],
)
def test_ratchet(size: int, allowance: int, said: str) -> None:
    found = messages(sizes.over_limit({"a.py": (size, 500, "split it")}, {"a.py": allowance}))
    assert said in found
    assert bool(found) is bool(said)


def test_ratchet_forgets_what_is_gone() -> None:
    assert "no such thing" in messages(sizes.over_limit({}, {"gone.py": 600}))


def test_ratchet_never_grows() -> None:
    before = {"a": 600, "b": 600}
    assert not list(sizes.grown_allowances(before, {"a": 590}))
    grown = list(sizes.grown_allowances(before, {"a": 601, "c": 1}))
    assert [finding.path for finding in grown] == ["a", "c"]


def test_median() -> None:
    large, small = sample("x\n" * 151), sample("x\n" * 10)
    assert list(sizes.high_median([large, large, small]))
    assert not list(sizes.high_median([large, small, small]))


@pytest.mark.parametrize(
    "call",
    [
        "hash('a')",
        "print(1)",
        "open('f')",
        "datetime.now()",
        "datetime.datetime.utcnow()",
        "eval('1')",
    ],
)
def test_impure_call(call: str) -> None:
    assert list(purity.impure_calls(sample(f"x = {call}\n")))


@pytest.mark.parametrize("call", ["mmh3.hash64(b'a')", "ring.open()", "clock.now()", "rehash(1)"])
def test_pure_call(call: str) -> None:
    assert not list(purity.impure_calls(sample(f"x = {call}\n")))


@pytest.mark.parametrize("module", sorted(purity.BANNED_MODULES))
def test_impure_import(module: str) -> None:
    assert list(purity.impure_imports(sample(f"import {module}\n")))
    assert list(purity.impure_imports(sample(f"def f():\n    from {module} import x\n")))


@pytest.mark.parametrize(
    ("statement", "caught"),
    [
        ("from os import urandom", True),
        ("import numpy", True),
        ("from grpc import aio", True),
        ("from becket.api.v1 import types_pb2", True),
        ("from becket import client", True),
        ("from becket import core", False),
        ("from becket.core.ring import config", False),
        ("import becket.corelike", True),
        ("import mmh3", False),
        ("import dataclasses", False),
    ],
)
def test_imports_of_the_core(statement: str, caught: bool) -> None:
    assert bool(list(purity.impure_imports(sample(statement)))) is caught


@pytest.mark.parametrize(
    "statement",
    [
        "import becket.core.sample",
        "from becket.core.sample import x",
        "from becket.core import sample",
    ],
)
def test_tested_module(statement: str) -> None:
    tests = (sample(statement, "tests/unit/core/test_sample.py"),)
    assert not list(purity.untested((sample(""),), tests))


def test_untested_module() -> None:
    tests = (sample("from becket.core import other", "tests/unit/core/test_other.py"),)
    assert "becket.core.sample" in messages(purity.untested((sample(""),), tests))


@pytest.mark.parametrize(
    ("path", "caught"),
    [
        ("services/becket/core/utils.py", True),
        ("services/becket/helpers/ring.py", True),
        ("tests/unit/test_misc.py", True),
        ("services/becket/core/ring.py", False),
        ("services/becket/core/commonplace.py", False),
    ],
)
def test_empty_name(path: str, caught: bool) -> None:
    assert bool(list(words.empty_name(sample("", path)))) is caught


@pytest.mark.parametrize(
    ("text", "caught"), [("x = 1", True), ('"""Owns x."""', False), ("", False)]
)
def test_missing_docstring(text: str, caught: bool) -> None:
    assert bool(list(words.missing_docstring(sample(text)))) is caught


@pytest.mark.parametrize(
    ("text", "caught"),
    [
        ("# TO" + "DO: later", True),
        ("# FIX" + "ME", True),
        ("# XX" + "X", True),
        ("see /ho" + "me/me/x", True),
        ("cd /wor" + "k/main", True),
        ("from https://py" + "pi.org/simple", True),
        ("at proxy.gol" + "ang.org", True),
        ("becket.core/work/x and ./opt/x, mastodons", False),
    ],
)
def test_forbidden_words(text: str, caught: bool) -> None:
    assert bool(list(words.forbidden_words(sample(text, "docs/x.md")))) is caught


@pytest.mark.parametrize(
    ("text", "caught"),
    [
        ("a==1 \\\n    --hash=sha256:00\n", False),
        ("a==1 ; os_name == 'nt' \\\n    --hash=sha256:00\n    # via b\n", False),
        ("a==1\n", True),
        ("a>=1 --hash=sha256:00\n", True),
        ("a @ file:b --hash=sha256:00\n", True),
        ("--index-url x\n", True),
        ("# --find-links x\n", True),
    ],
)
def test_loose_requirements(text: str, caught: bool) -> None:
    assert bool(list(words.loose_requirements(sample(text, "requirements/x.txt")))) is caught


def test_unknown_target() -> None:
    targets = words.make_targets("up: ready\n\tmake x\ntest:\nREADY := a\n")
    assert targets == {"up", "test"}
    text = "Run `make up`, then\n\n    make tests\n\nto make sure that `make test` works."
    assert list(words.unknown_targets(sample(text, "README.md"), targets)) == [
        Finding("README.md", 3, "`make tests` is no target of the Makefile")
    ]
