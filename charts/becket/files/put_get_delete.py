"""What `helm test` runs: one key is put, read, deleted and read again, through the routers.

Owns its key and nothing else. Uses only the command becket of its own image. A cluster that was
installed a moment ago has until its limit to answer; after that each step must succeed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

TARGET = os.environ["BECKET_TARGET"]
KEY = os.environ["BECKET_TEST_KEY"]
WAIT_S = float(os.environ.get("BECKET_TEST_WAIT_S", "120"))
VALUE = "put, get and delete"
ABSENT = 1
NOT_YET = {3, 4, 6}
"""Exit codes of a cluster that does not serve yet; the same put may be given again."""


def becket(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one command against the target."""
    command = ["becket", *arguments, "--target", TARGET, "--timeout", "10"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def told(done: subprocess.CompletedProcess[str]) -> str:
    """What a command said."""
    return f"exit code {done.returncode}: {(done.stdout + done.stderr).strip()}"


def main() -> int:
    """Put, get and delete; returns the exit code, 0 where all was right."""
    last = time.monotonic() + WAIT_S
    done = becket("put", KEY, VALUE, "--ttl", "10m")
    while done.returncode in NOT_YET and time.monotonic() < last:
        time.sleep(1)
        done = becket("put", KEY, VALUE, "--ttl", "10m")
    print("put:", told(done))
    if done.returncode:
        return 1
    done = becket("get", KEY)
    print("get:", told(done))
    if done.returncode or done.stdout != VALUE:
        return 1
    done = becket("delete", KEY)
    print("delete:", told(done))
    if done.returncode:
        return 1
    done = becket("get", KEY)
    print("get after delete:", told(done))
    return 0 if done.returncode == ABSENT else 1


if __name__ == "__main__":
    sys.exit(main())
