"""How long a key stood still around a fault, from the moments at which probes succeeded.

Owns the arithmetic. Times are microseconds of one clock.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise


def longest_gap_us(successes: Sequence[int], since_us: int, until_us: int) -> int:
    """The longest time without a success that touches ``since_us..until_us``.

    :param successes: when each success ended, rising. The one before ``since_us`` begins the
        first gap; where there is none it begins at ``since_us``. A gap that has not ended counts
        up to ``until_us``.
    """
    before = [at for at in successes if at <= since_us]
    within = [at for at in successes if since_us < at < until_us]
    after = [at for at in successes if at >= until_us]
    marks = [before[-1] if before else since_us, *within, after[0] if after else until_us]
    return max(later - earlier for earlier, later in pairwise(marks))


def percentile(values: Sequence[int], share: float) -> int:
    """The nearest-rank percentile: the least value that ``share`` (0..1) of them do not exceed.

    0 of no values.
    """
    if not values:
        return 0
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
