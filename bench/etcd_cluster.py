"""etcd: three members, by its gRPC interface from ``grpc.aio``.

No client of it on the package index works with a current protobuf, so the few messages that are
needed are built from ``etcd_rpc.proto`` when the bench starts.
"""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
from grpc_tools import protoc

from becket.adapters.local.free_ports import choose_port
from bench.servers import Server, program

MEMBERS = 3
TIMEOUT_S = 5.0
QUOTA_BYTES = 4 << 30
_END = b"\xff"


def _messages(folder: Path) -> Any:  # noqa: ANN401 - generated just now
    here = Path(__file__).parent
    code = protoc.main(["", f"-I{here}", f"--python_out={folder}", str(here / "etcd_rpc.proto")])
    assert code == 0, "protoc failed"
    sys.path.insert(0, str(folder))
    return importlib.import_module("etcd_rpc_pb2")


class Etcd:
    """The cluster and its client: one channel a member, calls dealt over them."""

    failures: tuple[type[Exception], ...] = (grpc.RpcError,)

    def __init__(self) -> None:
        self._servers: dict[int, Server] = {}
        self._channels: dict[int, grpc.aio.Channel] = {}
        self._pb: Any = None

    async def start(self, folder: Path) -> None:
        """Start three."""
        etcd = program("etcd")
        self._pb = _messages(folder)
        taken: set[int] = set()
        ports = []
        for _ in range(MEMBERS):
            port = choose_port(taken)
            peer = choose_port(taken | {port})
            taken |= {port, peer}
            ports.append((port, peer))
        cluster = ",".join(f"m{n}=http://127.0.0.1:{peer}" for n, (_, peer) in enumerate(ports))
        for number, (port, peer) in enumerate(ports):
            options = {
                "name": f"m{number}",
                "data-dir": str(folder / f"etcd-{number}"),
                "listen-client-urls": f"http://127.0.0.1:{port}",
                "advertise-client-urls": f"http://127.0.0.1:{port}",
                "listen-peer-urls": f"http://127.0.0.1:{peer}",
                "initial-advertise-peer-urls": f"http://127.0.0.1:{peer}",
                "initial-cluster": cluster,
                "quota-backend-bytes": str(QUOTA_BYTES),
                "log-level": "error",
            }
            argv = [etcd, *itertools.chain.from_iterable((f"--{k}", v) for k, v in options.items())]
            self._servers[port] = Server(argv, folder / f"etcd-{number}.log")
        for port, server in self._servers.items():
            server.wait_for_port(port)

    async def open(self) -> Etcd:
        """Connect, and wait for a leader."""
        pb = self._pb
        self._channels = {
            port: grpc.aio.insecure_channel(f"127.0.0.1:{port}") for port in self._servers
        }
        kinds = {
            "Range": (pb.RangeRequest, pb.RangeResponse),
            "Put": (pb.PutRequest, pb.PutResponse),
            "Txn": (pb.TxnRequest, pb.TxnResponse),
        }
        self._calls: dict[str, Any] = {}
        for name, (request, response) in kinds.items():
            stubs = [
                channel.unary_unary(
                    f"/etcdserverpb.KV/{name}", request.SerializeToString, response.FromString
                )
                for channel in self._channels.values()
            ]
            self._calls[name] = itertools.cycle(stubs)
        await self._call("Put", pb.PutRequest(key=b"ready", value=b"yes"), 30.0)
        return self

    async def _call(self, name: str, request: Any, timeout_s: float = TIMEOUT_S) -> Any:  # noqa: ANN401
        return await next(self._calls[name])(request, timeout=timeout_s)

    def pids(self) -> list[int]:
        """All that live."""
        return [server.pid for server in self._servers.values() if server.is_up]

    async def kill_one(self) -> None:
        """The leader; a client that knows of it turns to the others."""
        pb = self._pb
        for port, channel in self._channels.items():
            status = channel.unary_unary(
                "/etcdserverpb.Maintenance/Status",
                pb.StatusRequest.SerializeToString,
                pb.StatusResponse.FromString,
            )
            answer = await status(pb.StatusRequest(), timeout=TIMEOUT_S)
            if answer.leader == answer.header.member_id:
                self._servers[port].kill()
                return

    async def stop(self) -> None:
        """Close and end."""
        for channel in self._channels.values():
            await channel.close()
        for server in self._servers.values():
            server.stop()

    def outcome_of(self, error: Exception) -> str:
        """The codes do not tell the outcomes apart."""
        return error.code().name if isinstance(error, grpc.aio.AioRpcError) else "error"

    async def get(self, key: bytes) -> bytes | None:
        """Range of one key, linearizable."""
        found = (await self._call("Range", self._pb.RangeRequest(key=key))).kvs
        return found[0].value if found else None

    async def put(self, key: bytes, value: bytes) -> None:
        """Put."""
        await self._call("Put", self._pb.PutRequest(key=key, value=value))

    async def get_many(self, keys: Sequence[bytes]) -> int:
        """A transaction of ranges."""
        pb = self._pb
        made = [pb.RequestOp(request_range=pb.RangeRequest(key=key)) for key in keys]
        answer = await self._call("Txn", pb.TxnRequest(success=made))
        return sum(bool(each.response_range.kvs) for each in answer.responses)

    async def put_many(self, keys: Sequence[bytes], value: bytes) -> None:
        """A transaction of puts."""
        pb = self._pb
        made = [pb.RequestOp(request_put=pb.PutRequest(key=key, value=value)) for key in keys]
        await self._call("Txn", pb.TxnRequest(success=made))

    async def scan(self, start: bytes, count: int) -> int:
        """Range."""
        request = self._pb.RangeRequest(key=start, range_end=_END, limit=count)
        return len((await self._call("Range", request)).kvs)
