"""The commands of a container: one for each service, and ``health``, its probe.

Owns how the command line becomes a service process: by ``exec``, so that the process keeps its id,
gets its signals itself and holds nothing that only the command line needs. Settings come from the
environment.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from becket.cli.exits import Exit, UsageError
from becket.cli.output import say, write_line
from becket.cli.reporting import reporting

SERVICES = ("storage", "router", "supervisor", "balancer")
HEALTH_S = 2.0

Address = Annotated[
    str,
    typer.Option(
        help="Where /live and /ready are served, host:port.", show_default="BECKET_HTTP_LISTEN"
    ),
]
Grpc = Annotated[
    str,
    typer.Option(
        help="Ask the standard gRPC health service at host:port instead.",
        show_default="BECKET_LISTEN, where nothing else is set",
    ),
]
Live = Annotated[bool, typer.Option("--live", help="Whether it lives, not whether it is ready.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("storage")(storage)
    app.command("router")(router)
    app.command("supervisor")(supervisor)
    app.command("balancer")(balancer)
    app.command("health")(health)


@reporting
def storage() -> None:
    """Run a storage member; its settings come from the environment (BECKET_...)."""
    _become("storage")


@reporting
def router() -> None:
    """Run a router; its settings come from the environment (BECKET_...)."""
    _become("router")


@reporting
def supervisor() -> None:
    """Run a supervisor; its settings come from the environment (BECKET_...)."""
    _become("supervisor")


@reporting
def balancer() -> None:
    """Run a balancer; its settings come from the environment (BECKET_...)."""
    _become("balancer")


def _become(service: str) -> None:
    """Replace this process by the service; does not return."""
    from becket.cli.clusters import check_installed

    check_installed()
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", f"becket.{service}"])  # noqa: S606 - ourselves


@reporting
def health(*, live: Live = False, address: Address = "", grpc: Grpc = "") -> Exit:
    """Whether the process of this container is ready: exit code 0 or 1, within two seconds."""
    web = address or ("" if grpc else os.environ.get("BECKET_HTTP_LISTEN", ""))
    port = grpc or ("" if web else os.environ.get("BECKET_LISTEN", ""))
    if web:
        is_well, reason = _ask_web(_reachable(web, "--address"), "/live" if live else "/ready")
    elif port:
        is_well, reason = _ask_grpc(_reachable(port, "--grpc"), "live" if live else "ready")
    else:
        raise UsageError("nothing says where to ask: give --address or --grpc")
    (write_line if is_well else say)(reason)
    return Exit.DONE if is_well else Exit.ABSENT


def _reachable(address: str, option: str) -> str:
    """The address of a listener, as it is called from the same machine."""
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdecimal()):
        raise UsageError(f"{option}: {address} is not host:port, such as 127.0.0.1:7480")
    return f"{ {'0.0.0.0': '127.0.0.1', '[::]': '[::1]'}.get(host, host) }:{port}"  # noqa: S104


def _ask_web(address: str, path: str) -> tuple[bool, str]:
    from http.client import HTTPConnection, HTTPException

    connection = HTTPConnection(address, timeout=HEALTH_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read(4096).decode(errors="replace")
    except (OSError, HTTPException) as error:
        return False, f"{address}{path} does not answer: {str(error) or type(error).__name__}"
    finally:
        connection.close()
    return answer.status == 200, f"{answer.status} {body}"


def _ask_grpc(address: str, service: str) -> tuple[bool, str]:
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            answer = stub.Check(request, timeout=HEALTH_S, wait_for_ready=True)
        except grpc.RpcError as error:
            return False, f"{address} does not answer: {error.code().name}"
    word = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return word == "SERVING", word
