"""``becket load`` and ``becket export``: files, progress, and what is said at the end.

Owns files and words; what is sent is ``loading``'s. Results go to stdout, progress to stderr and
only at a terminal.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from becket.adapters.clocks import wall_ms
from becket.cli import opening
from becket.cli.entries import to_line
from becket.cli.exits import Exit, UsageError, row_of
from becket.cli.loading import Pace, Tally
from becket.cli.loading import load as load_lines
from becket.cli.output import Form, print_json, say, write_line
from becket.cli.reading import BadLineError, Shape, count_lines, read_lines
from becket.cli.store import Range, Routing, Store
from becket.cli.texts import seconds

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Source:
    """A file of entries; ``-`` is stdin."""

    file: str
    is_csv: bool
    key: str
    value: str
    prefix: str


@dataclass(frozen=True)
class Access:
    """How the store is reached."""

    target: str
    timeout: str
    routing: Routing

    def open(self) -> AbstractAsyncContextManager[Store]:
        """Open it."""
        timeout_s = seconds(self.timeout, "--timeout")
        return opening.open_store(self.target, timeout_s, self.routing)


def load(source: Source, batch: int, access: Access, *, output: Form) -> Exit:
    """Write the entries of a file."""
    if source.value and not source.key:
        raise UsageError("--value needs --key: without them lines are of the form of export")
    shape = Shape(source.is_csv, source.key, source.value, source.prefix.encode())
    now_ms = wall_ms()
    with _opened(source.file) as stream:
        total = None
        if source.file != "-" and stream.seekable():
            # Nothing of a file is sent when a line of it is wrong.
            try:
                total = count_lines(read_lines(stream, source.file, shape, now_ms))
            except BadLineError as error:
                raise UsageError(f"{error}; nothing was sent") from error
            stream.seek(0)
        lines = read_lines(stream, source.file, shape, now_ms)
        opened = access.open()

        async def run() -> tuple[Tally, BadLineError | None]:
            async with opened as store:
                with _progress("loading", total) as progress:
                    return await load_lines(store, lines, Pace(batch), progress)

        tally, bad = asyncio.run(run())
    return _told(tally, bad, output)


def _told(tally: Tally, bad: BadLineError | None, output: Form) -> Exit:
    row = tally.row()
    if output is Form.JSON:
        print_json(row)
    else:
        rate = row["loaded"] / row["seconds"] if row["seconds"] else 0
        write_line(f"{row['loaded']:,} entries in {row['seconds']:.1f} s ({rate:,.0f}/s)")
        for count, words in (
            (row["expired"], "had expired and were left out"),
            (row["not_done"], "were definitely not written"),
            (row["unknown"], "may or may not have been written"),
        ):
            if count:
                write_line(f"{count:,} {words}")
    for failure in tally.failures:
        say(f"becket: {failure}")
    if bad is not None:
        say(f"becket: {bad}")
        say("  next: what stands before this line was sent; nothing from it on was")
        return Exit.UNKNOWN if tally.code is Exit.UNKNOWN else row_of(bad).code
    if tally.code:
        say(f"  next: nothing after line {tally.last_line} was sent; load the file again")
    return tally.code


@contextlib.contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer
        return
    try:
        stream = Path(file).open("rb")  # noqa: SIM115 - closed below, after errors of its use
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    with stream:
        yield stream


def export(prefix: str, to: Path | None, access: Access) -> Exit:
    """Write entries as JSON lines."""
    opened = access.open()
    wanted = Range(prefix.encode("utf-8", "surrogateescape"))

    async def run(write: Callable[[bytes], object]) -> int:
        count = 0
        async with opened as store:
            with _progress("exporting", None) as progress:
                async for found in store.scan(wanted):
                    line = json.dumps(to_line(found), ensure_ascii=False)
                    write(line.encode() + b"\n")
                    count += 1
                    if count % 500 == 0:
                        progress(count)
        return count

    if to is None:
        count = asyncio.run(run(sys.stdout.buffer.write))
        sys.stdout.buffer.flush()
    else:
        count = _whole_file(to, lambda write: asyncio.run(run(write)))
    say(f"{count:,} entries")
    return Exit.DONE


def _whole_file(path: Path, fill: Callable[[Callable[[bytes], object]], int]) -> int:
    """Fill a file that takes its name only when it is whole."""
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            count = fill(file.write)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
    return count


@contextlib.contextmanager
def _progress(what: str, total: int | None) -> Iterator[Progress]:
    """A bar on stderr; nothing where that is no terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), Remaining())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)
