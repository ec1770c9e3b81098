"""The rules of the election: by hand at their edges, and under random schedules."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Generator

import pytest

from becket.adapters.kubernetes.election import MOST_LEASE_S, Election, Seen

LEASE_MS = 8000
LEASE = LEASE_MS * 1000
REIGN = LEASE - LEASE // 8
RENEW = 2_000_000
SECOND = 1_000_000


def election(identity: str = "me") -> Election:
    return Election(identity, lease_ms=LEASE_MS)


def leading(at_us: int = 0) -> Election:
    """One that has taken an absent Lease, by a write begun at this time."""
    found = election()
    found.saw(None, at_us)
    wish = found.wish(at_us, "t0")
    assert wish is not None
    found.wrote(wish, at_us, at_us)
    return found


def held(renewed: str, transitions: int = 5, duration_s: int = 8) -> Seen:
    return Seen("other", transitions, duration_s, renewed, "other:7400")


def test_a_first_lease_is_taken_at_once() -> None:
    found = leading()
    assert found.is_leader(0)
    assert found.term(0) == 1


def test_a_reign_ends_before_others_may_take_the_lease() -> None:
    found = leading(at_us=100)
    assert found.is_leader(100 + REIGN - 1)
    assert not found.is_leader(100 + REIGN)
    assert found.term(100 + REIGN) == 0
    assert found.left_us(100) == REIGN
    assert found.left_us(100 + REIGN) == 0


def test_a_reign_counts_from_the_start_of_the_write_and_not_from_its_answer() -> None:
    found = election()
    found.saw(None, 0)
    wish = found.wish(0, "t0")
    assert wish is not None
    found.wrote(wish, 10, 3 * SECOND)
    assert not found.is_leader(10 + REIGN)


def test_a_renewal_keeps_the_term() -> None:
    found = leading()
    wish = found.wish(RENEW, "t1")
    assert wish is not None
    assert (wish.holder, wish.transitions, wish.duration_s) == ("me", 1, 8)
    found.wrote(wish, RENEW, RENEW)
    assert found.term(RENEW + REIGN - 1) == 1


def test_a_write_without_an_answer_gives_no_reign_but_leaves_the_one_there_is() -> None:
    found = leading()
    assert found.wish(RENEW, "t1") is not None  # sent, and never answered
    assert found.is_leader(REIGN - 1)
    assert not found.is_leader(REIGN)


def test_being_shown_as_holder_is_no_reign() -> None:
    found = election()
    found.saw(Seen("me", 4, 8, "t"), 0)  # A write of its own whose answer was lost.
    assert not found.is_leader(0)
    wish = found.wish(0, "t2")
    assert wish is not None
    assert wish.transitions == 5


def test_a_held_lease_is_taken_when_it_was_seen_unchanged_for_its_whole_time() -> None:
    found = election()
    found.saw(held("t0"), 1000)
    assert found.wish(1000, "x") is None
    for at_us in range(1000, 1000 + LEASE, RENEW):
        found.saw(held("t0"), at_us)
    assert found.wish(1000 + LEASE - 1, "x") is None
    assert found.wait_us(1000 + LEASE - 1) == 1
    wish = found.wish(1000 + LEASE, "x")
    assert wish is not None
    assert (wish.holder, wish.transitions) == ("me", 6)


def test_each_renewal_begins_the_wait_anew() -> None:
    found = election()
    for i in range(10):
        found.saw(held(f"t{i}"), i * RENEW)
    assert found.wait_us(9 * RENEW) == LEASE
    found.saw(held("t9", transitions=6), 10 * RENEW)
    assert found.wait_us(10 * RENEW) == LEASE


def test_the_holders_own_time_counts_where_it_is_longer_but_has_a_limit() -> None:
    found = election()
    found.saw(held("t", duration_s=30), 0)
    assert found.wait_us(0) == 30 * SECOND
    found.saw(held("t", duration_s=1), 0)
    assert found.wait_us(0) == LEASE
    found.saw(held("t", duration_s=10**9), 0)
    assert found.wait_us(0) == MOST_LEASE_S * SECOND


def test_a_released_lease_is_taken_at_once() -> None:
    found = election()
    found.saw(Seen("", 5, 1, "t"), 0)
    wish = found.wish(0, "x")
    assert wish is not None
    assert wish.transitions == 6


def test_who_sees_another_holder_leads_no_more() -> None:
    found = leading()
    found.saw(held("t"), 10)
    assert not found.is_leader(10)
    assert found.wish(10, "x") is None


def test_a_deleted_lease_is_waited_for_by_who_has_seen_it() -> None:
    found = election()
    found.saw(held("t", transitions=5), 0)
    found.saw(None, SECOND)
    assert found.wish(SECOND + LEASE - 1, "x") is None
    found.saw(None, SECOND + LEASE)
    wish = found.wish(SECOND + LEASE, "x")
    assert wish is not None
    assert wish.transitions == 6


def test_a_holder_whose_lease_was_deleted_leads_no_more_and_waits_too() -> None:
    found = leading()
    found.saw(None, SECOND)
    assert not found.is_leader(SECOND)
    assert found.wish(SECOND, "x") is None
    wish = found.wish(SECOND + LEASE, "x")
    assert wish is not None
    assert wish.transitions == 2


def test_a_paused_leader_reigns_anew_under_a_higher_term() -> None:
    found = leading()
    wish = found.wish(10 * LEASE, "x")
    assert wish is not None
    assert wish.transitions == 2


def test_a_fence_that_is_higher_is_outbid_by_the_next_renewal() -> None:
    found = leading()
    found.outbid(9)
    assert found.term(0) == 1
    wish = found.wish(RENEW, "x")
    assert wish is not None
    assert wish.transitions == 10
    found.wrote(wish, RENEW, RENEW)
    assert found.term(RENEW) == 10
    found.outbid(3)
    again = found.wish(2 * RENEW, "y")
    assert again is not None
    assert again.transitions == 10


def test_who_resigns_leads_no_more_and_frees_only_its_own_lease() -> None:
    found = leading()
    found.resign()
    assert not found.is_leader(0)
    wish = found.wish(0, "x")
    assert wish == Seen("", 1, 1, "x")
    found.wrote(wish, 0, 0)
    assert found.wish(0, "y") is None
    found.saw(held("t"), 0)
    assert found.wish(100 * LEASE, "y") is None


def test_the_holder_is_known_while_its_lease_is_alive() -> None:
    found = election()
    assert found.holder(0) is None
    found.saw(held("t"), 0)
    assert found.holder(LEASE - 1) == held("t")
    assert found.holder(LEASE) is None
    found.saw(Seen("", 5, 1, "t"), 0)
    assert found.holder(0) is None


# Random schedules: a register with versions, messages that take their time or are lost, processes
# that stand still, clocks that differ in offset and by 2 % in rate.


class Register:
    """The Lease and its resource version."""

    def __init__(self) -> None:
        self.seen: Seen | None = None
        self.version = 0

    def write(self, seen: Seen | None, expected: int) -> bool:
        if expected != self.version:
            return False
        self.seen, self.version = seen, self.version + 1
        return True


class Process:
    """One elector: its clock, and its loop of requests as a generator of pauses in real time."""

    def __init__(self, name: str, register: Register, rng: random.Random) -> None:
        self.election = election(name)
        self.register = register
        self.rng = rng
        self.offset = rng.randrange(10**9)
        self.rate = rng.uniform(0.98, 1.02)
        self.now = 0

    def clock(self) -> int:
        return self.offset + int(self.now * self.rate)

    def leads(self, now: int) -> bool:
        return self.election.is_leader(self.offset + int(now * self.rate))

    def travel(self) -> int:
        if self.rng.random() < 0.03:
            return self.rng.randrange(2 * LEASE)  # Stands still, or so does the network.
        return self.rng.randrange(200_000)

    def live(self) -> Generator[int, None, None]:
        certain, version = False, 0
        for turn in itertools.count():
            if not certain or not self.election.is_leader(self.clock()):
                yield self.travel()
                seen, version = self.register.seen, self.register.version
                yield self.travel()
                self.election.saw(seen, self.clock())
                certain = True
            wish = self.election.wish(self.clock(), f"{self.election.identity} {turn}")
            if wish is not None:
                started = self.clock()
                yield self.travel()
                done = self.register.write(wish, version)
                yield self.travel()
                if self.rng.random() < 0.1:
                    certain = False  # The answer is lost.
                elif done:
                    version += 1
                    self.election.wrote(wish, started, self.clock())
                else:
                    certain = False
            yield self.rng.randrange(RENEW)


@pytest.mark.parametrize("seed", range(60))
def test_never_two_lead_and_terms_only_grow(seed: int) -> None:
    rng = random.Random(seed)
    register = Register()
    processes = [Process(f"p{i}", register, rng) for i in range(rng.choice((2, 3)))]
    lives = [process.live() for process in processes]
    events = [(0, i) for i in range(len(processes))]
    reigns: list[tuple[int, str]] = []
    while events[0][0] < 400 * SECOND:
        now, which = heapq.heappop(events)
        process = processes[which]
        process.now = now
        heapq.heappush(events, (now + next(lives[which]), which))
        leaders = [each for each in processes if each.leads(now)]
        assert len(leaders) <= 1
        for each in leaders:
            reign = (each.election.term(each.offset + int(now * each.rate)), each.election.identity)
            if not reigns or reigns[-1] != reign:
                reigns.append(reign)
        if rng.random() < 0.001:
            process.election.outbid(rng.randrange(50))
        if rng.random() < 0.0005 and register.seen is not None:
            # Somebody edits the Lease, without touching what the election goes by.
            register.version += 1
    assert reigns, "somebody should have led"
    terms = [term for term, _ in reigns]
    assert terms == sorted(set(terms))
