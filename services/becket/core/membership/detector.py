"""One member's heartbeats and suspicions.

Owns what this member sends as beats, what it has heard, and what it tells others. Messages and time
come in, messages and changes of health go out. Must not decide anything about partitions or the
ring. Invariants: an older process's beat changes nothing; a suspicion ends with the first beat; a
process that stood still suspects nobody for it (R11a).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from becket.core.membership.settings import MembershipSettings
from becket.core.membership.states import Health, Sign, change
from becket.core.membership.watching import watchers_of
from becket.core.replication.versions import Identity
from becket.core.ring.config import Disk
from becket.core.suspicion import SuspicionTime


class Beat(NamedTuple):
    """I am here: the sender's process, and the number of this beat."""

    sender: Identity
    number: int


class Silence(NamedTuple):
    """A watcher has heard nothing of ``suspect`` after its beat ``number``."""

    watcher: Disk
    suspect: Identity
    number: int


class Sound(NamedTuple):
    """A watcher has heard beat ``number`` of a process that it had called silent."""

    watcher: Disk
    identity: Identity
    number: int


Message = Beat | Silence | Sound


class HealthChange(NamedTuple):
    """A peer's health has changed here; the sentence says why."""

    identity: Identity
    before: Health
    after: Health
    sentence: str


@dataclass
class Outcome:
    """What one step asks for: messages to send, and what has changed."""

    messages: list[tuple[Disk, Message]] = field(default_factory=list)
    changes: list[HealthChange] = field(default_factory=list)


class Peer:
    """What is known of one other member."""

    __slots__ = (
        "health",
        "heard_us",
        "hinted",
        "incarnation",
        "number",
        "suspicion",
        "told",
        "watched",
    )

    def __init__(self, now_us: int, settings: MembershipSettings) -> None:
        self.suspicion = SuspicionTime(settings.suspicion_us, settings.suspicion_factor)
        self.incarnation = 0
        self.number = 0
        self.heard_us = now_us
        self.health = Health.ALIVE
        self.hinted = False
        self.watched = False
        """Whether this member expects its beats."""
        self.told: dict[Disk, int] = {}
        """Watchers that report silence, with the last beat that each has heard."""


class Detector:
    """One member's view of the others."""

    def __init__(self, settings: MembershipSettings, own: Identity, now_us: int) -> None:
        self._settings = settings
        self._own = own
        self._now_us = now_us
        self._beat_due_us = now_us
        self._number = 0
        self._watchers: dict[Disk, tuple[Disk, ...]] = {}
        self._peers: dict[Disk, Peer] = {}
        self._out = Outcome()
        self._ask_due_us = now_us
        self._restless = False
        """Whether somebody's health has changed since watchers were chosen."""

    # Inputs

    def set_members(self, now_us: int, members: Iterable[Disk]) -> None:
        """The ring's members; those that stay keep what is known of them."""
        self._enter(now_us)
        disks = sorted(set(members) | {self._own.disk})
        peers = {}
        for disk in disks:
            if disk == self._own.disk:
                continue
            peers[disk] = self._peers.get(disk) or Peer(now_us, self._settings)
        self._peers = peers
        self._choose_watchers(now_us)

    def _choose_watchers(self, heard_us: int) -> None:
        """Who watches whom, as far as this member knows who is silent.

        A peer that is newly watched is taken as heard at ``heard_us``: it may learn only later
        than this member that a watcher of its own is gone, and send its beats here.
        """
        disks = [*self._peers, self._own.disk]
        self._watchers = watchers_of(disks, self._settings, self.suspects())
        for disk, peer in self._peers.items():
            watched = self._own.disk in self._watchers[disk]
            if watched and not peer.watched:
                peer.heard_us = max(peer.heard_us, heard_us)
            peer.watched = watched

    def receive(self, now_us: int, message: Message) -> None:
        """Take a message; one about somebody who is no member says nothing."""
        self._enter(now_us)
        if isinstance(message, Beat):
            self._on_beat(message)
        elif isinstance(message, Silence):
            self._on_silence(message)
        else:
            self._on_sound(message)

    def hint(self, now_us: int, disk: Disk) -> None:
        """A connection to this member was closed: it is suspected sooner, never at once."""
        self._enter(now_us)
        peer = self._peers.get(disk)
        if peer is not None:
            peer.hinted = True

    def tick(self, now_us: int) -> None:
        """Send beats when they are due, and see who has fallen silent."""
        self._enter(now_us)
        if now_us >= self._beat_due_us:
            self._beat()
        for disk, peer in self._peers.items():
            self._look(disk, peer)
        if now_us >= self._ask_due_us and not self._in_mesh():
            self._ask_due_us = now_us + self._settings.ask_us
            self._ask_suspects()
        if self._restless and not self._in_mesh():
            self._restless = False
            self._choose_watchers(now_us + self._settings.suspicion_us)

    def beat(self, now_us: int) -> None:
        """Send beats now, due or not: something else goes out, and they with it."""
        self._enter(now_us)
        self._beat()

    def _beat(self) -> None:
        self._beat_due_us = self._now_us + self._settings.beat_us
        self._number += 1
        beat = Beat(self._own, self._number)
        for disk in self._watchers.get(self._own.disk, ()):
            self._out.messages.append((disk, beat))

    def _ask_suspects(self) -> None:
        """Tell those that are not heard so: who comes back beats to its watchers only."""
        for disk, peer in self._peers.items():
            if peer.health is not Health.ALIVE:
                suspect = Identity(disk, peer.incarnation)
                self._out.messages.append((disk, Silence(self._own.disk, suspect, peer.number)))

    def take(self) -> Outcome:
        """What has gathered since the last call."""
        out, self._out = self._out, Outcome()
        return out

    def health(self, disk: Disk) -> Health:
        """What is thought of a member; DEAD for one that is none."""
        peer = self._peers.get(disk)
        return peer.health if peer is not None else Health.DEAD

    def suspects(self) -> frozenset[Disk]:
        """Everybody who is not ALIVE here: this member's report to the supervisor."""
        return frozenset(d for d, peer in self._peers.items() if peer.health is not Health.ALIVE)

    # What follows

    def _enter(self, now_us: int) -> None:
        if now_us - self._now_us > self._settings.lease_us:
            for peer in self._peers.values():
                peer.heard_us = now_us  # R11a: the silence may have been our own.
        self._now_us = now_us

    def _on_beat(self, beat: Beat) -> None:
        peer = self._peers.get(beat.sender.disk)
        if peer is None or (beat.sender.incarnation, beat.number) <= (
            peer.incarnation,
            peer.number,
        ):
            return
        if peer.watched and peer.incarnation == beat.sender.incarnation:
            peer.suspicion.heard(self._now_us - peer.heard_us, self._now_us)
        peer.incarnation, peer.number = beat.sender.incarnation, beat.number
        peer.heard_us = self._now_us
        peer.hinted = False
        peer.told.clear()
        if peer.health is not Health.ALIVE:
            self._tell_sound(beat.sender.disk, peer)
        self._change(beat.sender.disk, peer, Sign.BEAT, "its beats come")

    def _look(self, disk: Disk, peer: Peer) -> None:
        silent_us = self._now_us - peer.heard_us
        settings = self._settings
        limit_us = peer.suspicion.us
        if peer.hinted:
            limit_us = settings.hinted_beats * settings.beat_us
        if peer.health is Health.ALIVE and peer.watched and silent_us >= limit_us:
            why = f"no beat for {silent_us // 1000} ms"
            if peer.hinted:
                why += ", and its connection was closed"
            self._change(disk, peer, Sign.SILENCE, why)
            self._tell_silence(disk, peer)
        elif peer.health is Health.SUSPECT and silent_us >= settings.dead_us:
            why = f"silent for {silent_us // 1_000_000} s"
            self._change(disk, peer, Sign.LONG_SILENCE, why)

    def _in_mesh(self) -> bool:
        return len(self._peers) < self._settings.mesh_members

    def _tell_silence(self, disk: Disk, peer: Peer) -> None:
        """In a mesh everybody hears the silence by itself; else the watchers spread it."""
        if self._in_mesh():
            return
        peer.told[self._own.disk] = peer.number
        message = Silence(self._own.disk, Identity(disk, peer.incarnation), peer.number)
        self._out.messages += [(d, message) for d in self._peers if d != disk]

    def _tell_sound(self, disk: Disk, peer: Peer) -> None:
        if self._in_mesh() or not peer.watched:
            return
        message = Sound(self._own.disk, Identity(disk, peer.incarnation), peer.number)
        self._out.messages += [(d, message) for d in self._peers if d != disk]

    def _on_silence(self, message: Silence) -> None:
        disk = message.suspect.disk
        if disk == self._own.disk:
            self._number += 1
            self._out.messages.append((message.watcher, Beat(self._own, self._number)))
            return
        peer = self._peers.get(disk)
        if peer is None or message.watcher not in self._peers:
            return
        if message.suspect.incarnation < peer.incarnation:
            return
        if message.suspect.incarnation == peer.incarnation and message.number < peer.number:
            return  # Somebody has heard a later beat than the one this silence follows.
        if peer.watched and peer.health is Health.ALIVE:
            return  # Own ears say otherwise.
        peer.told[message.watcher] = message.number
        if len(peer.told) >= self._settings.rumours and peer.health is Health.ALIVE:
            peer.heard_us = self._now_us - self._settings.suspicion_us
            self._change(disk, peer, Sign.RUMOUR, f"{len(peer.told)} watchers report silence")

    def _on_sound(self, message: Sound) -> None:
        disk = message.identity.disk
        peer = self._peers.get(disk)
        if peer is None or message.watcher not in self._peers:
            return
        heard = (message.identity.incarnation, message.number)
        if heard <= (peer.incarnation, peer.number) or peer.watched:
            return
        peer.incarnation, peer.number = heard
        peer.heard_us = self._now_us
        peer.told.clear()
        self._change(disk, peer, Sign.REFUTED, "a watcher hears it again")

    def _change(self, disk: Disk, peer: Peer, sign: Sign, sentence: str) -> None:
        before = peer.health
        peer.health = change(before, sign, f"{disk} seen by {self._own.disk}")
        if peer.health is not before:
            self._restless = True
            identity = Identity(disk, peer.incarnation)
            self._out.changes.append(HealthChange(identity, before, peer.health, sentence))
