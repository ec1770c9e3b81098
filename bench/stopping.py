"""A bench that is told to stop takes back what it has started.

Owns what SIGTERM does here: what runs is cancelled, as by an interrupt of the keyboard, so that
clusters and folders go with it.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any

STOPPED = 128 + signal.SIGTERM
"""The exit status of a bench that was told to stop, by a shell's convention."""


def run(
    main: Coroutine[Any, Any, None],
    *,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> None:
    """Run to the end, or until SIGTERM: then what runs is cancelled, and the process ends."""

    async def guarded() -> None:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        await main

    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(guarded())
    except asyncio.CancelledError:
        raise SystemExit(STOPPED) from None
