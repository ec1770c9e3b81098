"""Every exit code: its table, its documentation, and a command that ends with it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from becket.cli import exits, reporting
from becket.cli.exits import MEANINGS, TABLE, Exit, UnreachableError, row_of, worse
from becket.core import errors
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_store import FakeStore

DOCUMENT = Path(__file__).parents[3] / "docs" / "cli.md"

FAILURES = [
    (errors.NotAppliedError("no", causes=("storage-1 is silent",)), Exit.NOT_DONE),
    (errors.OverloadedError("busy"), Exit.NOT_DONE),
    (errors.AnswerFullError("too many"), Exit.NOT_DONE),
    (errors.DiskFullError("full"), Exit.NOT_DONE),
    (errors.FrozenError("frozen"), Exit.NOT_DONE),
    (errors.WrongClusterError("other"), Exit.NOT_DONE),
    (errors.GiveUpError("no"), Exit.NOT_DONE),
    (errors.OutcomeUnknownError("?"), Exit.UNKNOWN),
    (errors.ConditionFailedError(b"v"), Exit.CONDITION),
    (UnreachableError("nobody answers at x:1"), Exit.UNREACHABLE),
    (errors.InvalidInputError("key", "is too long"), Exit.USAGE),
    (errors.NotFoundError("nobody"), Exit.NOT_FOUND),
    (errors.BugError("impossible"), Exit.BUG),
]


@pytest.mark.parametrize(("error", "code"), FAILURES, ids=lambda each: type(each).__name__)
def test_each_error_has_its_code_and_says_what_to_do_next(
    run: Run, store: FakeStore, error: errors.BecketError, code: Exit
) -> None:
    store.fail = error
    result = run("get", "k")
    assert result.exit_code == code
    assert result.stdout == ""
    assert f"becket: {error}" in result.stderr
    assert "Traceback" not in result.stderr
    if row_of(error).advice:
        assert f"next: {row_of(error).advice}" in result.stderr


def test_causes_are_told(run: Run, store: FakeStore) -> None:
    store.fail = FAILURES[0][0]
    assert "because: storage-1 is silent" in run("get", "k").stderr


def test_every_code_has_a_meaning_and_the_document_repeats_it() -> None:
    assert set(MEANINGS) == set(Exit)
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", DOCUMENT.read_text(), re.MULTILINE)
    assert {Exit(int(code)): words for code, words in rows} == MEANINGS


def test_every_error_of_the_core_has_a_row_and_no_row_hides_another() -> None:
    seen: list[type[errors.BecketError]] = []
    for row in TABLE:
        assert not any(issubclass(row.error, before) for before in seen), row
        seen.append(row.error)
    assert TABLE[-1].error is errors.BecketError


def test_what_a_person_types_wrong(run: Run) -> None:
    for arguments in (("get",), ("gte", "k"), ("get", "k", "--no"), ("get", "k", "-o", "xml")):
        assert run(*arguments).exit_code == Exit.USAGE


def test_interruption_and_a_reader_that_goes_away(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporting, "_discard_stdout", lambda: None)

    def interrupted() -> None:
        raise KeyboardInterrupt

    def unread() -> None:
        raise BrokenPipeError

    assert reporting.ending(interrupted) is Exit.INTERRUPTED
    assert reporting.ending(unread) is Exit.PIPE
    assert "Traceback" not in capsys.readouterr().err


def test_debugging_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BECKET_DEBUG", "1")

    def failing() -> None:
        raise errors.NotAppliedError("no")

    with pytest.raises(errors.NotAppliedError):
        reporting.ending(failing)


def test_unknown_is_worse_than_not_done() -> None:
    assert worse(Exit.NOT_DONE, Exit.UNKNOWN) is Exit.UNKNOWN
    assert worse(Exit.UNKNOWN, Exit.NOT_DONE) is Exit.UNKNOWN
    assert worse(Exit.DONE, Exit.NOT_DONE) is Exit.NOT_DONE
    assert exits.row_of(errors.RetryLaterError("x")).code is Exit.NOT_DONE


def test_help_imports_nothing_that_is_slow() -> None:
    program = (
        "import sys, becket.cli.main\n"
        "slow = ('grpc', 'google.protobuf', 'rich', 'psutil', 'mmh3')\n"
        "print([name for name in slow if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_completion_knows_commands_and_options() -> None:
    environment = {
        **os.environ,
        "_BECKET_COMPLETE": "complete_bash",
        "COMP_WORDS": "becket ring l",
        "COMP_CWORD": "2",
    }
    program = "import sys; sys.argv[0] = 'becket'; from becket.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["locate"], done.stderr
