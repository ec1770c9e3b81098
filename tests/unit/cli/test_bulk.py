"""``load`` and ``export``: what is sent, what is not, and what is said of a file that is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from becket.cli import loading
from becket.cli.reading import Line
from becket.cli.store import Found, Item
from becket.core.errors import NotAppliedError, OutcomeUnknownError
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_store import FakeStore

CITIES = [
    {"geonameid": 2950159, "name": "Berlin", "names": ["Берлин", "برلين", "柏林"]},
    {"geonameid": 1850147, "name": "Tokyo", "names": ["東京", "टोक्यो"]},
]


def written(path: Path, *lines: str) -> str:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(path)


def test_lines_of_any_form_with_a_key_field(run: Run, store: FakeStore, tmp_path: Path) -> None:
    lines = [json.dumps(city, ensure_ascii=False) for city in CITIES]
    file = written(tmp_path / "cities.jsonl", *lines, "")
    result = run("load", file, "--key", "geonameid", "--prefix", "city/", "-o", "json")
    assert result.exit_code == 0
    row = json.loads(result.stdout)
    assert row.pop("seconds") >= 0
    assert row == {"loaded": 2, "expired": 0, "not_done": 0, "unknown": 0}
    assert store.entries[b"city/1850147"].value == lines[1].encode()
    assert run("load", file, "--key", "geonameid", "--value", "name").exit_code == 0
    assert store.entries[b"2950159"].value == b"Berlin"


def test_csv(run: Run, store: FakeStore, tmp_path: Path) -> None:
    file = written(tmp_path / "some.csv", "\ufeffid,name", '1,"a, ""b""', 'c"', "2,d")
    assert run("load", file, "--key", "id").exit_code == 0
    assert json.loads(store.entries[b"1"].value) == {"id": "1", "name": 'a, "b"\nc'}
    assert run("load", file, "--key", "id", "--value", "name").exit_code == 0
    assert store.entries[b"2"].value == b"d"
    assert run("load", written(tmp_path / "kv.csv", "key,value", "k,v")).exit_code == 0
    assert store.entries[b"k"].value == b"v"


def test_what_export_writes_is_what_load_reads(run: Run, store: FakeStore, tmp_path: Path) -> None:
    for key, value in ((b"text", "ü\n\x00".encode()), (b"\xff\x00", bytes(range(256)))):
        store.entries[key] = Found(key, value, b"v")
    store.entries[b"later"] = Found(b"later", b"x", b"v", 4_102_444_800_000)
    store.entries[b"over"] = Found(b"over", b"x", b"v", 1)
    before = {key: found.value for key, found in store.entries.items() if key != b"over"}
    file = tmp_path / "out.jsonl"
    assert run("export", "--to", str(file)).exit_code == 0
    assert not file.with_name("out.jsonl.part").exists()
    assert file.read_bytes() == run("export").stdout_bytes
    store.entries.clear()
    result = run("load", str(file), "-o", "json")
    assert (result.exit_code, json.loads(result.stdout)["expired"]) == (0, 1)
    assert {key: found.value for key, found in store.entries.items()} == before
    assert [bool(item.ttl_s) for item in store.sent if item.key == b"later"] == [True]


def test_export_of_a_prefix(run: Run, store: FakeStore) -> None:
    for key in (b"a/1", b"b/1"):
        store.entries[key] = Found(key, b"v", b"v")
    assert run("export", "b/").stdout == '{"key": "b/1", "value": "v"}\n'


@pytest.mark.parametrize(
    "case",
    [
        ('{"key": "a", "value": "b", "ttl": 3}', (), "field ttl is not known"),
        ('{"key": "a"}', (), "field value is lacking"),
        ('{"key": 1, "value": "b"}', (), "field key must be a text"),
        ('{"key": "", "value": "b"}', (), "key: is 0 bytes"),
        ('{"key": "a", "value": "b", "encoding": "rot13"}', (), "rot13 is none of utf-8"),
        ('{"key": "a", "value": "b!", "encoding": "base64"}', (), "field value is not base64"),
        ('{"key": "a", "value": "b", "expire_time": "soon"}', (), "is no time by RFC 3339"),
        ('{"key": "a", "value": "b", "expire_time": "2100-01-01T00:00:00"}', (), "time zone"),
        ('{"key": "a", "value"', (), "is no JSON"),
        ('["a"]', (), "is no object"),
        ('{"name": "x"}', ("--key", "id"), "there is no field id; there are name"),
        ('{"id": [1]}', ("--key", "id"), "field id must be a text or a whole number"),
        ('{"id": true}', ("--key", "id"), "field id must be a text or a whole number"),
        ('{"id": 1}', ("--key", "id", "--value", "name"), "there is no field name"),
        ("[" * 200_000, (), "line 3"),
    ],
)
def test_a_wrong_line_of_a_file_is_told_and_nothing_is_sent(
    run: Run, store: FakeStore, tmp_path: Path, case: tuple[str, tuple[str, ...], str]
) -> None:
    line, options, words = case
    good = '{"key": "g", "value": "v"}'
    if options:
        good = '{"id": 0, "name": "n"}'
    file = written(tmp_path / "bad.jsonl", good, good, line, good)
    result = run("load", file, *options)
    assert result.exit_code == 2
    assert f"{file}, line 3: " in result.stderr
    assert words in result.stderr
    assert "nothing was sent" in result.stderr
    assert not store.sent


@pytest.mark.parametrize(
    "case",
    [
        ("key,value\na,b\nc\n", 3, "has 1 columns, the header has 2"),
        ("key,key\na,b\n", 1, "each only once"),
        ('key,value\na,"b\n', 2, "is no CSV"),
    ],
)
def test_wrong_csv(run: Run, store: FakeStore, tmp_path: Path, case: tuple[str, int, str]) -> None:
    content, where, words = case
    file = tmp_path / "bad.csv"
    file.write_text(content)
    result = run("load", str(file))
    assert result.exit_code == 2
    assert f"line {where}: " in result.stderr
    assert words in result.stderr
    assert not store.sent


def test_bytes_that_are_no_text(run: Run, store: FakeStore, tmp_path: Path) -> None:
    for name in ("bad.jsonl", "bad.csv"):
        file = tmp_path / name
        file.write_bytes(b'{"key": "\xff", "value": ""}\n')
        result = run("load", str(file))
        assert result.exit_code == 2
        assert "line 1" in result.stderr
    assert not store.sent


def test_a_wrong_line_from_a_pipe_ends_it_there_and_says_so(run: Run, store: FakeStore) -> None:
    lines = [b'{"key": "%d", "value": "v"}' % number for number in range(3)]
    result = run("load", "-", stdin=b"\n".join([*lines, b"oops", *lines]))
    assert result.exit_code == 2
    assert "-, line 4: is no JSON" in result.stderr
    assert "what stands before this line was sent; nothing from it on was" in result.stderr
    assert [item.key for item in store.sent] == [b"0", b"1", b"2"]


def test_after_an_entry_that_was_not_done_nothing_more_is_sent(
    run: Run, store: FakeStore, tmp_path: Path
) -> None:
    lines = [f'{{"key": "{number:03}", "value": "v"}}' for number in range(100)]
    file = written(tmp_path / "many.jsonl", *lines)
    store.fail_at = {b"012": NotAppliedError("no coordinator"), b"015": OutcomeUnknownError("?")}
    result = run("load", file, "--batch", "10", "-o", "json")
    assert result.exit_code == 4
    row = json.loads(result.stdout)
    assert (row["not_done"], row["unknown"]) == (1, 1)
    assert row["loaded"] == sum(store.batches) - 2
    assert len(store.batches) <= 2 + loading.IN_FLIGHT
    assert "line 13, key 012: no coordinator" in result.stderr
    assert "nothing after line" in result.stderr
    store.fail_at = {b"012": NotAppliedError("no coordinator")}
    assert run("load", file).exit_code == 3


def test_batches_are_bounded_by_count_and_bytes() -> None:
    big = Item(b"k", b"x" * (loading.BATCH_BYTES // 2))
    small = Item(b"k", b"x")
    lines = [Line(number, big if number < 3 else small) for number in range(10)]
    groups = loading.batches(lines, loading.Pace(4))
    assert [len(group) for group in groups] == [1, 1, 4, 4]


def test_batches_grow_while_the_cluster_is_quick_and_halve_when_it_is_slow() -> None:
    pace = loading.Pace(150)
    sizes = [pace.size]
    for took_s in (0.01, 0.01, 0.01, 0.01, 0.2, 0.5, 9.0, 9.0, 9.0, 0.1):
        pace.took(took_s)
        sizes.append(pace.size)
    assert sizes == [100, 120, 140, 150, 150, 150, 75, 37, 20, 20, 40]
    tiny = loading.Pace(5)
    tiny.took(9.0)
    assert tiny.size == 5


def test_a_file_that_is_not_there(run: Run, store: FakeStore, tmp_path: Path) -> None:
    result = run("load", str(tmp_path / "no.jsonl"))
    assert result.exit_code == 2
    assert "cannot be read: No such file or directory" in result.stderr
    result = run("export", "--to", str(tmp_path / "no" / "file"))
    assert result.exit_code == 2
    assert not store.sent
