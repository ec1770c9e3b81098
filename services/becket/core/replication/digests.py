"""Digests: what lets two replicas compare a bucket of keys without listing it (section 5).

Owns the hash of one cell and the bucket of a key. A bucket's digest is the sum of its cells'
hashes modulo 2**128, so that one write changes it in one addition.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final

import mmh3

from becket.core.replication.cells import AnyCell, Head
from becket.core.replication.versions import ZERO, Epoch, Version

_EPOCH: Final = struct.Struct("<QQ")
_MOST_EPOCHS: Final = 4096


def bucket_of(key: bytes, buckets: int) -> int:
    """The bucket of ``key``; another seed than the ring's, so that tags spread over buckets."""
    return mmh3.hash(key, seed=7, signed=False) % buckets


def weigh(key: bytes, cell: AnyCell | Head) -> int:
    """128 bits of (key, ver, rec_floor)."""
    floor = cell.rec_floor
    data = _version(cell.ver) + (_NO_FLOOR if floor is ZERO else _version(floor)) + key
    return mmh3.hash128(data, seed=0, x64arch=True, signed=False)


def _version(version: Version) -> bytes:
    before, behind = _epoch(version[0])
    return before + version[1].to_bytes(8, "little") + behind


@lru_cache(_MOST_EPOCHS)
def _epoch(epoch: Epoch) -> tuple[bytes, bytes]:
    """What stands before a version's ``seq``, and behind it."""
    return _EPOCH.pack(epoch.counter, epoch.incarnation), epoch.disk.encode() + b"|"


_NO_FLOOR: Final = _version(ZERO)
