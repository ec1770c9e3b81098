"""What a member does about a disk of which files do not read.

Owns that it is remembered over starts, and that the disk is given up when the supervisor says that
nobody needs it. Must not judge that: this member cannot know what the others hold. What still reads
is served meanwhile, and what does not is no answer (PROTOCOL R8).
"""

from __future__ import annotations

from structlog.typing import FilteringBoundLogger

from becket.core.errors import BecketError, InvalidInputError, WrongClusterError
from becket.storage.disk import Disk


class DiskGivenUpError(BecketError):
    """This process ends, so that the next one begins with an empty disk."""


class DamagedDisk:
    """The disk of this process, as far as it does not read."""

    def __init__(self, disk: Disk, log: FilteringBoundLogger) -> None:
        self._disk = disk
        self._damage = disk.cells.damage
        self._log = log
        self._kept = disk.volume.unreadable
        if self._kept:
            log.error("disk does not read, its tables are left as they are", why=self._kept)

    @property
    def is_known(self) -> bool:
        """Whether anything did not read: others should coordinate then."""
        return bool(self._damage.unreadable)

    def look(self) -> bool:
        """Remember what was found since the last look; whether there was something."""
        why = self._damage.unreadable
        if not why or self._kept:
            return False
        self._disk.volume.note_unreadable(why)
        self._kept = why
        self._log.error("disk does not read", why=why)
        return True

    def note(self, why: str) -> None:
        """The engine has refused to go on, because of files that do not read."""
        self._damage.note_unreadable(why)
        self.look()

    def give_up(self, own_cluster: str, cluster: str, disk_id: str) -> None:
        """Take the supervisor's word that nobody needs this disk; the process has to end then.

        :raises WrongClusterError: the word is of another cluster.
        :raises InvalidInputError: it is about another disk, or this one reads.
        """
        own = self._disk.identity.disk
        if cluster != own_cluster:
            raise WrongClusterError(f"this member belongs to {own_cluster}, not {cluster}")
        if disk_id != own:
            raise InvalidInputError("disk_id", f"is {disk_id}, this member's disk is {own}")
        if not self.is_known:
            raise InvalidInputError("disk_id", f"is {own}, which reads: nothing is to be given up")
        self._disk.volume.give_up()
        self._log.warning("disk given up", disk=own, why=self._damage.unreadable)
