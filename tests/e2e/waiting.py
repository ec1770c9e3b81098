"""Waiting for a state, with a limit, and without hiding why it did not come.

Owns nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

LOOK_S = 0.3

Found = TypeVar("Found")


class NotInTimeError(AssertionError):
    """A state did not come."""


def until(
    what: str,
    look: Callable[[], Found],
    limit_s: float,
    *,
    every_s: float = LOOK_S,
    ignoring: tuple[type[Exception], ...] = (),
) -> Found:
    """What ``look`` gives as soon as it is true; errors of ``ignoring`` count as not yet.

    :raises NotInTimeError: it was not in time; says what was seen last.
    """
    deadline = time.monotonic() + limit_s
    last: object = None
    while True:
        try:
            found = look()
        except ignoring as error:
            last = error
        else:
            if found:
                return found
            last = found
        if time.monotonic() > deadline:
            raise NotInTimeError(f"{what}: not within {limit_s:g} s; last: {last}")
        time.sleep(every_s)
