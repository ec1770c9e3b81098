"""The retry budget: further attempts are a small share of calls, so that none storm a sick cluster.

Owns a token bucket: each call pays in a share of a token, time pays in a floor, an attempt that
rests on no news takes a whole one. Attempts that follow news (another coordinator) need none:
each call makes few of them, and they go where they will be answered.
"""

from __future__ import annotations

from becket.adapters.dispatch.settings import DispatchSettings


class Budget:
    """The tokens that are left."""

    def __init__(self, settings: DispatchSettings, now_us: int) -> None:
        self._settings = settings
        self._tokens = settings.budget_most
        self._filled_us = now_us

    def pay_in(self, calls: int) -> None:
        """So many calls have begun."""
        settings = self._settings
        self._tokens = min(settings.budget_most, self._tokens + calls * settings.budget_share)

    def take(self, now_us: int) -> bool:
        """Take a token for one further attempt; False where there is none."""
        settings = self._settings
        gained = (now_us - self._filled_us) * settings.budget_floor / 1e6
        self._filled_us = now_us
        self._tokens = min(settings.budget_most, self._tokens + gained)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
