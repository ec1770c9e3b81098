"""From a key to its slot and its partition.

Owns the hash, the hash tags and the cut of the hash space. Must not know rings or members.
Invariants: the mapping never changes (data on disk depends on it; ``docs/hashing-vectors.json``
pins it for every language), and a partition count is a power of two, so the upper bits of a slot
are its partition and a later doubling splits each partition in two.
"""

from __future__ import annotations

from collections.abc import Iterable

import mmh3

from becket.core.errors import InvalidInputError

SLOT_BITS = 64
"""A slot is an unsigned integer of this many bits."""

MAX_PARTITIONS = 65_536
"""The largest partition count; the smallest is 1."""

TAG_OPEN = 123
"""The byte ``{``. As an integer, because ``b"{" in key`` costs five times ``123 in key``."""

# Measured twice as fast as ``hash64`` with named arguments; a test proves that they agree.
fast_digest = mmh3.mmh3_x64_128_utupledigest


def hashed_part(key: bytes) -> bytes:
    """The part of a key that decides where it lives: its hash tag, or all of it.

    The tag is what stands between the first ``{`` and the next ``}`` after it, where that is not
    empty (the rule of Redis Cluster, so that keys can be brought over): ``{user1}.cart`` and
    ``{user1}.mail`` live together; ``a{}b`` and ``a{b`` are hashed whole.
    """
    opening = key.find(b"{")
    if opening < 0:
        return key
    closing = key.find(b"}", opening + 1)
    if closing <= opening + 1:
        return key
    return key[opening + 1 : closing]


def slot(key: bytes) -> int:
    """Where a key falls in the hash space: an integer in ``0 .. 2**64 - 1`` (DESIGN section 4)."""
    # Named, because the third positional argument of hash64 is not ``signed``.
    return mmh3.hash64(hashed_part(key), seed=0, x64arch=True, signed=False)[0]


def partition_of_slot(at: int, partitions: int) -> int:
    """The partition of a slot: its upper bits, by multiplication. ``partitions`` is trusted."""
    return (at * partitions) >> SLOT_BITS


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key, in ``0 .. partitions - 1``.

    :raises InvalidInputError: the partition count is out of its limits.
    """
    check_partition_count(partitions)
    return partition_of_slot(slot(key), partitions)


def slots(keys: Iterable[bytes]) -> list[int]:
    """The slots of many keys, in their order."""
    digest = fast_digest
    return [digest(hashed_part(key) if TAG_OPEN in key else key)[0] for key in keys]


def partitions_of(keys: Iterable[bytes], partitions: int) -> list[int]:
    """The partitions of many keys, in their order.

    :raises InvalidInputError: the partition count is out of its limits.
    """
    check_partition_count(partitions)
    return [(at * partitions) >> SLOT_BITS for at in slots(keys)]


def slot_range(partition: int, partitions: int) -> tuple[int, int]:
    """The slots of a partition as ``(first, past the last)``.

    :raises InvalidInputError: the count, or the partition, is out of its limits.
    """
    check_partition_count(partitions)
    if not 0 <= partition < partitions:
        raise InvalidInputError("partition", f"{partition} is not in 0..{partitions - 1}")
    width = (1 << SLOT_BITS) // partitions
    return partition * width, (partition + 1) * width


def check_partition_count(partitions: int) -> None:
    """Refuse a partition count that no cluster can have.

    :raises InvalidInputError: it is not a power of two in ``1 .. MAX_PARTITIONS``.
    """
    if not 1 <= partitions <= MAX_PARTITIONS or partitions & (partitions - 1):
        problem = f"{partitions} is not a power of two in 1..{MAX_PARTITIONS}"
        raise InvalidInputError("partitions", problem)
