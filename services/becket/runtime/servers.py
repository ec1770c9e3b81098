"""The gRPC server of every service: its options, layers and credentials, in one place.

Owns what keeps many connections, slow readers and garbage harmless: every size, number and time
that gRPC bounds is set here. Must not know any service. Credentials come in here when there are
any.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from becket.adapters.interception import Layer, Layers
from becket.adapters.rpc.channels import message_bytes
from becket.runtime.health import SERVICE as HEALTH
from becket.runtime.health import HealthServicer
from becket.runtime.settings import ServiceSettings, split_address

HANDSHAKE_MS = 10_000
"""A connection that has not spoken HTTP/2 by then is closed; the default is two minutes."""
KEEPALIVE_MS = 20_000
KEEPALIVE_TIMEOUT_MS = 10_000
PING_MS = 1_000
"""Pings that come faster are still answered, but counted; members ping each other every 3 s."""
METADATA_BYTES = 16 << 10


def open_server(settings: ServiceSettings, layers: Sequence[Layer]) -> grpc.aio.Server:
    """A server that is bound to nothing yet; ``layers`` around each call, the outermost first."""
    message = message_bytes(settings.limits.batch_bytes)
    return grpc.aio.server(
        interceptors=[Layers(*layers)],
        options=[
            ("grpc.max_receive_message_length", message),
            ("grpc.max_send_message_length", message),
            ("grpc.max_metadata_size", METADATA_BYTES),
            ("grpc.absolute_max_metadata_size", METADATA_BYTES),
            ("grpc.max_concurrent_streams", settings.max_streams_per_connection),
            ("grpc.max_allowed_incoming_connections", settings.max_connections),
            ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
            # Two processes on one port would share its connections without anybody's noticing.
            ("grpc.so_reuseport", 0),
            # A peer that has vanished is forgotten; one that asks often is not punished.
            ("grpc.keepalive_time_ms", KEEPALIVE_MS),
            ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", PING_MS),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", PING_MS),
            ("grpc.http2.max_ping_strikes", 0),
            ("grpc.http2.max_pings_without_data", 0),
        ],
    )


def bind(server: grpc.aio.Server, listen: str) -> str:
    """Bind to host:port; returns it with the real port. Raises OSError where that fails."""
    host, wanted = split_address(listen, "listen")
    try:
        port = server.add_insecure_port(listen)
    except RuntimeError as error:
        raise OSError(errno.EADDRINUSE, f"cannot listen at {listen}") from error
    if port == 0 or (wanted and port != wanted):
        raise OSError(errno.EADDRINUSE, f"cannot listen at {listen}")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def add_reflection(server: grpc.aio.Server, services: Sequence[str]) -> None:
    """Let tools ask which services there are, and what their calls look like."""
    reflection.enable_server_reflection((*services, HEALTH, reflection.SERVICE_NAME), server)


def add_health(server: grpc.aio.Server, servicer: HealthServicer) -> None:
    """Serve the standard health service."""
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
