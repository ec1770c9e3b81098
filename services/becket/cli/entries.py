"""Entries as JSON: one form for ``get``, ``scan``, ``export`` and ``load``.

Owns the form. Invariant: what ``export`` writes is what ``load`` reads, byte for byte.

| field | what it holds |
| --- | --- |
| ``key`` | the key, in ``key_encoding`` |
| ``value`` | the value, in ``encoding`` |
| ``encoding`` | ``utf-8``, ``base64`` or ``hex``; ``utf-8`` where it is left out |
| ``key_encoding`` | the same, for the key |
| ``version`` | the version in hex, as ``--if-version`` takes it; ``load`` ignores it |
| ``expire_time`` | when the entry expires, RFC 3339; left out or null: never |
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from becket.cli.exits import UsageError
from becket.cli.store import Found, Item
from becket.cli.texts import Encoding, fitting, to_bytes, to_text

FIELDS = ("key", "value", "encoding", "key_encoding", "version", "expire_time")

EntryRow = dict[str, str | None]


def to_row(
    found: Found, encoding: Encoding = Encoding.UTF8, key_encoding: Encoding = Encoding.UTF8
) -> EntryRow:
    """An entry, with everything that is known; in base64 what is no UTF-8."""
    encoding, key_encoding = fitting(encoding, found.value), fitting(key_encoding, found.key)
    return {
        "key": to_text(found.key, key_encoding),
        "key_encoding": key_encoding.value,
        "value": to_text(found.value, encoding),
        "encoding": encoding.value,
        "version": found.version.hex(),
        "expire_time": _moment(found.expire_ms) if found.expire_ms else None,
    }


def to_line(found: Found) -> EntryRow:
    """An entry as ``export`` writes it: only what is needed to write it again."""
    row = to_row(found)
    del row["version"]
    for name, usual in (("encoding", "utf-8"), ("key_encoding", "utf-8"), ("expire_time", None)):
        if row[name] == usual:
            del row[name]
    return row


def from_row(row: Mapping[str, object], now_ms: int) -> Item | None:
    """What a line of ``export`` asks to write; None where it has expired.

    :raises UsageError: a field is unknown, lacking or of the wrong kind.
    """
    for name in row:
        if name not in FIELDS:
            known = ", ".join(FIELDS)
            problem = f"field {name} is not known: a line has {known}"
            raise UsageError(f"{problem}; --key FIELD takes lines of any form")
    for name in ("key", "value"):
        if name not in row:
            raise UsageError(f"field {name} is lacking")
    key = to_bytes(_text(row, "key"), _encoding(row, "key_encoding"), "field key")
    value = to_bytes(_text(row, "value"), _encoding(row, "encoding"), "field value")
    if row.get("expire_time") is None:
        return Item(key, value)
    ttl_ms = _wall_ms(_text(row, "expire_time")) - now_ms
    return Item(key, value, ttl_ms / 1000) if ttl_ms > 0 else None


def _text(row: Mapping[str, object], name: str) -> str:
    value = row[name]
    if not isinstance(value, str):
        raise UsageError(f"field {name} must be a text")
    return value


def _encoding(row: Mapping[str, object], name: str) -> Encoding:
    if name not in row:
        return Encoding.UTF8
    text = _text(row, name)
    try:
        return Encoding(text)
    except ValueError as error:
        known = ", ".join(each.value for each in Encoding)
        raise UsageError(f"field {name}: {text} is none of {known}") from error


def _moment(wall_ms: int) -> str:
    moment = datetime.fromtimestamp(wall_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _wall_ms(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"field expire_time: {text} is no time by RFC 3339") from error
    if moment.tzinfo is None:
        raise UsageError(f"field expire_time: {text} lacks its time zone")
    return round(moment.timestamp() * 1000)
