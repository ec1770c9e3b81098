"""What the platform says of members, for people."""

from __future__ import annotations

from dataclasses import replace

from becket.core.supervision.pods import Claim, Node, PlatformView
from becket.core.supervision.snapshot import Wished
from becket.core.supervision.witnesses import platform_sentences
from tests.unit.core.supervision.pods import changed, on_platform, view_of
from tests.unit.core.supervision.scenes import snapshot

VIEW = view_of()


def told(view: PlatformView) -> list[str]:
    found = platform_sentences(on_platform(view=view))
    assert all(said.is_warning for said in found)
    return [said.sentence for said in found]


def test_all_is_well() -> None:
    assert told(VIEW) == []
    assert platform_sentences(snapshot()) == ()


def test_problems_come_first() -> None:
    view = changed(replace(VIEW, problems=("the API tells nothing",)), "m-1", is_terminating=True)
    assert told(view) == ["the API tells nothing", "m-1: its pod is being removed"]


def test_nodes_pods_and_claims() -> None:
    view = changed(VIEW, "m-0", node_state=Node.NOT_READY)
    view = changed(view, "m-1", node_state=Node.ABSENT)
    view = changed(view, "m-2", node="", zone=None)
    view = replace(view, pods=view.pods[:4], claims={"m-3": Claim.LOST, "m-4": Claim.PENDING})
    assert told(view) == [
        "m-0: its node node-0 is not ready",
        "m-1: its node node-1 is gone",
        "m-2: its pod runs on no node yet",
        "m-3: the volume behind its claim is gone",
        "m-4: it has no pod",
        "m-4: its volume claim waits for a volume",
    ]


def test_what_is_not_known_is_not_missing() -> None:
    blind = replace(VIEW, pods=(), is_current=False, problems=("nothing is known",))
    assert told(blind) == ["nothing is known"]
    assert told(replace(VIEW, pods=VIEW.pods[:4], scale=4)) == []


def test_a_claim_that_is_gone_is_told_of_members_only() -> None:
    claims = {"m-4": Claim.ABSENT}
    assert told(replace(VIEW, claims=claims)) == ["m-4: its volume claim is gone"]
    coming = replace(VIEW, scale=6, claims={"m-5": Claim.ABSENT})
    shot = on_platform(view=coming, wished=(*snapshot().wished, Wished("m-5")))
    assert [s.sentence for s in platform_sentences(shot)] == ["m-5: it has no pod"]
