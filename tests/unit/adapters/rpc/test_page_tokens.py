"""A token continues its own listing and no other."""

from __future__ import annotations

import pytest

from becket.adapters.rpc.page_tokens import decode_token, encode_token
from becket.api.v1 import key_value_pb2 as kv
from becket.core.errors import InvalidInputError

FILTER = kv.ScanRequest(prefix=b"p", start=b"pa", end=b"pz", partitions=[1, 2])


def following(token: bytes, **changes: object) -> kv.ScanRequest:
    request = kv.ScanRequest()
    request.CopyFrom(FILTER)
    request.page_token = token
    for field, value in changes.items():
        if field == "partitions":
            request.ClearField("partitions")
            request.partitions.extend(value)  # type: ignore[arg-type]
        else:
            setattr(request, field, value)
    return request


def test_the_first_page_has_none() -> None:
    assert decode_token(FILTER) is None


@pytest.mark.parametrize("key", [b"\x00", b"key", b"\xff" * 4096])
def test_it_carries_the_last_key(key: bytes) -> None:
    assert decode_token(following(encode_token(FILTER, key))) == key


def test_the_size_of_a_page_and_the_order_of_partitions_may_change() -> None:
    token = encode_token(FILTER, b"k")
    assert decode_token(following(token, page_size=7, partitions=[2, 1])) == b"k"


@pytest.mark.parametrize(
    "changes",
    [{"prefix": b"q"}, {"start": b""}, {"end": b""}, {"keys_only": True}, {"partitions": [1]}],
)
def test_another_filter_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError, match="page_token: belongs to another listing"):
        decode_token(following(encode_token(FILTER, b"k"), **changes))


def test_damage_is_refused_at_every_byte() -> None:
    token = encode_token(FILTER, b"key")
    for place in range(len(token)):
        damaged = token[:place] + bytes((token[place] ^ 1,)) + token[place + 1 :]
        with pytest.raises(InvalidInputError) as caught:
            decode_token(following(damaged))
        assert caught.value.field == "page_token"
    for length in range(1, len(token)):
        with pytest.raises(InvalidInputError):
            decode_token(following(token[:length]))
