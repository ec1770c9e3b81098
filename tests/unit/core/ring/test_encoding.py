"""The ring's bytes: size, and what each kind of damage is called."""

from __future__ import annotations

from dataclasses import replace
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from becket.core.errors import EncodingError, InvalidRingError
from becket.core.ring.config import Config
from becket.core.ring.encoding import FORMAT, MAGIC, decode, encode
from becket.core.ring.members import Member, MemberCount, in_order
from becket.core.ring.ring import Ring
from tests.unit.core.ring.rings import turning_ring


def sealed(body: bytes, form: int = FORMAT) -> bytes:
    """A body with a head and a checksum that fits."""
    data = MAGIC + bytes([form]) + body
    return data + crc32(data).to_bytes(4, "big")


def grown_ring(partitions: int = 1024, members: int = 50) -> Ring:
    """A ring after years of changes: long names, generations in the hundreds, all apart."""
    disks = [f"{i:032x}" for i in range(members)]
    table = in_order(
        Member(disk, f"becket-storage-{i}", f"eu-central-1{'abc'[i % 3]}", f"ip-10-0-0-{i}", 100)
        for i, disk in enumerate(disks)
    )
    configs = []
    for p in range(partitions):
        held = tuple(disks[(p * 7 + r * 11) % members] for r in range(3))
        gen = 300 + p % 500
        since = tuple((disk, gen - 20 - (p + r) % 100) for r, disk in enumerate(held))
        configs.append(Config(gen, held, None, since))
    return Ring(90_000, "c" * 32, 3, table, tuple(configs), MemberCount(50, 50), 17)


def test_1024_partitions_of_three_replicas_take_less_than_16_kib() -> None:
    ring = grown_ring()
    data = encode(ring)
    assert decode(data) == ring
    assert len(data) < 16 * 1024


def test_an_unsound_ring_is_never_written() -> None:
    ring = turning_ring()
    with pytest.raises(InvalidRingError, match="replicas"):
        encode(Ring(1, "c", 9, ring.members, ring.configs))


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_what_was_read_before_changes_nothing_of_what_is_read(data: st.DataObject) -> None:
    """Rings in any order: changed partitions, other members, another number of partitions."""
    for _ in range(4):
        count = data.draw(st.sampled_from((4, 5)), label="members")
        ring = turning_ring(count, data.draw(st.sampled_from((4, 8)), label="partitions"))
        configs = list(ring.configs)
        for partition in data.draw(st.sets(st.integers(0, len(configs) - 1)), label="changed"):
            old = configs[partition].old
            other = next(m.disk for m in ring.members if m.disk not in old)
            joint = configs[partition].begin((*old[1:], other))
            steps = st.sampled_from((joint, joint.finish(), joint.abandon()))
            configs[partition] = data.draw(steps, label="step")
        ring = replace(ring, configs=tuple(configs))
        assert decode(encode(ring)) == ring


def test_a_ring_that_is_not_valid_is_not_remembered() -> None:
    ring = turning_ring()
    data = encode(ring)
    at = data.rindex(bytes((3, 1, 3, 4, 0, 0, 0, 0)))
    twice = bytearray(data)
    twice[at + 3] = 3
    bad = sealed(bytes(twice[len(MAGIC) + 1 : -4]))
    for _ in range(2):
        with pytest.raises(EncodingError, match="two replicas on one member"):
            decode(bad)
    assert decode(data) == ring


def test_every_single_damaged_byte_is_found() -> None:
    data = encode(turning_ring())
    for at in range(len(data)):
        for mask in (0x01, 0x80, 0xFF):
            damaged = bytearray(data)
            damaged[at] ^= mask
            with pytest.raises(EncodingError):
                decode(bytes(damaged))


def test_every_cut_is_found() -> None:
    data = encode(turning_ring())
    for size in range(len(data)):
        with pytest.raises(EncodingError):
            decode(data[:size])
        with pytest.raises(EncodingError):
            decode(sealed(data[5:-4][:size])) if size < len(data) - 9 else decode(b"")


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (b"", "magic"),
        (b"not a ring at all", "magic"),
        (MAGIC, "length"),
        (MAGIC + b"\x02whatever a later version writes", "format"),
        (MAGIC + b"\x01" + bytes(12), "crc"),
        (sealed(encode(turning_ring())[5:-4] + b"\x00"), "length"),
        (sealed(b"\x00" + encode(turning_ring())[6:-4]), "version"),
        (sealed(b"\xff" * 12), "version"),
        (sealed(b"\x80" * 10 + b"\x00"), "version"),
        (sealed(b"\x01\x00\x00\x00\x01\x02\xff\xff"), "cluster"),
        (sealed(b"\x01\x00\x00\x00\x01\x05ab"), "cluster"),
        (sealed(b"\x01\x00\x00\x00\x01\x01a\x00\x01\x01d\x01n\x00"), "members[0].zone"),
        (
            sealed(b"\x01\x00\x00\x00\x01\x01a\x01\x00\x01\x01d\x01n\x00\x00\x01\x03"),
            "members[0].state",
        ),
        (sealed(b"\x01\x00\x00\x00\x01\x01a\x00\x00\x01\x01\x01\x00"), "configs[0].old"),
    ],
)
def test_damage_names_the_field(data: bytes, field: str) -> None:
    with pytest.raises(EncodingError) as caught:
        decode(data)
    assert caught.value.field == field
