"""The times and limits of a dispatcher, frozen, with the relations between them checked.

Units are in the names; times are microseconds of the dispatcher's clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from becket.core.errors import InvalidInputError

MS = 1000


@dataclass(frozen=True)
class DispatchSettings:
    """Raises InvalidInputError naming the field where a value or a relation is impossible."""

    attempt_us: int = 400 * MS
    """An attempt unanswered for so long makes the caller ask others: the suspicion time."""
    superseded_us: int = 50 * MS
    """How long an attempt may still be answered by a coordinator that is known to be deposed."""
    window: int = 2
    """Batches in flight on one lane, one beside another only if twice as much waits: more of them
    are smaller ones, and cost more together."""
    window_most: int = 16
    """As many may be in flight where older ones are held up by single operations in them."""
    stalled_us: int = 20 * MS
    """A batch unanswered for so long, and for three times the usual, does not count any more."""
    batch_operations: int = 1000
    batch_bytes: int = 4 << 20
    queue_operations: int = 20_000
    """Operations that wait for one lane; beyond it they are refused as overload."""
    queue_bytes: int = 64 << 20
    pending_operations: int = 100_000
    """Operations under way in the whole dispatcher."""
    joined_operations: int = 64
    """Writes of one key by several callers that are joined into one call (R14a folds as many)."""
    joined_reads: int = 4
    """Reads among them: the values of as many fit into one answer, however large they are."""
    key_queue: int = 10_000
    """Lists of operations that wait for an open call of their key."""
    backoff_least_us: int = 20 * MS
    backoff_most_us: int = 100 * MS
    blind_attempts: int = 32
    """Attempts of one call without news of another coordinator; later ones come slowly."""
    blind_pause_us: int = 500 * MS
    unsent_pause_us: int = 50 * MS
    """How often a call looks whether its member, which could not be reached, can be by now."""
    detour_us: int = 1500 * MS
    """A member that cannot be reached for longer than it takes to replace a coordinator is reached
    by a router, where there is one: until then a router could not do better."""
    all_attempts: int = 100
    hedge_least_us: int = 50 * MS
    locate_us: int = 200 * MS
    connect_us: int = 1000 * MS
    probe_us: int = 200 * MS
    """A client that may also use a router tries the members for so long when it begins."""
    reconnect_least_us: int = 50 * MS
    reconnect_most_us: int = 1000 * MS
    budget_share: float = 0.1
    """Attempts beyond the first, as a share of calls, when nothing is known to have changed."""
    budget_floor: float = 20.0
    """Such attempts a second that are allowed however few calls there are."""
    budget_most: float = 200.0
    tick_us: int = 10 * MS
    default_deadline_us: int = 5000 * MS
    watched_members: int = 32
    """How many members' own news of coordinators are followed."""

    def __post_init__(self) -> None:
        """Check each value and each relation."""
        for name, value in vars(self).items():
            if value <= 0:
                raise InvalidInputError(name, "must be over 0")
        for low, high in (
            ("tick_us", "superseded_us"),
            ("window", "window_most"),
            ("superseded_us", "attempt_us"),
            ("hedge_least_us", "attempt_us"),
            ("backoff_least_us", "backoff_most_us"),
            ("reconnect_least_us", "reconnect_most_us"),
            ("batch_operations", "queue_operations"),
            ("batch_bytes", "queue_bytes"),
            ("blind_attempts", "all_attempts"),
        ):
            if getattr(self, low) > getattr(self, high):
                raise InvalidInputError(low, f"must not be over {high}")
