"""Platform views that several tests start from: a pod for each member, all well."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from becket.core.ring.ring import Ring
from becket.core.supervision.pods import Claim, PlatformView, Pod
from becket.core.supervision.snapshot import Snapshot
from tests.unit.core.supervision.scenes import RING, snapshot


def address(name: str) -> str:
    """Where the process of this name answers."""
    return f"10.0.0.{int(name.rpartition('-')[2]) + 1}:7400"


def pod(name: str, **changes: Any) -> Pod:  # noqa: ANN401
    """A pod that is ready, with its gate open."""
    ordinal = name.rpartition("-")[2]
    made = Pod(name, f"uid-of-{name}", address(name), f"node-{ordinal}", "z0")
    return replace(replace(made, is_ready=True, is_whole=True), **changes)


def view_of(ring: Ring = RING, **changes: Any) -> PlatformView:  # noqa: ANN401
    """A pod and a claim for each member; the scale and the chart say as many."""
    names = [member.name for member in ring.members]
    made = PlatformView(
        "m-",
        pods=tuple(pod(name) for name in names),
        chart_count=len(names),
        scale=len(names),
        claims=dict.fromkeys(names, Claim.BOUND),
        evictions=1,
    )
    return replace(made, **changes)


def on_platform(ring: Ring = RING, view: PlatformView | None = None, **changes: Any) -> Snapshot:  # noqa: ANN401
    """All well on a platform, each process answering in its pod, but for the changes."""
    made = snapshot(ring, platform=view or view_of(ring), **changes)
    return replace(made, seen=tuple(replace(s, address=address(s.name)) for s in made.seen))


def changed(view: PlatformView, name: str, **changes: Any) -> PlatformView:  # noqa: ANN401
    """The view with another pod of this name."""
    pods = tuple(replace(p, **changes) if p.name == name else p for p in view.pods)
    return replace(view, pods=pods)
