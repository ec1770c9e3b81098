"""The scopes that are explored."""

from __future__ import annotations

from dataclasses import replace

from becket.core.replication.cells import Kind, Operation
from becket.core.replication.settings import MS
from tests.simulation.explore_clients import Want
from tests.simulation.explore_scope import STILL, Action, Do, Scope
from tests.simulation.explore_shell import Life

A, B, C, D = 0, 1, 2, 3
READ = Operation(Kind.GET)
ADD = Operation(Kind.INCREMENT, delta=1)

TAKE_OVER = Scope(
    "take-over",
    "A falls silent for B, which takes over; a write in flight at A, retried at B; two reads",
    ("A", "B", "C"),
    3,
    ((Want(ADD, (A, B)),), (Want(READ, (A,)), Want(READ, (B,)))),
    (Action(Do.STAND, (B, (C,))),),
)
ONCE = replace(
    TAKE_OVER,
    name="take-over-once",
    about="as take-over, without the retry",
    scripts=((Want(ADD, (A,)),), (Want(READ, (A,)), Want(READ, (B,)))),
)
TWICE = Scope(
    "take-over-twice",
    "B takes over from A, and C from B; a write in flight at A; reads at both successors",
    ("A", "B", "C"),
    3,
    ((Want(ADD, (A,)),), (Want(READ, (B,)), Want(READ, (C,)))),
    (Action(Do.STAND, (B, (C,))), Action(Do.STAND, (C, (A,)))),
)
CHANGING = Life(STILL, one_config=False)

MOVE = Scope(
    "move",
    "the only replica moves from A to B, with a retried write; B may stand at any time",
    ("A", "B"),
    1,
    ((Want(ADD, (A, B)),), (Want(READ, (A,)), Want(READ, (B,)))),
    (
        Action(Do.CAS, ("B",)),
        Action(Do.CAS, ()),
        Action(Do.OFFER, (A,), 2),
        Action(Do.OFFER, (B,), 2),
        Action(Do.STAND, (B, (A,))),
    ),
    life=CHANGING,
    written=True,
)
REJOIN = Scope(
    "rejoin",
    "the only replica moves from A to B; the change may be given up and begun again",
    ("A", "B"),
    1,
    ((Want(ADD, (A,)),), (Want(READ, (B,)),)),
    (
        Action(Do.CAS, ("B",), 2),
        Action(Do.CAS, None),
        Action(Do.CAS, ()),
        Action(Do.OFFER, (A,), 4),
        Action(Do.OFFER, (B,), 2),
    ),
    life=CHANGING,
    written=True,
)
GROW = Scope(
    "grow",
    "A alone becomes A, B, C, with a write; B takes over at any time",
    ("A", "B", "C"),
    1,
    ((Want(ADD, (A,)),), (Want(READ, (B,)),)),
    (
        Action(Do.CAS, ("A", "B", "C")),
        Action(Do.CAS, ()),
        Action(Do.OFFER, (A,), 2),
        Action(Do.OFFER, (B,), 1),
        Action(Do.STAND, (B, (C,))),
    ),
    life=CHANGING,
    written=True,
)
JOIN = Scope(
    "join",
    "A, B, C become A, B, D; two writes race with the copy; C is silent",
    ("A", "B", "C", "D"),
    3,
    ((Want(ADD, (A,)),), (Want(ADD, (A,)),)),
    (
        Action(Do.CAS, ("A", "B", "D")),
        Action(Do.CAS, ()),
        Action(Do.OFFER, (A,), 2),
        Action(Do.OFFER, (D,), 2),
    ),
    life=replace(CHANGING, cuts=frozenset({("A", "C"), ("B", "C"), ("C", "D")})),
    written=True,
)
JOIN_TAKEN = Scope(
    "join-take-over",
    # A copy asks B first, and C only when that takes long: time that no scope lets pass.
    "A, B, C become A, C, D; C takes over; writes and reads at both; only A-B, A-D, C-D hear",
    ("A", "B", "C", "D"),
    3,
    ((Want(ADD, (A,)), Want(ADD, (C,))), (Want(READ, (C,)), Want(READ, (A,)))),
    (
        Action(Do.CAS, ("A", "C", "D")),
        Action(Do.CAS, ()),
        Action(Do.OFFER, (A,), 2),
        Action(Do.OFFER, (C,), 1),
        Action(Do.STAND, (C, (D,))),
    ),
    life=replace(CHANGING, cuts=frozenset({("A", "C"), ("B", "C"), ("B", "D")})),
    written=True,
)
CRASH = Scope(
    "crash",
    "A crashes at any point and starts again; B takes over; a write at A, retried at B",
    ("A", "B", "C"),
    3,
    ((Want(ADD, (A, B)),), (Want(READ, (B,)),)),
    (
        Action(Do.CRASH, (A,)),
        Action(Do.RESTART, (A,)),
        Action(Do.STAND, (B, (C, A))),
    ),
    life=Life(STILL, crashing=(A,)),
)
RETURN = Scope(
    "crash-return",
    "A crashes at any point and starts again; B takes over, then A again; a write, two reads",
    ("A", "B", "C"),
    3,
    ((Want(ADD, (A,)),), (Want(READ, (B,)), Want(READ, (A,)))),
    (
        Action(Do.CRASH, (A,)),
        Action(Do.RESTART, (A,)),
        Action(Do.STAND, (B, (C,)), after=0),
        Action(Do.STAND, (A, (C,)), after=2),
    ),
    life=Life(STILL, crashing=(A,)),
)
REPLICA = Scope(
    "crash-replica",
    "the replica C crashes at any point and starts again; B takes over with it; a write at A",
    ("A", "B", "C"),
    3,
    ((Want(ADD, (A,)),), (Want(READ, (B,)),)),
    (
        Action(Do.CRASH, (C,)),
        Action(Do.RESTART, (C,)),
        Action(Do.STAND, (B, (C,))),
    ),
    life=Life(STILL, crashing=(C,)),
)
REPEAT = replace(
    REPLICA,
    name="crash-repeat",
    about="as crash-replica, and any one message may arrive twice",
    actions=(*REPLICA.actions, Action(Do.REPEAT, ())),
)
TIMED = Life(replace(STILL, lease_us=400 * MS), claims=frozenset("AC"), rates=(0.99, 1.01, 1.01))

LEASE = Scope(
    "lease",
    "A asks for a lease while B stands and writes; 400 ms pass in two steps; A's clock is slow",
    ("A", "B", "C"),
    3,
    ((Want(ADD, (B,)),), (Want(READ, (A,)),)),
    (Action(Do.STAND, (B, (C,))), Action(Do.JUMP, (200 * MS,), 2)),
    life=TIMED,
    leasing=True,
)
HAND_OVER = Scope(
    "hand-over",
    "A holds a lease and hands over to B, with a retried write and reads at both",
    ("A", "B", "C"),
    3,
    ((Want(ADD, (A, B)),), (Want(READ, (A,)), Want(READ, (B,)))),
    (Action(Do.HAND_OVER, (A,)),),
    life=replace(TIMED, claims=frozenset(), late_acks=True),
    leased=True,
)
FORGOTTEN = Scope(
    "lease-forgotten",
    "A holds a lease, C restarts and has forgotten that it granted it, B stands and writes",
    ("A", "B", "C"),
    3,
    ((Want(ADD, (B,)),), (Want(READ, (A,)),)),
    (
        Action(Do.CRASH, (C,)),
        Action(Do.RESTART, (C,)),
        Action(Do.STAND, (B, (C,))),
        Action(Do.JUMP, (200 * MS,), 2),
    ),
    life=replace(TIMED, crashing=(C,)),
    leased=True,
)
ORDER = (
    *(ONCE, TAKE_OVER, TWICE),
    *(MOVE, REJOIN, GROW, JOIN, JOIN_TAKEN),
    *(REPLICA, REPEAT, CRASH, RETURN),
    *(HAND_OVER, LEASE, FORGOTTEN),
)
SCOPES = {scope.name: scope for scope in ORDER}
SHORT = (ONCE, REJOIN, GROW, JOIN, JOIN_TAKEN, REPLICA, HAND_OVER, FORGOTTEN)
CI = frozenset(scope.name for scope in SHORT)
