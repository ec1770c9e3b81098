"""Makes a function a command: whatever it raises becomes a sentence and an exit code.

Owns how errors are told. Invariant: no traceback reaches a terminal unless ``BECKET_DEBUG`` is set,
and nothing is told on stdout.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import ParamSpec

import typer

from becket.cli.exits import Exit, row_of
from becket.cli.output import say
from becket.core.errors import BecketError, NotAppliedError

P = ParamSpec("P")


def reporting(function: Callable[P, Exit | None]) -> Callable[P, None]:
    """``function`` as a command: returns normally or raises ``typer.Exit`` with the code."""

    @functools.wraps(function)
    def command(*args: P.args, **kwargs: P.kwargs) -> None:
        code = ending(lambda: function(*args, **kwargs))
        if code:
            raise typer.Exit(int(code))

    return command


def ending(run: Callable[[], Exit | None]) -> Exit:
    """Run a command to its end; its exit code."""
    try:
        return run() or Exit.DONE
    except BecketError as error:
        if os.environ.get("BECKET_DEBUG"):
            raise
        tell(error)
        return row_of(error).code
    except KeyboardInterrupt:
        say("becket: interrupted")
        return Exit.INTERRUPTED
    except BrokenPipeError:
        _discard_stdout()
        return Exit.PIPE
    except OSError as error:
        # A file or folder; what the network does comes as an error of ours.
        if os.environ.get("BECKET_DEBUG"):
            raise
        say(f"becket: {error.filename or 'a file'}: {error.strerror or error}")
        return Exit.USAGE


def _discard_stdout() -> None:
    """Whoever read the output has gone; the interpreter must not complain of it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def tell(error: BecketError) -> None:
    """Say what happened, why, and what to do next."""
    say(f"becket: {error}")
    if isinstance(error, NotAppliedError):
        for cause in error.causes:
            say(f"  because: {cause}")
    advice = row_of(error).advice
    if advice:
        say(f"  next: {advice}")
