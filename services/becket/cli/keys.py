"""What the commands for single keys do, and ``scan``.

Owns their output. Must not retry: what the client says is what is told.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from becket.cli import opening
from becket.cli.entries import EntryRow, to_row
from becket.cli.exits import Exit, UsageError
from becket.cli.output import Form, print_json, print_table, say, write_bytes, write_line
from becket.cli.store import Consistency, Found, Item, Range, Routing, Store
from becket.cli.texts import Encoding, fitting, read_value, seconds, shown, to_bytes, to_text

Result = TypeVar("Result")


@dataclass(frozen=True)
class Call:
    """What the commands for keys have in common."""

    target: str
    timeout: str
    output: Form
    encoding: Encoding = Encoding.UTF8
    key_encoding: Encoding = Encoding.UTF8
    routing: Routing = Routing.AUTO

    def key(self, text: str) -> bytes:
        """The key of an argument."""
        return to_bytes(text, self.key_encoding, "KEY")

    def run(self, work: Callable[[Store], Awaitable[Result]]) -> Result:
        """Open the store, work with it, close it."""
        timeout_s = seconds(self.timeout, "--timeout")

        async def opened() -> Result:
            async with opening.open_store(self.target, timeout_s, self.routing) as store:
                return await work(store)

        return asyncio.run(opened())


class Reading(NamedTuple):
    """How to read."""

    consistency: Consistency
    max_staleness: str


class Writing(NamedTuple):
    """How to write."""

    ttl: str | None
    if_absent: bool
    if_version: str | None


class Bounds(NamedTuple):
    """What to list."""

    prefix: str
    start: str
    end: str
    keys_only: bool


def get(call: Call, key: str, how: Reading) -> Exit:
    """Read a key."""
    data = call.key(key)
    age_s = seconds(how.max_staleness, "--max-staleness")
    found = call.run(
        lambda store: store.get(data, consistency=how.consistency, max_staleness_s=age_s)
    )
    if call.output is Form.JSON:
        print_json(None if found is None else to_row(found, call.encoding, call.key_encoding))
    elif found is None:
        say(f"becket: {shown(data)} is absent")
    else:
        _print_value(found.value, call.encoding)
    return Exit.ABSENT if found is None else Exit.DONE


def _print_value(value: bytes, encoding: Encoding) -> None:
    if encoding is not Encoding.UTF8:
        write_line(to_text(value, encoding))
    elif not sys.stdout.isatty():
        write_bytes(value)
    elif fitting(encoding, value) is encoding:
        write_line(value.decode())
    else:
        say("becket: the value is no UTF-8; it follows in base64 (a pipe gets it as it is)")
        write_line(to_text(value, Encoding.BASE64))


def put(call: Call, key: str, value: str | None, how: Writing) -> Exit:
    """Write a key."""
    data, version = call.key(key), _version(how.if_version)
    if how.if_absent and version:
        raise UsageError("--if-absent excludes --if-version")
    ttl_s = 0.0 if how.ttl is None else seconds(how.ttl, "--ttl")
    item = Item(data, read_value(value, call.encoding), ttl_s)
    made = call.run(lambda store: store.put(item, if_absent=how.if_absent, if_version=version))
    if call.output is Form.JSON:
        print_json({**_key_row(call, data), "version": made.hex()})
    else:
        write_line(f"done, version {made.hex()}")
    return Exit.DONE


def delete(call: Call, key: str, if_version: str | None) -> Exit:
    """Delete a key."""
    data, version = call.key(key), _version(if_version)
    deleted = call.run(lambda store: store.delete(data, if_version=version))
    if call.output is Form.JSON:
        print_json({**_key_row(call, data), "deleted": deleted})
    else:
        write_line("deleted" if deleted else "it was absent")
    return Exit.DONE


def increment(call: Call, key: str, by: int) -> Exit:
    """Add to a counter."""
    data = call.key(key)
    if not -(2**63) <= by < 2**63:
        raise UsageError("--by must be within 64 signed bits")
    value = call.run(lambda store: store.increment(data, by))
    if call.output is Form.JSON:
        print_json({**_key_row(call, data), "value": value})
    else:
        write_line(str(value))
    return Exit.DONE


def scan(call: Call, bounds: Bounds, limit: int) -> Exit:
    """List entries; the table says when there are more."""
    parts = (bounds.prefix, bounds.start, bounds.end)
    prefix, start, end = (to_bytes(part, call.key_encoding, "the range") for part in parts)
    wanted = Range(prefix, start, end, bounds.keys_only)
    found = call.run(lambda store: _first(store, wanted, limit))
    more = bool(limit) and len(found) > limit
    rows = [to_row(each, call.encoding, call.key_encoding) for each in found[: limit or None]]
    if bounds.keys_only:
        for row in rows:
            del row["value"], row["encoding"]
    if call.output is Form.JSON:
        print_json(rows)
    else:
        _print_rows(rows, keys_only=bounds.keys_only)
    if more:
        say(f"there are more: --limit 0 for all, or --start {shown(found[limit].key)} from here on")
    return Exit.DONE


async def _first(store: Store, wanted: Range, limit: int) -> list[Found]:
    """One more than the limit, to know whether there are more."""
    found: list[Found] = []
    async for each in store.scan(wanted):
        found.append(each)
        if limit and len(found) > limit:
            break
    return found


def _print_rows(rows: list[EntryRow], *, keys_only: bool) -> None:
    names = ["key", "expire_time"] if keys_only else ["key", "value", "expire_time"]
    if not any(row["expire_time"] for row in rows):
        names.remove("expire_time")
    cells = [[_one_line(row[name]) for name in names] for row in rows]
    print_table([name.upper().replace("_", " ") for name in names], cells)


def _one_line(text: str | None) -> str | None:
    """A cell of a table: control characters, line ends among them, are shown as escapes."""
    if text is None or text.isprintable():
        return text
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def _version(text: str | None) -> bytes:
    if text is None:
        return b""
    version = to_bytes(text, Encoding.HEX, "--if-version")
    if not version:
        raise UsageError("--if-version must not be empty: --if-absent asks for an absent key")
    return version


def _key_row(call: Call, key: bytes) -> dict[str, object]:
    encoding = fitting(call.key_encoding, key)
    return {"key": to_text(key, encoding), "key_encoding": encoding.value}
