"""When two states of a process are the same: a structural key, blind to what cannot matter.

Owns the walk over an object and the list of what it leaves out. A field may be left out only if
no behaviour follows from it; the reason stands beside it. The key is exact (it is compared, not
only hashed) and does not depend on the order of sets or of the listed dictionaries.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from enum import Enum
from types import FunctionType, MethodType
from typing import Any

from becket.core.replication import cells, messages, registers, rounds, store, versions
from becket.core.replication.claims import Claims
from becket.core.replication.context import Context
from becket.core.replication.coordinator import Coordinator
from becket.core.replication.leases import Pair, SentClaim
from becket.core.replication.levelling import Levelling
from becket.core.replication.lookout import Lookout
from becket.core.replication.replica import Part, Replica
from becket.core.replication.rounds import Round
from becket.core.replication.seats import Candidature, Seat
from becket.core.replication.settings import Settings
from becket.core.replication.store import Store
from becket.core.ring.config import Config
from tests.simulation.explore_shell import Life, Shell

_VALUES = {
    t
    for module in (cells, messages, registers, rounds, store, versions)
    for t in vars(module).values()
    if isinstance(t, type) and issubclass(t, tuple) and t.__module__ == module.__name__
} | {SentClaim, int, str, bytes, bool, float, type(None)}
"""Immutable all the way down: a value is its own key."""
_VALUES -= {registers.Fold, store.Recovered}

_IGNORED: dict[type, frozenset[str]] = {
    Shell: frozenset({"life", "index"}),  # the same for every state of a member
    Seat: frozenset({"story", "stir"}),  # only told when something is wrong; see Lookout below
    Replica: frozenset({"serial", "configs"}),  # only ever compared for equality: see _CACHES
    Claims: frozenset(
        {"reigns", "_covered", "_covered_serial", "_peers", "_peers_serial"}  # caches, as above
    ),
    Context: frozenset({"out"}),  # empty between steps
    Store: frozenset({"_written", "_cleared", "_writes"}),  # empty between steps
    Settings: frozenset(),
}

_BY_HINT: dict[type, frozenset[str]] = {
    # Read by suspicion alone, and here a member is told to suspect before it is asked to.
    Part: frozenset({"touched_us"}),
    # Read by hears_quorum, which only a timer asks.
    Coordinator: frozenset({"heard"}),
}
"""Left out because members look at their timers only when they are told to suspect."""

_OF_CLAIMS: dict[type, frozenset[str]] = {Pair: frozenset({"heard_us", "sent"})}
"""Left out where claims are lost: nothing but a hint changes or reads them."""

_LATE_ACKS: dict[type, frozenset[str]] = {
    Levelling: frozenset({"_trailing", "_serial", "_lacking"})
}
"""Left out where nobody asks who is level: which acks of chosen writes are late."""

_ONE_CONFIG: dict[type, frozenset[str]] = {Coordinator: frozenset({"_knows"})}
"""Left out of coordinators where everybody knows the only config."""

_UNORDERED = {
    (Replica, "parts"),
    (Replica, "pairs"),
    (Coordinator, "heard"),
    (Coordinator, "_pending"),
    (Pair, "granted"),
    (Pair, "bounded"),
    (Pair, "sent"),
    (Candidature, "roots"),
    (Candidature, "again_us"),
    (Round, "replies"),
    (Round, "corrupt"),
}
"""Dictionaries that are only looked up in, or gathered into sets and maxima."""


def is_late(handler: object) -> bool:
    """Whether this is what takes late acks of writes that are chosen already (R35)."""
    return getattr(handler, "__func__", None) is Levelling._on_late_ack


class Keys:
    """Makes the keys of one scope's processes."""

    def __init__(self, life: Life) -> None:
        self._ignored = dict(_IGNORED)
        self._ignore(_BY_HINT)
        if not life.claims:
            self._ignore(_OF_CLAIMS)
        if not life.late_acks:
            self._ignore(_LATE_ACKS)
        if life.one_config:
            self._ignore(_ONE_CONFIG)
        self._late_acks = life.late_acks
        self._fields: dict[type, tuple[str, ...]] = {}
        self._seen: dict[int, int] = {}
        self._serial = 0
        self._walkers: dict[type, Callable[[Any], Hashable]] = {
            dict: lambda x: tuple((self._walk(k), self._walk(v)) for k, v in x.items()),
            list: self._sequence,
            deque: self._sequence,
            tuple: self._sequence,
            set: lambda x: tuple(sorted(x)),
            frozenset: lambda x: tuple(sorted(x)),
            MethodType: lambda x: (x.__func__.__qualname__, self._walk(x.__self__)),
            FunctionType: lambda x: x.__qualname__,
            Config: lambda x: (x.gen, x.old, x.new, x.since),
            Settings: lambda _: None,
            # Which seats a tick may pass over: nothing comes of looking at them (``lookouts``).
            Lookout: lambda _: None,
            Pair: self._pair,
        }

    def _ignore(self, fields: dict[type, frozenset[str]]) -> None:
        for owner, names in fields.items():
            self._ignored[owner] = names | self._ignored.get(owner, frozenset())

    def key(self, root: object) -> Hashable:
        """The key of a state."""
        self._seen.clear()
        if isinstance(root, Shell) and root.member is not None:
            self._serial = root.member.replica.serial
        return self._walk(root)

    def _walk(self, x: Any) -> Hashable:  # noqa: ANN401 - any state at all
        kind = type(x)
        if kind in _VALUES:
            return x  # type: ignore[no-any-return]
        walker = self._walkers.get(kind)
        if walker is None:
            walker = self._walkers[kind] = self._walker_for(x)
        return walker(x)

    def _walker_for(self, x: object) -> Callable[[Any], Hashable]:
        if isinstance(x, Enum):
            return lambda x: x.name
        if isinstance(x, tuple):
            return self._sequence
        return self._object

    def _sequence(self, x: Any) -> Hashable:  # noqa: ANN401 - any state at all
        return tuple(map(self._walk, x))

    def _object(self, x: Any) -> Hashable:  # noqa: ANN401 - any state at all
        place = self._seen.get(id(x))
        if place is not None:
            return ("seen", place)
        self._seen[id(x)] = len(self._seen)
        kind = type(x)
        fields = self._fields.get(kind)
        if fields is None:
            fields = self._fields[kind] = self._fields_of(x)
        return (
            kind.__name__,
            *(
                self._unordered(getattr(x, name))
                if (kind, name) in _UNORDERED
                else self._walk(getattr(x, name))
                for name in fields
            ),
        )

    def _unordered(self, x: dict[Any, Any]) -> Hashable:
        late = self._late_acks
        return tuple((k, self._walk(x[k])) for k in sorted(x) if late or not is_late(x[k]))

    def _fields_of(self, x: object) -> tuple[str, ...]:
        names = getattr(type(x), "__slots__", None) or sorted(vars(x))
        ignored = self._ignored.get(type(x), frozenset())
        return tuple(name for name in names if name not in ignored)

    def _pair(self, x: Pair) -> Hashable:
        """A pair's cache is as good as its serial is the present one."""
        ignored = self._ignored.get(Pair, frozenset()) | {"checked_serial", "suspicion"}
        return (
            x.checked_serial == self._serial,
            *(self._walk(getattr(x, name)) for name in Pair.__slots__ if name not in ignored),
        )
