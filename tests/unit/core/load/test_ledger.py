"""The ledger: whose report counts, for how long, and when the weights have changed."""

from __future__ import annotations

import math
from typing import Any

import pytest

from becket.core.errors import InvalidInputError, OverloadedError
from becket.core.load.hot_keys import HotKey
from becket.core.load.ledger import Ledger
from becket.core.load.reports import Report
from becket.core.load.settings import SECOND, LoadSettings

SETTINGS = LoadSettings()


def report(disk: str = "disk-0", **figures: Any) -> Report:  # noqa: ANN401 - fields of a report
    usual = {"incarnation": 1, "in_flight": 3, "latency_us": 1000, "cpu": 0.5}
    return Report(disk, **{**usual, **figures})


def shares(ledger: Ledger, now_us: int) -> dict[str, float]:
    return {disk: round(each.weight, 3) for disk, each in ledger.look(now_us).members.items()}


def test_a_newer_report_replaces_and_an_older_incarnation_is_ignored() -> None:
    ledger = Ledger(SETTINGS)
    assert ledger.report(report("disk-0", incarnation=5), 0)
    assert ledger.report(report("disk-1", incarnation=1), 0)
    assert not ledger.report(report("disk-0", incarnation=4, latency_us=10**6), 0)
    assert shares(ledger, 0) == {"disk-0": 1.0, "disk-1": 1.0}
    # A new incarnation is another process: nothing of the old one is smoothed in.
    assert ledger.report(report("disk-0", incarnation=6, latency_us=4000), 0)
    assert shares(ledger, 0) == {"disk-0": 0.667, "disk-1": 1.333}


def test_reports_are_smoothed() -> None:
    ledger = Ledger(SETTINGS)
    for disk in ("disk-0", "disk-1"):
        ledger.report(report(disk), 0)
    ledger.report(report("disk-0", latency_us=4000), 1 * SECOND)
    first = shares(ledger, SECOND)["disk-0"]
    assert 0.667 < first < 1.0
    for second in range(2, 40):
        ledger.report(report("disk-0", latency_us=4000), second * SECOND)
        ledger.report(report("disk-1"), second * SECOND)
    assert shares(ledger, 39 * SECOND)["disk-0"] == pytest.approx(0.667, abs=0.002)


def test_a_process_that_has_just_begun_starts_slowly() -> None:
    ledger = Ledger(SETTINGS)
    for second in range(20):
        ledger.report(report("old"), second * SECOND)
    ledger.report(report("new"), 20 * SECOND)
    # A fifth of its weight at first, all of it ten seconds later.
    assert shares(ledger, 20 * SECOND) == {"old": 1.667, "new": 0.333}
    for second in range(21, 26):
        ledger.report(report("old"), second * SECOND)
        ledger.report(report("new"), second * SECOND)
    assert shares(ledger, 25 * SECOND) == {"old": 1.25, "new": 0.75}
    for second in range(26, 31):
        ledger.report(report("old"), second * SECOND)
        ledger.report(report("new"), second * SECOND)
    assert shares(ledger, 30 * SECOND) == {"old": 1.0, "new": 1.0}
    # After a restart its caches are cold once more.
    ledger.report(report("new", incarnation=2), 31 * SECOND)
    ledger.report(report("old"), 31 * SECOND)
    assert shares(ledger, 31 * SECOND) == {"old": 1.667, "new": 0.333}


def test_the_hottest_keys_are_told_over_all_members() -> None:
    ledger = Ledger(SETTINGS)
    ledger.report(report("disk-0", hot_keys=(HotKey(b"a", 50, 5), HotKey(b"b", 20, 0))), 0)
    ledger.report(report("disk-1", hot_keys=(HotKey(b"b", 40, 1),)), 0)
    assert ledger.look(0).hot_keys == (HotKey(b"b", 60, 1), HotKey(b"a", 50, 5))


def test_a_silent_member_fades_to_the_mean_and_vanishes() -> None:
    ledger = Ledger(SETTINGS)
    ledger.report(report("silent", latency_us=4000), 0)
    story = {}
    for second in range(40):
        ledger.report(report("other"), second * SECOND)
        story[second] = shares(ledger, second * SECOND).get("silent")
    assert story[0] == story[3] == 0.667
    assert story[5] is not None
    assert 0.667 < story[5] < story[8] < story[10] < 1.0  # type: ignore[operator] # all are there
    assert story[29] is not None
    assert story[30] is None
    assert ledger.look(39 * SECOND).members.keys() == {"other"}


def test_the_number_rises_when_something_has_changed_and_not_otherwise() -> None:
    ledger = Ledger(SETTINGS)
    assert ledger.look(0).number == 1
    ledger.report(report("disk-0"), 0)
    ledger.report(report("disk-1"), 0)
    assert ledger.look(0).number == 2
    ledger.report(report("disk-0", in_flight=3, latency_us=1001), SECOND)
    assert ledger.look(SECOND).number == 2
    ledger.report(report("disk-2"), SECOND)
    assert ledger.look(SECOND).number == 3
    hot = report("disk-2", hot_keys=(HotKey(b"k", 900, 0),))
    ledger.report(hot, SECOND)
    assert ledger.look(SECOND).wide_keys == (b"k",)
    assert ledger.told.number == 4
    assert ledger.look(SECOND).number == 4


def test_small_changes_do_not_add_up_unseen() -> None:
    ledger = Ledger(SETTINGS)
    ledger.report(report("disk-1"), 0)
    incarnation = 1
    ledger.report(report("disk-0"), 0)
    first = ledger.look(0).number
    for latency_us in range(1000, 2000, 10):
        incarnation += 1
        ledger.report(report("disk-0", incarnation=incarnation, latency_us=latency_us), 0)
        ledger.look(0)
    assert 2 <= ledger.told.number - first <= 6


def test_many_members_report_less_often_and_stay_fresh_for_longer() -> None:
    settings = LoadSettings(reports_per_second=100, members=300)
    ledger = Ledger(settings)
    assert ledger.interval_us() == SECOND
    for number in range(300):
        ledger.report(report(f"disk-{number}"), 0)
    assert ledger.interval_us() == 3 * SECOND
    assert settings.freshness(9 * SECOND, 300) == 1.0
    with pytest.raises(OverloadedError) as raised:
        ledger.report(report("one-too-many"), 0)
    assert raised.value.after_ms > 0
    assert ledger.report(report("disk-7"), SECOND)


@pytest.mark.parametrize(
    ("figures", "field"),
    [
        ({"disk": ""}, "disk_id"),
        ({"disk": "x" * 254}, "disk_id"),
        ({"operations_per_second": math.nan}, "operations_per_second"),
        ({"operations_per_second": -1.0}, "operations_per_second"),
        ({"latency_us": -1}, "latency"),
        ({"cpu": 1.5}, "cpu_utilization"),
        ({"cpu": math.nan}, "cpu_utilization"),
        ({"disk_used": -0.1}, "disk_utilization"),
        ({"hot_keys": (HotKey(b"k", 1, 0),) * 33}, "hot_keys"),
        ({"hot_keys": (HotKey(b"", 1, 0),)}, "hot_keys[0].key"),
        ({"hot_keys": (HotKey(b"k", 1, 2),)}, "hot_keys[0].error_per_second"),
        ({"hot_keys": (HotKey(b"k", math.inf, 2),)}, "hot_keys[0].error_per_second"),
    ],
)
def test_a_report_that_cannot_be_is_refused_with_its_field(
    figures: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInputError) as raised:
        Ledger(SETTINGS).report(report()._replace(**figures), 0)
    assert raised.value.field == field


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("report_us", 0),
        ("reports_per_second", 0),
        ("fresh_reports", 1),
        ("keep_us", -1),
        ("spread", 0.5),
        ("change", 1.0),
        ("wide_share", 0.0),
        ("cool_share", 1.0),
        ("wide_keys", 1001),
        ("staleness_us", 0),
    ],
)
def test_settings_name_the_field_that_is_wrong(field: str, value: float) -> None:
    with pytest.raises(InvalidInputError) as raised:
        LoadSettings(**{field: value})  # type: ignore[arg-type] # that is the point
    assert raised.value.field == field
