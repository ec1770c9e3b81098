"""What the platform says of members, in sentences: pods that leave or lack, nodes, claims.

Owns the wording. Must not decide anything: a pod that is away is no dead member, heartbeats say
that (KUBERNETES.md, "A vanished node's pods stay Terminating"); this tells people where to look.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from becket.core.supervision.pods import Claim, Node, PlatformView, Pod
from becket.core.supervision.saying import Said, Topic
from becket.core.supervision.snapshot import Snapshot

NO_POD, LEAVING = "it has no pod", "its pod is being removed"
NOWHERE, WAITING = "its pod runs on no node yet", "its volume claim waits for a volume"
_PASSING = frozenset((NO_POD, LEAVING, NOWHERE, WAITING))
"""What every pod goes through when it comes or goes."""

_CLAIMS = {
    Claim.PENDING: WAITING,
    Claim.LOST: "the volume behind its claim is gone",
    Claim.ABSENT: "its volume claim is gone",
}
_NODES = {Node.NOT_READY: "is not ready", Node.ABSENT: "is gone"}


def platform_sentences(snapshot: Snapshot) -> tuple[Said, ...]:
    """What is not as it should be, by the platform."""
    view = snapshot.platform
    if view is None:
        return ()
    ring = snapshot.found
    members = frozenset() if ring is None else frozenset(member.name for member in ring.members)
    found = [Said(Topic.PLATFORM, problem, is_warning=True) for problem in view.problems]
    names = dict.fromkeys([*snapshot.names, *(pod.name for pod in view.pods)])
    for name in names:
        for sentence in _of_member(name, view, is_member=name in members):
            said = Said(Topic.PLATFORM, f"{name}: {sentence}", name, is_warning=True)
            found.append(replace(said, is_passing=sentence in _PASSING))
    return tuple(found)


def _of_member(name: str, view: PlatformView, *, is_member: bool) -> Iterator[str]:
    pod = view.pod(name)
    if pod is not None:
        yield from _of_pod(pod)
    elif view.is_current and view.scale is not None and (view.ordinal_of(name) or 0) < view.scale:
        yield NO_POD
    claim = view.claims.get(name, Claim.UNKNOWN)
    if claim in _CLAIMS and (is_member or claim is not Claim.ABSENT):
        yield _CLAIMS[claim]


def _of_pod(pod: Pod) -> Iterator[str]:
    if pod.is_terminating:
        yield LEAVING
    if not pod.node:
        yield NOWHERE
    elif pod.node_state in _NODES:
        yield f"its node {pod.node} {_NODES[pod.node_state]}"
