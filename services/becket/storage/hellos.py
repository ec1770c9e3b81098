"""Who speaks on a stream between members, and whether to listen.

Owns the check of the first message of every stream (``replica.proto``): same cluster, the disk
that was dialled, and no process older than one that was heard. An address proves nothing: after a
restart another pod may answer at it (KUBERNETES.md, identity).
"""

from __future__ import annotations

from becket.api.v1 import replica_pb2 as pb
from becket.core.errors import WrongClusterError
from becket.core.replication.versions import Identity
from becket.core.ring.config import Disk


class Hellos:
    """What this process says of itself, and whom it has heard."""

    def __init__(self, own: Identity) -> None:
        self.own = own
        self.cluster = ""
        """Empty until a ring has told it."""
        self.ring_version = 0
        self.address = ""
        """Where this process answers; empty where it has not been told."""
        self._heard: dict[Disk, int] = {}

    def say(self, peer: Disk = "") -> pb.Hello:
        """The first message to a peer; ``peer`` empty: to whoever answers."""
        return pb.Hello(
            cluster_id=self.cluster,
            disk_id=self.own.disk,
            incarnation=self.own.incarnation,
            peer_disk_id=peer,
            ring_version=self.ring_version,
            address=self.address,
            reads_replies_in_requests=True,
        )

    def check(self, hello: pb.Hello, dialled: Disk = "") -> Identity:
        """Who has said this.

        :raises WrongClusterError: somebody that this process must not listen to.
        """
        if not hello.disk_id:
            raise WrongClusterError("a stream begins with a hello that names a disk")
        if hello.cluster_id and self.cluster and hello.cluster_id != self.cluster:
            raise WrongClusterError(
                f"this member belongs to {self.cluster}, not {hello.cluster_id}"
            )
        if hello.peer_disk_id and hello.peer_disk_id != self.own.disk:
            raise WrongClusterError(f"this is disk {self.own.disk}, not {hello.peer_disk_id}")
        if dialled and hello.disk_id != dialled:
            raise WrongClusterError(f"disk {dialled} was dialled, {hello.disk_id} answers")
        known = self._heard.get(hello.disk_id, 0)
        if hello.incarnation < known:
            raise WrongClusterError(f"process {hello.incarnation} of {hello.disk_id} was replaced")
        self._heard[hello.disk_id] = hello.incarnation
        return Identity(hello.disk_id, hello.incarnation)

    def forget_others(self, disks: frozenset[Disk]) -> None:
        """Keep in mind only these disks."""
        self._heard = {d: n for d, n in self._heard.items() if d in disks}
