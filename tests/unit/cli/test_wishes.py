"""The commands that change a cluster: what they ask for, and when they say that it is done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from becket.api.v1 import supervisor_pb2 as pb
from becket.api.v1 import types_pb2
from becket.cli import wishes
from becket.cli.exits import Exit
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_services import FakeSupervisor, member, serving

Context = Any


class Wished(FakeSupervisor):
    """Remembers what was wished for; each look at the members comes from ``looks``."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: list[int] = []
        self.drained: list[str] = []
        self.undrained: list[str] = []
        self.gone: list[str] = []
        self.away = 0
        self.looks: list[list[pb.MemberStatus]] = []

    def SetMemberCount(  # noqa: N802
        self, request: pb.SetMemberCountRequest, context: Context
    ) -> pb.SetMemberCountResponse:
        if self.away:
            self.away -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "no supervisor leads")
        if request.count < 3:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "count: must be in 3..64")
        self.counts.append(request.count)
        return pb.SetMemberCountResponse(previous_count=3, count=request.count)

    def DrainMember(  # noqa: N802
        self, request: pb.DrainMemberRequest, context: Context
    ) -> pb.DrainMemberResponse:
        del context
        self.drained.append(request.name)
        return pb.DrainMemberResponse(sentences=["it serves what it holds until then"])

    def UndrainMember(  # noqa: N802
        self, request: pb.UndrainMemberRequest, context: Context
    ) -> pb.UndrainMemberResponse:
        if request.name == "storage-9":
            context.abort(grpc.StatusCode.NOT_FOUND, "there is no member 'storage-9'")
        self.undrained.append(request.name)
        return pb.UndrainMemberResponse(member=member(1))

    def DeclareDiskGone(  # noqa: N802
        self, request: pb.DeclareDiskGoneRequest, context: Context
    ) -> pb.DeclareDiskGoneResponse:
        del context
        self.gone.append(request.confirm)
        is_declared = request.confirm == "disk-1"
        sentences = ["it is gone"] if is_declared else ["what only it held would be lost"]
        return pb.DeclareDiskGoneResponse(
            disk_id="disk-1", declared=is_declared, sentences=sentences
        )

    def ListMembers(  # noqa: N802
        self, request: pb.ListMembersRequest, context: Context
    ) -> pb.ListMembersResponse:
        del request, context
        now = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        return pb.ListMembersResponse(members=now)


def holding(ordinal: int, partitions: int, *, draining: bool = False) -> pb.MemberStatus:
    state = types_pb2.MEMBER_STATE_DRAINING if draining else types_pb2.MEMBER_STATE_ACTIVE
    return pb.MemberStatus(
        member=member(ordinal, state=state), liveness=pb.LIVENESS_ALIVE, partitions=partitions
    )


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Wished:
    monkeypatch.setattr(wishes, "LOOK_S", 0.01)
    monkeypatch.setattr(wishes, "_PAUSE_S", 0.01)
    fake = Wished()  # type: ignore[abstract]  # the rest is not asked for
    fake.status = pb.GetStatusResponse(
        cluster_id="c-1",
        ring_version=4,
        partitions=2,
        whole_partitions=2,
        sentences=["all is well"],
    )
    return fake


@pytest.fixture
def target(supervisor: Wished) -> Iterator[str]:
    with serving(None, supervisor) as address:
        yield address


def test_scale_says_what_follows(run: Run, target: str, supervisor: Wished) -> None:
    result = run("scale", "5", "--target", target)
    assert result.stdout == "5 members are wished for, 3 were before: members join\n"
    assert "3 were before: members join" in run("scale", "4", "--target", target).stdout
    assert run("scale", "3", "--target", target).stdout == "3 members were wished for already\n"
    assert supervisor.counts == [5, 4, 3]
    result = run("scale", "2", "--target", target)
    assert result.exit_code == Exit.NOT_DONE
    assert "must be in 3..64" in result.stderr
    assert run("scale", "0", "--target", target).exit_code == Exit.USAGE


def test_a_wish_is_repeated_while_nobody_leads(
    run: Run, target: str, supervisor: Wished, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor.away = 2
    assert run("scale", "5", "--target", target).exit_code == Exit.DONE
    assert supervisor.counts == [5]
    monkeypatch.setattr(wishes, "WISH_S", 0.0)
    supervisor.away = 1
    result = run("scale", "5", "--target", target)
    assert result.exit_code == Exit.UNREACHABLE
    assert "no supervisor leads" in result.stderr


def test_scale_waits_until_nobody_else_holds_anything(
    run: Run, target: str, supervisor: Wished
) -> None:
    supervisor.looks = [
        [holding(0, 2), holding(1, 2), holding(2, 1), holding(3, 1)],
        [holding(0, 2), holding(1, 2), holding(2, 1), holding(3, 1, draining=True)],
        [holding(0, 2), holding(1, 2), holding(2, 2), holding(3, 0, draining=True)],
    ]
    result = run("scale", "3", "--wait", "--target", target)
    assert result.exit_code == Exit.DONE
    assert result.stdout.endswith("done\n")
    assert "4 members of 3 are active" in result.stderr
    assert "3 members of 3 are active, 1 others hold copies" in result.stderr


def test_what_is_not_done_in_time_goes_on(run: Run, target: str, supervisor: Wished) -> None:
    supervisor.looks = [[holding(1, 2, draining=True)]]
    result = run("drain", "storage-1", "--wait", "--within", "50ms", "--target", target)
    assert result.exit_code == Exit.UNKNOWN
    assert "storage-1 still holds 2 copies" in result.stderr
    assert "it goes on" in result.stderr
    supervisor.looks = [[holding(1, 0, draining=True)]]
    assert run("drain", "storage-1", "--wait", "--target", target).exit_code == Exit.DONE
    assert supervisor.drained == ["storage-1", "storage-1"]


def test_undrain_and_a_name_that_nobody_has(run: Run, target: str, supervisor: Wished) -> None:
    assert run("undrain", "storage-1", "--target", target).stdout.startswith("storage-1 is given")
    assert supervisor.undrained == ["storage-1"]
    result = run("undrain", "storage-9", "--target", target)
    assert result.exit_code == Exit.NOT_FOUND
    assert "becket members and becket plan list" in result.stderr


def test_recover_tells_what_is_waited_for(run: Run, target: str, supervisor: Wished) -> None:
    result = run("ring", "recover", "--target", target)
    assert result.stdout.splitlines() == [
        "- the ring of cluster c-1 is there, version 4",
        "- all is well",
    ]
    supervisor.status = pb.GetStatusResponse(sentences=["disk d1 (storage-1) is missing"])
    result = run("ring", "recover", "--target", target)
    assert result.stdout == "- there is no ring\n- disk d1 (storage-1) is missing\n"


def test_a_disk_is_given_up_only_by_its_id(run: Run, target: str, supervisor: Wished) -> None:
    line = ("ring", "recover", "--declare-gone", "storage-1", "--target", target)
    result = run(*line, stdin=b"yes\n")
    assert result.exit_code == Exit.USAGE
    assert "what only it held would be lost" in result.stdout
    assert "nothing was declared: yes is not disk-1" in result.stderr
    assert supervisor.gone == [""]
    result = run(*line, stdin=b"disk-1\n")
    assert result.exit_code == Exit.DONE
    assert result.stdout.endswith("- it is gone\n")
    assert run(*line, "--confirm", "disk-1").exit_code == Exit.DONE
    assert supervisor.gone == ["", "", "disk-1", "", "disk-1"]
