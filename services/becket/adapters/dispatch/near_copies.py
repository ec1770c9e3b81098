"""Copies of hot keys, beside those of the replicas: whoever reads much keeps one for a moment.

Theory of operation. The reads of one key fall on its replicas, however they are picked; for a key
that is a tenth of all reads that is too much for any of them. The balancer names such keys
(``wide``), with the staleness W that is still good enough. Then a relaxed read may be answered by
the last answer that came here. A fill is asked for with W/2, so what it shows is at most W/2 older
than the moment at which it was asked for; it is kept for as long again. Hence an answer from here
is a bounded read with W, by the definition of that (PROTOCOL R34): it shows every write that was
acknowledged W before. Reads that allow less than W, and linearizable ones, never come here.

A read that allows any age is not made stricter on its way, because a replica may have to refuse
what is strict; a copy made by it serves only its like, and as long.

Members do not see what is answered here, and would take the key for cold: so each fill tells how
many reads were answered since the last one.

Owns the copies. Bounded: the balancer names 64 keys at most, and a value that is large is not kept.
A key that is named no more is forgotten at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from becket.adapters.rpc.operations import DEFAULT_STALENESS_US
from becket.api.v1 import key_value_pb2 as kv

MOST_KEYS = 256
MOST_VALUE_BYTES = 256 << 10
DRIFT = 0.999
"""Two clocks may differ in speed by a thousandth."""


@dataclass(slots=True)
class _Copy:
    result: kv.Result
    until_us: int
    is_bounded: bool


@dataclass(frozen=True, slots=True)
class Fill:
    """A read whose answer will be kept: what is asked, and when that was."""

    operation: kv.Operation
    asked_us: int
    keep_us: int
    is_bounded: bool


class NearCopies:
    """The copies of one process."""

    def __init__(self) -> None:
        self.answered = 0
        """Reads that were answered from here."""
        self.wide: Mapping[bytes, int] = {}
        """Keys that may be answered from here, with their staleness in microseconds."""
        self._copies: dict[bytes, _Copy] = {}
        self._unseen: dict[bytes, int] = {}

    def set_wide(self, wide: Mapping[bytes, int]) -> None:
        """Keep copies of exactly these keys from now on."""
        self.wide = dict(list(wide.items())[:MOST_KEYS])
        self._copies = {k: copy for k, copy in self._copies.items() if k in self.wide}
        self._unseen = {k: count for k, count in self._unseen.items() if k in self.wide}

    def find(self, request: kv.GetRequest, now_us: int) -> kv.Result | None:
        """The answer to a relaxed read; None where it has to be asked for."""
        copy = self._copies.get(request.key)
        if copy is None or now_us >= copy.until_us:
            return None
        if request.consistency != kv.CONSISTENCY_ANY and not (
            copy.is_bounded and _allowed_us(request) >= self.wide[request.key]
        ):
            return None
        self.answered += 1
        self._unseen[request.key] = self._unseen.get(request.key, 0) + 1
        result = kv.Result()
        result.CopyFrom(copy.result)  # Whoever gets it may write into it.
        return result

    def fill(self, operation: kv.Operation, now_us: int) -> Fill | None:
        """What to ask in place of a relaxed read of a wide key; None where it is strict."""
        request = operation.get
        wide_us = self.wide[request.key]
        is_bounded = request.consistency != kv.CONSISTENCY_ANY
        if is_bounded and _allowed_us(request) < wide_us:
            return None
        asked = kv.Operation()
        asked.CopyFrom(operation)
        asked.get.answered_from_copy = self._unseen.pop(request.key, 0)
        if is_bounded:
            asked.get.max_staleness.FromMicroseconds(wide_us // 2)
        return Fill(asked, now_us, int(wide_us / 2 * DRIFT), is_bounded)

    def take(self, key: bytes, fill: Fill, result: kv.Result) -> None:
        """Keep the answer to a fill."""
        if key not in self.wide or not result.HasField("get"):
            return
        entry = result.get.entry
        # What expires is gone at its own time, whatever staleness a reader allows.
        if len(entry.value) > MOST_VALUE_BYTES or entry.HasField("expire_time"):
            self._copies.pop(key, None)
            return
        kept = kv.Result()
        kept.CopyFrom(result)
        self._copies[key] = _Copy(kept, fill.asked_us + fill.keep_us, fill.is_bounded)


def _allowed_us(request: kv.GetRequest) -> int:
    if not request.HasField("max_staleness"):
        return DEFAULT_STALENESS_US
    return request.max_staleness.ToMicroseconds()
