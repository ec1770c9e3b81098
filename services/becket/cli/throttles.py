"""The throttle of plans, for a person and for scripts: how fast, and why not faster.

Owns the JSON form inside that of ``becket status``, and the lines. Must not judge: the supervisor
throttles. Invariant: what is not known is null, never a guess.
"""

from __future__ import annotations

from typing import TypedDict

from google.protobuf.duration_pb2 import Duration

from becket.api.v1 import supervisor_pb2 as pb


class HalvingRow(TypedDict):
    """The last time that the budget was halved, and the p99 that passed the limit of then."""

    ago_s: float
    p99_ms: float
    limit_ms: float


class ThrottleRow(TypedDict):
    """``moving``, ``restoring``: partitions that may change at once. Rates are of earlier steps.

    ``p99_ms`` is null while hardly anybody calls, ``steady_ms`` until it is known.
    """

    moving: float
    restoring: float
    p99_ms: float | None
    limit_ms: float
    steady_ms: float | None
    rest_s: float
    halvings: int
    last_halving: HalvingRow | None
    partitions_per_s: float | None
    bytes_per_s: float | None


def throttle_row(told: pb.Throttle) -> ThrottleRow:
    """The JSON form."""
    halving = None
    if told.HasField("since_halving"):
        halving = HalvingRow(
            ago_s=told.since_halving.ToMicroseconds() / 1e6,
            p99_ms=_ms(told.halving_p99),
            limit_ms=_ms(told.halving_limit),
        )
    return ThrottleRow(
        moving=told.moving_partitions,
        restoring=told.restoring_partitions,
        p99_ms=_ms(told.foreground_p99) if told.HasField("foreground_p99") else None,
        limit_ms=_ms(told.p99_limit),
        steady_ms=_ms(told.steady_p99) if told.HasField("steady_p99") else None,
        rest_s=told.rest.ToMicroseconds() / 1e6,
        halvings=told.halvings,
        last_halving=halving,
        partitions_per_s=told.partitions_per_second or None,
        bytes_per_s=told.bytes_per_second or None,
    )


def throttle_lines(row: ThrottleRow) -> list[str]:
    """What a person is told of it while a plan is running."""
    return [
        f"pace        {_pace(row)}",
        f"foreground  {_foreground(row)}",
        *([f"halved      {_halved(row)}"] if row["halvings"] else []),
        *(
            [f"rest        {row['rest_s']:.1f} s before a plan begins that only balances"]
            if row["rest_s"]
            else []
        ),
    ]


def _pace(row: ThrottleRow) -> str:
    pause = "" if row["moving"] >= 1 else " (one, and a pause after it)"
    pace = f"partitions at once: {row['moving']:.3g} moving{pause}, {row['restoring']:.3g} restored"
    rates = []
    if row["partitions_per_s"] is not None:
        rates.append(f"{row['partitions_per_s']:.1f} partitions/s")
    if row["bytes_per_s"] is not None:
        rates.append(f"{row['bytes_per_s'] / 1e6:.1f} MB/s")
    return f"{pace}; measured {', '.join(rates)}" if rates else f"{pace}; no rate is measured yet"


def _foreground(row: ThrottleRow) -> str:
    if row["p99_ms"] is None:
        return "hardly anybody calls: only members that have too much to do slow it down"
    steady = row["steady_ms"]
    before = "not known" if steady is None else f"{steady:.1f} ms"
    allowed = f"{row['limit_ms']:.1f} ms are allowed"
    return f"p99 is {row['p99_ms']:.1f} ms, {allowed}; while nothing moved it was {before}"


def _halved(row: ThrottleRow) -> str:
    last = row["last_halving"]
    times = "once" if row["halvings"] == 1 else f"{row['halvings']} times"
    if last is None:
        return times
    why = f"p99 was {last['p99_ms']:.1f} ms, {last['limit_ms']:.1f} ms were allowed"
    if last["p99_ms"] <= last["limit_ms"]:
        why = "members that run did not hear each other in time"
    return f"{times}, last {last['ago_s']:.1f} s ago: {why}"


def _ms(duration: Duration) -> float:
    return duration.ToMicroseconds() / 1000
