"""The joint coordinator's copy, up to its certificate (PROTOCOL R17-R19).

Theory of operation. A majority of ``old`` and every newcomer list their keys, page by page, under
this epoch. Where those of old agree on a key, the page is its first touch: its cell is chosen, and
is sent to the newcomers among many others in one message, unless they show it already (so a copy
goes on where an earlier epoch left it). Any other key, and one that something is asked of, goes
through its own queue, where it is touched and brought to every newcomer. Then every newcomer takes
the floor. Only then is the copy certified. Keys that are created meanwhile need no copying: R14
puts them on both majorities. The certificate dies with the epoch, and another coordinator starts
again.

Invariant: a page is left only when every key listed in it is certified.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Set as AbstractSet
from enum import Enum
from typing import TYPE_CHECKING

from becket.core.replication import invariants
from becket.core.replication.cells import Cell
from becket.core.replication.effects import Certificate
from becket.core.replication.listing import Listing, Page, Walk
from becket.core.replication.messages import CopyKeys, Reply, SetFloor, Status
from becket.core.replication.rounds import Chore, Task
from becket.core.replication.store import CorruptCellError
from becket.core.replication.versions import ZERO, Version
from becket.core.ring.config import Disk

if TYPE_CHECKING:
    from becket.core.replication.coordinator import Coordinator


class Phase(Enum):
    """How far the copy is."""

    KEYS = "listing and copying keys"
    FLOOR = "raising the newcomers' floors"
    CERTIFIED = "complete"


class Batch:
    """Chosen cells on their way to every newcomer, in one message each."""

    def __init__(self, message: CopyKeys) -> None:
        self.message = message
        self.sent_us = 0
        self.acks: set[Disk] = set()
        self.left: set[bytes] = set()
        """Keys that some newcomer did not store."""


class Copying:
    """The copy of one partition to its newcomers."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._c = coordinator
        self._ctx = coordinator.ctx
        config = coordinator.config
        # Newcomers are asked too: what an earlier epoch has brought them is not sent again.
        self._newcomers = frozenset(config.newcomers)
        first = self._majority_of_old() | self._newcomers
        walk = Walk((), config.members, self._is_enough, patient=False, first=first)
        self._listing = Listing(coordinator, walk, self._on_page)
        self._phase = Phase.KEYS
        self._started = False
        self._page_open = False
        self._last_page = False
        self._listed: frozenset[bytes] = frozenset()
        self._certified: set[bytes] = set()
        self._chosen: deque[tuple[bytes, Version]] = deque()
        self._batch: Batch | None = None
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
            self._send_again()
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

    def _majority_of_old(self) -> frozenset[Disk]:
        """This member, and as many others as make a majority of old: those heard last."""
        own, config, heard = self._ctx.disk, self._c.config, self._c.heard
        others = sorted(config.old_set - {own}, key=lambda disk: (-heard[disk], disk))
        most = len(config.old) // 2 + (own not in config.old_set)
        return frozenset((own, *others[:most]))

    def _is_enough(self, disks: AbstractSet[Disk]) -> bool:
        return disks >= self._newcomers and self._c.config.old_majority(disks)

    def _on_page(self, page: Page) -> None:
        self._listed = frozenset(page.keys)
        self._certified = set()
        # Everybody who shows the page has promised this epoch: nothing older can come after it.
        is_touch = self._ctx.disk in page.asked and self._c.config.quorum(page.asked)
        old = page.asked & self._c.config.old_set
        for key, shown in page.keys.items():
            version = self._chosen_version(old, shown) if is_touch else ZERO
            if version == ZERO or self._c.keys.state(key) is not None:
                self._waiting.append(key)
            elif all(shown.get(disk) == version for disk in self._newcomers):
                self._certified.add(key)
            else:
                self._chosen.append((key, version))
        self._last_page = page.last
        self._page_open = True
        self._feed()

    def _chosen_version(self, old: AbstractSet[Disk], shown: dict[Disk, Version]) -> Version:
        """R13 by a page: what ``old`` and this member show, and nobody shows more; else ZERO.

        With the newcomers, who are about to hold it, they are all that the page is from.
        """
        own = self._ctx.disk
        highest = max(shown.values())
        holders = {disk for disk, version in shown.items() if version == highest}
        if own not in holders or not holders >= old:
            return ZERO
        return highest

    def _feed(self) -> None:
        """Keep a bounded number of keys under way; a flag keeps keys done at once from nesting."""
        if self._feeding:
            return
        self._feeding = True
        if self._batch is None and self._chosen:
            self._send_next()
        window = self._ctx.settings.copy_window
        while self._waiting and len(self._active) < window and self._ctx.may_copy():
            key = self._waiting.popleft()
            self._active.add(key)
            self._c.keys.add_task(key, Task(Chore.COPY, ZERO))
        self._feeding = False
        is_under_way = self._chosen or self._batch or self._waiting or self._active
        if self._page_open and not is_under_way:
            self._page_done()

    # Many keys at once

    def _send_next(self) -> None:
        """One message at a time: partitions that are copied side by side keep newcomers busy."""
        cells = self._next_cells()
        if not cells:
            return
        c, number = self._c, self._ctx.next_id()
        message = CopyKeys(c.part.number, c.gen, c.epoch, number, None, cells)
        self._batch = Batch(message)
        self._send(self._batch)

    def _send(self, batch: Batch) -> None:
        batch.sent_us = self._ctx.now_us
        for disk in self._c.config.newcomers:
            if disk not in batch.acks:
                self._c.ask(disk, batch.message, self._on_batch)

    def _next_cells(self) -> tuple[tuple[bytes, Cell], ...]:
        """The next chosen cells that fit into one message and may be taken up."""
        settings = self._ctx.settings
        cells: list[tuple[bytes, Cell]] = []
        size = 0
        while self._chosen and len(cells) < settings.copy_keys and size < settings.copy_bytes:
            if not self._ctx.may_copy():
                break
            key, version = self._chosen.popleft()
            cell = self._own_cell(key, version)
            if cell is None:
                self._waiting.append(key)
            else:
                cells.append((key, cell))
                size += len(key) + len(cell.value or b"")
        return tuple(cells)

    def _own_cell(self, key: bytes, version: Version) -> Cell | None:
        """The cell that the page has shown; None where the key has moved on since."""
        if self._c.keys.state(key) is not None:
            return None
        try:
            cell = self._ctx.store.get(self._c.part.number, key)
        except CorruptCellError:
            return None
        return cell if cell is not None and cell.ver == version else None

    def _on_batch(self, disk: Disk, reply: Reply) -> None:
        batch = self._batch
        if batch is None or batch.message.id != reply.id:
            return
        if reply.status is Status.BEHIND:
            self._c.ask(disk, batch.message, self._on_batch)
        if reply.status is not Status.OK:
            return
        batch.acks.add(disk)
        batch.left.update(key for key, _ in reply.keys)
        if batch.acks >= self._newcomers:
            self._batch = None
            self._c.forget(reply.id)
            self._certified.update(k for k, _ in batch.message.cells if k not in batch.left)
            # One by one: a version at or below the floor is written again, as R18 says.
            self._waiting.extend(sorted(batch.left))
            self._feed()

    def _send_again(self) -> None:
        batch = self._batch
        if batch and self._ctx.now_us - batch.sent_us >= self._ctx.settings.resend_us:
            self._send(batch)

    # The end of a page, and of all

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
        if self._phase is not Phase.FLOOR or not self._floor_acks >= self._newcomers:
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
