"""The ring kept in one file, for a cluster on one machine.

Owns the file's format: a line with the object version, then the encoded ring, whose checksum covers
it. Must not judge rings. Invariants: the file is only ever replaced as a whole, under a lock that
dies with its holder; an object version is drawn anew for each write, so that a file which was
deleted and made again is never taken for the one before.
"""

from __future__ import annotations

import asyncio
import fcntl
import secrets
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from pathlib import Path

from becket.adapters.local.files import Glance, read_file, remove_leftovers, replace_file
from becket.core.errors import EncodingError
from becket.core.ring.encoding import decode, encode
from becket.core.ring.ring import Ring
from becket.ports.topology import ObjectVersion, TopologyObject, TopologyUnavailableError

HEAD = b"becket topology 1 "
"""What the file begins with; the number is that of the format."""

LOCK_S = 2.0
"""How long a writer waits for another one, which holds the lock for some milliseconds."""

LOCK_PAUSE_S = 0.002
WATCH_S = 0.05
"""How often a watcher looks at the file: one ``stat``."""


class FileTopology:
    """The topology port over one file. Any number of processes may use it at once."""

    def __init__(self, path: Path, *, watch_s: float = WATCH_S) -> None:
        self.path = path
        self._lock = path.with_name(f"{path.name}.lock")
        self._watch_s = watch_s

    async def read(self) -> TopologyObject | None:
        """The object in the file; a file that is damaged counts as no answer, never as absent."""
        return await asyncio.to_thread(self._read)

    async def compare_and_swap(self, expected: ObjectVersion | None, ring: Ring) -> bool:
        """Replace the file if it still holds the version ``expected``."""
        return await asyncio.to_thread(self._swap, expected, encode(ring))

    async def watch(self) -> AsyncGenerator[TopologyObject, None]:
        """The object now, and after each change."""
        glance = Glance(self.path)
        told: ObjectVersion | None = None
        while True:
            # First the glance, then the read: a write between the two is seen at the next glance.
            if glance.changed():
                found = await self._answer()
                if found is not None and found.object_version != told:
                    told = found.object_version
                    yield found
            await asyncio.sleep(self._watch_s)

    async def _answer(self) -> TopologyObject | None:
        try:
            return await self.read()
        except TopologyUnavailableError:
            return None

    def _read(self) -> TopologyObject | None:
        try:
            data = read_file(self.path)
        except OSError as error:
            raise TopologyUnavailableError(f"{self.path} cannot be read: {error}") from error
        return None if data is None else _parse(self.path, data)

    def _swap(self, expected: ObjectVersion | None, encoded: bytes) -> bool:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._locked():
                found = self._read()
                if (None if found is None else found.object_version) != expected:
                    return False
                remove_leftovers(self.path)
                replace_file(self.path, HEAD + _new_version() + b"\n" + encoded)
        except OSError as error:
            raise TopologyUnavailableError(f"{self.path} may not be written: {error}") from error
        return True

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other writers out; the lock ends with the process that holds it."""
        until = time.monotonic() + LOCK_S
        with self._lock.open("a") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until:
                        problem = f"{self._lock} is held by another process for over {LOCK_S} s"
                        raise TopologyUnavailableError(problem) from None
                    time.sleep(LOCK_PAUSE_S)
            yield


def _new_version() -> bytes:
    return secrets.token_hex(8).encode()


def _parse(path: Path, data: bytes) -> TopologyObject:
    head, newline, encoded = data.partition(b"\n")
    if not head.startswith(HEAD) or not newline:
        raise TopologyUnavailableError(f"{path} holds no topology; {_ADVICE}")
    try:
        version = head.removeprefix(HEAD).decode("ascii")
        return TopologyObject(decode(encoded), encoded, version)
    except (EncodingError, UnicodeDecodeError) as error:
        raise TopologyUnavailableError(f"{path} is damaged ({error}); {_ADVICE}") from error


_ADVICE = "remove it to have the ring restored from the members"
