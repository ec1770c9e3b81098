"""Runs a module in a process that ends when its parent does: ``python -m ...leash PID MODULE``.

Owns that tie. Must not import anything of Becket: it runs before the module's own time begins.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys
import threading
import time

_PR_SET_PDEATHSIG = 1
_LOOK_S = 0.5


def tie_to(parent: int, how: signal.Signals = signal.SIGKILL) -> None:
    """End this process by the signal ``how`` as soon as ``parent`` has ended.

    A kill also ends a process that is stopped.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, how)
    else:
        threading.Thread(target=_watch, args=(parent, how), daemon=True).start()
    # It may have ended before the tie was made.
    if os.getppid() != parent:
        os.kill(os.getpid(), how)


def _watch(parent: int, how: signal.Signals) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os.kill(os.getpid(), how)


def main() -> None:
    """Take the parent's process id and the module's name off the command line, and run it."""
    tie_to(int(sys.argv[1]))
    module = sys.argv[2]
    sys.argv[:] = sys.argv[2:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
