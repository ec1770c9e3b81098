"""Makes processes by forking one that has imported already: ``python -m ...nursery``.

Owns the forks and their ends. A service spends half a second of processor on imports; seven at once
on two cores take seconds, a fork takes some hundredths. Must not import gRPC, open an event loop or
start a thread: a process that forks must have none of them (KUBERNETES.md, "gRPC in Python").

Speaks lines of JSON: on standard input ``{"id", "module", "environment", "log", "name"}``, on
standard output ``{"id", "pid"}`` for a start and ``{"pid", "code"}`` for an end, a negative code
being a signal. Ends at the end of its input; its children end with it (``leash``).
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import sys
from typing import cast

from becket.adapters.local.leash import tie_to

PRELOADED = (
    "asyncio",
    "opentelemetry.exporter.prometheus",
    "opentelemetry.sdk.metrics",
    "opentelemetry.sdk.trace",
    "pydantic_settings",
    "starlette.applications",
    "structlog",
    "uvloop",
    "becket.api.v1.key_value_pb2",
    "becket.api.v1.replica_pb2",
    "becket.core.plans.writer",
    "becket.core.replication.member",
    "becket.core.supervision.deciding",
    "becket.runtime.settings",
)
"""What services import and what neither is nor brings gRPC. Names only: no layer is crossed."""

LINE_BYTES = 1 << 20
_PR_SET_NAME = 15


class Nursery:
    """The loop. ``run`` returns only in a child: the module that it is to be."""

    def __init__(self, requests: int, answers: int) -> None:
        self._requests, self._answers = requests, answers
        self._buffer = b""
        self._wake, wakened = os.pipe()
        for end in (self._wake, wakened):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wakened, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._wakened = wakened

    def run(self) -> str:
        """Serve requests; the name of the module to run, in a child."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._requests, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            while True:
                ready = {key.fd for key, _ in selector.select()}
                if self._wake in ready:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._wake, 4096)
                    self._tell_ends()
                if self._requests in ready:
                    module = self._read()
                    if module:
                        return module

    def _read(self) -> str:
        data = os.read(self._requests, 1 << 16)
        if not data or len(self._buffer) > LINE_BYTES:
            sys.exit(0)
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            request = cast("dict[str, object]", json.loads(line))
            parent = os.getpid()
            pid = os.fork()
            if pid == 0:
                self._become(request, parent)
                return str(request["module"])
            self._tell({"id": request["id"], "pid": pid})
        return ""

    def _become(self, request: dict[str, object], parent: int) -> None:
        """Be a process that nothing is left in of the one that it was forked from."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setsid()
        tie_to(parent)
        ctypes.CDLL(None).prctl(_PR_SET_NAME, str(request["name"]).encode()[:15], 0, 0, 0)
        for end in (self._requests, self._answers, self._wake, self._wakened):
            os.close(end)
        log = os.open(str(request["log"]), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        os.close(nothing)
        os.environ.clear()
        os.environ.update(cast("dict[str, str]", request["environment"]))
        sys.argv[:] = [str(request["module"])]

    def _tell_ends(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._tell({"pid": pid, "code": os.waitstatus_to_exitcode(status)})

    def _tell(self, answer: dict[str, object]) -> None:
        os.write(self._answers, json.dumps(answer).encode() + b"\n")


def main() -> None:
    """Import, then serve; in a child, run its module as the main one."""
    # What a module prints while it is imported must not get among the answers.
    answers = os.dup(1)
    os.dup2(2, 1)
    requests = os.dup(0)
    for name in PRELOADED:
        importlib.import_module(name)
    assert "grpc" not in sys.modules, "a process with gRPC must not fork"
    # Children share these pages for as long as the collector leaves them alone.
    gc.freeze()
    module = Nursery(requests, answers).run()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
