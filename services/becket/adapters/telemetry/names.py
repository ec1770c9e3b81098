"""The names and attributes of telemetry, as the semantic conventions of OpenTelemetry fix them.

Owns the words, so that a change of the library's incubating modules changes nothing here. Source:
semantic conventions for RPC, stable names (``rpc.system.name``, ``rpc.method`` as
``package.Service/Call``, ``rpc.response.status_code``, durations in seconds).
"""

from __future__ import annotations

from typing import Final

import grpc

SERVER_DURATION: Final = "rpc.server.call.duration"
CLIENT_DURATION: Final = "rpc.client.call.duration"
SYSTEM: Final = "rpc.system.name"
METHOD: Final = "rpc.method"
STATUS: Final = "rpc.response.status_code"
ERROR: Final = "error.type"
SERVER_ADDRESS: Final = "server.address"
GRPC: Final = "grpc"

DURATION_BOUNDS_S: Final = (
    *(0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05),
    *(0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
)
"""Finer below than the convention's advice: a call over loopback takes 0.3 ms."""

SERVER_ERRORS: Final = frozenset(
    ("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS")
)
"""Codes that count as an error of the server; to a client every code but OK is one."""

Attributes = dict[str, str]


def call_attributes(method: str, code: str, *, errors: frozenset[str] | None) -> Attributes:
    """Attributes of one call; ``errors`` are the codes that are errors, None for all but OK."""
    attributes = {SYSTEM: GRPC, METHOD: method, STATUS: code}
    if code in errors if errors is not None else code != "OK":
        attributes[ERROR] = code
    return attributes


def code_name(code: grpc.StatusCode | int | None) -> str:
    """The name of a status code as ``grpc.aio`` gives it: None and 0 are OK."""
    if code is None or code == 0:
        return "OK"
    if isinstance(code, grpc.StatusCode):
        return code.name
    return next((each.name for each in grpc.StatusCode if each.value[0] == code), "UNKNOWN")
