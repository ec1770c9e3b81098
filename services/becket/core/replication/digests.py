"""Digests: what lets two replicas compare a bucket of keys without listing it (section 5).

Owns the hash of one cell and the bucket of a key. A bucket's digest is the sum of its cells'
hashes modulo 2**128, so that one write changes it in one addition.
"""

from __future__ import annotations

import struct

import mmh3

from becket.core.replication.cells import Cell, Head

_VERSION = struct.Struct("<QQQ")


def bucket_of(key: bytes, buckets: int) -> int:
    """The bucket of ``key``; another seed than the ring's, so that tags spread over buckets."""
    return mmh3.hash(key, seed=7, signed=False) % buckets


def weigh(key: bytes, cell: Cell | Head) -> int:
    """128 bits of (key, ver, rec_floor)."""
    ver, floor = cell.ver, cell.rec_floor
    data = b"".join(
        (
            _VERSION.pack(ver.epoch.counter, ver.epoch.incarnation, ver.seq),
            ver.epoch.disk.encode(),
            b"|",
            _VERSION.pack(floor.epoch.counter, floor.epoch.incarnation, floor.seq),
            floor.epoch.disk.encode(),
            b"|",
            key,
        )
    )
    return mmh3.hash128(data, seed=0, x64arch=True, signed=False)
