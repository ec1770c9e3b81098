"""Finding ports on which nobody listens.

Owns the choice. Ports come from below the range out of which systems choose the ports of outgoing
connections: a member that is down would otherwise lose its port to one, and a caller that dials a
dead port of that range can be connected to itself.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Collection

from becket.core.errors import BecketError

HOST = "127.0.0.1"
LOWEST, HIGHEST = 20_000, 31_999
TRIES = 1_000


class NoPortError(BecketError):
    """No free port was found."""


def is_free(port: int) -> bool:
    """Whether a server could listen on this port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
        # As servers do: connections of the process before, which still fade away, do not count.
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((HOST, port))
            trial.listen(1)
        except OSError:
            return False
    return True


def choose_port(taken: Collection[int]) -> int:
    """A free port that is not one of ``taken``."""
    for _ in range(TRIES):
        port = LOWEST + secrets.randbelow(HIGHEST - LOWEST + 1)
        if port not in taken and is_free(port):
            return port
    raise NoPortError(f"{TRIES} ports of {LOWEST}..{HIGHEST} were tried, none is free")
