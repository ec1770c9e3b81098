"""Kills around the steps of a plan: that each kind of step is met, and that the runs have teeth."""

from __future__ import annotations

import random

import pytest

from becket.core.ring.ring import Ring
from becket.core.supervision import planning
from tests.simulation.disks import SimulatedDisk
from tests.simulation.plan_kills import CHANGES, Kill, Party, Run, kills
from tests.simulation.plan_runs import as_options, cases, judged
from tests.simulation.planned import Step, When

COPIED = {"begin", "shown", "Prepare", "ListKeys", "CopyKeys", "SetFloor", "certificate", "final"}
MEMBERS = {
    "join": {"more"},
    "leave": {"members", "fewer"},
    "exchange": {"more", "fewer"},
    "lost": {"more", "fewer"},
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_takes_every_kind_of_step(change: str) -> None:
    shown = Run(change).execute()
    assert shown.problem == ""
    assert {step.kind for step in shown.steps} >= COPIED | MEMBERS[change]
    assert shown.acknowledged > 50


def test_a_run_is_the_same_each_time() -> None:
    kill = Kill(12, When.AFTER, Party.SOURCE)
    first, second = (Run("join", kill, story=True).execute() for _ in range(2))
    assert first.was_killed
    assert first.story == second.story


def test_each_step_is_met_before_and_after_with_each_party() -> None:
    steps = Run("leave").execute().steps
    every, some = list(kills(steps, every=True)), list(kills(steps, every=False))
    assert len(every) == len(steps) * 2 * len(Party)
    assert {steps[kill.number] for kill in some} == set(steps)


@pytest.mark.parametrize("party", Party)
def test_a_change_ends_whoever_is_killed_as_it_begins(party: Party) -> None:
    chosen = [case for case in cases("exchange", every=False) if case.kill.party is party]
    for case in chosen[::12]:
        assert judged(case).problem == "", as_options(case)


def test_a_change_that_nobody_gives_up_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """R20: the newcomer's disk is lost, and the change towards it is never abandoned."""

    def nothing(_ring: Ring) -> tuple[()]:
        return ()

    monkeypatch.setattr(planning, "abandon_lost", nothing)
    monkeypatch.setattr("becket.core.plans.progress.abandon_lost", nothing)
    monkeypatch.setattr(planning, "_abandon_vain", nothing)
    steps = Run("join").execute().steps
    number = next(n for n, step in enumerate(steps) if step.kind == "SetFloor")
    shown = Run("join", Kill(number, When.BEFORE, Party.TARGET_DISK)).execute()
    assert "does not end" in shown.problem


def test_a_write_that_is_lost_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Amid a change all members are killed, and come back without the cells that they had."""

    def forget(disk: SimulatedDisk, _rng: random.Random) -> None:
        disk.unsynced = []
        for image in (disk.view, disk.durable):
            image.cells.clear()
            image.digests.clear()

    def strike(run: Run, _step: Step, _party: Party) -> None:
        for process in run.planned.cluster.processes:
            run.planned.kill(process.name, away_us=1000)

    monkeypatch.setattr(SimulatedDisk, "crash", forget)
    monkeypatch.setattr(Run, "_strike", strike)
    shown = Run("join", Kill(12, When.AFTER, Party.SOURCE)).execute()
    assert "not shown to be linearizable" in shown.problem
