"""The commands of a container: becoming a service, and the probe."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from becket.cli.exits import Exit
from tests.unit.cli.conftest import Run


class _Endpoint(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/live" else 503)
        self.end_headers()
        self.wfile.write(b"no ring yet")

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def endpoint() -> Iterator[str]:
    """Lives, and is not ready."""
    with HTTPServer(("127.0.0.1", 0), _Endpoint) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("service", ["storage", "router", "supervisor", "balancer"])
def test_a_service_takes_the_place_of_the_command(
    run: Run, monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda program, line: became.append([program, *line]))
    assert run(service).exit_code == Exit.DONE
    assert became == [[sys.executable, sys.executable, "-m", f"becket.{service}"]]
    assert run(service, "--port", "1").exit_code == Exit.USAGE


def test_health_tells_ready_from_live(
    run: Run, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = endpoint.rpartition(":")[2]
    monkeypatch.setenv("BECKET_HTTP_LISTEN", f"0.0.0.0:{port}")
    result = run("health")
    assert (result.exit_code, result.stdout) == (Exit.ABSENT, "")
    assert "503 no ring yet" in result.stderr
    assert run("health", "--live").exit_code == Exit.DONE
    assert run("health", "--live", "--address", endpoint).stdout == "200 no ring yet\n"


def test_health_of_nobody_and_of_nowhere(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BECKET_HTTP_LISTEN", raising=False)
    monkeypatch.delenv("BECKET_LISTEN", raising=False)
    assert run("health").exit_code == Exit.USAGE
    assert run("health", "--address", "nowhere").exit_code == Exit.USAGE
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for option in ("--address", "--grpc"):
            began = time.monotonic()
            result = run("health", option, address)
            assert result.exit_code == Exit.ABSENT
            assert "does not answer" in result.stderr
            assert time.monotonic() - began < 10
