"""The record of a client pod, read and judged.

Owns the reading of what ``workload`` wrote, and the figures that come of it. The judge is that of
``becket verify``. Times are microseconds of the pod's clock; ``at`` makes them of wall time.
"""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from becket.cli.verify_recording import Recorder, ended, to_model
from becket.client import values
from becket.core.errors import (
    BecketError,
    ConditionFailedError,
    NotAppliedError,
    OutcomeUnknownError,
)
from becket.core.histories.entries import Entry
from becket.core.histories.gaps import longest_gap_us

LAST = "last"
"""The client that reads every key once more at the end."""


@dataclass
class History:
    """What one client pod did and saw, judged."""

    offset_us: int = 0
    recorder: Recorder = field(default_factory=Recorder)
    successes: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    """When writers of each key were answered for certain."""
    failures: list[tuple[int, str, str]] = field(default_factory=list)
    """(when, key, why) of what was refused or is of unknown outcome; last reads are not there."""
    lost: list[str] = field(default_factory=list)
    read_back: set[str] = field(default_factory=set)
    violations: list[str] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)

    @property
    def keys(self) -> set[str]:
        """Every key that an operation had."""
        return {key.decode() for key in self.recorder.keys}

    def at(self, wall_s: float) -> int:
        """A moment of wall time, on the pod's clock."""
        return round(wall_s * 1e6) - self.offset_us

    def gap_ms(self, since_s: float, until_s: float) -> float:
        """The longest time, of any key, without an answer to its writer that touches this span."""
        since_us, until_us = self.at(since_s), self.at(until_s)
        gaps = [longest_gap_us(times, since_us, until_us) for times in self.successes.values()]
        return max(gaps, default=until_us - since_us) / 1000

    def failed(self, since_s: float, until_s: float) -> list[str]:
        """What failed in this span, as sentences."""
        since_us, until_us = self.at(since_s), self.at(until_s)
        return [f"{key}: {why}" for at, key, why in self.failures if since_us <= at <= until_us]

    def problems(self) -> list[str]:
        """What must never be: lost writes, histories without an order, keys not read back."""
        found = [f"an acknowledged write of {key} is lost" for key in self.lost]
        found += [f"no order explains the history of {key}" for key in self.violations]
        found += [f"nobody could decide on {key}" for key in self.undecided]
        unread = sorted(self.keys - self.read_back)
        return found + [f"nobody answered for {key} at the end" for key in unread]


def read(packed: bytes) -> History:
    """Read and judge a whole record."""
    history = History()
    lines = gzip.decompress(packed).decode().splitlines()
    history.offset_us = json.loads(lines[0])["offset_us"]
    tokens: dict[int, tuple[int, int]] = {}
    last: list[Entry] = []
    for line in _parsed(lines[1:]):
        number, at_us = line[0], line[1]
        if len(line) == 2:
            tokens[number] = (history.recorder.open(at_us), at_us)
            continue
        token, began_us = tokens.pop(number)
        client, operation, answer = line[2], operation_of(line[3]), answer_of(line[4])
        entry = Entry(client, line[3]["k"].encode(), (to_model(operation),), began_us)
        entry = ended(entry, answer, at_us)
        history.recorder.note(answer)
        history.recorder.close(token, [entry])
        if client == LAST:
            last.append(entry)
        else:
            _note(history, line, entry)
    _conclude(history, last)
    return history


def _parsed(lines: Iterable[str]) -> Iterator[list[Any]]:
    for line in lines:
        yield json.loads(line)


def _note(history: History, line: list[Any], entry: Entry) -> None:
    key, answer = line[3]["k"], line[4]
    if entry.results is not None and line[3]["op"] != "get":
        history.successes[key].append(line[1])
    for kind in ("refused", "unknown"):
        if kind in answer:
            history.failures.append((line[1], key, f"{line[3]['op']} {kind}: {answer[kind]}"))


def _conclude(history: History, last: list[Entry]) -> None:
    for entry in last:
        if entry.results is not None:
            history.read_back.add(entry.key.decode())
            if history.recorder.is_lost(entry.key, entry.results[0]):
                history.lost.append(entry.key.decode())
    violations, undecided = history.recorder.finish()
    history.violations = [found.key.decode() for found in violations]
    history.undecided = [key.decode() for key in undecided]


def operation_of(line: dict[str, Any]) -> values.Operation:
    """The operation as the client library knows it."""
    key = line["k"]
    match line["op"]:
        case "get":
            return values.Get(key)
        case "delete":
            return values.Delete(key)
        case "incr":
            return values.Increment(key, line["delta"])
        case _:
            version = bytes.fromhex(line["if"]) if "if" in line else None
            is_absent = line.get("absent", False)
            return values.Put(key, line["v"].encode(), None, is_absent, version)


def answer_of(line: dict[str, Any]) -> values.Answer | BecketError:
    """The answer as the client library gives it."""
    if "unknown" in line:
        return OutcomeUnknownError(line["unknown"])
    if "refused" in line:
        return NotAppliedError(line["refused"])
    if "condition" in line:
        return ConditionFailedError(bytes.fromhex(line["condition"]))
    if "version" in line:
        return bytes.fromhex(line["version"])
    if "deleted" in line:
        return bool(line["deleted"])
    if "sum" in line:
        return int(line["sum"])
    found = line["found"]
    if found is None:
        return None
    return values.Entry(b"", found[0].encode(), bytes.fromhex(found[1]))
