"""The commands for keys: ``get``, ``put``, ``delete``, ``incr``, ``scan``, ``load``, ``export``.

Owns their options. Must not do the work (``keys``, ``loading``, ``exporting``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from becket.cli.exits import Exit
from becket.cli.options import (
    DEFAULT_TARGET,
    KeyArgument,
    KeyEncoding,
    Output,
    Route,
    Target,
    Timeout,
    ValueEncoding,
)
from becket.cli.output import Form
from becket.cli.reporting import reporting
from becket.cli.store import Consistency, Routing
from becket.cli.texts import Encoding

TIMEOUT = "5"
BATCH_TIMEOUT = "30"

IfVersion = Annotated[
    str | None,
    typer.Option("--if-version", help="Only if the key has this version, as get gives it."),
]
Prefix = Annotated[str, typer.Argument(help="Only keys that begin so.", show_default=False)]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (get, put, delete, incr, scan, load, export):
        app.command(command.__name__)(command)


@reporting
def get(
    key: KeyArgument,
    *,
    consistency: Annotated[
        Consistency, typer.Option(help="How fresh the answer must be.")
    ] = Consistency.LINEARIZABLE,
    max_staleness: Annotated[
        str, typer.Option(help="For --consistency bounded: the age that is good enough.")
    ] = "5",
    encoding: ValueEncoding = Encoding.UTF8,
    key_encoding: KeyEncoding = Encoding.UTF8,
    target: Target = DEFAULT_TARGET,
    routing: Route = Routing.AUTO,
    timeout: Timeout = TIMEOUT,
    output: Output = Form.TABLE,
) -> Exit:
    """Read one key. Into a pipe or file goes the value as it is, without a newline."""
    from becket.cli import keys

    how = keys.Reading(consistency, max_staleness)
    call = keys.Call(target, timeout, output, encoding, key_encoding, routing)
    return keys.get(call, key, how)


@reporting
def put(
    key: KeyArgument,
    value: Annotated[
        str | None,
        typer.Argument(
            help="The value; @FILE for a file's content, - or nothing for stdin, @@... for @...",
            show_default=False,
        ),
    ] = None,
    *,
    ttl: Annotated[
        str | None, typer.Option(help="The time to live: seconds, or 500ms, 30s, 10m, 2h, 7d.")
    ] = None,
    if_absent: Annotated[bool, typer.Option("--if-absent", help="Only if it is absent.")] = False,
    if_version: IfVersion = None,
    encoding: ValueEncoding = Encoding.UTF8,
    key_encoding: KeyEncoding = Encoding.UTF8,
    target: Target = DEFAULT_TARGET,
    routing: Route = Routing.AUTO,
    timeout: Timeout = TIMEOUT,
    output: Output = Form.TABLE,
) -> Exit:
    """Write one key."""
    from becket.cli import keys

    how = keys.Writing(ttl, if_absent, if_version)
    call = keys.Call(target, timeout, output, encoding, key_encoding, routing)
    return keys.put(call, key, value, how)


@reporting
def delete(
    key: KeyArgument,
    *,
    if_version: IfVersion = None,
    key_encoding: KeyEncoding = Encoding.UTF8,
    target: Target = DEFAULT_TARGET,
    routing: Route = Routing.AUTO,
    timeout: Timeout = TIMEOUT,
    output: Output = Form.TABLE,
) -> Exit:
    """Delete one key. That it was absent is fine."""
    from becket.cli import keys

    call = keys.Call(target, timeout, output, key_encoding=key_encoding, routing=routing)
    return keys.delete(call, key, if_version)


@reporting
def incr(
    key: KeyArgument,
    *,
    by: Annotated[int, typer.Option("--by", help="What to add; may be negative.")] = 1,
    key_encoding: KeyEncoding = Encoding.UTF8,
    target: Target = DEFAULT_TARGET,
    routing: Route = Routing.AUTO,
    timeout: Timeout = TIMEOUT,
    output: Output = Form.TABLE,
) -> Exit:
    """Add to a counter and print it. An absent key counts as 0."""
    from becket.cli import keys

    call = keys.Call(target, timeout, output, key_encoding=key_encoding, routing=routing)
    return keys.increment(call, key, by)


@reporting
def scan(
    prefix: Prefix = "",
    *,
    start: Annotated[str, typer.Option(help="The first key.", show_default=False)] = "",
    end: Annotated[str, typer.Option(help="The key to stop before.", show_default=False)] = "",
    limit: Annotated[int, typer.Option(help="At most so many; 0: all.", min=0)] = 100,
    keys_only: Annotated[bool, typer.Option("--keys-only", help="List no values.")] = False,
    encoding: ValueEncoding = Encoding.UTF8,
    key_encoding: KeyEncoding = Encoding.UTF8,
    target: Target = DEFAULT_TARGET,
    routing: Route = Routing.AUTO,
    timeout: Timeout = BATCH_TIMEOUT,
    output: Output = Form.TABLE,
) -> Exit:
    """List entries in the order of their keys."""
    from becket.cli import keys

    call = keys.Call(target, timeout, output, encoding, key_encoding, routing)
    return keys.scan(call, keys.Bounds(prefix, start, end, keys_only), limit)


@reporting
def load(
    file: Annotated[str, typer.Argument(help="JSON lines or CSV; - for stdin.")],
    *,
    key: Annotated[
        str, typer.Option("--key", help="The field that is the key; without it: lines of export.")
    ] = "",
    value: Annotated[
        str, typer.Option("--value", help="The field that is the value; without it: the line.")
    ] = "",
    prefix: Annotated[str, typer.Option("--prefix", help="Put before each key.")] = "",
    csv: Annotated[
        bool | None,
        typer.Option("--csv/--jsonl", help="What the file is.", show_default="by its name"),
    ] = None,
    batch: Annotated[int, typer.Option(help="Entries in a batch, at most.", min=1, max=1000)] = 500,
    target: Target = DEFAULT_TARGET,
    routing: Route = Routing.AUTO,
    timeout: Timeout = BATCH_TIMEOUT,
    output: Output = Form.TABLE,
) -> Exit:
    """Write many entries from a file. It is checked before anything is sent."""
    from becket.cli import bulk

    is_csv = file.endswith(".csv") if csv is None else csv
    source = bulk.Source(file, is_csv, key, value, prefix)
    at = bulk.Access(target, timeout, routing)
    return bulk.load(source, batch, at, output=output)


@reporting
def export(
    prefix: Prefix = "",
    *,
    to: Annotated[
        Path | None,
        typer.Option("--to", help="The file; it appears when it is whole.", show_default="stdout"),
    ] = None,
    target: Target = DEFAULT_TARGET,
    routing: Route = Routing.AUTO,
    timeout: Timeout = BATCH_TIMEOUT,
) -> Exit:
    """Write all entries, or those of a prefix, as JSON lines that load takes."""
    from becket.cli import bulk

    return bulk.export(prefix, to, bulk.Access(target, timeout, routing))
