"""The small parts of the replication core, each by itself."""

from __future__ import annotations

import pytest

from becket.core.errors import InvalidInputError
from becket.core.replication import invariants
from becket.core.replication.cells import Cell, Reason
from becket.core.replication.claims import Claims
from becket.core.replication.context import Context
from becket.core.replication.digests import bucket_of, weigh
from becket.core.replication.effects import Effects
from becket.core.replication.invariants import InvariantError
from becket.core.replication.leases import Pair, SentClaim, digest_of
from becket.core.replication.levelling import Levelling
from becket.core.replication.listing import Page
from becket.core.replication.member import Member
from becket.core.replication.messages import Claim, ListKeys
from becket.core.replication.purging import Dropping
from becket.core.replication.rounds import Chore, KeyState, Task
from becket.core.replication.settings import MS, Settings
from becket.core.replication.store import (
    EMPTY,
    ClearCells,
    CorruptCellError,
    PartitionRecord,
    PutCell,
    PutDigest,
    Store,
    UnreadableError,
    recovered,
)
from becket.core.replication.touch import Finding, compare, decide
from becket.core.replication.versions import NO_EPOCH, ZERO, Epoch, Identity, Version
from becket.core.ring.config import Config, first_config
from tests.simulation.disks import SimulatedDisk
from tests.unit.core.replication.stage import GET, Stage, put

E1, E2 = Epoch(1, "a", 1), Epoch(2, "b", 1)


def cell(seq: int, epoch: Epoch = E1, value: bytes | None = b"v") -> Cell:
    """A cell."""
    return Cell(Version(epoch, seq), Version(epoch, seq), value, 0, (), ZERO)


# Words


def test_epochs_and_versions_compare_as_tuples() -> None:
    assert Epoch(2, "a", 1) > Epoch(1, "z", 9)
    assert Epoch(2, "b", 1) > Epoch(2, "a", 9)
    assert Version(E2, 0) > Version(E1, 99) > ZERO
    assert E2.owner == Identity("b", 1)


# Settings


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lease_us", 1_000_001),
        ("lease_us", 0),
        ("suspicion_us", 300 * MS),
        ("quarantine_us", 300 * MS),
        ("claim_us", 400 * MS),
        ("park_us", 50 * MS),
        ("buckets", 0),
        ("records_limit", 7),
        ("page_keys", 0),
        ("queue_limit", 0),
    ],
)
def test_settings_name_the_field_whose_relation_is_broken(field: str, value: int) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Settings(**{field: value})
    assert caught.value.field in (field, "suspicion_us", "quarantine_us", "claim_us")


def test_r23_a_lease_ends_for_its_owner_before_any_drift_can_end_it_for_a_grantor() -> None:
    settings = Settings()
    until = settings.lease_until(0)
    rho = settings.clock_rate_error
    assert until / (1 - rho) <= settings.lease_us / (1 + rho) + 1


# Digests and store


def test_a_digest_sees_version_and_record_floor_and_nothing_else() -> None:
    one = cell(1)
    assert weigh(b"k", one) == weigh(b"k", one._replace(value=b"other"))
    assert weigh(b"k", one) != weigh(b"k", cell(2))
    assert weigh(b"k", one) != weigh(b"j", one)
    assert weigh(b"k", one) != weigh(b"k", one._replace(rec_floor=Version(E1, 1)))
    assert {bucket_of(b"%d" % n, 4) for n in range(50)} == {0, 1, 2, 3}


def test_a_digest_is_what_it_was_for_members_and_disks_of_earlier_programs() -> None:
    head = cell(1).head._replace(
        ver=Version(Epoch(4, "d1", 2), 9), rec_floor=Version(Epoch(1, "d2", 1), 3)
    )
    assert weigh(b"k", head) == 323753691962196808901854087575975968367


def test_a_step_sees_its_own_writes_before_they_are_applied() -> None:
    disk = SimulatedDisk("a")
    store = Store(disk, disk.recovered(), 4)
    store.put(0, b"k", cell(1), None)
    store.put(0, b"j", cell(2), None)
    assert store.get(0, b"k") == cell(1)
    assert [key for key, _ in store.page(0, None, 10)] == [b"j", b"k"]
    store.delete(0, b"j", cell(2))
    assert store.get(0, b"j") is None
    assert disk.get(0, b"k") is None
    disk.apply(store.take())
    assert disk.get(0, b"k") == cell(1)
    assert store.take() == []
    store.clear(0)
    assert store.get(0, b"k") is None
    assert store.page(0, None, 10) == []
    assert store.take() == [ClearCells(0)]


def test_digests_are_sums_that_come_back_after_a_restart() -> None:
    disk = SimulatedDisk("a")
    store = Store(disk, disk.recovered(), 4)
    for number in range(20):
        store.put(0, b"%d" % number, cell(number), None)
    store.put(0, b"3", cell(50), cell(3))
    store.delete(0, b"4", cell(4))
    writes = store.take()
    assert any(isinstance(write, PutDigest) for write in writes)
    disk.apply(writes)
    assert Store(disk, disk.recovered(), 4).digests(0) == store.digests(0)
    other = Store(SimulatedDisk("b"), recovered([], []), 4)
    for number in reversed([*range(3), *range(5, 20)]):
        other.put(0, b"%d" % number, cell(number), None)
    other.put(0, b"3", cell(50), None)
    assert other.digests(0) == store.digests(0)
    assert other.root(0) == store.root(0)
    assert isinstance(other.take()[0], PutCell)


def test_r8_a_damaged_cell_takes_the_digest_away_until_it_is_replaced() -> None:
    disk = SimulatedDisk("a")
    store = Store(disk, disk.recovered(), 1)
    store.put(0, b"k", cell(1), None)
    store.put(0, b"j", cell(2), None)
    disk.apply(store.take())
    before = store.root(0)
    disk.view.corrupt.add((0, b"k"))
    assert store.scrub(0, None, 10) is None
    assert store.root(0) is None
    assert store.digests(0) == (None,)
    with pytest.raises(CorruptCellError):
        store.get(0, b"k")
    store.put(0, b"k", cell(1), None)
    disk.apply(store.take())
    store.reweigh(0, 0)
    assert store.root(0) == before


def test_r8_where_pages_do_not_read_no_bucket_has_a_digest() -> None:
    disk = SimulatedDisk("a")
    store = Store(disk, disk.recovered(), 4)
    store.put(0, b"k", cell(1), None)
    store.put(1, b"k", cell(1), None)
    disk.apply(store.take())
    disk.unreadable.add(0)
    assert store.scrub(0, None, 10) is None
    assert store.digests(0) == (None,) * 4
    assert store.root(0) is None
    assert None not in store.digests(1)
    with pytest.raises(UnreadableError):
        store.page(0, None, 10)
    store.reweigh(0, 0)
    assert store.take() == [], "a sum of what reads would be a digest of something else"
    store.put(0, b"j", cell(2), None)
    with pytest.raises(UnreadableError):
        store.page(0, None, 10)
    store.clear(0)
    assert store.root(0) == 0


def test_recovered_gathers_what_an_engine_yields() -> None:
    record = PartitionRecord(None, E1, ZERO, None)
    found = recovered([(3, record)], [(3, 1, 77)])
    assert found.records[3] == record
    assert found.digests[3] == {1: 77}
    assert EMPTY.promised == NO_EPOCH


# Leases


def test_r22_a_grant_is_never_shortened() -> None:
    pair = Pair("a", Settings().suspicion_time())
    pair.hear(1, 1, 0)
    pair.grant(1000, 0)
    pair.grant(0, 10)
    assert pair.blocks_us(E1, 400) == 600
    assert pair.blocks_us(Epoch(9, "a", 2), 400) == 0


def test_a_process_that_was_replaced_is_not_heard() -> None:
    pair = Pair("a", Settings().suspicion_time())
    assert pair.hear(2, 7, 0)
    assert not pair.hear(1, 8, 5)
    assert pair.heard_us == 0


def test_a_claim_older_than_one_that_was_heard_is_no_news() -> None:
    pair = Pair("a", Settings().suspicion_time())
    assert pair.hear(1, 7, 0)
    assert not pair.hear(1, 7, 5)
    assert not pair.hear(1, 6, 5)
    assert pair.heard_us == 0
    assert pair.hear(1, 8, 5)


def test_a_peer_whose_claims_come_late_is_waited_for_and_its_next_process_is_not_blamed() -> None:
    pair = Pair("a", Settings().suspicion_time())
    pair.hear(1, 1, 0)
    pair.hear(1, 2, 500 * MS)
    assert pair.suspicion.us == 750 * MS
    pair = Pair("a", Settings().suspicion_time())
    pair.hear(1, 1, 0)
    pair.hear(2, 2, 500 * MS)
    assert pair.suspicion.us == 400 * MS


def test_a_claim_whose_digest_is_unknown_must_be_told_in_full() -> None:
    covered = ((0, 1, E1),)
    pair = Pair("a", Settings().suspicion_time())
    short = Claim(1, digest_of(covered), None, 0, 0, bounded=False)
    assert not pair.learn(short)
    assert pair.learn(short._replace(covered=covered))
    assert pair.learn(short)
    assert digest_of(covered) != digest_of(((0, 2, E1),))


def test_r23_a_grant_counts_from_its_request_and_only_for_what_was_granted() -> None:
    pair = Pair("a", Settings().suspicion_time())
    covered = ((0, 1, E1), (1, 1, E1))
    pair.note_granted(SentClaim(100, 400, 490, covered, 0), (1,))
    assert pair.grants(0, 1, E1, 489)
    assert not pair.grants(0, 1, E1, 490)
    assert not pair.grants(0, 2, E1, 400)
    assert not pair.grants(1, 1, E1, 400)
    pair.note_granted(SentClaim(50, 400, 900, covered, 0), ())
    assert not pair.grants(0, 1, E1, 490), "an older reply changes nothing"


def test_claims_waited_for_are_bounded() -> None:
    pair = Pair("a", Settings().suspicion_time())
    for number in range(9):
        pair.note_sent(number, SentClaim(0, 0, 0, (), 0))
    assert sorted(pair.sent) == [5, 6, 7, 8]


# Touch

FINAL = first_config(("a", "b", "c"))
JOINT = FINAL.begin(("a", "b", "d"))


@pytest.mark.parametrize(
    ("config", "replies", "finding"),
    [
        (FINAL, {"a": cell(1), "b": cell(1)}, Finding.FRESH),
        (FINAL, {"a": None, "b": None}, Finding.FRESH),
        (FINAL, {"a": cell(1), "b": cell(2)}, Finding.REWRITE),
        (FINAL, {"a": cell(1), "b": None, "c": None}, Finding.REWRITE),
        (FINAL, {"a": cell(1), "b": cell(2), "c": cell(2)}, Finding.REWRITE),
        (JOINT, {"a": cell(1), "b": cell(1)}, Finding.FRESH),
        (JOINT, {"a": cell(1), "b": cell(1), "d": None}, Finding.FRESH),
        (JOINT, {"a": cell(1), "c": cell(1), "d": None}, Finding.COPY),
        (JOINT, {"a": cell(1), "c": None, "d": None}, Finding.REWRITE),
    ],
)
def test_r13_what_a_first_touch_finds(
    config: Config, replies: dict[str, Cell | None], finding: Finding
) -> None:
    assert decide(replies, config, "a", damaged=False).finding is finding
    assert decide(replies, config, "a", damaged=True).finding is Finding.REWRITE


def test_r35_who_is_behind_and_who_ahead() -> None:
    levels = compare({"a": cell(2), "b": None, "c": cell(1)}, cell(2))
    assert (levels.behind, levels.ahead) == (("b", "c"), False)
    assert compare({"a": None, "b": cell(1)}, None).ahead


# Invariants


def test_each_invariant_has_teeth() -> None:
    config = first_config(("a",))
    low = PartitionRecord(config, E1, Version(E1, 1), 1)
    with pytest.raises(InvariantError, match="invariant 1"):
        invariants.record_never_falls(low, low._replace(promised=NO_EPOCH))
    with pytest.raises(InvariantError, match="invariant 1"):
        invariants.record_never_falls(low, low._replace(floor=ZERO))
    with pytest.raises(InvariantError, match="invariant 1"):
        invariants.record_never_falls(low, low._replace(config=None))
    invariants.record_never_falls(low, low._replace(floor=ZERO, since=2))
    with pytest.raises(InvariantError, match="invariant 3"):
        invariants.coordinator_stands((1, E2), (1, E1))
    with pytest.raises(InvariantError, match="invariant 4"):
        invariants.one_content(b"k", cell(1), cell(1, value=b"w"))
    with pytest.raises(InvariantError, match="invariant 4"):
        invariants.accept_is_of_epoch(b"k", cell(1), E2)
    with pytest.raises(InvariantError, match="invariant 5"):
        invariants.copy_is_complete(frozenset({b"k"}), frozenset())
    with pytest.raises(InvariantError, match="invariant 1"):
        invariants.config_follows(config, first_config(("b",)))
    with pytest.raises(InvariantError, match="invariant 6"):
        invariants.config_follows(FINAL, JOINT.finish().__class__(2, ("x",), None, (("x", 1),)))
    with pytest.raises(InvariantError, match="invariant 2"):
        invariants.reply_stands(E2, E1)
    with pytest.raises(InvariantError, match="invariant 4"):
        invariants.seq_rises(Version(E1, 2), Version(E1, 2))
    with pytest.raises(InvariantError, match="invariant 7"):
        invariants.deletion_is_due("a", config, 1)
    invariants.deletion_is_due("a", config, None)
    with pytest.raises(InvariantError, match="invariant 8"):
        invariants.drop_is_due({"a": cell(1)}, config, Version(E1, 2))
    invariants.drop_is_due({"a": cell(1)}, config, Version(E1, 1))
    with pytest.raises(InvariantError, match="invariant 9"):
        invariants.clock_runs_forward(5, 4)
    with pytest.raises(InvariantError, match="invariant 9"):
        invariants.lease_is_short(400, 0, 400)
    with pytest.raises(InvariantError, match="invariant 10"):
        invariants.cell_is_whole(b"k", cell(1)._replace(mod=Version(E2, 1)), ZERO)
    with pytest.raises(InvariantError, match="invariant 10"):
        invariants.cell_is_whole(b"k", cell(1)._replace(rec_floor=Version(E2, 1)), ZERO)


# Effects, and the shapes between the parts


def test_each_step_hands_over_its_effects_once() -> None:
    stage = Stage()
    name = stage.coordinator()
    member = stage.members[name]
    assert member.take() == Effects()
    number = stage.send(name, put("v"))
    assert stage.answers[number].reason is Reason.NONE
    assert member.take() == Effects()


def test_numbers_of_one_process_differ_from_those_of_the_next() -> None:
    stage = Stage()
    stage.coordinator()
    first = stage.members["a"]._ctx.next_id()
    stage.stop("a")
    stage.start("a")
    assert stage.members["a"]._ctx.next_id() > first


def test_levelling_walks_every_bucket_page_by_page() -> None:
    stage = Stage(page_keys=1, buckets=4, compare_us=100_000, sweep_us=50_000, copy_window=1)
    name = stage.coordinator()
    stage.cut("c")
    for number in range(12):
        stage.ask(name, put("v"), key=b"%d" % number, session=str(number))
    stage.heal()
    stage.wait(6000)
    assert stage.disks["c"].view.cells == stage.disks[name].view.cells
    assert isinstance(stage.members[name].seats[0].coordinator.levelling, Levelling)  # type: ignore[union-attr]


def test_levelling_reads_a_partition_once_however_many_buckets_differ() -> None:
    stage = Stage(buckets=64, compare_us=100_000, sweep_us=50_000)
    name = stage.coordinator()
    stage.wait(1000)
    stage.stop("c")
    keys = [b"%d" % number for number in range(40)]
    for key in keys:
        stage.ask(name, put("v"), key=key, session=str(key))
    stage.wait(1000)
    stage.seen.clear()
    stage.start("c")
    stage.wait(3000)
    assert stage.disks["c"].view.cells == stage.disks[name].view.cells
    asked = [message for message in stage.sent(ListKeys) if message.after is None]
    assert {bucket for message in asked for bucket in message.buckets} >= {
        bucket_of(key, 64) for key in keys
    }
    assert len({message.id for message in asked}) == 1


def test_claims_go_to_every_peer_of_a_config_and_to_nobody_else() -> None:
    disk = SimulatedDisk("a")
    settings = Settings()
    store = Store(disk, disk.recovered(), 4)
    member = Member(settings, Identity("a", 1), (disk, disk.recovered()), 0)
    replica = member.replica
    replica.adopt(replica.part(0), FINAL)
    replica.adopt(replica.part(1), first_config(("x", "y")))
    context = Context(settings, store, replica)
    Claims(context, {}).tick()
    assert [sent.to for sent in context.out.requests] == ["b", "c"]


def test_shapes_start_empty() -> None:
    busy = KeyState(b"k")
    busy.queue.append(Task(Chore.LEVEL, ZERO))
    assert (KeyState(b"k").is_idle, busy.is_idle) == (True, False)
    assert Page({}, frozenset(), last=True).last
    assert Dropping(1, b"k", ZERO, {"a"}).missing == {"a"}


def test_standing_and_reigns_leave_a_leaving_member_alone() -> None:
    stage = Stage()
    stage.ask(stage.coordinator(), GET)
    for name in "abc":
        stage.members[name].hand_over(stage.clocks(), leaving=True)
    stage.wait(3000)
    assert stage.reigning() == []
