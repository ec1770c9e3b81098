"""Fake members: real servers on loopback ports that answer as a test wants.

Owns a cluster of them with one store, which executes operations and keeps records as R26-R30 ask
for, as far as a caller can see; and a clock that only a test moves. Must not be clever: what a test
wants to go wrong, it scripts.
"""

# ruff: noqa: ARG002, N802 - the generated servicer names its methods and their parameters
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Self

import grpc
from grpc_status import rpc_status

from becket.adapters.rpc.errors import to_status
from becket.adapters.rpc.rings import coordinator_to_proto, ring_to_proto, version_to_proto
from becket.api.v1 import errors_pb2, key_value_pb2_grpc, ring_pb2, ring_pb2_grpc, types_pb2
from becket.api.v1 import key_value_pb2 as kv
from becket.core.errors import BecketError, ConditionFailedError, WrongMemberError
from becket.core.replication.versions import Epoch, Version
from becket.core.ring.config import first_config
from becket.core.ring.members import Member
from becket.core.ring.ring import Ring

Context = grpc.aio.ServicerContext[Any, Any]
Write = kv.PutRequest | kv.DeleteRequest | kv.IncrementRequest
Script = Callable[["FakeMember", kv.PipelineRequest], "kv.PipelineResponse | None"]
"""Answers a batch; None: never."""


class FakeClock:
    """Time that stands still until a test moves it."""

    def __init__(self) -> None:
        self._now_us = 1_000_000_000
        self._due: list[tuple[int, Callable[[], None]]] = []

    def now_us(self) -> int:
        return self._now_us

    def call_later(self, delay_us: int, callback: Callable[[], None]) -> None:
        self._due.append((self._now_us + delay_us, callback))

    def advance(self, ms: float) -> None:
        """Let time pass, in steps of 5 ms, so that timers fire in their order."""
        end_us = self._now_us + int(ms * 1000)
        while self._now_us < end_us:
            self._now_us = min(end_us, self._now_us + 5000)
            due = [each for each in self._due if each[0] <= self._now_us]
            self._due = [each for each in self._due if each[0] > self._now_us]
            for _, callback in due:
                callback()


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until ``condition`` holds; fail after 5 s."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is awaited is on the other side of a socket
            await asyncio.sleep(0.001)


class FakeMember(key_value_pb2_grpc.KeyValueServiceServicer, ring_pb2_grpc.RingServiceServicer):
    """One member: its server, what it was asked, and how it answers."""

    def __init__(self, cluster: FakeCluster, disk: str) -> None:
        self.cluster = cluster
        self.disk = disk
        self.address = ""
        self.batches: list[kv.PipelineRequest] = []
        self.scans: list[kv.ScanRequest] = []
        self.asked: list[str] = []
        self.script: Script | None = None
        self.streams = 0
        self.is_router = False
        """Whether listings are answered for every partition."""
        self._withheld: dict[int, int] = {}
        self._gate = asyncio.Event()
        self._gate.set()
        self._server: grpc.aio.Server | None = None
        self._writers: set[asyncio.Queue[kv.PipelineResponse | None]] = set()

    async def start(self) -> None:
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        key_value_pb2_grpc.add_KeyValueServiceServicer_to_server(self, server)
        ring_pb2_grpc.add_RingServiceServicer_to_server(self, server)
        port = server.add_insecure_port(self.address or "127.0.0.1:0")
        self.address = f"127.0.0.1:{port}"
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """Break every stream and every connection."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop(None)

    def hold(self) -> None:
        """Take batches and answer none until ``release``."""
        self._gate.clear()

    def release(self) -> None:
        self._gate.set()

    def say(self, answer: kv.PipelineResponse) -> None:
        """Send the last part of an answer on the one stream that there is."""
        (writer,), (number,) = self._writers, self._withheld
        self._withheld[number] -= 1
        writer.put_nowait(answer)

    def end_streams(self) -> None:
        """End every stream in order, as a member does that stops."""
        for writer in self._writers:
            writer.put_nowait(None)

    @property
    def operations(self) -> list[kv.Operation]:
        """Every operation that has arrived here, in order."""
        return [operation for batch in self.batches for operation in batch.operations]

    # KeyValueService

    async def Pipeline(
        self, request_iterator: AsyncIterator[kv.PipelineRequest], context: Context
    ) -> AsyncIterator[kv.PipelineResponse]:
        self.streams += 1
        number = self.streams
        self._withheld[number] = 0
        answers: asyncio.Queue[kv.PipelineResponse | None] = asyncio.Queue()
        self._writers.add(answers)
        reading = asyncio.create_task(self._read(request_iterator, answers, number))
        try:
            while (answer := await answers.get()) is not None:
                yield answer
        finally:
            self._writers.discard(answers)
            self._withheld.pop(number)
            reading.cancel()

    async def _read(
        self,
        requests: AsyncIterator[kv.PipelineRequest],
        answers: asyncio.Queue[kv.PipelineResponse | None],
        number: int,
    ) -> None:
        async with asyncio.TaskGroup() as group:
            async for request in requests:
                self.batches.append(request)
                self._withheld[number] += 1
                group.create_task(self._answer(request, answers, number))
        answers.put_nowait(None)

    async def _answer(
        self,
        request: kv.PipelineRequest,
        answers: asyncio.Queue[kv.PipelineResponse | None],
        number: int,
    ) -> None:
        await self._gate.wait()
        script = self.script or FakeMember.execute
        answer = script(self, request)
        if answer is not None:
            if not answer.more:
                self._withheld[number] -= 1
            answers.put_nowait(answer)

    @property
    def withheld(self) -> int:
        """Batches that have arrived and are not answered, by the will of the test."""
        return sum(self._withheld.values())

    @property
    def is_running(self) -> bool:
        """Whether it answers at its address."""
        return self._server is not None

    def execute(self, request: kv.PipelineRequest) -> kv.PipelineResponse:
        """Answer as a member does that is whole."""
        answer = kv.PipelineResponse(batch_id=request.batch_id)
        answer.results.extend(self.cluster.execute(self, list(request.operations)))
        for partition in {self.cluster.partition_of(op) for op in request.operations}:
            stamp = answer.stamps.add(partition=partition)
            stamp.version.CopyFrom(version_to_proto(self.cluster.stamp(partition)))
        return answer

    async def Scan(self, request: kv.ScanRequest, context: Context) -> kv.ScanResponse:
        self.scans.append(request)
        ring = self.cluster.ring
        for partition in request.partitions:
            if self.cluster.coordinators[partition] != self.disk and not self.is_router:
                await _abort(context, WrongMemberError(partition))
        found = [
            kv.Entry(key=key, value=value, version=version)
            for key, (value, version) in sorted(self.cluster.store.items())
            if ring.partition_of(key) in request.partitions
            and key.startswith(request.prefix)
            and key >= request.start
            and (not request.end or key < request.end)
            and key > request.page_token
        ]
        size = request.page_size or 100
        more = found[size - 1].key if len(found) > size else b""
        return kv.ScanResponse(entries=found[:size], next_page_token=more)

    async def Get(self, request: kv.GetRequest, context: Context) -> kv.GetResponse:
        raise NotImplementedError

    async def Put(self, request: kv.PutRequest, context: Context) -> kv.PutResponse:
        raise NotImplementedError

    async def Delete(self, request: kv.DeleteRequest, context: Context) -> kv.DeleteResponse:
        raise NotImplementedError

    async def Increment(
        self, request: kv.IncrementRequest, context: Context
    ) -> kv.IncrementResponse:
        raise NotImplementedError

    async def Batch(self, request: kv.BatchRequest, context: Context) -> kv.BatchResponse:
        raise NotImplementedError

    # RingService

    async def Explain(
        self, request: ring_pb2.ExplainRequest, context: Context
    ) -> ring_pb2.ExplainResponse:
        raise NotImplementedError

    async def GetRing(
        self, request: ring_pb2.GetRingRequest, context: Context
    ) -> ring_pb2.GetRingResponse:
        self.asked.append("GetRing")
        return ring_pb2.GetRingResponse(
            ring=self.cluster.ring_proto(), coordinators=self.cluster.coordinator_protos()
        )

    async def Locate(
        self, request: ring_pb2.LocateRequest, context: Context
    ) -> ring_pb2.LocateResponse:
        self.asked.append("Locate")
        answer = ring_pb2.LocateResponse(partition=request.partition)
        answer.coordinator.CopyFrom(self.cluster.coordinator_proto(request.partition))
        return answer

    async def WatchRing(
        self, request: ring_pb2.WatchRingRequest, context: Context
    ) -> AsyncIterator[ring_pb2.WatchRingResponse]:
        serial = -1
        while True:
            await self.cluster.told.wait()
            if serial != self.cluster.serial:
                serial = self.cluster.serial
                yield ring_pb2.WatchRingResponse(
                    ring=self.cluster.ring_proto(), coordinators=self.cluster.coordinator_protos()
                )
            await self.cluster.changed.wait()


async def _abort(context: Context, error: BecketError) -> None:
    await context.abort_with_status(rpc_status.to_status(to_status(error)))


class FakeCluster:
    """Members with one store, and who coordinates what."""

    def __init__(self, members: int = 3, partitions: int = 8) -> None:
        disks = [f"disk-{i}" for i in range(members)]
        configs = tuple(
            first_config(tuple(disks[(p + i) % members] for i in range(min(3, members))))
            for p in range(partitions)
        )
        self.ring = Ring(
            version=1,
            cluster="c",
            replicas=min(3, members),
            members=tuple(Member(disk, f"storage-{i}") for i, disk in enumerate(disks)),
            configs=configs,
        )
        self.coordinators = {p: config.old[0] for p, config in enumerate(configs)}
        self.counters = dict.fromkeys(range(partitions), 1)
        self.sequences = dict.fromkeys(range(partitions), 1)
        self.store: dict[bytes, tuple[bytes, bytes]] = {}
        self.records: dict[tuple[bytes, str], tuple[int, list[kv.Result]]] = {}
        self.executed: list[kv.Operation] = []
        self.members = {disk: FakeMember(self, disk) for disk in disks}
        self.serial = 0
        self.changed = asyncio.Event()
        self.told = asyncio.Event()
        """While it is not set, no watch says anything."""
        self.told.set()

    async def __aenter__(self) -> Self:
        for member in self.members.values():
            await member.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(member.stop() for member in self.members.values()))

    @property
    def addresses(self) -> list[str]:
        return [member.address for member in self.members.values()]

    def member_of(self, key: bytes) -> FakeMember:
        """The member that coordinates a key."""
        return self.members[self.coordinators[self.ring.partition_of(key)]]

    def keys(self, disk: str, count: int) -> list[bytes]:
        """Keys that this member coordinates."""
        found: list[bytes] = []
        number = 0
        while len(found) < count:
            key = b"key%d" % number
            if self.coordinators[self.ring.partition_of(key)] == disk:
                found.append(key)
            number += 1
        return found

    def partition_of(self, operation: kv.Operation) -> int:
        kind = operation.WhichOneof("operation")
        assert kind is not None
        return self.ring.partition_of(getattr(operation, kind).key)

    def move(self, partition: int, disk: str, *, tell: bool = True) -> None:
        """Another member coordinates the partition from now on."""
        self.coordinators[partition] = disk
        self.counters[partition] += 1
        self.sequences[partition] = 0
        if tell:
            self.tell()

    def tell(self) -> None:
        """Let every watch tell what there is."""
        self.serial += 1
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    def epoch(self, partition: int) -> Epoch:
        return Epoch(self.counters[partition], self.coordinators[partition], 1)

    def stamp(self, partition: int) -> Version:
        return Version(self.epoch(partition), self.sequences[partition])

    def ring_proto(self) -> types_pb2.Ring:
        addresses = {m.name: self.members[m.disk].address for m in self.ring.members}
        return ring_to_proto(self.ring, addresses.get)

    def coordinator_proto(self, partition: int) -> types_pb2.Coordinator:
        disk = self.coordinators[partition]
        name, address = self.ring.name_of(disk), self.members[disk].address
        return coordinator_to_proto(partition, self.epoch(partition), name, address)

    def coordinator_protos(self) -> list[types_pb2.Coordinator]:
        return [self.coordinator_proto(partition) for partition in self.coordinators]

    # Executing

    def execute(self, member: FakeMember, operations: list[kv.Operation]) -> list[kv.Result]:
        """R14a, R27: the operations of one key are executed as one, once for their number."""
        results: list[kv.Result | None] = [None] * len(operations)
        groups: dict[bytes, list[int]] = {}
        for place, operation in enumerate(operations):
            kind = operation.WhichOneof("operation")
            assert kind is not None
            groups.setdefault(getattr(operation, kind).key, []).append(place)
        for key, places in groups.items():
            chosen = [operations[place] for place in places]
            for place, result in zip(places, self._run(member, key, chosen), strict=True):
                results[place] = result
        return [result for result in results if result is not None]

    def _run(
        self, member: FakeMember, key: bytes, operations: list[kv.Operation]
    ) -> list[kv.Result]:
        partition = self.ring.partition_of(key)
        if self.coordinators[partition] != member.disk and not all(
            operation.get.consistency > 1 for operation in operations
        ):
            return [self.wrong_member(partition)] * len(operations)
        writes = [write for each in operations if (write := write_of(each)) is not None]
        ids = {(write.operation_id.session_id, write.operation_id.number) for write in writes}
        assert len(ids) <= 1, "the writes of one key in one batch are one operation"
        for session, number in ids:
            assert session and number
            record = self.records.get((key, session))
            if record is not None and record[0] == number:
                return record[1]
            assert record is None or record[0] < number
        results = [self._apply(key, operation) for operation in operations]
        for session, number in ids:
            self.sequences[partition] += 1
            self.records[key, session] = (number, results)
        return results

    def wrong_member(self, partition: int, *, hint: bool = True) -> kv.Result:
        """The refusal of a member that does not coordinate."""
        status = to_status(WrongMemberError(partition))
        if hint:
            detail = errors_pb2.WrongMember(
                partition=partition, coordinator=self.coordinator_proto(partition)
            )
            status.details[-1].Pack(detail)
        return kv.Result(status=status)

    def _apply(self, key: bytes, operation: kv.Operation) -> kv.Result:
        self.executed.append(operation)
        known = self.store.get(key)
        kind = operation.WhichOneof("operation")
        if kind == "get":
            if known is None:
                return kv.Result(get=kv.GetResponse())
            entry = kv.Entry(key=key, value=known[0], version=known[1])
            return kv.Result(get=kv.GetResponse(entry=entry))
        version = b"v%d" % len(self.executed)
        if kind == "put":
            if operation.put.if_absent and known is not None:
                return kv.Result(status=to_status(ConditionFailedError(known[1])))
            self.store[key] = (operation.put.value, version)
            return kv.Result(put=kv.PutResponse(version=version))
        if kind == "delete":
            self.store.pop(key, None)
            return kv.Result(delete=kv.DeleteResponse(deleted=known is not None))
        total = int(known[0] if known is not None else b"0") + operation.increment.delta
        self.store[key] = (b"%d" % total, version)
        return kv.Result(increment=kv.IncrementResponse(value=total, version=version))


def get(
    key: bytes, consistency: kv.Consistency.ValueType = kv.CONSISTENCY_LINEARIZABLE
) -> kv.Operation:
    return kv.Operation(get=kv.GetRequest(key=key, consistency=consistency))


def put(
    key: bytes, value: bytes = b"v", *, request_id: str = "", retry: bool = False
) -> kv.Operation:
    request = kv.PutRequest(key=key, value=value, request_id=request_id, retry=retry)
    return kv.Operation(put=request)


def increment(key: bytes, delta: int = 1) -> kv.Operation:
    return kv.Operation(increment=kv.IncrementRequest(key=key, delta=delta))


def write_of(operation: kv.Operation) -> Write | None:
    """The write in an operation; None for a read."""
    kind = operation.WhichOneof("operation")
    if kind is None or kind == "get":
        return None
    write: Write = getattr(operation, kind)
    return write
