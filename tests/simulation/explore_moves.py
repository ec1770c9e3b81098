"""Everything that may happen next in a state of a scope.

Theory of operation. A state is a handful of numbers: one for each member's state, one for each
client's, one for the world (the ring's object and what actions are left), one for the history,
one for the set of messages in flight. A move delivers one message or lets one action happen. A
delivery that changes nothing is no move: the message stays, and may still arrive later.

Owns the moves, and the upkeep of what is in flight: equal messages are one, and a message that
can do nothing any more is gone.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any, Generic, NamedTuple, TypeVar

from becket.core.replication.cells import Answer, Attempt, Outcome
from becket.core.replication.messages import WouldPromise, WouldReply
from becket.core.replication.roles import Role
from becket.core.ring.config import Config
from becket.core.sessions import Call
from tests.simulation import explore_clients as clients
from tests.simulation.explore_keys import Keys
from tests.simulation.explore_members import Letter, Members, Step
from tests.simulation.explore_scope import Action, Beginning, Do, Scope

State = tuple[int, ...]
Label = tuple[Any, ...]
Net = tuple[int, ...]
T = TypeVar("T")


class World(NamedTuple):
    """The ring's object so far, who was shown what, what was certified, what actions are left."""

    configs: tuple[Config, ...]
    certified: tuple[int, ...]
    offered: tuple[tuple[int, int], ...]
    left: tuple[int, ...]


class Turn(NamedTuple):
    """What a client does with one input: a new attempt, or the end of its call, or neither."""

    after: int
    attempt: int
    ended: Call | None


class Draft:
    """A state under construction; ``problem``: what was violated on the way to it."""

    __slots__ = ("clients", "history", "members", "net", "problem", "refused", "world")

    def __init__(self, state: State, members: int, net: Net) -> None:
        self.members = list(state[:members])
        self.clients = list(state[members:-3])
        self.world, self.history = state[-3], state[-2]
        self.net = set(net)
        self.problem = ""
        self.refused = False
        """Whether a direct attempt ended as ``no``: as if it had never been."""


class Interned(Generic[T]):
    """Values and the numbers that stand for them."""

    def __init__(self) -> None:
        self.values: list[T] = []
        self._numbers: dict[T, int] = {}

    def number(self, value: T) -> int:
        """The number that stands for a value."""
        number = self._numbers.get(value)
        if number is None:
            number = self._numbers[value] = len(self.values)
            self.values.append(value)
        return number


class Moves:
    """The moves of one scope."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.members = Members(scope.life, scope.members)
        self.worlds: Interned[World] = Interned()
        self.histories: Interned[clients.History] = Interned()
        self.nets: Interned[Net] = Interned()
        self._clients: Interned[bytes] = Interned()
        self._client_keys = Keys(scope.life)
        self._client_states: dict[Any, int] = {}
        self._turns: dict[tuple[int, str, int], Turn] = {}
        self._problems: dict[int, str] = {}
        self._closed: dict[tuple[int, tuple[int, ...]], int] = {}
        self._views: Interned[Any] = Interned()
        self._view_of: list[int] = []
        self._count = len(scope.members)
        self._before = [clients.first_write(b"k", b"0")] if scope.written else []

    def first(self) -> State:
        """The state in which the exploration begins."""
        scope = self.scope
        beginning = Beginning(scope)
        states = [self.members.intern(shell) for shell in beginning.shells]
        sessions = [self._intern_client(clients.Client(i)) for i in range(len(scope.scripts))]
        left = tuple(action.times for action in scope.actions)
        world = self.worlds.number(World((beginning.config,), (), (), left))
        history = self.histories.number(())
        net = self.members.post(scope.life, beginning.withheld)
        return (*states, *sessions, world, history, self.nets.number(tuple(sorted(net))))

    # All of them

    def of(self, state: State) -> Iterator[tuple[Label, State | str]]:
        """Every move: what happens, and the state after it or what it violates."""
        net = self.nets.values[state[-1]]
        for number in net:
            yield from self._deliver(state, net, number)
        for index in range(len(self.scope.scripts)):
            yield from self._client_moves(state, net, index)
        world = self.worlds.values[state[-3]]
        for place, action in enumerate(self.scope.actions):
            before = action.after
            if before >= 0 and world.left[before] == self.scope.actions[before].times:
                continue
            if world.left[place]:
                yield from self._act(state, net, place, action)
        for index in self.scope.life.crashing:
            if self.members.views[state[index]].unsynced:
                yield from self._one(state, net, index, ("sync",))

    # Messages

    def _deliver(self, state: State, net: Net, number: int) -> Iterator[tuple[Label, State | str]]:
        letter = self.members.letters[number]
        if isinstance(letter, Answer):
            draft = Draft(state, self._count, net)
            draft.net.discard(number)
            self._answer(draft, number)
            yield ("answer", number), self._close(draft)
            return
        once = isinstance(letter, Attempt)
        to = self._target(number) if isinstance(letter, Attempt) else letter.to
        if not self.members.views[state[to]].up:
            return
        step = self.members.step(state[to], number)
        quiet = not once and not step.problem and not step.answers
        if quiet and step.after == state[to] and set(step.out) <= set(net):
            return
        draft = Draft(state, self._count, net)
        draft.net.discard(number)
        self._take(draft, to, step)
        yield ("deliver", number), self._close(draft)

    def _target(self, number: int) -> int:
        attempt = self.members.letters[number]
        assert isinstance(attempt, Attempt)
        return self._want(attempt.id).targets[attempt.id % clients.ATTEMPTS - 1]

    def _one(
        self, state: State, net: Net, index: int, what: tuple[Any, ...]
    ) -> Iterator[tuple[Label, State | str]]:
        """One input to one member."""
        step = self.members.step(state[index], what)
        draft = Draft(state, self._count, net)
        self._take(draft, index, step)
        yield ("member", index, *what), self._close(draft)

    def _take(self, draft: Draft, index: int, step: Step) -> None:
        """Let a member's step happen."""
        draft.problem = draft.problem or step.problem
        draft.members[index] = step.after
        draft.net.update(step.out)
        for answer in step.answers:
            number = self.members.number(answer)
            if self._want(answer.id).is_direct:
                draft.refused = draft.refused or answer.outcome is Outcome.NO
                self._answer(draft, number)
            else:
                draft.net.add(number)
        if step.certificates:
            world = self.worlds.values[draft.world]
            gens = {*world.certified, *(c.gen for c in step.certificates)}
            draft.world = self.worlds.number(world._replace(certified=tuple(sorted(gens))))

    def _want(self, attempt_id: int) -> clients.Want:
        client = clients.client_of(attempt_id)
        return self.scope.scripts[client][clients.place_of(attempt_id)]

    def _close(self, draft: Draft) -> State | str:
        """The state that a draft has become: drop what is dead, judge what is new."""
        if draft.problem:
            return draft.problem
        problem = self._problems.get(draft.history)
        if problem is None:
            history = self.histories.values[draft.history]
            problem = clients.problem_of(history, self.scope.scripts, self._before)
            self._problems[draft.history] = problem
        if problem:
            return problem
        net = self.nets.number(tuple(sorted(draft.net)))
        states = tuple(draft.members)
        key = (net, tuple(self._view(state) for state in states))
        closed = self._closed.get(key)
        if closed is None:
            kept = self.members.living(self.nets.values[net], states)
            closed = self._closed[key] = self.nets.number(kept)
        return (*states, *draft.clients, draft.world, draft.history, closed)

    def _view(self, state: int) -> int:
        while len(self._view_of) <= state:
            view = self.members.views[len(self._view_of)]
            self._view_of.append(self._views.number(view))
        return self._view_of[state]

    # Clients

    def _intern_client(self, client: clients.Client) -> int:
        key = self._client_keys.key(client)
        number = self._client_states.get(key)
        if number is None:
            number = self._client_states[key] = self._clients.number(pickle.dumps(client))
        return number

    def client(self, state: int) -> clients.Client:
        """A copy of a client in a state."""
        client = pickle.loads(self._clients.values[state])  # noqa: S301 - made by this process
        assert isinstance(client, clients.Client)
        return client

    def _turn(self, state: int, what: str, number: int = -1) -> Turn:
        key = (state, what, number)
        turn = self._turns.get(key)
        if turn is not None:
            return turn
        client = self.client(state)
        script = self.scope.scripts[client.index]
        attempt, ended = -1, None
        if what == "take":
            answer = self.members.letters[number]
            assert isinstance(answer, Answer)
            ended = client.take(answer, script)
        elif what == "stop":
            ended = client.stop()
        else:
            sent = client.begin(script) if what == "begin" else client.again()
            attempt = self.members.number(sent)
        turn = self._turns[key] = Turn(self._intern_client(client), attempt, ended)
        return turn

    def _answer(self, draft: Draft, number: int) -> None:
        answer = self.members.letters[number]
        assert isinstance(answer, Answer)
        index = clients.client_of(answer.id)
        place = clients.place_of(answer.id)
        turn = self._turn(draft.clients[index], "take", number)
        draft.clients[index] = turn.after
        self._end(draft, index, place, turn)

    def _end(self, draft: Draft, index: int, place: int, turn: Turn) -> None:
        if turn.ended is not None:
            history = self.histories.values[draft.history]
            after = clients.ended(history, index, place, turn.ended)
            draft.history = self.histories.number(after)

    def _client_moves(
        self, state: State, net: Net, index: int
    ) -> Iterator[tuple[Label, State | str]]:
        number = state[self._count + index]
        client, script = self.client(number), self.scope.scripts[index]
        if client.call is None:
            if client.place < len(script):
                yield from self._begin(state, net, index, script[client.place])
            return
        want = script[client.place]
        if client.tries < len(want.targets):
            draft = Draft(state, self._count, net)
            turn = self._turn(number, "again")
            draft.clients[index] = turn.after
            draft.net.add(turn.attempt)
            yield ("again", index, turn.attempt), self._close(draft)
        elif client.place + 1 < len(script) and client.call.open_id:
            draft = Draft(state, self._count, net)
            turn = self._turn(number, "stop")
            draft.clients[index] = turn.after
            self._end(draft, index, client.place, turn)
            yield ("stop", index), self._close(draft)

    def _begin(
        self, state: State, net: Net, index: int, want: clients.Want
    ) -> Iterator[tuple[Label, State | str]]:
        target = want.targets[0]
        if want.is_direct and self.members.views[state[target]].role in (None, Role.FOLLOWER):
            return
        draft = Draft(state, self._count, net)
        number = state[self._count + index]
        turn = self._turn(number, "begin")
        draft.clients[index] = turn.after
        history = self.histories.values[draft.history]
        place = self.client(number).place
        draft.history = self.histories.number(clients.begun(history, index, place))
        if want.is_direct:
            self._take(draft, target, self.members.step(state[target], turn.attempt))
            if draft.refused and not draft.problem:
                return
        else:
            draft.net.add(turn.attempt)
        yield ("begin", index, turn.attempt), self._close(draft)

    # Actions

    def _act(
        self, state: State, net: Net, place: int, action: Action
    ) -> Iterator[tuple[Label, State | str]]:
        for label, draft in self._acted(state, net, action):
            world = self.worlds.values[draft.world]
            left = list(world.left)
            left[place] -= 1
            draft.world = self.worlds.number(world._replace(left=tuple(left)))
            yield label, self._close(draft)

    def _acted(self, state: State, net: Net, action: Action) -> Iterator[tuple[Label, Draft]]:
        if action.do is Do.CAS:
            yield from self._cas(state, net, action)
            return
        if action.do is Do.REPEAT:
            yield from self._repeat(state, net)
            return
        if action.do is Do.JUMP:
            draft = Draft(state, self._count, net)
            for index in range(self._count):
                self._take(
                    draft, index, self.members.step(state[index], ("pass_time", *action.what))
                )
            yield ("jump", *action.what), draft
            return
        index = action.what[0]
        if action.do is Do.RESTART:
            if not self.members.views[state[index]].up:
                yield self._simple(state, net, index, ("start",))
        elif self.members.views[state[index]].up:
            yield from self._acted_at(state, net, action)

    def _acted_at(self, state: State, net: Net, action: Action) -> Iterator[tuple[Label, Draft]]:
        """What happens at one member that is up."""
        index = action.what[0]
        view = self.members.views[state[index]]
        if action.do is Do.STAND:
            yield from self._stand(state, net, action)
        elif action.do is Do.CRASH:
            for kept in range(view.unsynced + 1):
                yield self._simple(state, net, index, ("crash", kept))
        elif action.do is Do.HAND_OVER:
            if view.role is Role.COORDINATING:
                yield self._simple(state, net, index, ("hand_over",))
        else:
            yield from self._offer(state, net, index)

    def _repeat(self, state: State, net: Net) -> Iterator[tuple[Label, Draft]]:
        """A message between members arrives, and stays to arrive once more (R10)."""
        for number in net:
            letter = self.members.letters[number]
            if not isinstance(letter, Letter) or not self.members.views[state[letter.to]].up:
                continue
            draft = Draft(state, self._count, net)
            step = self.members.step(state[letter.to], number)
            if step.after != state[letter.to] or not set(step.out) <= set(net):
                self._take(draft, letter.to, step)
                yield ("deliver", number), draft

    def _simple(
        self, state: State, net: Net, index: int, what: tuple[Any, ...]
    ) -> tuple[Label, Draft]:
        draft = Draft(state, self._count, net)
        self._take(draft, index, self.members.step(state[index], what))
        return ("member", index, *what), draft

    def _stand(self, state: State, net: Net, action: Action) -> Iterator[tuple[Label, Draft]]:
        """R11a in one move: ask, be answered, prepare. Nothing is promised before Prepare."""
        index, helpers = action.what
        if self.members.views[state[index]].role is not Role.FOLLOWER:
            return
        draft = Draft(state, self._count, net)
        asked = self.members.step(state[index], ("stand",))
        self._take(draft, index, asked._replace(out=()))
        for number in asked.out:
            letter = self.members.letters[number]
            assert isinstance(letter, Letter)
            if not isinstance(letter.message, WouldPromise):
                draft.net.add(number)
            elif letter.to in helpers and self.members.views[state[letter.to]].up:
                replied = self.members.step(draft.members[letter.to], ("ask", number))
                self._take(draft, letter.to, replied._replace(out=()))
                for reply in replied.out:
                    answer = self.members.letters[reply]
                    assert isinstance(answer, Letter)
                    assert isinstance(answer.message, WouldReply)
                    step = self.members.step(draft.members[index], reply)
                    self._take(draft, index, step)
        if self.members.views[draft.members[index]].role is Role.PREPARING or draft.problem:
            yield ("stand", index), draft

    def _cas(self, state: State, net: Net, action: Action) -> Iterator[tuple[Label, Draft]]:
        world = self.worlds.values[state[-3]]
        present = world.configs[-1]
        if action.what is None:
            if not present.is_joint:
                return
            after = present.abandon()
        elif action.what:
            if present.is_joint or present.old == action.what:
                return
            after = present.begin(action.what)
        else:
            # R1: a certificate is applied only to the very generation that it names.
            if not present.is_joint or present.gen not in world.certified:
                return
            after = present.finish()
        draft = Draft(state, self._count, net)
        configs = (*world.configs, after)
        draft.world = self.worlds.number(world._replace(configs=configs))
        yield ("cas", after), draft

    def _offer(self, state: State, net: Net, index: int) -> Iterator[tuple[Label, Draft]]:
        """The ring as it is or as it was: a late one is a late message (R3)."""
        world = self.worlds.values[state[-3]]
        for config in world.configs[1:]:
            mark = (config.gen, index)
            if mark in world.offered or config.gen <= self.members.views[state[index]].gen:
                continue
            label, draft = self._simple(state, net, index, ("offer", config))
            offered = tuple(sorted((*self.worlds.values[draft.world].offered, mark)))
            world_after = self.worlds.values[draft.world]._replace(offered=offered)
            draft.world = self.worlds.number(world_after)
            yield label, draft
