"""Rings, configs and versions cross the wire; what no planner makes is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becket.adapters.rpc import rings
from becket.api.v1 import types_pb2
from becket.core.errors import InvalidRingError
from becket.core.placement.result import Constraints
from becket.core.plans.recovery import first_ring
from becket.core.replication.versions import NO_EPOCH, ZERO, Epoch, Version
from becket.core.ring.config import Config
from becket.core.ring.members import Member, MemberState

MEMBERS = [Member(f"d{i}", f"storage-{i}", zone=f"z{i % 2}", weight=50 + i) for i in range(4)]
RING = first_ring("c", MEMBERS, 8, Constraints(3))


def test_a_ring_there_and_back() -> None:
    message = rings.ring_to_proto(RING, {"storage-1": "host:1"}.get)
    again = types_pb2.Ring.FromString(message.SerializeToString())
    assert rings.ring_from_proto(again) == RING
    assert rings.addresses_of(again.members) == {"d1": "host:1"}


def test_a_change_under_way_there_and_back() -> None:
    config = RING.configs[0]
    (other,) = {m.disk for m in MEMBERS} - set(config.old)
    joint = config.begin((other, *config.old[1:]))
    assert rings.config_from_proto(rings.config_to_proto(0, joint)) == joint
    ring = RING.with_configs({0: joint})
    assert rings.ring_from_proto(rings.ring_to_proto(ring, lambda _: None)) == ring


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (types_pb2.Config(generation=1), "config.old_disk_ids"),
        (
            types_pb2.Config(generation=1, old_disk_ids=["a", "a"], since=[1, 1]),
            "config.old_disk_ids",
        ),
        (
            types_pb2.Config(generation=1, old_disk_ids=["a"], new_disk_ids=["b", "b"], since=[1]),
            "config.new_disk_ids",
        ),
        (types_pb2.Config(generation=1, old_disk_ids=["a", "b"], since=[1]), "config.since"),
    ],
)
def test_configs_that_no_planner_makes(message: types_pb2.Config, field: str) -> None:
    with pytest.raises(InvalidRingError) as caught:
        rings.config_from_proto(message)
    assert caught.value.field == field


def test_a_member_of_no_known_state_is_refused() -> None:
    with pytest.raises(InvalidRingError, match=r"member\.state"):
        rings.member_from_proto(types_pb2.Member(disk_id="d", name="n", weight=100))


@pytest.mark.parametrize("state", list(MemberState))
def test_members(state: MemberState) -> None:
    member = Member("d", "n", "z", "node", 7, state)
    assert rings.member_from_proto(rings.member_to_proto(member, "host:1")) == member


def test_a_ring_that_does_not_validate_is_refused() -> None:
    message = rings.ring_to_proto(RING, lambda _: None)
    message.partitions[0].old_disk_ids[0] = "stranger"
    with pytest.raises(InvalidRingError):
        rings.ring_from_proto(message)


@pytest.mark.parametrize("epoch", [NO_EPOCH, Epoch(1, "d", 1), Epoch(2**63, "ж", 2**40)])
def test_epochs_and_versions(epoch: Epoch) -> None:
    assert rings.epoch_from_proto(rings.epoch_to_proto(epoch)) == epoch
    version = Version(epoch, 3)
    assert rings.version_from_proto(rings.version_to_proto(version)) == version
    assert rings.version_from_bytes(rings.version_to_bytes(version)) == (
        version if epoch != NO_EPOCH or version > ZERO else None
    )


@pytest.mark.parametrize("data", [b"", b"\xff", b"garbage", b"\x08\x01" * 3])
def test_bytes_that_are_no_version(data: bytes) -> None:
    assert rings.version_from_bytes(data) is None


def test_configs_keep_their_order() -> None:
    config = Config(9, ("c", "a", "b"), None, (("c", 1), ("a", 5), ("b", 9)))
    assert rings.config_from_proto(rings.config_to_proto(4, config)) == config


U64 = st.integers(0, 2**64 - 1)
EPOCHS = st.builds(Epoch, U64, st.text(st.characters(codec="utf-8"), max_size=20), U64)
VERSIONS = st.builds(Version, EPOCHS, U64)


@given(VERSIONS)
def test_the_bytes_by_hand_are_those_of_protobuf(version: Version) -> None:
    written = rings.version_to_proto(version).SerializeToString(deterministic=True)
    assert rings.version_to_bytes(version) == written


@given(st.integers(0, 2**32 - 1), VERSIONS)
def test_a_stamp_read_from_bytes_is_one_that_is_filled_in(partition: int, version: Version) -> None:
    filled = types_pb2.Stamp(partition=partition, version=rings.version_to_proto(version))
    assert rings.stamp_to_proto(partition, version) == filled


@given(st.integers(0, 2**64 - 1))
def test_a_number_is_written_as_protobuf_writes_it(number: int) -> None:
    written = types_pb2.Version(sequence=number).SerializeToString()
    assert (b"\x10" + rings.varint(number) if number else b"") == written
