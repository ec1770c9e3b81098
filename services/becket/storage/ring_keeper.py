"""The ring as this member knows it: adopted when newer, kept on the volume, given to who asks.

Owns adopting (KUBERNETES.md, the member's ring): storage learns the ring from the supervisor and
from peers, never from the Kubernetes API. Invariants: a disk belongs to one cluster for ever, the
one of its first ring; what is kept is byte for byte the ring object, so that a lost object can be
restored from here unchanged (PROTOCOL R1).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import grpc

from becket.adapters.rpc.channels import open_channel
from becket.adapters.rpc.ring_view import RingView
from becket.api.v1 import replica_pb2 as pb
from becket.api.v1 import replica_pb2_grpc as rpc
from becket.core.errors import WrongClusterError
from becket.core.ring.config import Config
from becket.core.ring.encoding import decode
from becket.core.ring.ring import Ring
from becket.storage.hellos import Hellos
from becket.storage.shell import Shell

FETCH_S = 2.0


class RingKeeper:
    """The ring of one member."""

    def __init__(self, view: RingView, shell: Shell, hellos: Hellos) -> None:
        self.view = view
        self.on_ring: Callable[[Ring], None] = _nothing
        """Called with each ring that was adopted."""
        self._shell = shell
        self._hellos = hellos
        self._fetching: asyncio.Task[None] | None = None

    @property
    def version(self) -> int:
        """The version of the ring that is kept; 0 for none."""
        return self.view.table.version

    @property
    def encoded(self) -> bytes:
        """The ring, byte for byte."""
        return self.view.encoded

    def restore(self, encoded: bytes) -> None:
        """Take up what the volume holds; raises InvalidInputError where that does not read."""
        if encoded:
            self._adopt(decode(encoded), encoded)

    def offer(self, cluster: str, encoded: bytes) -> None:
        """Take a ring if it is newer.

        :raises WrongClusterError: it belongs to another cluster than this disk.
        :raises InvalidInputError: it does not read, or no correct planner makes it.
        """
        ring = decode(encoded)
        if cluster and cluster != ring.cluster:
            raise WrongClusterError(f"a ring of {ring.cluster} was offered as one of {cluster}")
        self._check_cluster(ring.cluster)
        if ring.version > self.version:
            self._shell.keep_ring(encoded)
            self._adopt(ring, encoded)

    def offer_configs(self, cluster: str, configs: list[tuple[int, Config]]) -> None:
        """Take single replica sets, of which the ring follows later; raises WrongClusterError."""
        self._check_cluster(cluster)
        ring = self.view.ring
        if ring is None:
            return
        self._shell.offer((p, config) for p, config in configs if p < ring.partitions)

    def _check_cluster(self, cluster: str) -> None:
        own = self._hellos.cluster
        if own and own != cluster:
            raise WrongClusterError(f"this member belongs to {own}, not {cluster}")

    def _adopt(self, ring: Ring, encoded: bytes) -> None:
        if not self.view.offer_ring(ring, encoded):
            return
        self._hellos.cluster = ring.cluster
        self._hellos.ring_version = ring.version
        self._shell.offer(enumerate(ring.configs))
        done = self._shell.certificates
        for partition in [p for p, c in done.items() if ring.configs[p].gen > c.gen]:
            del done[partition]
        self.on_ring(ring)

    # From peers

    def fetch(self, address: str | None, version: int) -> None:
        """A peer has told of a newer ring: ask it, one peer at a time."""
        if version <= self.version or address is None:
            return
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(self._fetch(address))

    async def _fetch(self, address: str) -> None:
        channel = open_channel(address)
        try:
            request = pb.OfferRingRequest(cluster_id=self._hellos.cluster)
            answer = await rpc.ReplicaServiceStub(channel).OfferRing(request, timeout=FETCH_S)
            if answer.encoded_ring:
                self.offer(self._hellos.cluster, answer.encoded_ring)
        except (grpc.aio.AioRpcError, WrongClusterError):
            # The supervisor offers it too; the next hello brings another chance.
            return
        finally:
            await channel.close()

    async def close(self) -> None:
        """End a fetch under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)


def _nothing(_ring: Ring) -> None:
    """Until somebody wants to know."""
