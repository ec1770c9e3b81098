"""The commands for single keys, and ``scan``: output, JSON forms, bytes that are no text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from becket.cli.store import Consistency, Found, Item
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_store import FakeStore

BINARY = bytes(range(256))

pytestmark = pytest.mark.usefixtures("store")


def test_put_then_get(run: Run) -> None:
    assert run("put", "greeting", "hello").exit_code == 0
    result = run("get", "greeting")
    assert (result.exit_code, result.stdout_bytes, result.stderr) == (0, b"hello", "")


def test_json_form_of_get(run: Run, store: FakeStore) -> None:
    store.entries[b"k"] = Found(b"k", "grüß".encode(), b"\x01\xff", 4_102_444_800_000)
    assert json.loads(run("get", "k", "-o", "json").stdout) == {
        "key": "k",
        "key_encoding": "utf-8",
        "value": "grüß",
        "encoding": "utf-8",
        "version": "01ff",
        "expire_time": "2100-01-01T00:00:00.000Z",
    }


def test_a_value_that_is_no_text_comes_as_it_is_and_in_json_as_base64(
    run: Run, store: FakeStore
) -> None:
    store.entries[b"k"] = Found(b"k", BINARY, b"v")
    assert run("get", "k").stdout_bytes == BINARY
    row = json.loads(run("get", "k", "-o", "json").stdout)
    assert row["encoding"] == "base64"
    assert run("get", "k", "--encoding", "hex").stdout == BINARY.hex() + "\n"
    assert json.loads(run("get", "k", "-o", "json", "--encoding", "hex").stdout)["encoding"] == (
        "hex"
    )


def test_an_absent_key_is_exit_code_1(run: Run) -> None:
    result = run("get", "nothing")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "nothing is absent" in result.stderr
    result = run("get", "nothing", "-o", "json")
    assert (result.exit_code, json.loads(result.stdout)) == (1, None)


def test_an_empty_value_is_a_value(run: Run) -> None:
    assert run("put", "k", "").exit_code == 0
    result = run("get", "k")
    assert (result.exit_code, result.stdout_bytes) == (0, b"")


def test_values_come_from_arguments_files_and_stdin(
    run: Run, store: FakeStore, tmp_path: Path
) -> None:
    (tmp_path / "value").write_bytes(BINARY)
    run("put", "file", f"@{tmp_path / 'value'}")
    run("put", "at", "@@home")
    run("put", "dash", "-", stdin=BINARY)
    run("put", "pipe", stdin=b"line\n")
    run("put", "base64", "AAE=", "--encoding", "base64")
    run("put", "hex", "-", "--encoding", "hex", stdin=b"00 ff\n")
    assert {key.decode(): found.value for key, found in store.entries.items()} == {
        "file": BINARY,
        "at": b"@home",
        "dash": BINARY,
        "pipe": b"line\n",
        "base64": b"\x00\x01",
        "hex": b"\x00\xff",
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("put", "k", "xyz", "--encoding", "hex"), "VALUE is not hex"),
        (("put", "k", "x!", "--encoding", "base64"), "VALUE is not base64"),
        (("get", "zz", "--key-encoding", "hex"), "KEY is not hex"),
        (("put", "k", "@/does/not/exist"), "cannot be read"),
        (("put", "k", "v", "--ttl", "soon"), "soon is no time"),
        (("put", "k", "v", "--ttl", "0"), "must be over 0"),
        (("put", "k", "v", "--if-absent", "--if-version", "01"), "excludes"),
        (("put", "k", "v", "--if-version", ""), "must not be empty"),
        (("put", "k", "v", "--if-version", "q"), "is not hex"),
        (("get", "k", "--timeout", "x"), "--timeout"),
        (("incr", "k", "--by", str(2**63)), "64 signed bits"),
    ],
)
def test_wrong_arguments_are_exit_code_2_and_nothing_is_sent(
    run: Run, store: FakeStore, arguments: tuple[str, ...], words: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert not store.sent
    assert not result.stdout


def test_conditions(run: Run) -> None:
    made = json.loads(run("put", "k", "1", "--if-absent", "-o", "json").stdout)
    assert set(made) == {"key", "key_encoding", "version"}
    assert run("put", "k", "2", "--if-absent").exit_code == 5
    assert run("put", "k", "2", "--if-version", made["version"]).exit_code == 0
    result = run("delete", "k", "--if-version", made["version"])
    assert result.exit_code == 5
    assert "next: read the key again" in result.stderr


def test_delete_says_whether_it_was_there(run: Run) -> None:
    run("put", "k", "v")
    assert run("delete", "k").stdout == "deleted\n"
    result = run("delete", "k", "-o", "json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"key": "k", "key_encoding": "utf-8", "deleted": False}


def test_increment(run: Run) -> None:
    assert run("incr", "n").stdout == "1\n"
    assert run("incr", "n", "--by", "-5").stdout == "-4\n"
    assert json.loads(run("incr", "n", "-o", "json").stdout) == {
        "key": "n",
        "key_encoding": "utf-8",
        "value": -3,
    }


def test_consistency_and_time_limits_reach_the_client(run: Run, store: FakeStore) -> None:
    run("get", "k", "--consistency", "bounded", "--max-staleness", "500ms", "--timeout", "2m")
    run("get", "k", "--target", "other:1")
    assert store.asked[0] == (Consistency.BOUNDED, 0.5)
    assert store.opened == [("127.0.0.1:7400", 120.0), ("other:1", 5.0)]


def test_the_target_comes_from_the_environment(
    run: Run, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BECKET_TARGET", "elsewhere:7400")
    run("get", "k")
    assert store.opened[0][0] == "elsewhere:7400"


def test_scan(run: Run) -> None:
    for key in ("a/1", "a/2", "b/1"):
        run("put", key, f"value {key}\n")
    assert run("scan", "a/").stdout.splitlines() == [
        "KEY  VALUE",
        "a/1  value a/1\\n",
        "a/2  value a/2\\n",
    ]
    rows = json.loads(run("scan", "--start", "a/2", "--end", "b/1", "-o", "json").stdout)
    assert [(row["key"], row["value"]) for row in rows] == [("a/2", "value a/2\n")]
    keys = json.loads(run("scan", "--keys-only", "-o", "json").stdout)
    assert [set(row) for row in keys] == [{"key", "key_encoding", "version", "expire_time"}] * 3


def test_scan_says_that_there_are_more(run: Run, store: FakeStore) -> None:
    for number in range(5):
        store.entries[b"%d" % number] = Found(b"%d" % number, b"v", b"v")
    result = run("scan", "--limit", "3")
    assert len(result.stdout.splitlines()) == 4
    assert "--start 3" in result.stderr
    assert "--limit 0" in result.stderr
    assert len(run("scan", "--limit", "0").stdout.splitlines()) == 6


def test_a_time_to_live_reaches_the_client(run: Run, store: FakeStore) -> None:
    run("put", "k", "v", "--ttl", "2h")
    assert store.sent == [Item(b"k", b"v", 7200.0)]
