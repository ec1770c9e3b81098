"""Page tokens of listings: opaque to callers, bound to the filter that they came from.

Owns the format: a version byte, a checksum, a hash of the filter, the last key that was listed.
Invariant: a token that was damaged, made by a newer version, or taken to another filter is refused
with its field named; none of them can list anything twice or leave something out.
"""

from __future__ import annotations

import zlib

import mmh3

from becket.api.v1 import key_value_pb2 as kv
from becket.core.errors import InvalidInputError

FORMAT = 1
_HEAD_BYTES = 1 + 4 + 16
FIELD = "page_token"


def encode_token(request: kv.ScanRequest, last_key: bytes) -> bytes:
    """The token that continues behind ``last_key`` under the filter of ``request``."""
    body = _filter_hash(request) + last_key
    return bytes((FORMAT,)) + zlib.crc32(body).to_bytes(4, "big") + body


def decode_token(request: kv.ScanRequest) -> bytes | None:
    """The key behind which the page begins; None for the first page.

    :raises InvalidInputError: ``page_token`` is not one that was given out for this filter.
    """
    token = request.page_token
    if not token:
        return None
    if len(token) <= _HEAD_BYTES:
        raise InvalidInputError(FIELD, "is no token that was given out: it is too short")
    if token[0] != FORMAT:
        raise InvalidInputError(FIELD, f"has format {token[0]}, this program reads {FORMAT}")
    body = token[5:]
    if zlib.crc32(body) != int.from_bytes(token[1:5], "big"):
        raise InvalidInputError(FIELD, "is damaged")
    if body[:16] != _filter_hash(request):
        problem = "belongs to another listing: prefix, start, end, keys_only must stay the same"
        raise InvalidInputError(FIELD, problem)
    return body[16:]


def _filter_hash(request: kv.ScanRequest) -> bytes:
    """Over everything that decides what is listed; the page's size may change."""
    partitions = ",".join(str(p) for p in sorted(request.partitions))
    parts = (
        request.prefix,
        request.start,
        request.end,
        b"k" if request.keys_only else b"",
        partitions.encode(),
    )
    text = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return mmh3.hash_bytes(text, seed=0, x64arch=True)
