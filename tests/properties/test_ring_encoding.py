"""Any ring survives its encoding; any bytes give a valid ring or an EncodingError."""

from __future__ import annotations

from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st

from becket.core.errors import EncodingError
from becket.core.ring.config import Config, first_config
from becket.core.ring.encoding import FORMAT, MAGIC, decode, encode
from becket.core.ring.members import Member, MemberCount, MemberState, in_order
from becket.core.ring.ring import Ring
from becket.core.ring.validation import validate

texts = st.text(max_size=12)
names = st.text(min_size=1, max_size=12)


@st.composite
def members(draw: st.DrawFn) -> tuple[Member, ...]:
    disks = draw(st.lists(names, min_size=1, max_size=7, unique=True))
    states, weights = st.sampled_from(MemberState), st.integers(1, 10_000)
    return in_order(
        Member(disk, draw(names), draw(texts), draw(texts), draw(weights), draw(states))
        for disk in disks
    )


@st.composite
def configs(draw: st.DrawFn, disks: list[str]) -> Config:
    sets = st.lists(st.sampled_from(disks), min_size=1, max_size=5, unique=True).map(tuple)
    config = first_config(draw(sets))
    for new, ending in draw(st.lists(st.tuples(sets, st.integers(0, 2)), max_size=4)):
        joint = config.begin(new)
        if ending == 0:
            return joint
        config = joint.finish() if ending == 1 else joint.abandon()
    return config


@st.composite
def rings(draw: st.DrawFn) -> Ring:
    table = draw(members())
    disks = [member.disk for member in table]
    count = 2 ** draw(st.integers(0, 4))
    held = tuple(draw(configs(disks)) for _ in range(count))
    numbers = st.integers(0, 2**63 - 1)
    wish = MemberCount(draw(st.integers(0, 4096)), draw(st.integers(0, 4096)))
    replicas = draw(st.integers(1, len(disks)))
    version = 1 + draw(st.integers(0, 2**62))
    return Ring(version, draw(names), replicas, table, held, wish, draw(numbers))


@given(rings())
def test_round_trip(ring: Ring) -> None:
    data = encode(ring)
    assert decode(data) == ring
    assert encode(decode(data)) == data


@given(st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    only_rings_or_encoding_errors(data)
    body = MAGIC + bytes([FORMAT]) + data
    only_rings_or_encoding_errors(body + crc32(body).to_bytes(4, "big"))


@given(rings(), st.data())
def test_damaged_bytes_with_a_checksum_that_fits(ring: Ring, data: st.DataObject) -> None:
    body = bytearray(encode(ring)[:-4])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(5, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
        if len(body) <= 5:
            break
    only_rings_or_encoding_errors(bytes(body) + crc32(body).to_bytes(4, "big"))


def only_rings_or_encoding_errors(data: bytes) -> None:
    try:
        ring = decode(data)
    except EncodingError as error:
        field, problem = error.field, error.problem
    else:
        validate(ring)
        return
    assert field
    assert problem
