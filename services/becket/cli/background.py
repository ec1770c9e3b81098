"""``python -m becket.cli.background FOLDER ORDER``: keeps a detached cluster.

Owns nothing but its own start: ``becket up --detach`` writes the order, ``becket down`` ends it by
SIGTERM. What happens goes to stdout, which is the keeper's log.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from becket.adapters.local.keeper import Keeper
from becket.adapters.local.layout import ClusterSpec
from becket.cli.reporting import ending
from becket.cli.running import Order, keep
from becket.cli.telling import Teller


class _Background:
    """Tells what a cluster does that nobody looks at."""

    def __init__(self) -> None:
        self.event = Teller().event

    def started(self, keeper: Keeper) -> None:
        self.event(f"{len(keeper.addresses)} processes are started in {keeper.layout.folder}")

    def ready(self, keeper: Keeper, took_s: float) -> None:
        self.event(f"ready after {took_s:.1f} s: all {keeper.spec.partitions} partitions answer")


def main() -> int:
    """Take the order off the command line and keep the cluster."""
    content = json.loads(sys.argv[2])
    order = Order(Path(sys.argv[1]), ClusterSpec(**content["spec"]), content["members"])
    return int(ending(lambda: asyncio.run(keep(order, _Background()))))


if __name__ == "__main__":
    sys.exit(main())
