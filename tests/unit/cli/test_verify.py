"""The parts of a verification that need no cluster: account, plan, verdict, picture."""

from __future__ import annotations

from pathlib import Path

import pytest

from becket.cli.chaos import KINDS
from becket.cli.releases import Place
from becket.cli.verify_commands import Where, _order
from becket.cli.verify_nemesis import Measure, plan
from becket.cli.verify_outcome import Outcome
from becket.cli.verify_picture import picture
from becket.cli.verify_recording import Counts, Recorder, ended, to_model
from becket.cli.verify_workload import Load, _Drawing
from becket.client import values
from becket.client.values import Answer, Delete, Get, Increment, Operation, Put
from becket.core.errors import (
    BecketError,
    BugError,
    ConditionFailedError,
    DiskFullError,
    NotAppliedError,
    OutcomeUnknownError,
)
from becket.core.histories.entries import Entry
from becket.core.replication.cells import Result, Verdict

KEY = b"k"
GONE = True
FIXED = (
    *("operations", "acknowledged", "unknown", "lost", "violations", "kills"),
    *("gap_p50_ms", "gap_p99_ms", "gap_max_ms"),
)


class Told:
    """Records operations of one key that follow each other."""

    def __init__(self) -> None:
        self.recorder = Recorder()
        self.now_us = 0

    def do(self, operation: Operation, answer: Answer | BecketError) -> None:
        token = self.recorder.open(self.now_us)
        entry = Entry("w", KEY, (to_model(operation),), self.now_us)
        self.now_us += 10
        self.recorder.note(answer)
        self.recorder.close(token, [ended(entry, answer, self.now_us)])
        self.now_us += 10


def shown(value: bytes, version: bytes) -> values.Entry:
    return values.Entry(KEY, value, version)


def test_every_outcome_is_counted_as_what_it_is() -> None:
    told = Told()
    told.do(Put(KEY, b"a"), b"v1")
    told.do(Put(KEY, b"b", if_absent=True), ConditionFailedError(b"v1"))
    told.do(Put(KEY, b"c"), NotAppliedError("no"))
    told.do(Put(KEY, b"d"), DiskFullError("full"))
    told.do(Put(KEY, b"e"), OutcomeUnknownError("who knows"))
    told.do(Get(KEY), shown(b"e", b"v2"))
    told.do(Delete(KEY), GONE)
    told.do(Get(KEY), None)
    told.do(Increment(KEY, 3), 3)
    assert told.recorder.counts == Counts(9, 6, 1, 2)
    assert told.recorder.reasons == {
        "NotAppliedError: no": 1,
        "DiskFullError: full": 1,
        "OutcomeUnknownError: who knows": 1,
    }
    assert told.recorder.finish() == ([], [])


def test_an_error_that_no_correct_call_meets_ends_the_run() -> None:
    with pytest.raises(BugError):
        Told().do(Get(KEY), BugError("impossible"))


@pytest.mark.parametrize("planted", ["stale read", "lost write", "double increment", "refused"])
def test_what_is_planted_is_found(planted: str) -> None:
    told = Told()
    for number in range(300):
        told.do(Put(KEY, b"%d" % number), b"v%d" % number)
        told.do(Get(KEY), shown(b"%d" % number, b"v%d" % number))
    if planted == "stale read":
        told.do(Get(KEY), shown(b"7", b"v7"))
    elif planted == "lost write":
        told.do(Get(KEY), None)
    elif planted == "refused":
        told.do(Put(KEY, b"never"), NotAppliedError("no"))
        told.do(Get(KEY), shown(b"never", b"v"))
    else:
        told.do(Delete(KEY), GONE)
        told.do(Increment(KEY, 3), 3)
        told.do(Increment(KEY, 3), 9)
    for _ in range(100):
        told.do(Get(KEY), None)
    found, undecided = told.recorder.finish()
    assert [each.key for each in found] == [KEY]
    assert undecided == []


def test_a_lost_write_is_told_after_a_violation_as_well() -> None:
    told = Told()
    told.do(Get(KEY), shown(b"from nowhere", b"v"))
    told.do(Put(KEY, b"a"), b"v1")
    assert told.recorder.is_lost(KEY, Result(Verdict.ABSENT))
    assert len(told.recorder.finish()[0]) == 1


def test_nothing_is_judged_beside_what_is_open() -> None:
    told = Told()
    token = told.recorder.open(0)
    for number in range(200):
        told.do(Get(KEY), shown(b"late", b"v1"))
        assert number >= 0
    entry = Entry("slow", KEY, (to_model(Put(KEY, b"late")),), 0)
    told.recorder.close(token, [ended(entry, b"v1", told.now_us)])
    assert told.recorder.finish() == ([], [])


def test_the_plan_depends_on_the_seed_alone() -> None:
    assert plan(5, 20, KINDS) == plan(5, 20, KINDS)
    assert plan(5, 20, KINDS) != plan(6, 20, KINDS)
    kinds = [blow.kind for blow in plan(5, 20, KINDS)]
    assert {kind: kinds.count(kind) for kind in KINDS} == {
        **dict.fromkeys(KINDS, 2),
        "kill": 20,
    }
    assert plan(5, 0, KINDS) == []
    assert [blow.kind for blow in plan(5, 3, ["wipe"])] == ["wipe"]


def test_a_writer_is_the_same_under_a_seed() -> None:
    def drawn() -> list[Operation]:
        drawing = _Drawing(3, 1, 2)
        return [drawing.operation(number, lambda n: b"%d" % n) for number in range(200)]

    first = drawn()
    assert first == drawn()
    put = [operation.value for operation in first if isinstance(operation, Put)]
    assert len(set(put)) == len(put) > 50
    assert {type(operation) for operation in first} == {Get, Put, Delete, Increment}
    reader = _Drawing(3, 2, 2)
    assert isinstance(reader.operation(0, lambda _: KEY), Get)


def measure(kind: str, gap_ms: int) -> Measure:
    return Measure(kind, "storage-0", gap_ms * 1000, 2_000_000, 0)


def test_the_json_has_the_fixed_fields_and_gaps_of_kills_only() -> None:
    measures = [measure("kill", 300), measure("kill", 500), measure("all", 3_000)]
    outcome = Outcome(1, Counts(10, 9, 1, 0), measures=measures)
    content = outcome.content()
    assert tuple(content)[: len(FIXED)] == FIXED
    assert (content["kills"], content["gap_p50_ms"], content["gap_max_ms"]) == (2, 300, 500)
    assert outcome.is_proven
    assert outcome.sentences()[-1].startswith("every history is linearizable")


@pytest.mark.parametrize("what", ["undecided", "unread", "problems", "lost"])
def test_what_was_not_judged_is_no_success(what: str) -> None:
    outcome = Outcome(1, Counts())
    getattr(outcome, what).append("it" if what == "problems" else KEY)
    assert not outcome.is_proven
    assert outcome.is_broken is (what == "lost")
    assert outcome.sentences()[-1].startswith("BROKEN" if what == "lost" else "NOT PROVEN")


def test_a_violation_becomes_a_page_of_its_own() -> None:
    told = Told()
    told.do(Put(KEY, b"<a>"), b"v1")
    told.do(Put(KEY, b"u"), OutcomeUnknownError("who knows"))
    told.do(Get(KEY), shown(b"</script>", b"v9"))
    (found,) = told.recorder.finish()[0]
    page = picture(found.key, found.problem)
    assert page.count("<rect") == 3
    assert 'class="get stuck"' in page
    assert 'class="put unknown"' in page
    assert "</script>" not in page
    assert "http" not in page


PODS = Place("becket")


@pytest.mark.parametrize(
    ("faults", "where", "said"),
    [
        ((1, ["burn"]), Where(5, 256), "burn is none of"),
        ((1, ["kill"]), Where(5, 256, None, "127.0.0.1:7400"), "--kills 0"),
        ((1, ["kill"]), Where(2, 256), "--members"),
        ((1, ["wipe"]), Where(5, 256, None, "", PODS), "wipe is none of kill, delete"),
        ((1, ["router"]), Where(5, 256), "router is none of"),
        ((1, []), Where(5, 256, Path(), "", PODS), "one of --data"),
    ],
)
def test_what_cannot_be_done_is_refused(
    faults: tuple[int, list[str]], where: Where, said: str
) -> None:
    with pytest.raises(BecketError, match=said):
        _order((1, 0, 1.0, Load()), faults, where)


def test_where_nothing_is_said_all_faults_of_the_place_are_done() -> None:
    local = _order((1, 0, 1.0, Load()), (10, []), Where(5, 16))
    assert {blow.kind for blow in local.blows} == {"kill", "term", "pause", "wipe", "all"}
    assert local.spec is not None
    pods = _order((1, 0, 1.0, Load()), (10, []), Where(5, 16, None, "router:7400", PODS))
    assert {blow.kind for blow in pods.blows} == {
        *("kill", "delete", "force", "pause", "all", "router", "supervisor", "balancer"),
    }
    assert (pods.spec, pods.release, pods.target) == (None, PODS, "router:7400")


def test_the_first_violation_is_told_in_the_log_as_well() -> None:
    told = Told()
    told.do(Put(KEY, b"a"), b"v1")
    told.do(Get(KEY), None)
    outcome = Outcome(1, told.recorder.counts, violations=told.recorder.finish()[0])
    assert outcome.stories()[0].startswith("the history of k")
    assert "get -> absent" in outcome.stories()[-1]
    assert Outcome(1, Counts()).stories() == []
