"""Which pods' readiness gates are to be opened (KUBERNETES.md, "Rollouts").

Owns the decision. Must not open one. A pod keeps its gate as long as it lives, so a container that
starts again inside it asks for nothing; a new pod, under the same name too, starts with it closed.
Rollouts, evictions and waiting installers go on when it opens: when the next pod may go.
Invariants: a gate is never closed; what a process says opens the gate of the pod that it runs in,
not of another one of the same name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from becket.core.ring.config import Disk
from becket.core.ring.members import Member, MemberState
from becket.core.ring.ring import Ring
from becket.core.supervision.pods import PlatformView, Pod
from becket.core.supervision.saying import Said, Topic
from becket.core.supervision.snapshot import Seen, Snapshot
from becket.core.supervision.wholeness import Wholeness


@dataclass(frozen=True)
class Gate:
    """One gate that is to be opened: of this pod and no other of its name."""

    name: str
    uid: str


@dataclass(frozen=True)
class Gates:
    """What to open, and why others stay closed."""

    opens: tuple[Gate, ...] = ()
    said: tuple[Said, ...] = ()


def gates(
    ring: Ring,
    snapshot: Snapshot,
    whole: Wholeness,
    is_filled: Callable[[Disk], bool],
    first_pods: Collection[str] = (),
) -> Gates:
    """The gates to open now.

    ``is_filled``: whether no plan is to give this member copies that it has not got yet.
    ``first_pods`` are the uids of pods with which the cluster was made: these wait for nothing but
    their place in the ring, since no earlier copy of anything can be missing.
    """
    view = snapshot.platform
    if view is None:
        return Gates()
    opens, said = [], []
    for pod in view.pods:
        if pod.is_whole or pod.is_terminating:
            continue
        problem = _problem(ring, snapshot, pod)
        if problem == "" and pod.uid not in first_pods:
            problem = _lack(ring, whole, pod.name, is_filled)
        if problem:
            sentence = f"{pod.name} is not ready for the next one to go: {problem}"
            key = f"gate of {pod.uid}"
            said.append(Said(Topic.PLATFORM, sentence, pod.name, key, is_passing=True))
        else:
            opens.append(Gate(pod.name, pod.uid))
    return Gates(tuple(opens), tuple(said))


def _problem(ring: Ring, snapshot: Snapshot, pod: Pod) -> str:
    """Why what runs in this pod is no member that could be whole; empty where it is one."""
    seen = _seen_in(pod, snapshot)
    if seen is None:
        return "its process is not heard yet"
    member = ring.by_disk.get(seen.disk)
    if member is None:
        if pod.name in snapshot.names:
            return "its disk has not joined yet"
        return ""  # Nobody wishes for it: nothing waits for what it does not hold.
    if member.name != pod.name:
        return f"its disk is that of {member.name}"
    if member.state is MemberState.GONE:
        return "its disk was given up, and has to join again"
    return ""


def _seen_in(pod: Pod, snapshot: Snapshot) -> Seen | None:
    """The process that answers at this very pod's address."""
    if not pod.address:
        return None
    return next(
        (s for s in snapshot.connected if s.name == pod.name and s.address == pod.address), None
    )


def _lack(ring: Ring, whole: Wholeness, name: str, is_filled: Callable[[Disk], bool]) -> str:
    """Which copies are missing; empty where none is."""
    for member in ring.members:
        if member.name != name or member.state is MemberState.GONE:
            continue
        held = ring.partitions_by_disk[member.disk]
        lacking = sum(not whole.is_whole(partition) for partition in held)
        if lacking:
            return f"{lacking} of its {len(held)} partitions lack a replica that is alive and level"
        if _arrives(ring, member) or (member.may_hold and not is_filled(member.disk)):
            return "it is still being given its copies"
    return ""


def _arrives(ring: Ring, member: Member) -> bool:
    return any(member.disk in ring.configs[p].newcomers for p in ring.joint_partitions)


def known_uids(view: PlatformView) -> frozenset[str]:
    """The pods that there are."""
    return frozenset(pod.uid for pod in view.pods)
