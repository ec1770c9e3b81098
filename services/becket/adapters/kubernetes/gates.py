"""Readiness gates of storage pods.

Owns the condition ``becket.dev/whole`` (KUBERNETES.md, "Rollouts"). Must not decide when it opens.
Invariants: it is only ever set to True; it is set on the pod with exactly this uid, so a pod that
has followed under the same name keeps its gate closed.
"""

from __future__ import annotations

from datetime import UTC, datetime

from becket.adapters.kubernetes.access import STRATEGIC_PATCH, Access, Json
from becket.adapters.kubernetes.failures import AbsentError, KubernetesError
from becket.adapters.kubernetes.one_object import sentence

GATE = "becket.dev/whole"


def is_open(pod: Json) -> bool:
    """Whether nothing has to be opened: the gate is open, or the pod has none."""
    gates = (pod.get("spec") or {}).get("readinessGates") or []
    if all(gate.get("conditionType") != GATE for gate in gates):
        return True
    return condition_of(pod, GATE) == "True"


def condition_of(pod: Json, kind: str) -> str:
    """The status of a condition: True, False, Unknown, or empty where it is not told."""
    for condition in (pod.get("status") or {}).get("conditions") or []:
        if condition.get("type") == kind:
            return str(condition.get("status", ""))
    return ""


async def open_gate(access: Access, name: str, uid: str) -> Json | None:
    """Set the condition; returns the pod as it is then, None where it is gone already.

    :raises PlatformError: it is not known that the gate is open now.
    """
    target = access.target("pods", name)
    try:
        found = await access.get(target)
        if found["metadata"].get("uid") != uid:
            return None
        if is_open(found):
            return found
        condition = {
            "type": GATE,
            "status": "True",
            "reason": "PartitionsWhole",
            "message": "every partition of this member had its full count of level replicas",
            "lastTransitionTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        body = {
            "metadata": {"uid": uid, "resourceVersion": found["metadata"]["resourceVersion"]},
            "status": {"conditions": [condition]},
        }
        return await access.patch(target._replace(sub="status"), body, STRATEGIC_PATCH)
    except AbsentError:
        return None
    except KubernetesError as error:
        raise sentence(error) from error
