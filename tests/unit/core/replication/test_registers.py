"""Executing operations on one cell (R14a, R27-R31, R33), without any member."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from becket.core.replication import registers
from becket.core.replication.cells import Attempt, Cell, Kind, Operation, Reason, Record, Verdict
from becket.core.replication.invariants import cell_is_whole
from becket.core.replication.registers import Reign, Verb, fold
from becket.core.replication.settings import Settings
from becket.core.replication.versions import ZERO, Epoch, Version

EPOCH = Epoch(5, "a", 1)
REIGN = Reign(EPOCH, 10, ZERO, 1_000_000)
SETTINGS = Settings(records_kept=2, records_limit=3, record_age_ms=1000)


def at(seq: int, counter: int = 5) -> Version:
    """A version."""
    return Version(Epoch(counter, "a", 1), seq)


def attempt(*operations: Operation, session: str = "s", number: int = 1, **more: Any) -> Attempt:  # noqa: ANN401
    """An attempt with a stamp below everything."""
    made = Attempt(1, 0, b"k", operations, session, number, retry=False, stamp=ZERO, deadline_us=1)
    return made._replace(**more)


def cell(value: bytes | None = b"v", *records: Record, expire_ms: int = 0) -> Cell:
    """A cell of an earlier epoch."""
    return Cell(at(3, 4), at(2, 4), value, expire_ms, records, ZERO)


def test_r14a_each_write_of_a_fold_has_its_own_version() -> None:
    attempts = [attempt(Operation(Kind.INCREMENT, delta=1), session=f"s{i}") for i in range(3)]
    folded = fold(None, attempts, REIGN, SETTINGS)
    assert [d.results[0].version for d in folded.decisions] == [at(11), at(12), at(13)]
    assert folded.seq == 13
    assert folded.cell is not None
    assert folded.cell.ver == folded.cell.mod == at(13)


def test_r14a_what_rests_on_an_unchosen_write_waits_for_it() -> None:
    get = attempt(Operation(Kind.GET), session="reader")
    folded = fold(None, [get, attempt(Operation(Kind.PUT, b"x")), get], REIGN, SETTINGS)
    assert [d.verb for d in folded.decisions] == [Verb.READ, Verb.WRITTEN, Verb.WRITTEN]


def test_r27_a_repeated_number_in_one_fold_is_executed_once() -> None:
    once = attempt(Operation(Kind.INCREMENT, delta=1))
    folded = fold(None, [once, once], REIGN, SETTINGS)
    assert folded.decisions[0].results == folded.decisions[1].results
    assert folded.cell is not None
    assert folded.cell.value == b"1"


def test_r28_a_first_negative_answer_writes_nothing() -> None:
    wrong = attempt(Operation(Kind.PUT, b"x", if_absent=True))
    folded = fold(cell(), [wrong], REIGN, SETTINGS)
    assert folded.cell is None
    assert folded.decisions[0].verb is Verb.READ


def test_r28_a_negative_answer_to_a_retry_keeps_value_and_mod() -> None:
    wrong = attempt(Operation(Kind.PUT, b"x", if_absent=True), retry=True)
    folded = fold(cell(), [wrong], REIGN, SETTINGS)
    assert folded.cell is not None
    assert (folded.cell.value, folded.cell.mod, folded.cell.ver) == (b"v", at(2, 4), at(11))
    assert folded.cell.records[0].executed_at == at(11)


def test_r28_on_an_absent_key_the_record_needs_a_tombstone() -> None:
    wrong = attempt(Operation(Kind.PUT, b"x", if_version=at(1, 1)), retry=True)
    folded = fold(None, [wrong], REIGN._replace(known_floor=at(7, 2)), SETTINGS)
    assert folded.decisions[0].reason is Reason.STALE_STAMP
    fresh = wrong._replace(stamp=at(8, 2))
    folded = fold(None, [fresh], REIGN._replace(known_floor=at(7, 2)), SETTINGS)
    assert folded.cell is not None
    assert folded.cell.value is None
    assert folded.cell.rec_floor == at(7, 2)


def test_r30_a_newer_stamp_deposes_and_nothing_is_executed() -> None:
    good = attempt(Operation(Kind.PUT, b"x"), session="good")
    newer = attempt(Operation(Kind.PUT, b"y"), stamp=at(0, 6))
    folded = fold(None, [good, newer], REIGN, SETTINGS)
    assert folded.deposed
    assert (folded.cell, folded.decisions, folded.seq) == (None, [], 10)


def test_r31_a_dropped_record_raises_the_floor() -> None:
    written: Cell | None = None
    seq = 10
    for number in range(4):
        one = attempt(Operation(Kind.PUT, b"x"), session=f"s{number}", stamp=at(seq))
        folded = fold(written, [one], REIGN._replace(seq=seq), SETTINGS)
        assert folded.cell is not None
        written, seq = folded.cell, folded.seq
    assert written is not None
    assert [record.session for record in written.records] == ["s1", "s2", "s3"]
    assert written.rec_floor == at(11)


def test_r31_old_records_go_first_but_some_are_kept() -> None:
    records = tuple(Record(f"s{n}", 1, (), at(n, 4), 0) for n in range(1, 4))
    folded = fold(cell(b"v", *records), [attempt(Operation(Kind.PUT, b"x"))], REIGN, SETTINGS)
    assert folded.cell is not None
    assert [record.session for record in folded.cell.records] == ["s3", "s"]
    assert folded.cell.rec_floor == at(2, 4)


def test_r31_a_cell_made_of_nothing_starts_at_the_known_floor() -> None:
    write = attempt(Operation(Kind.PUT, b"x"), stamp=at(9, 4))
    folded = fold(None, [write], REIGN._replace(known_floor=at(8, 4)), SETTINGS)
    assert folded.cell is not None
    assert folded.cell.rec_floor == at(8, 4)


def test_r33_a_write_folds_the_expiry_before_it() -> None:
    old = cell(b"v", expire_ms=999_999)
    folded = fold(old, [attempt(Operation(Kind.PUT, b"x", if_absent=True))], REIGN, SETTINGS)
    assert folded.decisions[0].results[0].verdict is Verdict.DONE
    assert folded.cell is not None
    assert folded.cell.mod == at(12)


def test_r33_put_sets_or_clears_the_time_and_increment_keeps_it() -> None:
    timed = fold(None, [attempt(Operation(Kind.PUT, b"1", ttl_ms=500))], REIGN, SETTINGS).cell
    assert timed is not None
    assert timed.expire_ms == 1_000_500
    reign = REIGN._replace(seq=11)
    counted = fold(timed, [attempt(Operation(Kind.INCREMENT, delta=1), number=2)], reign, SETTINGS)
    assert counted.cell is not None
    assert counted.cell.expire_ms == 1_000_500
    plain = fold(timed, [attempt(Operation(Kind.PUT, b"2"), number=2)], reign, SETTINGS)
    assert plain.cell is not None
    assert plain.cell.expire_ms == 0


def test_r33_expiry_keeps_the_records() -> None:
    record = Record("s", 1, (), at(1, 4), 0)
    gone = registers.expired(cell(b"v", record, expire_ms=5), at(11))
    assert (gone.value, gone.records, gone.mod) == (None, (record,), at(11))
    assert not registers.is_expired(gone, 10**15)


OPERATIONS = st.builds(
    Operation,
    st.sampled_from(Kind),
    st.sampled_from([b"", b"1", b"x", b"-7"]),
    st.sampled_from([0, 10]),
    st.booleans(),
    st.none(),
    st.integers(-5, 5),
)
ATTEMPTS = st.builds(
    Attempt,
    st.just(1),
    st.just(0),
    st.just(b"k"),
    st.lists(OPERATIONS, min_size=1, max_size=3).map(tuple),
    st.sampled_from("stu"),
    st.integers(1, 4),
    st.booleans(),
    st.sampled_from([ZERO, at(9, 4), at(12)]),
    st.just(10**12),
)


@given(st.lists(ATTEMPTS, max_size=8), st.lists(ATTEMPTS, max_size=8))
def test_invariant_10_holds_after_any_two_folds(
    first: list[Attempt], second: list[Attempt]
) -> None:
    folded = fold(None, first, REIGN, SETTINGS)
    if folded.cell is not None:
        cell_is_whole(b"k", folded.cell, ZERO)
    again = fold(folded.cell, second, REIGN._replace(seq=folded.seq), SETTINGS)
    if again.cell is not None:
        cell_is_whole(b"k", again.cell, ZERO)
        assert again.cell.ver == at(again.seq)
        assert folded.cell is None or again.cell.rec_floor >= folded.cell.rec_floor
        assert len(again.cell.records) <= SETTINGS.records_limit


@given(st.lists(ATTEMPTS, max_size=8))
def test_r27_no_attempt_of_a_fold_is_executed_twice(attempts: list[Attempt]) -> None:
    once = fold(None, attempts, REIGN, SETTINGS)
    if once.deposed or once.cell is None:
        return
    kept = {(record.session, record.number) for record in once.cell.records}
    recorded = [a for a in attempts if (a.session, a.number) in kept]
    again = fold(once.cell, recorded, REIGN._replace(seq=once.seq), SETTINGS)
    assert again.cell is None
    assert {decision.verb for decision in again.decisions} <= {Verb.RECORDED}
