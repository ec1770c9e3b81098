"""Beats, suspicion, rumours and hints, by hand-carried messages (R11a)."""

from __future__ import annotations

import pytest

from becket.core.errors import InvalidInputError
from becket.core.membership.detector import Beat, Detector, Message, Silence, Sound
from becket.core.membership.settings import MS, MembershipSettings
from becket.core.membership.states import (
    CHANGES,
    Health,
    IllegalSignError,
    Sign,
    change,
)
from becket.core.membership.watching import watchers_of
from becket.core.replication.versions import Identity

SETTINGS = MembershipSettings()


class Hall:
    """Detectors in one room; ``deaf`` pairs do not hear each other."""

    def __init__(self, size: int) -> None:
        self.now_us = 10**9
        self.names = [f"d{number}" for number in range(size)]
        self.detectors = {n: Detector(SETTINGS, Identity(n, 1), self.now_us) for n in self.names}
        self.deaf: set[tuple[str, str]] = set()
        self.down: set[str] = set()
        self.sent: list[Message] = []
        for detector in self.detectors.values():
            detector.set_members(self.now_us, self.names)

    def wait(self, ms: int) -> None:
        """Let time pass."""
        for _ in range(0, ms, 20):
            self.now_us += 20 * MS
            for name in self.names:
                if name not in self.down:
                    self.detectors[name].tick(self.now_us)
            self.carry()

    def carry(self) -> None:
        """Deliver everything, also what follows from it."""
        moved = True
        while moved:
            moved = False
            for name in self.names:
                for to, message in self.detectors[name].take().messages:
                    self.sent.append(message)
                    if name in self.down or to in self.down or (name, to) in self.deaf:
                        continue
                    moved = True
                    self.detectors[to].receive(self.now_us, message)

    def seen_by(self, disk: str) -> dict[str, Health]:
        """What everybody else thinks of a member."""
        return {n: d.health(disk) for n, d in self.detectors.items() if n != disk}


@pytest.mark.parametrize("health", Health)
@pytest.mark.parametrize("sign", Sign)
def test_every_pair(health: Health, sign: Sign) -> None:
    if sign in CHANGES[health]:
        assert change(health, sign, "") is CHANGES[health][sign]
    else:
        with pytest.raises(IllegalSignError, match="d1 was well"):
            change(health, sign, "d1 was well")


def test_a_beat_brings_back_from_everything_and_silence_alone_never_does() -> None:
    assert {CHANGES[health][Sign.BEAT] for health in Health} == {Health.ALIVE}
    assert Health.ALIVE not in {CHANGES[h].get(Sign.SILENCE) for h in Health}


@pytest.mark.parametrize("size", [3, 12, 13, 40])
def test_a_silent_member_is_suspected_by_all_within_the_suspicion_time(size: int) -> None:
    hall = Hall(size)
    hall.wait(1000)
    assert set(hall.seen_by("d1").values()) == {Health.ALIVE}
    hall.down.add("d1")
    hall.wait(560)
    assert set(hall.seen_by("d1").values()) == {Health.SUSPECT}
    assert set(hall.seen_by("d2").values()) - {hall.detectors["d1"].health("d2")} <= {Health.ALIVE}


@pytest.mark.parametrize("size", [3, 20])
def test_a_suspect_that_beats_again_is_alive_for_all(size: int) -> None:
    hall = Hall(size)
    hall.wait(500)
    hall.down.add("d1")
    hall.wait(800)
    hall.down.clear()
    hall.wait(300)
    assert set(hall.seen_by("d1").values()) == {Health.ALIVE}


def test_a_member_whose_beats_come_late_is_suspected_later_and_a_killed_one_is_not() -> None:
    hall = Hall(3)
    hall.wait(500)
    hall.down.add("d1")
    hall.wait(520)
    assert set(hall.seen_by("d1").values()) == {Health.SUSPECT}
    hall.down.clear()
    hall.wait(1000)
    hall.down.add("d1")
    hall.wait(600)
    assert set(hall.seen_by("d1").values()) == {Health.ALIVE}, "it was late before"
    hall.detectors["d0"].hint(hall.now_us, "d1")
    hall.wait(20)
    assert hall.seen_by("d1") == {"d0": Health.SUSPECT, "d2": Health.ALIVE}
    hall.wait(240)
    assert set(hall.seen_by("d1").values()) == {Health.SUSPECT}


def test_a_new_process_is_not_blamed_for_how_long_the_one_before_was_gone() -> None:
    hall = Hall(3)
    hall.wait(500)
    hall.down.add("d1")
    hall.wait(700)
    hall.detectors["d1"] = Detector(SETTINGS, Identity("d1", 2), hall.now_us)
    hall.detectors["d1"].set_members(hall.now_us, hall.names)
    hall.down.clear()
    hall.wait(300)
    hall.down.add("d1")
    hall.wait(520)
    assert set(hall.seen_by("d1").values()) == {Health.SUSPECT}


def test_long_silence_is_death_and_a_new_process_ends_it() -> None:
    hall = Hall(3)
    hall.wait(300)
    hall.down.add("d1")
    hall.wait(11_000)
    assert set(hall.seen_by("d1").values()) == {Health.DEAD}
    hall.detectors["d1"] = Detector(SETTINGS, Identity("d1", 2), hall.now_us)
    hall.detectors["d1"].set_members(hall.now_us, hall.names)
    hall.down.clear()
    hall.wait(200)
    assert set(hall.seen_by("d1").values()) == {Health.ALIVE}


def test_beats_do_not_grow_with_the_square_of_the_cluster() -> None:
    for size, expected in ((12, 12 * 11), (50, 50 * 5), (200, 200 * 5)):
        hall = Hall(size)
        hall.wait(500)
        hall.sent.clear()
        hall.wait(100)
        assert sum(isinstance(message, Beat) for message in hall.sent) == expected


def test_every_member_has_its_watchers_and_none_has_more_than_its_share() -> None:
    watchers = watchers_of([f"d{n}" for n in range(40)], SETTINGS)
    assert {len(of) for of in watchers.values()} == {5}
    assert all(disk not in of for disk, of in watchers.items())
    watched = [sum(disk in of for of in watchers.values()) for disk in watchers]
    assert set(watched) == {5}
    fewer = watchers_of([f"d{n}" for n in range(39)], SETTINGS)
    assert sum(fewer[disk] != watchers[disk] for disk in fewer) <= 5


def test_one_deaf_watcher_convinces_nobody() -> None:
    hall = Hall(20)
    watcher = watchers_of(hall.names, SETTINGS)["d1"][0]
    hall.deaf.add(("d1", watcher))
    hall.wait(1500)
    seen = hall.seen_by("d1")
    assert seen.pop(watcher) is Health.SUSPECT
    assert set(seen.values()) == {Health.ALIVE}


def test_a_closed_connection_speeds_up_and_proves_nothing() -> None:
    hall = Hall(3)
    hall.wait(500)
    hall.detectors["d0"].hint(hall.now_us, "d1")
    hall.wait(200)
    assert hall.detectors["d0"].health("d1") is Health.ALIVE
    hall.down.add("d1")
    hall.detectors["d0"].hint(hall.now_us, "d1")
    hall.wait(240)
    assert hall.detectors["d0"].health("d1") is Health.SUSPECT
    assert hall.detectors["d2"].health("d1") is Health.ALIVE


def test_r11a_a_process_that_stood_still_suspects_nobody_for_it() -> None:
    hall = Hall(3)
    hall.wait(500)
    hall.down.add("d2")
    hall.wait(2000)
    hall.down.clear()
    hall.detectors["d2"].tick(hall.now_us)
    assert hall.detectors["d2"].suspects() == frozenset()


def test_a_beat_of_a_process_that_was_replaced_is_no_beat() -> None:
    detector = Detector(SETTINGS, Identity("d0", 1), 0)
    detector.set_members(0, ["d0", "d1"])
    detector.receive(100 * MS, Beat(Identity("d1", 2), 1))
    for step in range(2, 8):
        detector.receive(step * 100 * MS, Beat(Identity("d1", 1), 90 + step))
        detector.tick(step * 100 * MS)
    assert detector.suspects() == {"d1"}


def test_members_that_fall_silent_with_all_their_watchers_are_missed() -> None:
    hall = Hall(30)
    hall.wait(500)
    watchers = watchers_of(hall.names, SETTINGS)
    lost = {"d1", *watchers["d1"], *watchers[watchers["d1"][-1]]}
    hall.down |= lost
    # Each time that watchers turn out to be silent too, their successors listen for a while.
    hall.wait(6000)
    for name in set(hall.names) - lost:
        assert hall.detectors[name].suspects() == lost
    hall.down.clear()
    hall.wait(1500)
    assert all(not detector.suspects() for detector in hall.detectors.values())


def test_rumours_count_only_from_members_and_about_what_is_not_older() -> None:
    names = [f"d{n}" for n in range(20)]
    watchers = watchers_of(names, SETTINGS)
    far = next(n for n in names if n not in watchers["d1"] and n != "d1")
    detector = Detector(SETTINGS, Identity(far, 1), 0)
    detector.set_members(0, names)
    first, second, third = watchers["d1"][:3]
    stranger = "no member"
    suspect = Identity("d1", 1)
    detector.receive(1, Sound(first, suspect, 50))
    detector.receive(2, Silence(second, suspect, 49))
    detector.receive(3, Silence(stranger, suspect, 60))
    detector.receive(4, Silence(second, suspect, 50))
    assert detector.health("d1") is Health.ALIVE
    detector.receive(5, Silence(third, suspect, 50))
    assert detector.health("d1") is Health.SUSPECT
    told = detector.take().changes[0]
    assert (told.after, told.sentence) == (Health.SUSPECT, "2 watchers report silence")
    detector.receive(6, Sound(first, suspect, 51))
    assert detector.health("d1") is Health.ALIVE


def test_who_is_no_member_is_dead_and_says_nothing() -> None:
    detector = Detector(SETTINGS, Identity("d0", 1), 0)
    detector.set_members(0, ["d0", "d1"])
    detector.receive(1, Beat(Identity("dx", 1), 1))
    detector.receive(1, Silence("dx", Identity("d1", 1), 1))
    detector.hint(1, "dx")
    assert detector.health("dx") is Health.DEAD
    detector.set_members(2, ["d0"])
    assert detector.health("d1") is Health.DEAD


@pytest.mark.parametrize(
    "changes",
    [
        {"beat_us": 0},
        {"suspicion_us": 200 * MS},
        {"lease_us": 100 * MS},
        {"lease_us": 500 * MS},
        {"dead_us": 400 * MS},
        {"suspicion_factor": 0},
        {"watchers": 12},
        {"rumours": 6},
        {"hinted_beats": 4},
        {"ask_us": 100 * MS},
        {"report_us": 100 * MS},
        {"freeze_share": 1.0},
        {"flap_changes": 1},
        {"flap_window_us": 10},
        {"replace_us": 10},
    ],
)
def test_settings_name_the_field_whose_relation_is_broken(changes: dict[str, float]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        MembershipSettings(**changes)  # type: ignore[arg-type]
    assert caught.value.field in (*changes, "suspicion_us")


def test_a_beat_that_goes_along_is_none_that_is_due() -> None:
    detector = Detector(SETTINGS, Identity("own", 1), 0)
    detector.set_members(0, ["own", "peer"])
    detector.tick(0)
    detector.take()
    early_us = SETTINGS.beat_us // 2
    detector.beat(early_us)
    assert detector.take().messages == [("peer", Beat(Identity("own", 1), 2))]
    detector.tick(SETTINGS.beat_us)
    assert not detector.take().messages
    detector.tick(early_us + SETTINGS.beat_us)
    assert detector.take().messages == [("peer", Beat(Identity("own", 1), 3))]
