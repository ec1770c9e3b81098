"""What a call may ask for at most, and the check at the edge (DESIGN section 7).

Owns the limits and their messages. Every limit is configurable within a hard bound; an argument
over it is refused before anything is done, with the field and the limit named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from becket.core.errors import InvalidInputError
from becket.core.replication.cells import Kind, Operation

INT64 = 2**63


@dataclass(frozen=True)
class Limits:
    """Sizes in bytes and counts. Raises InvalidInputError for a limit outside its hard bound."""

    key_bytes: int = 4096
    value_bytes: int = 1 << 20
    batch_operations: int = 1000
    batch_bytes: int = 4 << 20
    page_entries: int = 1000
    page_bytes: int = 1 << 20
    ttl_ms: int = 10 * 366 * 24 * 3600 * 1000

    def __post_init__(self) -> None:
        """Check each limit against what the system can carry."""
        for field, least, most in (
            ("key_bytes", 1, 65_535),
            ("value_bytes", 0, 64 << 20),
            ("batch_operations", 1, 100_000),
            ("batch_bytes", 1, 256 << 20),
            ("page_entries", 1, 100_000),
            ("page_bytes", 1, 256 << 20),
            ("ttl_ms", 1, INT64 // 1_000_000),
        ):
            if not least <= getattr(self, field) <= most:
                raise InvalidInputError(field, f"must be in {least}..{most}")
        if self.batch_bytes < self.key_bytes + self.value_bytes:
            least = self.key_bytes + self.value_bytes
            raise InvalidInputError("batch_bytes", f"must hold one operation: at least {least}")

    def check_key(self, key: bytes, field: str = "key") -> None:
        """Raise InvalidInputError unless ``key`` is 1 to ``key_bytes`` bytes long."""
        if not 1 <= len(key) <= self.key_bytes:
            raise InvalidInputError(field, f"is {len(key)} bytes, must be 1..{self.key_bytes}")

    def check_operation(self, operation: Operation, field: str = "operation") -> None:
        """Raise InvalidInputError naming the part of ``operation`` that is out of its limits.

        ``field`` is the path to the operation; empty where it is the whole request.
        """
        path = f"{field}." if field else ""
        size = len(operation.value)
        if size > self.value_bytes:
            raise InvalidInputError(
                f"{path}value", f"is {size} bytes, must be at most {self.value_bytes}"
            )
        if not 0 <= operation.ttl_ms <= self.ttl_ms:
            raise InvalidInputError(f"{path}ttl", f"must be 0..{self.ttl_ms} ms")
        if not -INT64 <= operation.delta < INT64:
            raise InvalidInputError(f"{path}delta", "must be within 64 signed bits")
        if operation.if_absent and operation.if_version is not None:
            raise InvalidInputError(f"{path}if_absent", "excludes if_version")
        conditional = operation.if_absent or operation.if_version is not None
        if conditional and operation.kind in (Kind.GET, Kind.INCREMENT):
            name = operation.kind.name.lower()
            raise InvalidInputError(f"{path}if_version", f"is not for a {name}")
        if operation.if_absent and operation.kind is Kind.DELETE:
            raise InvalidInputError(f"{path}if_absent", "is not for a delete")

    def check_batch(self, batch: Sequence[tuple[bytes, Operation]]) -> None:
        """Raise InvalidInputError naming the first operation of ``batch`` that is refused."""
        if not 1 <= len(batch) <= self.batch_operations:
            raise InvalidInputError(
                "operations", f"holds {len(batch)}, must be 1..{self.batch_operations}"
            )
        total = 0
        for place, (key, operation) in enumerate(batch):
            self.check_key(key, f"operations[{place}].key")
            self.check_operation(operation, f"operations[{place}]")
            total += len(key) + len(operation.value)
        if total > self.batch_bytes:
            raise InvalidInputError(
                "operations", f"hold {total} bytes, must be at most {self.batch_bytes}"
            )

    def check_page(self, entries: int) -> int:
        """The page size to use for a wish of ``entries``, 0 meaning the limit itself."""
        if not 0 <= entries <= self.page_entries:
            raise InvalidInputError("page_size", f"must be 0..{self.page_entries}")
        return entries or self.page_entries
