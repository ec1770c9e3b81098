"""A stand-in for a service: says who it is, then lives until a signal ends it."""

from __future__ import annotations

import os
import signal
import sys

if __name__ == "__main__":
    told = " ".join(sorted(name for name in os.environ if name.startswith("BECKET_")))
    sys.stdout.write(f"{sys.argv} {told} {'grpc' in sys.modules}\n")
    sys.stdout.flush()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    while True:
        signal.pause()
