"""What each member does with each input, worked out once: the members as interned automata.

Owns the numbers that stand for messages and for states of members, and the memory of steps. A
member's step depends on its own state and on the input alone, so it is run once, on a copy made
from a snapshot, however many states of the whole cluster contain it.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Hashable, Iterable
from typing import Any, NamedTuple

from becket.core.errors import BugError
from becket.core.replication.cells import Answer, Attempt
from becket.core.replication.effects import Certificate
from becket.core.replication.messages import (
    Accept,
    Check,
    Claim,
    ClaimReply,
    Compare,
    CopyIn,
    CopyKeys,
    Drop,
    HandOver,
    ListKeys,
    Message,
    Prepare,
    ReadKey,
    Release,
    Reply,
    Request,
    SetFloor,
    Status,
    WouldPromise,
)
from becket.core.replication.roles import Role
from becket.core.replication.settings import Settings
from becket.core.replication.versions import NO_EPOCH, ZERO, Epoch, Identity
from becket.core.ring.config import Config
from tests.simulation.explore_clients import plain
from tests.simulation.explore_keys import Keys, is_late
from tests.simulation.explore_shell import PARTITION, Life, Outputs, Shell

Input = int | tuple[Any, ...]
"""The number of a message, or a call on the shell: its name and its arguments."""


_READING = Check | Compare | ListKeys | ReadKey
"""Requests that change nothing but the promise."""
_LATER = _READING | Accept | CopyIn | CopyKeys | Drop | SetFloor
"""Requests of a coordinator: they carry the config only where it may be news."""


class Letter(NamedTuple):
    """A message in flight between members."""

    sender: Identity
    to: int
    message: Message


class Step(NamedTuple):
    """What a member does with one input; ``problem`` is an invariant that does not hold."""

    after: int
    out: tuple[int, ...]
    answers: tuple[Answer, ...]
    certificates: tuple[Certificate, ...]
    problem: str


class View(NamedTuple):
    """What decides which messages still matter to a member, and what it may be asked."""

    up: bool
    role: Role | None
    own: Epoch | None
    """The epoch that it coordinates or stands under."""
    awaited: frozenset[int]
    """The ids that it waits for replies to."""
    max_counter: int
    promised: Epoch
    released: Epoch
    gen: int
    unsynced: int
    incarnation: int


_SHARED: list[object] = []
_PLACES: dict[Hashable, int] = {}


def _shared(place: int) -> object:
    """What stands at a place of what all snapshots of this process share."""
    return _SHARED[place]


def _share(value: Hashable) -> tuple[Callable[[int], object], tuple[int]]:
    """How an immutable value is pickled: as its place among what is shared."""
    place = _PLACES.get(value)
    if place is None:
        place = _PLACES[value] = len(_SHARED)
        _SHARED.append(value)
    return _shared, (place,)


class Snapshots:
    """States as bytes; what is immutable and shared is kept outside of them."""

    def __init__(self) -> None:
        self._table: dict[type, Callable[[Any], Any]] = dict.fromkeys(
            (Life, Settings, Config), _share
        )

    def save(self, root: object) -> bytes:
        """The state as bytes."""
        buffer = io.BytesIO()
        pickler = pickle.Pickler(buffer, pickle.HIGHEST_PROTOCOL)
        pickler.dispatch_table = self._table
        pickler.dump(root)
        return buffer.getvalue()


class Members:
    """The automata of one scope's members."""

    def __init__(self, life: Life, disks: tuple[str, ...]) -> None:
        self.disks = disks
        self._index = {disk: i for i, disk in enumerate(disks)}
        self._keys = Keys(life)
        self._snapshots = Snapshots()
        self._states: dict[Hashable, int] = {}
        self._saved: list[bytes] = []
        self.views: list[View] = []
        self.letters: list[Letter | Attempt | Answer] = []
        self._numbers: dict[Letter | Attempt | Answer, int] = {}
        self._steps: list[dict[Input, Step]] = []
        self.steps_run = 0

    # Numbers

    def number(self, letter: Letter | Attempt | Answer) -> int:
        """The number that stands for a message."""
        number = self._numbers.get(letter)
        if number is None:
            number = self._numbers[letter] = len(self.letters)
            self.letters.append(letter)
        return number

    def intern(self, shell: Shell) -> int:
        """The number that stands for a state."""
        key = self._keys.key(shell)
        number = self._states.get(key)
        if number is None:
            number = self._states[key] = len(self._saved)
            self._saved.append(self._snapshots.save(shell))
            self.views.append(_view(shell))
            self._steps.append({})
        return number

    def load(self, state: int) -> Shell:
        """A copy of a member in a state, to look at or to step."""
        shell = pickle.loads(self._saved[state])  # noqa: S301 - made by this process
        assert isinstance(shell, Shell)
        return shell

    @property
    def count(self) -> int:
        """How many distinct states of single members were met."""
        return len(self._saved)

    # Steps

    def step(self, state: int, what: Input) -> Step:
        """What a member in ``state`` does with an input."""
        step = self._steps[state].get(what)
        if step is None:
            step = self._steps[state][what] = self._run(state, what)
        return step

    def _run(self, state: int, what: Input) -> Step:
        self.steps_run += 1
        shell = self.load(state)
        try:
            outputs = self._call(shell, what)
        except (BugError, AssertionError) as error:
            return Step(state, (), (), (), f"{type(error).__name__}: {error}")
        out = self.post(shell.life, outputs.messages)
        answers = tuple(plain(answer) for answer in outputs.answers)
        after = self.intern(shell)
        return Step(after, out, answers, tuple(outputs.certificates), "")

    def post(self, life: Life, sent: list[tuple[Identity, str, Message]]) -> tuple[int, ...]:
        """The numbers of the messages that a scope lets arrive."""
        return tuple(
            self.number(Letter(sender, self._index[to], _plain(message, life)))
            for sender, to, message in sent
            if to in self._index and _arrives(sender.disk, to, message, life)
        )

    def _call(self, shell: Shell, what: Input) -> Outputs:
        if isinstance(what, int):
            letter = self.letters[what]
            if isinstance(letter, Attempt):
                return shell.submit(letter)
            assert isinstance(letter, Letter)
            return shell.receive(letter.sender, letter.message)
        name, *arguments = what
        if name == "ask":
            letter = self.letters[arguments[0]]
            assert isinstance(letter, Letter)
            assert isinstance(letter.message, WouldPromise)
            return shell.ask(letter.sender, letter.message)
        outputs = getattr(shell, name)(*arguments)
        assert isinstance(outputs, Outputs)
        return outputs

    # What still matters

    def living(self, numbers: Iterable[int], states: tuple[int, ...]) -> tuple[int, ...]:
        """The messages that may still do something, however the cluster goes on.

        A message is gone when no code path of its receiver reads it, when it can only bring back
        a refusal that nobody reads, and when it is a late one (a reply to a request that is
        closed, a request to read whose answer is) that a network may as well lose. Of requests
        that can only be refused, all of one coordinator to one member are one.
        """
        kept, doomed = [], set()
        for number in numbers:
            letter = self.letters[number]
            if not isinstance(letter, Letter):
                kept.append(number)
                continue
            view = self.views[states[letter.to]]
            if self._is_dead(letter, view, states):
                continue
            if isinstance(letter.message, _LATER) and _is_refused(letter.message, view):
                mark = (letter.sender, letter.to, letter.message.gen, letter.message.epoch)
                if mark in doomed:
                    continue
                doomed.add(mark)
            kept.append(number)
        return tuple(kept)

    def _is_dead(self, letter: Letter, view: View, states: tuple[int, ...]) -> bool:
        message = letter.message
        if isinstance(message, Reply):
            return self._is_dead_reply(message, view)
        if not view.up:
            return False
        if isinstance(message, Release):
            return view.released >= message.epoch
        if isinstance(message, HandOver):
            over = view.promised > message.epoch and view.released >= message.epoch
            return over and view.gen >= message.gen
        if not isinstance(message, _LATER | Prepare):
            return False
        sender = self.views[states[self._index[letter.sender.disk]]]
        if isinstance(message, _READING) and view.promised == message.epoch:
            return view.gen == message.gen and message.id not in sender.awaited
        released = message.released if isinstance(message, Prepare) else None
        if released is not None and view.released < released:
            return False
        return _is_refused(message, view) and _is_over(message.epoch, sender)

    def _is_dead_reply(self, reply: Reply, view: View) -> bool:
        if _is_over(reply.epoch, view):
            return True
        return (
            reply.status is Status.OK
            and reply.epoch == view.own
            and reply.id not in view.awaited
            and view.role is not Role.PREPARING
            and reply.floor == ZERO
        )


def _arrives(sender: str, to: str, message: Message, life: Life) -> bool:
    """Whether a scope lets such a message arrive at all."""
    if isinstance(message, Claim | ClaimReply):
        return sender in life.claims and to in life.claims
    return (sender, to) not in life.cuts and (to, sender) not in life.cuts


def _is_refused(message: Request, view: View) -> bool:
    """Whether the member can only refuse this request, from now on for ever (R8)."""
    if not view.up:
        return False
    return bool(view.gen > message.gen) or (
        view.gen == message.gen and view.promised > message.epoch
    )


def _is_over(epoch: Epoch, view: View) -> bool:
    """Whether the member neither holds this epoch of its own nor ever will again (R9)."""
    if not view.up or epoch.incarnation != view.incarnation:
        return True
    return view.own != epoch and epoch.counter <= view.max_counter


def _plain(message: Message, life: Life) -> Message:
    """The message without what its receiver does not read: refusals are all alike."""
    if isinstance(message, Reply) and message.status in (Status.GEN, Status.EPOCH):
        return message._replace(id=0, floor=ZERO)
    if life.one_config and isinstance(message, _LATER):
        return message._replace(config=None)
    return message


def _view(shell: Shell) -> View:
    member = shell.member
    record = shell.disk.view.records.get(PARTITION)
    promised = record.promised if record is not None else NO_EPOCH
    gen = record.config.gen if record is not None and record.config is not None else 0
    released, counter = NO_EPOCH, 0
    own: Epoch | None = None
    awaited: frozenset[int] = frozenset()
    if member is not None and PARTITION in member.seats:
        seat = member.seats[PARTITION]
        released, counter = seat.part.released, seat.part.max_counter
        if seat.coordinator is not None:
            own = seat.coordinator.epoch
            late = shell.life.late_acks
            pending = seat.coordinator._pending.items()
            awaited = frozenset(n for n, handler in pending if late or not is_late(handler))
        elif seat.candidature is not None:
            own = seat.candidature.epoch
    up = member is not None
    return View(
        up,
        shell.role,
        own,
        awaited,
        counter,
        promised,
        released,
        gen,
        shell.unsynced,
        shell.disk.incarnation,
    )
