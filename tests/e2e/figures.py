"""What the cases found, in numbers; and which numbers are good enough.

Owns the lines that are printed at the end of a run. Times are judged only where ``BECKET_E2E_BARS``
is set, as in ``make e2e``: on a machine that does other things beside they say little.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from becket.core.histories.gaps import percentile
from tests.e2e.history import History
from tests.e2e.release import Span

JUDGES_TIMES = bool(os.environ.get("BECKET_E2E_BARS"))
KILLS = int(os.environ.get("BECKET_E2E_KILLS", "10"))
OTHERS = int(os.environ.get("BECKET_E2E_OTHERS", "3"))
STEADY_S = float(os.environ.get("BECKET_E2E_STEADY_S", "10"))

LINES: list[str] = []


def tell(line: str) -> None:
    """Keep a line for the end, and print it now."""
    LINES.append(line)
    print(line, flush=True)


def gaps(what: str, history: History, spans: Sequence[Span], steady: Span | None = None) -> int:
    """Tell the longest gap of a key in each span; the 99th percentile, in ms."""
    found = [round(history.gap_ms(*span)) for span in spans]
    failed = [why for span in spans for why in history.failed(*span)]
    unknown = sum(" unknown: " in why for why in failed)
    lasted = [round(span.seconds * 1000) for span in spans]
    beside = "" if steady is None else f"; steady {history.gap_ms(*steady):.0f}"
    tell(
        f"{what} x {len(spans)}: longest gap of a key p50 {percentile(found, 0.5)} ms, "
        f"p99 {percentile(found, 0.99)} ms, max {max(found)} ms{beside}; "
        f"{len(failed) - unknown} errors, {unknown} unknown; "
        f"whole after p50 {percentile(lasted, 0.5)} ms, max {max(lasted)} ms"
    )
    return percentile(found, 0.99)


def judge_time(what: str, found_ms: float, bar_ms: float) -> None:
    """Hold a time against its bar, where times are judged."""
    word = "within" if found_ms <= bar_ms else "OVER"
    tell(f"  {what}: {found_ms:.0f} ms, {word} the bar of {bar_ms:.0f} ms")
    if JUDGES_TIMES:
        assert found_ms <= bar_ms, f"{what}: {found_ms:.0f} ms is over {bar_ms:.0f} ms"
