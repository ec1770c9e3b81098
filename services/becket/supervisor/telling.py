"""What the supervisor says, once as long as it lasts: to log, events, and the platform.

Owns the memory of what was said. Must not word what was decided, only what differs between two
rounds. Invariant: nothing that is said waits for anybody.
"""

from __future__ import annotations

from collections.abc import Mapping

from structlog.typing import FilteringBoundLogger

from becket.adapters import clocks
from becket.core.ring.difference import difference
from becket.core.ring.ring import Ring
from becket.core.supervision.deciding import Decision
from becket.core.supervision.saying import Said, Topic
from becket.core.supervision.snapshot import Snapshot
from becket.ports.platform import Notice, Platform
from becket.supervisor.events import EventLog

REASONS = {
    Topic.FREEZE: "RingChanges",
    Topic.RING: "Ring",
    Topic.MEMBER: "Member",
    Topic.PLAN: "Plan",
    Topic.PLATFORM: "Storage",
    Topic.LEADER: "Leader",
}


class Teller:
    """One supervisor's voice."""

    def __init__(
        self, events: EventLog, platform: Platform | None, log: FilteringBoundLogger
    ) -> None:
        self.events = events
        self._platform = platform
        self._log = log
        self._said: dict[tuple[Topic, str], Said] = {}
        self._dead: frozenset[str] = frozenset()
        self._told: Ring | None = None
        self._version = 0

    def begin_anew(self) -> None:
        """Whoever listens has not heard what this process may have said before."""
        self._said.clear()
        self._dead, self._told = frozenset(), None

    def tell(self, snapshot: Snapshot, decision: Decision) -> None:
        """What is new since the last round."""
        self._tell_ring(snapshot)
        self._tell_lives(snapshot, decision)
        now = {said.identity: said for said in decision.said if not said.is_passing}
        for identity, said in now.items():
            if identity not in self._said:
                is_warning = said.is_warning or said.topic is Topic.FREEZE
                self.say(said.topic, said.sentence, said.member, is_warning=is_warning)
        frozen = any(topic is Topic.FREEZE for topic, _ in now)
        if not frozen and any(topic is Topic.FREEZE for topic, _ in self._said):
            self.say(Topic.FREEZE, "ring changes are released")
        self._said = now

    def _tell_ring(self, snapshot: Snapshot) -> None:
        ring, before = snapshot.confirmed, self._told
        if ring is None or (before is not None and ring.version <= before.version):
            return
        self._told, self._version = ring, ring.version
        if before is None:
            sentence = f"ring version {ring.version} of cluster {ring.cluster} is in force"
        else:
            sentence = f"ring version {ring.version}: {_news(before, ring)}"
        is_step = before is not None and before.members == ring.members
        self.say(Topic.RING, sentence, to_platform=not is_step)

    def _tell_lives(self, snapshot: Snapshot, decision: Decision) -> None:
        names: Mapping[str, str] = (
            {} if snapshot.found is None else {m.disk: m.name for m in snapshot.found.members}
        )
        dead = frozenset(names.get(disk, disk) for disk in decision.judgement.dead)
        for name in sorted(dead - self._dead):
            sentence = f"{name} is heard by most members no more"
            self.say(Topic.MEMBER, sentence, name, is_warning=True)
        for name in sorted(self._dead - dead):
            if name in names.values():
                self.say(Topic.MEMBER, f"{name} is heard again", name)
        self._dead = dead

    def say(
        self,
        topic: Topic,
        sentence: str,
        member: str = "",
        *,
        is_warning: bool = False,
        to_platform: bool = True,
    ) -> None:
        """To everybody, now."""
        version = self._version
        self._log.info(
            "said", topic=topic.value, sentence=sentence, member=member, ring_version=version
        )
        self.events.add(
            topic, sentence, member=member, ring_version=version, time_ms=clocks.wall_ms()
        )
        if self._platform is not None and to_platform:
            self._platform.tell(Notice(REASONS[topic], sentence, member, is_warning))


def _news(before: Ring, after: Ring) -> str:
    """What differs: in full where members do, in numbers within a plan, which says the rest."""
    if before.cluster != after.cluster or before.partitions != after.partitions:
        return f"the cluster is {after.cluster} now"
    if before.members == after.members and before.configs != after.configs:
        found = difference(before, after)
        return f"{len(found.began)} changes began, {len(found.ended)} ended"
    return "; ".join(difference(before, after).sentences)
