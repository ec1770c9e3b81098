"""The HTTP endpoint: live, ready, metrics, and nothing else."""

from __future__ import annotations

import asyncio

import grpc

from becket.api.v1 import balancer_pb2 as pb
from becket.api.v1 import balancer_pb2_grpc
from tests.unit.runtime.sample import hosted


async def get(address: str, path: str) -> tuple[int, str]:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    async with asyncio.timeout(10):
        answer = (await reader.read(-1)).decode()
    writer.close()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split()[1]), body


async def test_live_and_ready_are_apart() -> None:
    async with hosted(http_listen="127.0.0.1:0") as (host, _):
        address = host.runtime.http_address
        host.runtime.health.set_ready(ready=False, reason="no ring")
        assert await get(address, "/live") == (200, '{"live":true}')
        assert await get(address, "/ready") == (503, '{"ready":false,"reason":"no ring"}')
        host.runtime.health.set_ready(ready=True)
        assert (await get(address, "/ready"))[0] == 200
        assert (await get(address, "/"))[0] == 404


async def test_metrics_have_the_stable_names() -> None:
    async with (
        hosted(http_listen="127.0.0.1:0") as (host, _),
        grpc.aio.insecure_channel(host.runtime.address) as channel,
    ):
        stub = balancer_pb2_grpc.BalancerServiceStub(channel)
        await stub.GetWeights(pb.GetWeightsRequest())
        status, text = await get(host.runtime.http_address, "/metrics")
    assert status == 200
    lines = text.splitlines()
    labels = (
        'rpc_method="becket.api.v1.BalancerService/GetWeights",'
        'rpc_response_status_code="OK",rpc_system_name="grpc"'
    )
    assert f"rpc_server_call_duration_seconds_count{{{labels}}} 1.0" in lines
    assert "becket_process_calls 0.0" in lines
    assert any(line.startswith("becket_process_refused_total") for line in lines)
    assert any(line.startswith("process_resident_memory_bytes") for line in lines)
    assert any('service_name="becket-sample"' in line for line in lines)


async def test_a_request_that_never_ends_holds_up_no_stop() -> None:
    async with hosted(http_listen="127.0.0.1:0") as (host, _):
        name, _, port = host.runtime.http_address.rpartition(":")
        _, writer = await asyncio.open_connection(name, int(port))
        writer.write(b"GET /live HTTP/1.1\r\n")
        await writer.drain()
    writer.close()
