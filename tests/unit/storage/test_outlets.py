"""Which answers to a peer's claims may wait for the next beat to it."""

from __future__ import annotations

import pytest

from becket.api.v1 import replica_pb2 as pb
from becket.core.replication.messages import ClaimReply
from becket.storage.replica_service import _Outlet

PLAIN = ClaimReply(1, 0, unknown=False, except_=(), clock_us=5, level=(3, 4), bounded=())
READS = pb.Hello(reads_replies_in_requests=True)


def test_only_what_says_nothing_new_may_wait() -> None:
    outlet = _Outlet(READS)
    assert not outlet.may_wait(PLAIN)
    assert outlet.may_wait(PLAIN._replace(id=2, clock_us=9))
    assert not outlet.may_wait(PLAIN._replace(level=(3,)))
    assert outlet.may_wait(PLAIN._replace(level=(3,)))
    assert not outlet.may_wait(PLAIN._replace(level=(3,), except_=(4,)))


@pytest.mark.parametrize(
    "wanted",
    [PLAIN._replace(lease_us=1), PLAIN._replace(bounded=(3,)), PLAIN._replace(unknown=True)],
)
def test_what_somebody_waits_for_goes_at_once(wanted: ClaimReply) -> None:
    outlet = _Outlet(READS)
    outlet.may_wait(PLAIN)
    assert not outlet.may_wait(wanted)
    assert outlet.may_wait(PLAIN)


def test_a_peer_that_reads_no_answers_in_requests_gets_them_at_once() -> None:
    outlet = _Outlet(pb.Hello())
    outlet.may_wait(PLAIN)
    assert not outlet.may_wait(PLAIN)
