"""Leadership over a Lease of the fake API: several processes, faults, stops."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from becket.adapters.clocks import monotonic_us
from becket.adapters.kubernetes.lease import ADDRESS, LeaseLeadership
from becket.ports.leadership import Leader
from tests.unit.adapters.kubernetes.fake_api import (
    NAMESPACE,
    FakeApi,
    What,
    access_to,
    settings_for,
    until,
)
from tests.unit.adapters.kubernetes.fake_store import Json

PATH = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/becket-supervisor"


class Process:
    """A process with its part in the election."""

    def __init__(self, leadership: LeaseLeadership) -> None:
        self.leadership = leadership
        self.told = 0
        self.running = asyncio.create_task(leadership.run(self._note))

    def _note(self) -> None:
        self.told += 1

    async def end(self) -> None:
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)


class Rig:
    """Processes over one fake API, each with an access of its own."""

    def __init__(self, api: FakeApi, stack: AsyncExitStack) -> None:
        self.api = api
        self.stack = stack
        self.skew_us = 0
        """The first process's clock goes before by so much: it was paused."""
        self.processes: list[Process] = []

    async def join(self, name: str, **changed: int) -> Process:
        settings = settings_for(**{"call_ms": 300, **changed})
        access = await self.stack.enter_async_context(access_to(self.api, settings))
        clock = (lambda: monotonic_us() + self.skew_us) if not self.processes else monotonic_us
        rng = random.Random(len(self.processes))
        leadership = LeaseLeadership(access, name, f"{name}:7400", rng=rng, clock=clock)
        process = Process(leadership)
        self.stack.push_async_callback(process.end)
        self.processes.append(process)
        return process

    @property
    def lease(self) -> Json:
        found = self.api.take(PATH)
        assert found is not None
        return found

    @property
    def leaders(self) -> int:
        return sum(process.leadership.is_leader for process in self.processes)

    async def leads(self, process: Process) -> None:
        """Wait until the process leads; meanwhile there are never two leaders."""

        def met() -> bool:
            assert self.leaders <= 1
            return process.leadership.is_leader

        await until(met)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with FakeApi() as api, AsyncExitStack() as stack:
        yield Rig(api, stack)


async def test_the_first_one_leads_and_says_so_in_the_lease(rig: Rig) -> None:
    one = await rig.join("one")
    await rig.leads(one)
    spec = rig.lease["spec"]
    assert spec["holderIdentity"].startswith("one_")
    assert (spec["leaseTransitions"], spec["leaseDurationSeconds"]) == (1, 1)
    assert rig.lease["metadata"]["annotations"] == {ADDRESS: "one:7400"}
    assert one.leadership.term == 1
    assert one.leadership.leader == Leader("one", "one:7400")
    await until(lambda: one.told == 1)


async def test_it_renews_and_the_others_know_who_leads(rig: Rig) -> None:
    one = await rig.join("one")
    await rig.leads(one)
    two, three = await rig.join("two"), await rig.join("three")
    await rig.api.wait_asked("update", "leases", times=30)  # Some leases' times.
    assert one.leadership.is_leader
    for other in (two, three):
        assert not other.leadership.is_leader
        assert other.leadership.term == 0
        assert other.leadership.leader == Leader("one", "one:7400")
    assert rig.lease["spec"]["leaseTransitions"] == 1
    assert one.told == 1


async def test_who_stops_frees_the_lease_and_another_one_leads_soon(rig: Rig) -> None:
    one = await rig.join("one", lease_ms=60_000)
    await rig.leads(one)
    two = await rig.join("two", lease_ms=60_000)
    await until(lambda: two.leadership.leader)
    await one.leadership.release()
    assert not one.leadership.is_leader
    assert rig.lease["spec"]["holderIdentity"] == ""
    assert rig.lease["spec"]["leaseDurationSeconds"] == 1
    await rig.leads(two)
    assert two.leadership.term == 2
    await until(lambda: one.leadership.leader == Leader("two", "two:7400"))
    assert not one.leadership.is_leader


async def test_a_release_after_the_loop_was_ended_frees_it_too(rig: Rig) -> None:
    one = await rig.join("one")
    await rig.leads(one)
    await one.end()
    await one.leadership.release()
    assert rig.lease["spec"]["holderIdentity"] == ""


async def test_a_release_takes_nothing_from_another_holder(rig: Rig) -> None:
    one = await rig.join("one")
    await rig.leads(one)
    two = await rig.join("two")
    await two.leadership.release()
    assert rig.lease["spec"]["holderIdentity"].startswith("one_")


async def test_a_release_has_an_end_though_the_api_hangs(rig: Rig) -> None:
    one = await rig.join("one", call_ms=30)
    await rig.leads(one)
    rig.api.fail("hold", times=1000)
    await one.leadership.release()
    assert not one.leadership.is_leader


async def test_a_killed_leader_is_followed_after_the_lease_time_and_not_before(rig: Rig) -> None:
    one = await rig.join("one")
    await rig.leads(one)
    two = await rig.join("two")
    await until(lambda: two.leadership.leader)
    await one.end()
    version = rig.lease["metadata"]["resourceVersion"]
    assert one.leadership.is_leader  # By its clock, which runs on: others cannot know better.
    await rig.leads(two)
    assert rig.lease["metadata"]["resourceVersion"] != version
    assert two.leadership.term == 2


async def test_a_paused_leader_knows_at_once_that_it_is_none(rig: Rig) -> None:
    one = await rig.join("one")
    await rig.leads(one)
    assert one.leadership.term == 1
    rig.skew_us += 875_000
    assert not one.leadership.is_leader
    assert one.leadership.term == 0
    await rig.leads(one)  # Nobody took it meanwhile: another reign.
    assert one.leadership.term == 2


async def test_a_leader_that_is_cut_off_leads_no_more_when_others_may(rig: Rig) -> None:
    one = await rig.join("one")
    await rig.leads(one)
    two, three = await rig.join("two"), await rig.join("three")
    await until(lambda: two.leadership.leader and three.leadership.leader)
    one.leadership._access.client.configuration.host = "http://127.0.0.1:9"
    await until(lambda: not one.leadership.is_leader)
    await until(lambda: one.told == 2)
    assert one.leadership.problem
    await until(lambda: rig.leaders == 1)
    assert rig.lease["spec"]["leaseTransitions"] == 2


@pytest.mark.parametrize("what", ["drop_after", "drop_before", "hold", "hold_after", "refuse"])
async def test_a_renewal_without_an_answer_is_made_good(rig: Rig, what: What) -> None:
    one = await rig.join("one", call_ms=100)
    await rig.leads(one)
    fault = rig.api.fail(what, "update", "leases")
    await fault.met.wait()
    done = rig.api.count("update")
    await rig.api.wait_asked("update", times=done + 3)
    assert one.leadership.is_leader
    assert one.leadership.term == 1
    assert one.leadership.problem == ""


@pytest.mark.parametrize("what", ["drop_after", "hold_after"])
async def test_a_lease_that_was_taken_without_an_answer_is_led_under(rig: Rig, what: What) -> None:
    rig.api.fail(what, "create", "leases")
    one = await rig.join("one", call_ms=100)
    await rig.leads(one)
    assert rig.api.count("create") == 1
    assert one.leadership.term == rig.lease["spec"]["leaseTransitions"] == 2


async def test_who_loses_the_lease_to_another_one_notices_by_its_next_renewal(rig: Rig) -> None:
    one = await rig.join("one")
    await rig.leads(one)
    lease = rig.lease
    spec = {**lease["spec"], "holderIdentity": "person", "leaseTransitions": 9}
    rig.api.put(PATH, {"metadata": {}, "spec": spec})
    await until(lambda: not one.leadership.is_leader)
    await rig.leads(one)
    assert one.leadership.term == 10


async def test_what_others_write_into_the_lease_stays_and_disturbs_nothing(rig: Rig) -> None:
    one = await rig.join("one")
    await rig.leads(one)
    lease = rig.lease
    rig.api.put(PATH, {**lease, "metadata": {**lease["metadata"], "labels": {"a": "b"}}})
    done = rig.api.count("update")
    await rig.api.wait_asked("update", times=done + 3)
    assert one.leadership.is_leader
    assert rig.lease["metadata"]["labels"] == {"a": "b"}
    assert one.leadership.term == 1


async def test_a_deleted_lease_ends_the_reign_and_begins_a_higher_term(rig: Rig) -> None:
    one = await rig.join("one")
    await rig.leads(one)
    rig.api.remove(PATH)
    await until(lambda: not one.leadership.is_leader)
    await rig.leads(one)
    assert one.leadership.term == 2


async def test_a_higher_fence_is_outbid_at_once(rig: Rig) -> None:
    one = await rig.join("one", lease_ms=60_000, renew_ms=20_000)
    await rig.leads(one)
    one.leadership.outbid(7)
    await until(lambda: one.leadership.term == 8)
    assert rig.lease["spec"]["leaseTransitions"] == 8
    await until(lambda: one.told == 2)


async def test_a_missing_right_is_named_and_made_good(rig: Rig) -> None:
    rig.api.forbidden.add(("create", "leases"))
    one = await rig.join("one")
    await until(lambda: "may not create leases becket-supervisor" in one.leadership.problem)
    rig.api.forbidden.clear()
    await rig.leads(one)
    assert one.leadership.problem == ""


async def test_a_lease_that_says_nothing_is_free(rig: Rig) -> None:
    rig.api.put(PATH, {"spec": None})
    one = await rig.join("one")
    await rig.leads(one)
    assert one.leadership.term == 1
