"""What the clients of one run did and saw.

Owns the record; ``search`` and ``stream`` judge it. Times are microseconds of one clock: simulated
ones, which no client or member can see, or those of the process that all clients run in.
``ended_us`` None: the outcome is unknown, for ever.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from becket.core.replication.cells import Operation, Result


@dataclass(slots=True)
class Entry:
    """One operation, or one list of operations on one key, as its client saw it."""

    client: str
    key: bytes
    operations: tuple[Operation, ...]
    began_us: int
    ended_us: int | None = None
    results: tuple[Result, ...] | None = None
    refused: bool = False
    staleness_us: int | None = None

    def __str__(self) -> str:
        """Print one line of a story."""
        end = f"{self.ended_us / 1000:.1f}" if self.ended_us is not None else "unknown"
        operations = ", ".join(_tell(operation) for operation in self.operations)
        seen = "no" if self.refused else _tell_results(self.results)
        return f"[{self.began_us / 1000:.1f}..{end}] {self.client} {operations} -> {seen}"


@dataclass
class History:
    """Everything that clients did in one run."""

    entries: list[Entry] = field(default_factory=list)

    def by_key(self) -> dict[bytes, list[Entry]]:
        """The entries of each key; those that ended as ``no`` never happened."""
        keys: dict[bytes, list[Entry]] = {}
        for entry in self.entries:
            if not entry.refused:
                keys.setdefault(entry.key, []).append(entry)
        return keys

    @property
    def acknowledged(self) -> int:
        """How many ended with a definite result."""
        return sum(entry.results is not None for entry in self.entries)

    @property
    def unknown(self) -> int:
        """How many ended as unknown."""
        return sum(entry.results is None and not entry.refused for entry in self.entries)


def _tell(operation: Operation) -> str:
    parts = [operation.kind.name.lower()]
    if operation.value:
        parts.append(operation.value.decode(errors="replace"))
    if operation.delta:
        parts.append(f"{operation.delta:+d}")
    if operation.if_absent:
        parts.append("if absent")
    if operation.if_version is not None:
        parts.append(f"if {tuple(operation.if_version.epoch)}/{operation.if_version.seq}")
    if operation.ttl_ms:
        parts.append(f"ttl {operation.ttl_ms} ms")
    return " ".join(parts)


def _tell_results(results: tuple[Result, ...] | None) -> str:
    if results is None:
        return "?"
    told = []
    for result in results:
        text = result.verdict.name.lower()
        if result.value is not None:
            text += f" {result.value.decode(errors='replace')}"
        if result.version is not None:
            text += f" @{tuple(result.version.epoch)}/{result.version.seq}"
        told.append(text)
    return ", ".join(told)
