"""When a supervisor replaces a member, when it waits, and when it does nothing at all."""

from __future__ import annotations

from becket.core.membership.judgement import Judge, Judgement, Known, Report
from becket.core.membership.settings import SECOND, MembershipSettings

SETTINGS = MembershipSettings()
NAMES = [f"d{number}" for number in range(10)]
NOTHING = Known()


def judged(
    judge: Judge, at_s: int, suspects: dict[str, set[str]], known: Known = NOTHING
) -> Judgement:
    """A judgement at ``at_s``, with a report of everybody whose name is a key."""
    for observer, whom in suspects.items():
        judge.note(Report(observer, at_s * SECOND, frozenset(whom)))
    return judge.judge(at_s * SECOND, NAMES, known)


def all_say(*dead: str) -> dict[str, set[str]]:
    """Reports in which everybody that is not dead suspects the dead."""
    return {name: set(dead) for name in NAMES if name not in dead}


def test_dead_is_not_gone() -> None:
    judge = Judge(SETTINGS)
    early = judged(judge, 0, all_say("d3"))
    assert early.dead == ("d3",)
    assert early.waits == ("d3 is dead and will be replaced in 600 s",)
    late = judged(judge, 599, all_say("d3"))
    assert not late.replacements
    due = judged(judge, 600, all_say("d3"))
    assert [r.sentence for r in due.replacements] == ["d3 has been dead for 600 s"]


def test_who_comes_back_starts_anew() -> None:
    judge = Judge(SETTINGS)
    judged(judge, 0, all_say("d3"))
    assert judged(judge, 400, all_say()).dead == ()
    assert not judged(judge, 700, all_say("d3")).replacements


def test_a_lost_volume_and_a_drain_are_replaced_at_once() -> None:
    known = Known(volumes_gone=frozenset({"d3"}), drains=frozenset({"d4"}))
    found = judged(Judge(SETTINGS), 0, all_say(), known).replacements
    assert [(r.disk, r.sentence) for r in found] == [
        ("d3", "the volume of d3 is gone"),
        ("d4", "d4 is to be drained"),
    ]


def test_freeze_when_too_many_look_dead() -> None:
    judge = Judge(SETTINGS)
    assert not judged(judge, 0, all_say("d0", "d1", "d2", "d3")).is_frozen
    frozen = judged(judge, 1, all_say("d0", "d1", "d2", "d3", "d4"))
    assert any("5 of 10 members look dead, over 40%" in reason for reason in frozen.freezes)
    known = Known(volumes_gone=frozenset({"d0"}))
    assert judged(judge, 2, all_say("d0", "d1", "d2", "d3", "d4"), known).replacements == ()


def test_freeze_when_few_report() -> None:
    judge = Judge(SETTINGS)
    frozen = judged(judge, 0, {name: set() for name in NAMES[:5]})
    assert frozen.freezes == ("only 5 of 10 members report",)
    assert not judged(judge, 1, {name: set() for name in NAMES[:6]}).is_frozen
    assert judged(judge, 30, {}).is_frozen, "old reports count for nothing"


def test_freeze_when_observers_disagree_for_long() -> None:
    judge = Judge(SETTINGS)
    split = {name: ({"d9"} if number < 4 else set()) for number, name in enumerate(NAMES[:9])}
    assert not judged(judge, 0, split).is_frozen
    assert not judged(judge, 4, split).is_frozen
    assert judged(judge, 5, split).freezes == ("observers disagree about d9",)
    assert not judged(judge, 6, all_say()).is_frozen


def test_one_observer_that_is_wrong_is_no_disagreement() -> None:
    judge = Judge(SETTINGS)
    wrong: dict[str, set[str]] = {name: set() for name in NAMES}
    wrong["d0"] = {"d9"}
    judged(judge, 0, wrong)
    assert not judged(judge, 60, wrong).is_frozen


def test_freeze_while_a_member_flaps() -> None:
    judge = Judge(SETTINGS)
    for second in range(5):
        assert not judged(judge, second, all_say("d3") if second % 2 == 0 else all_say()).is_frozen
    assert judged(judge, 5, all_say()).freezes == ("d3 flaps: 6 changes in 60 s",)
    assert not judged(judge, 120, all_say()).is_frozen


def test_a_member_that_left_the_ring_is_forgotten() -> None:
    judge = Judge(SETTINGS)
    judged(judge, 0, all_say("d3"))
    rest = [name for name in NAMES if name != "d3"]
    assert judge.judge(SECOND, rest, NOTHING).dead == ()


def flapping(judge: Judge) -> None:
    """d3 comes and goes often enough to be called flapping."""
    for second in range(8):
        judged(judge, second, all_say("d3") if second % 2 else all_say())


def test_a_flap_stops_no_replacement_of_what_is_known_to_be_gone() -> None:
    judge = Judge(SETTINGS)
    flapping(judge)
    found = judged(judge, 8, all_say("d5"), Known(volumes_gone=frozenset({"d5"})))
    assert found.is_frozen
    assert found.freezes == found.flaps
    assert found.may_restore
    assert [r.disk for r in found.replacements] == ["d5"]


def test_a_flap_among_many_that_look_dead_stops_everything() -> None:
    judge = Judge(SETTINGS)
    flapping(judge)
    known = Known(volumes_gone=frozenset({"d5"}))
    found = judged(judge, 8, all_say("d4", "d5", "d6", "d7", "d8"), known)
    assert found.flaps
    assert not found.may_restore
    assert found.replacements == ()
    assert judged(Judge(SETTINGS), 0, all_say()).may_restore, "nothing is frozen"
