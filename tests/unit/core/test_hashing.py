"""The hash, its tags, and the vectors that other languages check themselves against."""

from __future__ import annotations

import json
from pathlib import Path

import mmh3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from becket.core import hashing
from becket.core.errors import InvalidInputError

VECTORS = Path(__file__).parents[3] / "docs" / "hashing-vectors.json"


def test_golden_vectors() -> None:
    vectors = json.loads(VECTORS.read_text())
    assert len(vectors["keys"]) >= 20
    for vector in vectors["keys"]:
        key = bytes.fromhex(vector["key_hex"])
        assert hashing.hashed_part(key).hex() == vector["hashed_hex"]
        assert hashing.slot(key) == int(vector["slot"])
        for count, partition in vector["partition"].items():
            assert hashing.partition_of(key, int(count)) == partition


@pytest.mark.parametrize(
    ("key", "part"),
    [
        (b"plain", b"plain"),
        (b"{user1}.cart", b"user1"),
        (b"a{user1}b{user2}", b"user1"),
        (b"a{}b", b"a{}b"),
        (b"a{}{b}", b"a{}{b}"),
        (b"a{b", b"a{b"),
        (b"a}b{c}", b"c"),
        (b"{{x}}", b"{x"),
        (b"", b""),
        (b"}{", b"}{"),
    ],
)
def test_hash_tags_follow_the_rule_of_redis_cluster(key: bytes, part: bytes) -> None:
    assert hashing.hashed_part(key) == part


@given(st.binary(max_size=64))
def test_the_fast_digest_is_the_published_hash(key: bytes) -> None:
    named = mmh3.hash64(key, seed=0, x64arch=True, signed=False)[0]
    assert hashing.fast_digest(key)[0] == named
    assert 0 <= named < 2**64


@given(st.lists(st.text(alphabet="ab{}", max_size=8).map(str.encode)), st.integers(0, 16))
def test_batches_answer_as_single_calls(keys: list[bytes], bits: int) -> None:
    assert hashing.slots(keys) == [hashing.slot(key) for key in keys]
    one_by_one = [hashing.partition_of(key, 2**bits) for key in keys]
    assert hashing.partitions_of(keys, 2**bits) == one_by_one


@given(st.integers(0, 2**64 - 1), st.integers(0, 16))
def test_a_partition_is_the_upper_bits_of_the_slot(at: int, bits: int) -> None:
    partition = hashing.partition_of_slot(at, 2**bits)
    assert partition == at >> (64 - bits)
    first, past = hashing.slot_range(partition, 2**bits)
    assert first <= at < past


@pytest.mark.parametrize("count", [0, -1, 3, 1000, 65_537, 131_072])
def test_a_partition_count_is_a_power_of_two(count: int) -> None:
    for call in (
        lambda: hashing.partition_of(b"k", count),
        lambda: hashing.partitions_of([b"k"], count),
        lambda: hashing.slot_range(0, count),
    ):
        with pytest.raises(InvalidInputError, match=r"power of two in 1\.\.65536") as caught:
            call()
        assert caught.value.field == "partitions"


def test_a_slot_range_names_a_wrong_partition() -> None:
    with pytest.raises(InvalidInputError, match=r"partition: 4 is not in 0\.\.3"):
        hashing.slot_range(4, 4)


def test_keys_spread_evenly() -> None:
    counts = [0] * 256
    for partition in hashing.partitions_of((f"user:{i}".encode() for i in range(256_000)), 256):
        counts[partition] += 1
    # 1000 expected, standard deviation 32: five of them.
    assert min(counts) > 840
    assert max(counts) < 1160
