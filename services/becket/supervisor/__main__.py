"""``python -m becket.supervisor``."""

from __future__ import annotations

import sys

from becket.runtime.service import main
from becket.supervisor.service import build
from becket.supervisor.settings import SupervisorSettings

if __name__ == "__main__":
    sys.exit(main("supervisor", SupervisorSettings, build))
