"""The joint coordinator's copy, up to its certificate (PROTOCOL R17-R19).

Theory of operation. A majority of ``old`` lists its keys, page by page; each key goes through its
own queue, where it is touched and brought to every newcomer; then every newcomer takes the floor.
Only then is the copy certified. Keys that are created meanwhile need no copying: R14 puts them on
both majorities. The certificate dies with the epoch, and another coordinator starts again.

Invariant: a page is left only when every key listed in it is certified.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import TYPE_CHECKING

from becket.core.replication import invariants
from becket.core.replication.effects import Certificate
from becket.core.replication.listing import Listing, Page, Walk
from becket.core.replication.messages import Reply, SetFloor, Status
from becket.core.replication.rounds import Chore, Task
from becket.core.replication.versions import ZERO
from becket.core.ring.config import Disk

if TYPE_CHECKING:
    from becket.core.replication.coordinator import Coordinator


class Phase(Enum):
    """How far the copy is."""

    KEYS = "listing and copying keys"
    FLOOR = "raising the newcomers' floors"
    CERTIFIED = "complete"


class Copying:
    """The copy of one partition to its newcomers."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._c = coordinator
        self._ctx = coordinator.ctx
        config = coordinator.config
        walk = Walk((), config.old, config.old_majority, patient=False)
        self._listing = Listing(coordinator, walk, self._on_page)
        self._phase = Phase.KEYS
        self._started = False
        self._page_open = False
        self._last_page = False
        self._listed: frozenset[bytes] = frozenset()
        self._certified: set[bytes] = set()
        self._waiting: deque[bytes] = deque()
        self._active: set[bytes] = set()
        self._feeding = False
        self._floor = ZERO
        self._floor_id = 0
        self._floor_acks: set[Disk] = set()
        self._sent_us = 0

    @property
    def is_certified(self) -> bool:
        """Whether the copy is complete, under this epoch."""
        return self._phase is Phase.CERTIFIED

    def tick(self) -> None:
        """Go on with whatever the copy waits for."""
        if not self._started:
            self._started = True
            self._listing.resume()
        elif self._phase is Phase.KEYS:
            self._listing.tick()
            self._feed()
        elif self._ctx.now_us - self._sent_us >= self._ctx.settings.resend_us:
            if self._phase is Phase.FLOOR:
                self._send_floor()
            else:
                self._report()

    def on_key(self, key: bytes, well: bool) -> None:
        """A key's chore has ended; a failed one is tried again."""
        self._active.discard(key)
        if well:
            self._certified.add(key)
            self._feed()
        else:
            self._waiting.append(key)

    def _on_page(self, page: Page) -> None:
        self._listed = frozenset(page.keys)
        self._certified = set()
        self._waiting = deque(page.keys)
        self._last_page = page.last
        self._page_open = True
        self._feed()

    def _feed(self) -> None:
        """Keep a bounded number of keys under way; a flag keeps keys done at once from nesting."""
        if self._feeding:
            return
        self._feeding = True
        window = self._ctx.settings.copy_window
        while self._waiting and len(self._active) < window and self._ctx.may_copy():
            key = self._waiting.popleft()
            self._active.add(key)
            self._c.keys.add_task(key, Task(Chore.COPY, ZERO))
        self._feeding = False
        if self._page_open and not self._waiting and not self._active:
            self._page_done()

    def _page_done(self) -> None:
        invariants.copy_is_complete(self._listed, frozenset(self._certified))
        self._page_open = False
        if not self._last_page:
            self._listing.resume()
            return
        self._phase = Phase.FLOOR
        self._floor = self._c.known_floor
        self._floor_id = self._ctx.next_id()
        self._send_floor()

    def _send_floor(self) -> None:
        c = self._c
        self._sent_us = self._ctx.now_us
        message = SetFloor(c.part.number, c.gen, c.epoch, self._floor_id, None, self._floor)
        for disk in c.config.newcomers:
            if disk not in self._floor_acks:
                c.ask(disk, message, self._on_floor)
        self._consider_floor()

    def _on_floor(self, disk: Disk, reply: Reply) -> None:
        if reply.id == self._floor_id and reply.status is Status.OK:
            self._floor_acks.add(disk)
            self._consider_floor()

    def _consider_floor(self) -> None:
        if self._phase is not Phase.FLOOR or not self._floor_acks >= set(self._c.config.newcomers):
            return
        if self._c.known_floor > self._floor:
            # A late reply has shown a higher floor since: the newcomers take that one.
            self._floor, self._floor_acks = self._c.known_floor, set()
            self._floor_id = self._ctx.next_id()
            self._send_floor()
            return
        self._phase = Phase.CERTIFIED
        self._report()

    def _report(self) -> None:
        """Tell the supervisor; again from time to time, until the generation changes."""
        self._sent_us = self._ctx.now_us
        c = self._c
        if self._ctx.disk not in c.config.new_set:
            # R3: a member of new must coordinate before the final compare-and-swap.
            c.overseer.on_certified(c.part)
            return
        c.stands()
        self._ctx.out.certificates.append(
            Certificate(c.part.number, c.gen, c.epoch, self._ctx.disk)
        )
