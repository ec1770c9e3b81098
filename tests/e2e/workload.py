"""What a client pod runs: writers and readers that never rest, and a record of all that they saw.

Mounted into a pod with the image of Becket, so it needs nothing but that. Owns the form of the
record, which ``history`` reads: JSON lines, one when an operation is sent and one when it has
ended, in the order of their times. Must not judge. It is told what to do by the variable WORKLOAD,
works until the file ``stop`` is there, then reads every key once more and writes ``done``.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from becket import Client
from becket.adapters.clocks import monotonic_us
from becket.adapters.rpc.errors import from_rpc_error
from becket.api.v1 import key_value_pb2 as kv
from becket.api.v1.key_value_pb2_grpc import KeyValueServiceStub
from becket.core.errors import (
    BecketError,
    ConditionFailedError,
    OutcomeUnknownError,
)

FOLDER = Path(os.environ.get("WORKLOAD_FOLDER", "/tmp/workload"))  # noqa: S108 - the pod's volume
COUNTERS = 4
"""Every fourth key is a counter."""

READ_BACK_S = 120.0
STOCK_OPTIONS = (
    ("grpc.keepalive_time_ms", 2000),
    ("grpc.keepalive_timeout_ms", 2000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)
"""What any gRPC client can be told, in any language."""

Operation = dict[str, Any]
Answer = dict[str, Any]


@dataclass(frozen=True)
class Order:
    """What is to be done. ``stock``: not the Python client, but bare stubs at one address.

    240 writes a second: twice of it took 1.7 of two cores that the whole cluster shares, and then
    gaps tell who had to wait for a processor.
    """

    target: str
    prefix: str
    keys: int = 12
    beat_ms: int = 50
    readers: int = 3
    timeout_s: float = 5.0
    stock: bool = False
    seed: int = 1


def key_of(prefix: str, number: int) -> str:
    """A key; every fourth is a counter's."""
    return f"{prefix}/{'c' if number % COUNTERS == 0 else 'r'}{number}"


class Record:
    """The file of what was done."""

    def __init__(self, path: Path) -> None:
        self._file = gzip.open(path, "wt", compresslevel=1)  # noqa: SIM115 - closed at the end
        self._number = 0
        offset_us = time.time_ns() // 1000 - monotonic_us()
        self._write({"offset_us": offset_us})

    def sent(self) -> int:
        """Something is about to be sent; its number."""
        self._number += 1
        self._write([self._number, monotonic_us()])
        return self._number

    def ended(self, number: int, client: str, operation: Operation, answer: Answer) -> None:
        """It has ended."""
        self._write([number, monotonic_us(), client, operation, answer])

    def close(self) -> None:
        """Nothing comes any more."""
        self._file.close()

    def _write(self, line: object) -> None:
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")


Do = Callable[[Operation], Awaitable[Answer]]


class Worker:
    """Does operations and records them."""

    def __init__(self, order: Order, record: Record, do: Do) -> None:
        self.order, self.record = order, record
        self._do = do
        self.is_stopping = False
        self._rng = random.Random(order.seed)
        self._made = 0

    async def run(self) -> None:
        """Work until it is told to stop, then read back."""
        keys = [key_of(self.order.prefix, number) for number in range(self.order.keys)]
        async with asyncio.TaskGroup() as group:
            for number, key in enumerate(keys):
                is_counter = number % COUNTERS == 0
                group.create_task(self._write(key, f"w{number}", is_counter=is_counter))
            for number in range(self.order.readers):
                group.create_task(self._read(keys, f"r{number}"))
        await self._read_back(keys)

    async def _write(self, key: str, client: str, *, is_counter: bool) -> None:
        version = ""
        while not self.is_stopping:
            began_us = monotonic_us()
            operation = {"k": key, "op": "incr", "delta": 1}
            if not is_counter:
                operation = self._draw(key, version)
            answer = await self._one(client, operation)
            version = answer.get("version", version)
            await self._rest(began_us)

    def _draw(self, key: str, version: str) -> Operation:
        drawn = self._rng.random()
        if drawn < 0.05:
            return {"k": key, "op": "delete"}
        self._made += 1
        put = {"k": key, "op": "put", "v": f"{self.order.prefix}.{self._made}"}
        if drawn < 0.1:
            return {**put, "absent": True}
        return {**put, "if": version} if drawn < 0.3 and version else put

    async def _read(self, keys: list[str], client: str) -> None:
        while not self.is_stopping:
            began_us = monotonic_us()
            await self._one(client, {"k": self._rng.choice(keys), "op": "get"})
            await self._rest(began_us)

    async def _rest(self, began_us: int) -> None:
        """Keep the beat; what came late is not made up for."""
        spent_s = (monotonic_us() - began_us) / 1e6
        await asyncio.sleep(max(0.001, self.order.beat_ms / 1000 - spent_s))

    async def _one(self, client: str, operation: Operation) -> Answer:
        number = self.record.sent()
        try:
            answer = await self._do(operation)
        except ConditionFailedError as error:
            answer = {"condition": error.version.hex()}
        except OutcomeUnknownError as error:
            answer = {"unknown": str(error)}
        except BecketError as error:
            answer = {"refused": f"{type(error).__name__}: {error}"}
        self.record.ended(number, client, operation, answer)
        return answer

    async def _read_back(self, keys: list[str]) -> None:
        left, until = keys, time.monotonic() + READ_BACK_S
        while left and time.monotonic() < until:
            answers = [(key, await self._one("last", {"k": key, "op": "get"})) for key in left]
            left = [key for key, answer in answers if "found" not in answer]


def through_client(client: Client) -> Do:
    """Operations of the Python client."""

    async def do(operation: Operation) -> Answer:
        key = operation["k"]
        match operation["op"]:
            case "put":
                condition = bytes.fromhex(operation["if"]) if "if" in operation else None
                version = await client.put(
                    key,
                    operation["v"].encode(),
                    if_absent=operation.get("absent", False),
                    if_version=condition,
                )
                return {"version": version.hex()}
            case "get":
                entry = await client.get(key)
                found = None if entry is None else [entry.value.decode(), entry.version.hex()]
                return {"found": found}
            case "delete":
                return {"deleted": await client.delete(key)}
            case _:
                return {"sum": await client.increment(key, operation["delta"])}

    return do


def through_stubs(stub: Any, timeout_s: float) -> Do:  # noqa: ANN401 - generated
    """Operations as any other language makes them: one unary call, one deadline, no repeats."""

    async def do(operation: Operation) -> Answer:
        key = operation["k"].encode()
        try:
            match operation["op"]:
                case "put":
                    put = kv.PutRequest(key=key, value=operation["v"].encode())
                    put.if_absent = operation.get("absent", False)
                    if "if" in operation:
                        put.if_version = bytes.fromhex(operation["if"])
                    answer = await stub.Put(put, timeout=timeout_s)
                    return {"version": answer.version.hex()}
                case "get":
                    found = (await stub.Get(kv.GetRequest(key=key), timeout=timeout_s)).entry
                    seen = [found.value.decode(), found.version.hex()] if found.key else None
                    return {"found": seen}
                case "delete":
                    gone = await stub.Delete(kv.DeleteRequest(key=key), timeout=timeout_s)
                    return {"deleted": gone.deleted}
                case _:
                    request = kv.IncrementRequest(key=key, delta=operation["delta"])
                    return {"sum": (await stub.Increment(request, timeout=timeout_s)).value}
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error

    return do


async def main() -> None:
    """Do what WORKLOAD says."""
    order = Order(**json.loads(os.environ["WORKLOAD"]))
    record = Record(FOLDER / "history.gz")
    if order.stock:
        async with grpc.aio.insecure_channel(order.target, options=STOCK_OPTIONS) as channel:
            do = through_stubs(KeyValueServiceStub(channel), order.timeout_s)
            await _until_stopped(Worker(order, record, do))
    else:
        async with Client(order.target, timeout=order.timeout_s) as client:
            await _until_stopped(Worker(order, record, through_client(client)))
    record.close()
    (FOLDER / "done").touch()


async def _until_stopped(worker: Worker) -> None:
    running = asyncio.create_task(worker.run())
    (FOLDER / "begun").touch()
    while not (FOLDER / "stop").exists() and not running.done():  # noqa: ASYNC110
        await asyncio.sleep(0.2)
    worker.is_stopping = True
    await running


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    asyncio.run(main())
    # The record is fetched from the running pod.
    signal.pause()
