"""The commands that ask about a cluster: their JSON forms, and what if nobody answers."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from becket.api.v1 import ring_pb2, types_pb2
from becket.api.v1 import supervisor_pb2 as pb
from becket.cli.members import state_of
from becket.cli.rings import new_names
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_services import (
    FakeBalancer,
    FakeRing,
    FakeSupervisor,
    member,
    serving,
)


@pytest.fixture
def rings() -> FakeRing:
    return FakeRing()  # type: ignore[abstract]  # the rest is not asked for


@pytest.fixture
def supervisor() -> FakeSupervisor:
    fake = FakeSupervisor()  # type: ignore[abstract]  # the rest is not asked for
    fake.members = [
        pb.MemberStatus(
            member=member(ordinal, zone="a"),
            liveness=pb.LIVENESS_ALIVE,
            pid=100 + ordinal,
            partitions=2,
            coordinating=1,
            used_bytes=1 << 20,
            total_bytes=1 << 22,
        )
        for ordinal in (10, 2)
    ]
    fake.status = pb.GetStatusResponse(
        cluster_id="test-1",
        ring_version=7,
        leader="supervisor-0",
        partitions=2,
        whole_partitions=1,
        degraded_partitions=1,
        wished_members=3,
        alive_members=2,
        sentences=["storage-1 is heard by most members no more"],
        plan=pb.Plan(
            plan_id="p1",
            state=pb.PLAN_STATE_RUNNING,
            total_bytes=2048,
            steps=[pb.PlanStep(state=pb.STEP_STATE_DONE), pb.PlanStep()],
        ),
    )
    return fake


@pytest.fixture
def target(rings: FakeRing, supervisor: FakeSupervisor) -> Iterator[str]:
    with serving(rings, supervisor) as address:
        yield address


def test_json_form_of_members(run: Run, target: str) -> None:
    result = run("members", "--target", target, "-o", "json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == [
        {
            "name": name,
            "state": "active",
            "address": address,
            "zone": "a",
            "pid": pid,
            "partitions": 2,
            "coordinating": 1,
        }
        for name, address, pid in (
            ("storage-2", "127.0.0.1:7502", 102),
            ("storage-10", "127.0.0.1:7510", 110),
        )
    ]


def test_nodes_are_shown_to_people_where_there_are_some(
    run: Run, target: str, supervisor: FakeSupervisor
) -> None:
    assert "NODE" not in run("members", "--target", target).stdout
    supervisor.members[0].member.node = "node-3"
    lines = run("members", "--target", target).stdout.splitlines()
    assert lines[0].endswith("NODE")
    assert lines[2].endswith("node-3")
    rows = json.loads(run("members", "--target", target, "-o", "json").stdout)
    assert all("node" not in row for row in rows)


def test_members_without_a_supervisor_come_from_the_ring(run: Run, rings: FakeRing) -> None:
    with serving(rings) as target:
        result = run("members", "--target", target, "-o", "json")
    rows = json.loads(result.stdout)
    assert [(row["name"], row["pid"]) for row in rows] == [
        ("storage-1", None),
        ("storage-2", None),
        ("storage-10", None),
    ]
    assert [(row["partitions"], row["coordinating"]) for row in rows] == [(2, 1), (2, 1), (1, 0)]
    assert "no supervisor answers" in result.stderr


@pytest.mark.parametrize(
    ("state", "liveness", "word"),
    [
        (types_pb2.MEMBER_STATE_ACTIVE, pb.LIVENESS_ALIVE, "active"),
        (types_pb2.MEMBER_STATE_ACTIVE, pb.LIVENESS_SUSPECT, "suspect"),
        (types_pb2.MEMBER_STATE_ACTIVE, pb.LIVENESS_DEAD, "dead"),
        (types_pb2.MEMBER_STATE_DRAINING, pb.LIVENESS_ALIVE, "draining"),
        (types_pb2.MEMBER_STATE_DRAINING, pb.LIVENESS_DEAD, "dead"),
        (types_pb2.MEMBER_STATE_GONE, pb.LIVENESS_DEAD, "gone"),
    ],
)
def test_the_state_of_a_member(
    state: types_pb2.MemberState.ValueType, liveness: pb.Liveness.ValueType, word: str
) -> None:
    found = pb.MemberStatus(member=types_pb2.Member(state=state), liveness=liveness)
    assert state_of(found) == word


def test_json_form_of_locate(run: Run, target: str, rings: FakeRing) -> None:
    result = run("ring", "locate", "k", "--target", target, "-o", "json")
    assert json.loads(result.stdout) == {
        "partition": 1,
        "coordinator": "storage-2",
        "replicas": ["storage-2", "storage-1"],
    }
    rings.located = ring_pb2.LocateResponse(partition=3, replicas=[member(2)])
    result = run("ring", "locate", "k", "--target", target, "-o", "json")
    assert json.loads(result.stdout)["coordinator"] is None


def test_json_form_of_the_ring(run: Run, target: str) -> None:
    found = json.loads(run("ring", "show", "--target", target, "-o", "json").stdout)
    assert (found["cluster"], found["version"], found["replicas"]) == ("test-1", 7, 2)
    assert found["members"][2] == {
        "name": "storage-10",
        "disk": "disk-10",
        "state": "active",
        "zone": "",
        "weight": 100,
        "partitions": 1,
        "coordinating": 0,
    }
    assert found["partitions"][1] == {
        "partition": 1,
        "generation": 3,
        "replicas": ["storage-2", "storage-1"],
        "joining": ["storage-2", "storage-10"],
        "coordinator": "storage-2",
    }


def test_the_ring_as_a_table(run: Run, target: str) -> None:
    result = run("ring", "show", "--partitions", "--target", target)
    assert "ring version 7 of cluster test-1: 2 partitions, 2 replicas of each" in result.stdout
    assert "storage-2 storage-1  storage-2 storage-10" in result.stdout


def test_explain_asks_what_if(run: Run, target: str, rings: FakeRing) -> None:
    result = run(
        "ring", "explain", "k", "--joining", "2", "--leaving", "storage-1", "--target", target
    )
    assert rings.explained is not None
    assert [each.name for each in rings.explained.joining] == ["storage-11", "storage-12"]
    assert list(rings.explained.leaving) == ["storage-1"]
    assert "- because" in result.stdout
    assert "moves 3 copies" in result.stdout
    form = json.loads(run("ring", "explain", "k", "--target", target, "-o", "json").stdout)
    assert set(form) == {
        *("slot", "partition", "replicas", "replicas_after", "moved_copies", "sentences"),
    }
    result = run("ring", "explain", "k", "--leaving", "storage-9", "--target", target)
    assert result.exit_code == 7
    assert "becket members and becket plan list" in result.stderr


def test_names_of_new_members_go_on() -> None:
    assert new_names(["storage-0", "storage-4", "other"], 2) == ["storage-5", "storage-6"]
    assert new_names([], 1) == ["storage-0"]


def test_status(run: Run, target: str) -> None:
    found = json.loads(run("status", "--target", target, "-o", "json").stdout)
    assert (found["whole"], found["degraded"], found["stalled"]) == (1, 1, 0)
    assert (found["plan"]["steps"], found["plan"]["steps_done"]) == (2, 1)
    text = run("status", "--target", target).stdout
    assert "partitions  2: 1 whole, 1 degraded, 0 stalled" in text
    assert "members     2 alive of 3 wished" in text
    assert "plan        p1 running: 1 of 2 steps, 0 of 2,048 bytes" in text
    assert "- storage-1 is heard by most members no more" in text


def test_status_tells_how_fast_a_running_plan_goes_and_why_not_faster(
    run: Run, target: str, supervisor: FakeSupervisor
) -> None:
    told = supervisor.status.throttle
    told.moving_partitions, told.restoring_partitions, told.halvings = 0.25, 4, 3
    told.partitions_per_second, told.bytes_per_second = 12.5, 3_400_000
    for duration, us in (
        (told.foreground_p99, 9100),
        (told.p99_limit, 6200),
        (told.steady_p99, 5166),
        (told.rest, 800_000),
        (told.since_halving, 4_200_000),
        (told.halving_p99, 9400),
        (told.halving_limit, 6200),
    ):
        duration.FromMicroseconds(us)
    lines = run("status", "--target", target).stdout.splitlines()
    pause, rates = "one, and a pause after it", "12.5 partitions/s, 3.4 MB/s"
    assert lines[5:9] == [
        f"pace        partitions at once: 0.25 moving ({pause}), 4 restored; measured {rates}",
        "foreground  p99 is 9.1 ms, 6.2 ms are allowed; while nothing moved it was 5.2 ms",
        "halved      3 times, last 4.2 s ago: p99 was 9.4 ms, 6.2 ms were allowed",
        "rest        0.8 s before a plan begins that only balances",
    ]
    found = json.loads(run("status", "--target", target, "-o", "json").stdout)["throttle"]
    assert found == {
        "moving": 0.25,
        "restoring": 4.0,
        "p99_ms": 9.1,
        "limit_ms": 6.2,
        "steady_ms": 5.166,
        "rest_s": 0.8,
        "halvings": 3,
        "last_halving": {"ago_s": 4.2, "p99_ms": 9.4, "limit_ms": 6.2},
        "partitions_per_s": 12.5,
        "bytes_per_s": 3_400_000.0,
    }
    supervisor.status.plan.state = pb.PLAN_STATE_PAUSED
    assert "foreground" not in run("status", "--target", target).stdout


def test_status_of_a_throttle_that_has_nothing_to_tell(
    run: Run, target: str, supervisor: FakeSupervisor
) -> None:
    def told() -> object:
        return json.loads(run("status", "--target", target, "-o", "json").stdout)["throttle"]

    assert told() is None, "an older supervisor does not tell"
    assert "foreground" not in run("status", "--target", target).stdout
    told_of = supervisor.status.throttle
    told_of.moving_partitions, told_of.restoring_partitions = 64, 64
    text = run("status", "--target", target).stdout
    assert "partitions at once: 64 moving, 64 restored; no rate is measured yet" in text
    assert (
        "foreground  hardly anybody calls: only members that have too much to do slow it down"
        in text
    )
    assert "halved" not in text
    supervisor.status.throttle.foreground_p99.FromMicroseconds(3000)
    assert "while nothing moved it was not known" in run("status", "--target", target).stdout


def test_top_once(run: Run, target: str) -> None:
    result = run("top", "--once", "--target", target)
    assert result.exit_code == 0
    assert "USED MiB  DISK %" in result.stdout
    assert "1.0    25.0" in result.stdout
    result = run("top", "--target", target)
    assert result.exit_code == 2
    assert "--once" in result.stderr


def test_top_shows_load_and_hot_keys(run: Run) -> None:
    fake, balancer = FakeSupervisor(), FakeBalancer()  # type: ignore[abstract]  # as above
    fake.members = [pb.MemberStatus(member=member(1))]
    load = balancer.weights.members.add(disk_id="disk-1", weight=0.75, operations_per_second=1234)
    load.latency.FromMicroseconds(2500)
    load.cpu_utilization = 0.5
    balancer.weights.hot_keys.add(key=b"hot", reads_per_second=900)
    balancer.weights.hot_keys.add(key=b"\xff", reads_per_second=9)
    balancer.weights.wide_keys.add(key=b"hot")
    with serving(FakeRing(), fake, balancer) as target:  # type: ignore[abstract]
        text = run("top", "--once", "--target", target).stdout
    assert "OPS/S   MS  CPU %  WEIGHT" in text
    assert "1234  2.5   50.0  0.75" in text
    assert "hot          900  wide" in text
    assert "\\xff" in text


def test_nobody_answers(run: Run) -> None:
    with socket.socket() as taken:
        # Bound, but nobody listens.
        taken.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{taken.getsockname()[1]}"
        for command in (("members",), ("status",), ("ring", "show"), ("get", "k")):
            result = run(*command, "--target", target, "--timeout", "300ms")
            assert result.exit_code == 6, result.output
            assert f"nobody answers at {target}" in result.stderr
            assert "becket up" in result.stderr


def test_who_answers_is_something_else(run: Run) -> None:
    with serving() as target:
        result = run("status", "--target", target)
    assert result.exit_code == 6
    assert "does not know this call" in result.stderr


@pytest.mark.parametrize("target", ["nowhere", ":1", "host:", "host:x", "host:0", "host:70000"])
def test_a_target_that_is_none(run: Run, target: str) -> None:
    for command in ("get", "members"):
        arguments = (command, "k") if command == "get" else (command,)
        result = run(*arguments, "--target", target)
        assert result.exit_code == 2
        assert "host:port" in result.stderr


def test_version(run: Run) -> None:
    assert run("version").stdout.startswith("becket 0.")
    assert set(json.loads(run("version", "-o", "json").stdout)) == {
        "becket",
        "api",
        "python",
        "compiled",
    }
