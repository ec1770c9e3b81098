"""The work on single keys of a partition: first touch, writes, and what they owe to chores.

Theory of operation. Each key has a queue; its head is worked on when no round is under way. A key
is touched first in every epoch (R13): a quorum shows its cell, and unless that quorum agrees and
this member's own engine agrees with it, the highest cell is written again under this epoch.
From then on the key is fresh: reads are served from the chosen cell at any time, writes are folded
into one Accept after the other (R14a). What makes a key lose freshness: a write given up (R15), a
purge (R21), the end of the epoch.

Owns ``KeyState`` and ``Round``. Invariants: one round a key at a time; an attempt leaves exactly
once, with one of the three outcomes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from becket.core.replication import invariants, registers
from becket.core.replication.cells import Attempt, Cell, Reason
from becket.core.replication.digests import bucket_of
from becket.core.replication.messages import Accept, CopyIn, ReadKey, Reply, Status
from becket.core.replication.registers import Reign, Verb
from becket.core.replication.rounds import Chore, KeyState, Round, Step, Task
from becket.core.replication.store import CorruptCellError
from becket.core.replication.touch import Finding, compare, decide, is_covered
from becket.core.replication.versions import ZERO, Version
from becket.core.ring.config import Disk

if TYPE_CHECKING:
    from becket.core.replication.coordinator import Coordinator


class Keys:
    """Every key that something is known of, or asked of, in this epoch."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._c = coordinator
        self._ctx = coordinator.ctx
        self._states: dict[bytes, KeyState] = {}
        self._rounds: dict[int, Round] = {}
        self._written: Version = ZERO

    # What comes in

    def submit(self, attempt: Attempt) -> None:
        """Take a client's attempt; it is answered now or later, exactly once."""
        state = self._state(attempt.key)
        if attempt.is_read:
            state.reads.append(attempt)
        elif len(state.queue) >= self._ctx.settings.queue_limit:
            self._ctx.refuse(attempt, Reason.OVERLOADED, self._c.stamp)
        else:
            state.queue.append(attempt)
        self._advance(state)

    def add_task(self, key: bytes, task: Task) -> None:
        """Queue a chore behind what waits for the key already."""
        state = self._state(key)
        state.queue.append(task)
        self._advance(state)

    def state(self, key: bytes) -> KeyState | None:
        """What is known of a key that was asked for in this epoch, and is not forgotten yet."""
        return self._states.get(key)

    @property
    def has_rounds(self) -> bool:
        """Whether anything is under way."""
        return bool(self._rounds)

    def has_started(self) -> bool:
        """Whether a client waits for a write that has been sent."""
        return any(round_.decisions for round_ in self._rounds.values())

    def open_without(self, disk: Disk) -> bool:
        """Whether a write that may be chosen already lacks the ack of ``disk`` (R34)."""
        own = self._ctx.disk
        return any(
            round_.step is Step.WRITE
            and disk not in round_.acks
            and self._c.config.quorum(round_.acks | {own})
            for round_ in self._rounds.values()
        )

    def open_keys(self) -> set[bytes]:
        """Keys with a round under way."""
        return {round_.key for round_ in self._rounds.values()}

    def settle(self, buckets: set[int]) -> None:
        """Keys of these buckets that nothing else is known of are fresh (section 5)."""
        for state in [s for s in self._states.values() if s.fresh and s.is_idle]:
            if bucket_of(state.key, self._ctx.settings.buckets) in buckets:
                del self._states[state.key]

    def forget_purged(self, key: bytes, ver: Version) -> None:
        """Every member has dropped this tombstone, so the key's default says as much."""
        state = self._states.get(key)
        if state is not None and state.purged == ver and state.is_idle:
            del self._states[key]

    # A key's own flow

    def _state(self, key: bytes) -> KeyState:
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = KeyState(key)
            if self._c.levelling.is_settled(key):
                try:
                    state.cell = self._ctx.store.get(self._c.part.number, key)
                    state.fresh = True
                except CorruptCellError:
                    state.fresh = False
        return state

    def _advance(self, state: KeyState) -> None:
        """Do what can be done for this key now; a chore that reads all members touches by that."""
        if state.fresh and state.reads:
            self._serve_reads(state)
        while state.round is None and not self._c.ended and not self._c.draining:
            head = state.queue[0] if state.queue else None
            if head is None and not (state.reads and not state.fresh):
                self._retire(state)
                return
            reads_all = isinstance(head, Task) and head.chore in (Chore.LEVEL, Chore.PURGE)
            if not state.fresh and (state.reads or not reads_all):
                self._touch(state, None)
                return
            if isinstance(head, Task):
                self._start_task(state)
            else:
                self._execute(state)

    def _retire(self, state: KeyState) -> None:
        """Forget an idle fresh key where its bucket's default says the same; else bound them."""
        if not state.is_idle or not state.fresh:
            return
        if self._c.levelling.is_settled(state.key):
            self._states.pop(state.key, None)
        elif len(self._states) > self._ctx.settings.fresh_limit:
            # Losing freshness is always safe: the key is touched again.
            oldest = next(iter(self._states.values()))
            if oldest.is_idle and oldest.fresh:
                del self._states[oldest.key]

    def _serve_reads(self, state: KeyState) -> None:
        if registers.is_expired(state.cell, self._ctx.wall_ms):
            if not any(isinstance(w, Task) and w.chore is Chore.EXPIRE for w in state.queue):
                state.queue.appendleft(Task(Chore.EXPIRE, ZERO))
            return
        reads, state.reads = state.reads, []
        for attempt in reads:
            result = registers.read(state.cell)
            self._c.serve(attempt, (result,) * len(attempt.operations))

    def _execute(self, state: KeyState) -> None:
        """Fold the writes at the head of the queue and send what they make (R14, R14a)."""
        attempts: list[Attempt] = []
        limit = self._ctx.settings.fold_limit
        while state.queue and len(attempts) < limit and isinstance(state.queue[0], Attempt):
            attempts.append(state.queue.popleft())  # type: ignore[arg-type]
        c = self._c
        reign = Reign(c.epoch, c.seq, c.known_floor, self._ctx.wall_ms)
        folded = registers.fold(state.cell, attempts, reign, self._ctx.settings)
        if folded.deposed:
            state.queue.extendleft(reversed(attempts))
            c.overseer.on_outdated(c.part)
            return
        c.seq = folded.seq
        decisions = []
        for decision in folded.decisions:
            if decision.verb is Verb.REFUSED:
                self._ctx.refuse(decision.attempt, decision.reason, c.stamp)
            elif decision.verb is Verb.RECORDED:
                c.stands()
                self._ctx.succeed(decision.attempt, decision.results, c.stamp)
            elif decision.verb is Verb.READ:
                c.serve(decision.attempt, decision.results)
            else:
                decisions.append(decision)
        if folded.cell is not None:
            round_ = self._open(state, Step.WRITE, None)
            round_.decisions = decisions
            self._write(round_, folded.cell)

    def _start_task(self, state: KeyState) -> None:
        task = state.queue.popleft()
        assert isinstance(task, Task)
        if task.chore is Chore.COPY:
            self._copy(state, task)
        elif task.chore is Chore.EXPIRE:
            if registers.is_expired(state.cell, self._ctx.wall_ms):
                assert state.cell is not None
                round_ = self._open(state, Step.WRITE, task)
                self._write(round_, registers.expired(state.cell, self._c.next_version()))
            else:
                self._serve_reads(state)
        else:
            self._touch(state, task)

    # Rounds

    def _open(self, state: KeyState, step: Step, task: Task | None) -> Round:
        round_ = Round(step, self._ctx.next_id(), state.key, self._ctx.now_us)
        round_.task = task
        state.round = round_
        self._rounds[round_.id] = round_
        return round_

    def _close(self, state: KeyState, round_: Round) -> None:
        state.round = None
        del self._rounds[round_.id]
        self._c.forget(round_.id)

    def _touch(self, state: KeyState, task: Task | None) -> None:
        """R13; for a chore, every member is waited for, not only a quorum."""
        state.purged = None
        round_ = self._open(state, Step.TOUCH, task)
        if task is not None:
            round_.need = self._c.config.member_set
        self._send(round_, self._c.config.members)

    def _write(self, round_: Round, cell: Cell) -> None:
        invariants.cell_is_whole(round_.key, cell, self._c.known_floor)
        invariants.seq_rises(self._written, cell.ver)
        self._written = cell.ver
        round_.cell = cell
        round_.acks.clear()
        self._c.levelling.note_write(round_.key)
        self._send(round_, self._c.config.members)

    def _send(self, round_: Round, disks: tuple[Disk, ...]) -> None:
        round_.sent_us = self._ctx.now_us
        message = self._message(round_, 0)
        for disk in disks:  # the same one, so that it is encoded once
            if disk in round_.corrupt:
                self._send_to(round_, disk)
            else:
                self._c.ask(disk, message, self._on_reply)

    def _send_to(self, round_: Round, disk: Disk) -> None:
        self._c.ask(disk, self._message(round_, round_.corrupt.get(disk, 0)), self._on_reply)

    def _message(self, round_: Round, repair: int) -> ReadKey | Accept | CopyIn:
        part, gen, epoch = self._c.part, self._c.gen, self._c.epoch
        head = (part.number, gen, epoch, round_.id, None, round_.key)
        if round_.step is Step.TOUCH:
            return ReadKey(*head)
        assert round_.cell is not None
        if round_.step is Step.WRITE:
            return Accept(*head, round_.cell, repair)
        return CopyIn(*head, round_.cell)

    def _on_reply(self, disk: Disk, reply: Reply) -> None:
        round_ = self._rounds.get(reply.id)
        if round_ is None:
            return
        state = self._states[round_.key]
        if reply.status is Status.BEHIND:
            self._send_to(round_, disk)
        elif reply.status is Status.CORRUPT:
            self._on_corrupt(state, round_, disk, reply.number)
        elif reply.status is Status.FLOOR:
            self._on_floor(state, round_)
        elif reply.status is not Status.OK:
            return
        elif round_.step is Step.TOUCH:
            round_.replies[disk] = reply.cell
            self._consider_touch(state, round_)
        elif round_.step is Step.WRITE:
            round_.acks.add(disk)
            self._consider_write(state, round_)
        else:
            round_.acks.add(disk)
            self._consider_copy(state, round_)

    def _on_corrupt(self, state: KeyState, round_: Round, disk: Disk, number: int) -> None:
        """A member cannot read its cell: it counts for nothing until it is written anew (R8)."""
        round_.corrupt[disk] = number
        if round_.step is Step.TOUCH:
            self._consider_touch(state, round_)
        elif round_.step is Step.WRITE:
            self._send_to(round_, disk)
        else:
            assert round_.cell is not None
            self._close(state, round_)
            self._rewrite(state, round_.cell, round_.task, round_.corrupt)

    def _on_floor(self, state: KeyState, round_: Round) -> None:
        """R14, R18: the same content again, at a version above the floor."""
        assert round_.cell is not None
        cell, task, decisions = round_.cell, round_.task, round_.decisions
        self._close(state, round_)
        self._rewrite(state, cell, task, round_.corrupt).decisions = decisions

    def _rewrite(
        self, state: KeyState, cell: Cell | None, task: Task | None, corrupt: dict[Disk, int]
    ) -> Round:
        """Write ``cell`` again as a new version of this epoch, to all."""
        c = self._c
        ver = c.next_version()
        if cell is None:
            cell = registers.tombstone_for_absent(ver, c.known_floor)
        round_ = self._open(state, Step.WRITE, task)
        round_.corrupt = corrupt
        self._write(round_, cell.rewritten(ver))
        return round_

    # First touch

    def _consider_touch(self, state: KeyState, round_: Round) -> None:
        own = self._ctx.disk
        if own not in round_.replies and own not in round_.corrupt:
            return
        if not self._c.config.quorum(round_.replies.keys()) and not is_covered(
            round_.replies, round_.corrupt, self._c.config
        ):
            return
        if round_.need <= round_.replies.keys() | round_.corrupt.keys() or self._is_overdue(round_):
            self._close(state, round_)
            self._evaluate(state, round_)
            self._advance(state)

    def _is_overdue(self, round_: Round) -> bool:
        return self._ctx.now_us - round_.started_us >= 2 * self._ctx.settings.resend_us

    def _evaluate(self, state: KeyState, round_: Round) -> None:
        """Do what the replies ask for (R13)."""
        if state.fresh and round_.task is not None:
            self._evaluate_chore(state, round_, round_.task)
            return
        damaged = bool(round_.corrupt)
        touched = decide(round_.replies, self._c.config, self._ctx.disk, damaged=damaged)
        if touched.finding is Finding.FRESH:
            state.fresh, state.cell = True, touched.cell
            if round_.task is not None:
                self._evaluate_chore(state, round_, round_.task)
        elif touched.finding is Finding.COPY:
            copy = self._open(state, Step.COPY, round_.task)
            copy.cell, copy.acks = touched.cell, set(touched.holders)
            lacking = (d for d in self._c.config.newcomers if d not in touched.holders)
            self._send(copy, tuple(lacking))
        else:
            self._rewrite(state, touched.cell, round_.task, round_.corrupt)

    # Chores

    def _copy(self, state: KeyState, task: Task) -> None:
        """R18: the chosen cell to every newcomer; an absent key needs nothing."""
        if state.cell is None:
            self._task_done(task, state.key)
            return
        round_ = self._open(state, Step.COPY, task)
        round_.cell = state.cell
        round_.need = frozenset(self._c.config.newcomers)
        self._send(round_, self._c.config.newcomers)

    def _evaluate_chore(self, state: KeyState, round_: Round, task: Task) -> None:
        """The key is fresh and every member (but overdue ones) has shown what it holds."""
        levels = compare(round_.replies, state.cell)
        if levels.ahead or round_.corrupt:
            # An older epoch's leftover, or a cell that cannot be read: put the chosen one on top.
            self._rewrite(state, state.cell, task, round_.corrupt)
        elif levels.behind:
            assert state.cell is not None
            copy = self._open(state, Step.COPY, task)
            copy.cell, copy.need = state.cell, frozenset(levels.behind)
            copy.acks = set(round_.replies) - copy.need
            self._send(copy, levels.behind)
        elif task.chore is Chore.PURGE:
            self._purge(state, task, round_.replies)
        else:
            self._task_done(task, state.key)

    def _purge(self, state: KeyState, task: Task, replies: dict[Disk, Cell | None]) -> None:
        """R21: drop the tombstone once every member has shown exactly it, in this epoch."""
        cell = state.cell
        config = self._c.config
        if (
            cell is not None
            and cell.value is None
            and cell.ver == task.ver
            and not config.is_joint
            and replies.keys() >= config.member_set
        ):
            state.fresh = False
            state.cell = None
            state.purged = cell.ver
            invariants.drop_is_due(replies, config, cell.ver)
            self._c.known_floor = max(self._c.known_floor, cell.ver)
            self._c.purging.drop(state.key, cell.ver)
        self._task_done(task, state.key)

    def _task_done(self, task: Task, key: bytes, *, well: bool = True) -> None:
        copying = self._c.copying
        if task.chore is Chore.COPY and copying is not None:
            copying.on_key(key, well)
        elif task.chore is Chore.LEVEL:
            self._c.levelling.on_key(key)
        elif task.chore is Chore.PURGE:
            self._c.purging.on_key(key)

    # Quorums

    def _consider_write(self, state: KeyState, round_: Round) -> None:
        """R14: a joint quorum, this member's own durable copy in it."""
        c = self._c
        if self._ctx.disk not in round_.acks or not c.config.quorum(round_.acks):
            return
        self._close(state, round_)
        c.stands()
        state.cell, state.fresh = round_.cell, True
        missing = c.config.member_set - round_.acks
        if missing:
            c.levelling.await_acks(round_.id, round_.key, set(missing))
        for decision in round_.decisions:
            self._ctx.succeed(decision.attempt, decision.results, c.stamp)
        task = round_.task
        if task is not None and task.chore is Chore.COPY:
            state.queue.append(task)
        elif task is not None:
            self._task_done(task, round_.key)
        self._advance(state)

    def _consider_copy(self, state: KeyState, round_: Round) -> None:
        """The bulk path of R13 ends with a joint quorum, a chore's copy with those in need."""
        if not state.fresh:
            own = self._ctx.disk
            if not self._c.config.quorum(round_.acks) or own not in round_.acks:
                return
            self._close(state, round_)
            state.cell, state.fresh = round_.cell, True
            if round_.task is not None:
                state.queue.appendleft(round_.task)
            self._advance(state)
        elif round_.need <= round_.acks:
            self._close(state, round_)
            if round_.task is not None:
                self._task_done(round_.task, round_.key)
            self._advance(state)

    # Time and end

    def tick(self) -> None:
        """Send again, give up what is overdue, answer what has passed its deadline."""
        settings, now = self._ctx.settings, self._ctx.now_us
        # Whatever waits does so behind a round: without one, the queue would have gone on.
        for round_ in list(self._rounds.values()):
            for attempt in self._states[round_.key].take_late(now):
                self._ctx.refuse(attempt, Reason.DEADLINE, self._c.stamp)
        for round_ in list(self._rounds.values()):
            if self._c.ended:
                return
            state = self._states[round_.key]
            if now - round_.started_us >= settings.round_us:
                self._give_up(state, round_)
            elif now - round_.sent_us >= settings.resend_us:
                self._again(state, round_)

    def _again(self, state: KeyState, round_: Round) -> None:
        if round_.step is Step.TOUCH:
            answered = round_.replies.keys() | round_.corrupt.keys()
            self._consider_touch(state, round_)
        else:
            answered = round_.acks
            if round_.need and state.fresh and self._is_overdue(round_):
                # A newcomer or a laggard must not hold up the key's clients.
                self._close(state, round_)
                if round_.task is not None:
                    self._task_done(round_.task, round_.key, well=False)
                self._advance(state)
        if round_.id in self._rounds:
            members = self._c.config.members if not round_.need else tuple(sorted(round_.need))
            self._send(round_, tuple(disk for disk in members if disk not in answered))

    def _give_up(self, state: KeyState, round_: Round) -> None:
        """R15: the outcome is unknown, and the key must be touched again."""
        self._close(state, round_)
        if round_.step is Step.WRITE:
            state.fresh = False
            state.cell = None
            # It may be chosen all the same, and a touch that finds it asks no laggard (R34, R35).
            self._c.levelling.note_unacked(round_.key, self._c.config.member_set - round_.acks)
        for decision in round_.decisions:
            self._ctx.unknown(decision.attempt, Reason.DEADLINE, self._c.stamp)
        if round_.task is not None:
            self._task_done(round_.task, round_.key, well=False)
        self._advance(state)

    def end(self) -> list[Attempt]:
        """Answer what has started as unknown; return the attempts that have not."""
        waiting: list[Attempt] = []
        for round_ in self._rounds.values():
            for decision in round_.decisions:
                self._ctx.unknown(decision.attempt, Reason.STEPPED_DOWN, self._c.stamp)
        for state in self._states.values():
            waiting.extend(w for w in state.queue if isinstance(w, Attempt))
            waiting.extend(state.reads)
        self._rounds.clear()
        self._states.clear()
        return waiting
