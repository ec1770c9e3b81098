"""The scopes that are explored."""

from __future__ import annotations

from dataclasses import replace

from becket.core.replication.cells import Kind, Operation
from tests.simulation.explore_clients import Want
from tests.simulation.explore_scope import STILL, Action, Do, Scope
from tests.simulation.explore_shell import Life

A, B, C, D = 0, 1, 2, 3
READ = Operation(Kind.GET)
ADD = Operation(Kind.INCREMENT, delta=1)

TAKE_OVER = Scope(
    "take-over",
    "three members; A coordinates and falls silent, B takes over; a write in flight at A",
    ("A", "B", "C"),
    3,
    ((Want(ADD, (A, B)),), (Want(READ, (A,)), Want(READ, (B,)))),
    (Action(Do.STAND, (B, (C,))),),
)
TWICE = Scope(
    "take-over-twice",
    "three members; A coordinates and falls silent, B takes over; a write in flight at A",
    ("A", "B", "C"),
    3,
    ((Want(ADD, (A,)),), (Want(READ, (B,)), Want(READ, (C,)))),
    (Action(Do.STAND, (B, (C,))), Action(Do.STAND, (C, (A,)))),
)
MOVE = Scope(
    "move",
    "one replica moves from A to D, with two writes; D takes over before the change ends",
    ("A", "D"),
    1,
    ((Want(ADD, (A, 1)),), (Want(ADD, (A,)), Want(READ, (1,)))),
    (
        Action(Do.CAS, ("D",)),
        Action(Do.CAS, ()),
        Action(Do.OFFER, (A,), 2),
        Action(Do.OFFER, (1,), 2),
    ),
    life=Life(STILL, one_config=False),
    written=True,
)
JOIN = Scope(
    "join",
    "A, B, C become A, B, D, with two writes",
    ("A", "B", "C", "D"),
    3,
    ((Want(ADD, (A,)),), (Want(ADD, (A,)),)),
    (
        Action(Do.CAS, ("A", "B", "D")),
        Action(Do.CAS, ()),
        Action(Do.OFFER, (A,), 2),
        Action(Do.OFFER, (D,), 1),
    ),
    life=Life(STILL, one_config=False),
    written=True,
)
CRASH = Scope(
    "crash",
    "A crashes at any point and starts again; B takes over, or A again; a retry",
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
SCOPES = {scope.name: scope for scope in (TAKE_OVER, TWICE, MOVE, JOIN, CRASH)}
CI = frozenset({"take-over"})
