"""Whom a member listens to: its own cluster, the disk it dialled, no replaced process."""

from __future__ import annotations

import pytest

from becket.api.v1 import replica_pb2 as pb
from becket.core.errors import WrongClusterError
from becket.core.replication.versions import Identity
from becket.storage.hellos import Hellos


def hellos(cluster: str = "c") -> Hellos:
    found = Hellos(Identity("own", 3))
    found.cluster = cluster
    return found


def test_what_it_says() -> None:
    said = hellos().say("peer")
    assert (said.cluster_id, said.disk_id, said.incarnation) == ("c", "own", 3)
    assert said.peer_disk_id == "peer"


def test_whom_it_takes() -> None:
    hello = pb.Hello(cluster_id="c", disk_id="peer", incarnation=2, peer_disk_id="own")
    assert hellos().check(hello) == Identity("peer", 2)
    assert hellos("").check(hello) == Identity("peer", 2)
    assert hellos().check(pb.Hello(disk_id="new", incarnation=1)) == Identity("new", 1)


@pytest.mark.parametrize(
    ("hello", "said"),
    [
        (pb.Hello(cluster_id="c"), "names a disk"),
        (pb.Hello(cluster_id="other", disk_id="peer"), "belongs to c"),
        (pb.Hello(cluster_id="c", disk_id="peer", peer_disk_id="old"), "this is disk own"),
    ],
)
def test_whom_it_refuses(hello: pb.Hello, said: str) -> None:
    with pytest.raises(WrongClusterError, match=said):
        hellos().check(hello)


def test_another_disk_at_the_address_is_refused() -> None:
    with pytest.raises(WrongClusterError, match="disk a was dialled, b answers"):
        hellos().check(pb.Hello(cluster_id="c", disk_id="b", incarnation=1), "a")


def test_a_process_that_was_replaced_is_refused_until_it_is_forgotten() -> None:
    known = hellos()
    known.check(pb.Hello(cluster_id="c", disk_id="peer", incarnation=5))
    old = pb.Hello(cluster_id="c", disk_id="peer", incarnation=4)
    with pytest.raises(WrongClusterError, match="was replaced"):
        known.check(old)
    known.forget_others(frozenset({"someone"}))
    assert known.check(old) == Identity("peer", 4)
