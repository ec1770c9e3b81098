"""How a service becomes a process: settings, logs, event loop, signals, exit code.

Owns what there is once in a process. Must not know any service: a ``__main__`` calls ``main`` with
its settings and what builds it. Invariants: the first SIGTERM or SIGINT stops in order, the second
ends at once; a failed service ends at once; a stop that hangs, even one that hangs the event loop,
ends ``OVERDUE_S`` after its grace time.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import uvloop

from becket.runtime.contract import (
    EXIT_ADDRESS,
    EXIT_FAILED,
    EXIT_OK,
    EXIT_SETTINGS,
    Build,
    Runtime,
    Service,
)
from becket.runtime.host import Host
from becket.runtime.logs import Log, adopt, open_log
from becket.runtime.settings import (
    Loaded,
    ServiceSettings,
    SettingsError,
    load_settings,
    unknown_variables,
)

__all__ = [
    "EXIT_ADDRESS",
    "EXIT_FAILED",
    "EXIT_OK",
    "EXIT_SETTINGS",
    "Build",
    "Runtime",
    "Service",
    "main",
    "run_service",
]

OVERDUE_S = 20.0
"""Calls, telemetry and files may take so long beyond the grace time, and no longer."""
COLLECT_AFTER = (5_000, 5, 5_000)
"""When the garbage collector looks at its three generations. It is needed for cycles alone, which
calls that end well do not leave behind, and whose garbage is nearly always found young. To look at
all that a member remembers (200,000 objects) takes some 30 ms, in which nobody is answered and no
beat is sent, and at 20,000 young ones up to 16; at 5,000 it is 4."""
SIGNALS = (signal.SIGTERM, signal.SIGINT)


def main(name: str, kind: type[Loaded], build: Build) -> int:
    """Load settings of ``kind`` and run the service; returns the exit code."""
    try:
        settings = load_settings(kind)
    except SettingsError as error:
        _complain(name, error)
        return EXIT_SETTINGS
    log = open_log(settings.log_level, settings.log_format)
    for variable in unknown_variables(kind):
        log.warning("unknown_variable", service=name, variable=variable)
    return run_service(name, settings, build)


def _complain(name: str, error: SettingsError) -> None:
    log = open_log("error", "json")
    for problem in error.problems:
        log.error("wrong_setting", service=name, problem=problem)


def run_service(name: str, settings: ServiceSettings, build: Build) -> int:
    """Run one service until it ends or is told to; returns the exit code.

    Needs the main thread. Does not return after a failure: the process ends there and then.
    """
    adopt(settings.log_level, settings.log_format)
    log = open_log(settings.log_level, settings.log_format).bind(
        service=name, name=settings.name, pid=os.getpid()
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    log.debug("open_files", before=soft, now=hard)
    # What the imports have made stays; what calls make is freed by its counts. Looking through all
    # that a member remembers, again and again, for cycles that are not there took a tenth of it.
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    code: int = uvloop.run(_serve(name, settings, build, log))
    return code


async def _serve(name: str, settings: ServiceSettings, build: Build, log: Log) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_unhandled(log))

    def told(signum: signal.Signals) -> None:
        if stop.is_set():
            log.warning("ended_by_second_signal", signal=signum.name)
            _end(128 + signum)
        log.info("signal", signal=signum.name)
        _end_later(settings.stop_grace_s + OVERDUE_S)
        stop.set()

    for signum in SIGNALS:
        loop.add_signal_handler(signum, told, signum)
    try:
        code = await Host(name, settings, build, log).run(stop)
    except Exception as error:
        log.critical("failed", exc_info=error)
        code = EXIT_FAILED
    if code == EXIT_FAILED:
        # Not by returning: a thread or a server that still stands could hold up the end.
        _end(code)
    return code


def _end(code: int) -> None:
    sys.stderr.flush()
    sys.stdout.flush()
    os._exit(code)


def _end_later(after_s: float) -> None:
    timer = threading.Timer(after_s, _end, (EXIT_FAILED,))
    timer.daemon = True
    timer.start()


def _unhandled(log: Log) -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    def handle(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        log.error("unhandled", problem=context.get("message", ""), exc_info=error)

    return handle
