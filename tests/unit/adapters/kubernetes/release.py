"""A release of the chart as the API has it, and what a StatefulSet's controller does with it.

Owns the objects that a supervisor meets. Must not run anything by itself: a test asks the
controller to take a step, so that nothing happens between two lines of it.
"""

from __future__ import annotations

from copy import deepcopy

from tests.unit.adapters.kubernetes.fake_api import NAMESPACE, FakeApi
from tests.unit.adapters.kubernetes.fake_store import Json

SET = "becket-storage"
LABELS = {
    "app.kubernetes.io/name": "becket",
    "app.kubernetes.io/instance": "becket",
    "app.kubernetes.io/component": "storage",
}
ROOT = f"/api/v1/namespaces/{NAMESPACE}"
SET_PATH = f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets/{SET}"
WISH_PATH = f"{ROOT}/configmaps/becket-wish"
RING_PATH = f"{ROOT}/configmaps/becket-ring"
BUDGET_PATH = f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets/{SET}"
GATE = "becket.dev/whole"


class Release:
    """The objects, by the hands of helm, of the StatefulSet's controller, and of nodes."""

    def __init__(self, api: FakeApi) -> None:
        self.api = api

    def install(self, replicas: int = 3, *, claims: bool = True, gate: bool = True) -> None:
        """What helm makes; ``spec.replicas`` is not rendered, so the API makes it 1."""
        template: Json = {"spec": {"readinessGates": [{"conditionType": GATE}] if gate else []}}
        self.api.put(
            SET_PATH,
            {
                "metadata": {"labels": LABELS},
                "spec": {
                    "replicas": 1,
                    "selector": {"matchLabels": LABELS},
                    "template": template,
                    "volumeClaimTemplates": [{"metadata": {"name": "data"}}] if claims else [],
                },
            },
        )
        self.wish(str(replicas))

    def wish(self, text: str) -> None:
        """What helm upgrade makes of ``storage.replicas``."""
        self.api.put(WISH_PATH, {"data": {"storage.replicas": text}})

    def node(self, name: str, zone: str = "", *, ready: bool = True) -> None:
        """A node."""
        labels = {"topology.kubernetes.io/zone": zone} if zone else {}
        condition = {"type": "Ready", "status": "True" if ready else "False"}
        body = {"metadata": {"labels": labels}, "status": {"conditions": [condition]}}
        self._put(f"/api/v1/nodes/{name}", body)

    def pod(self, ordinal: int, ip: str = "", *, node: str = "", ready: bool = False) -> Json:
        """A pod of the set; one that there is keeps its uid."""
        name = f"{SET}-{ordinal}"
        path = f"{ROOT}/pods/{name}"
        found = self.api.take(path)
        gates = self.stateful_set["spec"]["template"]["spec"]["readinessGates"]
        owner = {"kind": "StatefulSet", "name": SET, "uid": self.stateful_set["metadata"]["uid"]}
        status: Json = deepcopy(found.get("status", {})) if found else {"conditions": []}
        status |= {"phase": "Running", "podIP": ip}
        body = {
            "metadata": {"labels": LABELS, "ownerReferences": [owner]},
            "spec": {"nodeName": node, "readinessGates": gates},
            "status": status,
        }
        self._put(path, body)
        return self.ready(ordinal, ready=ready)

    def ready(self, ordinal: int, *, ready: bool = True) -> Json:
        """What the kubelet says of a pod."""
        path = f"{ROOT}/pods/{SET}-{ordinal}"
        pod = deepcopy(self.taken(path))
        others = [c for c in pod["status"].get("conditions", []) if c["type"] != "Ready"]
        is_ready = {"type": "Ready", "status": "True" if ready else "False"}
        pod["status"]["conditions"] = [*others, is_ready]
        return self.api.put(f"{path}/status", pod)

    def claim(self, ordinal: int, phase: str = "Bound", storage_class: str | None = None) -> None:
        """A volume claim of the set."""
        spec = {} if storage_class is None else {"storageClassName": storage_class}
        self._put(
            f"{ROOT}/persistentvolumeclaims/data-{SET}-{ordinal}",
            {"metadata": {"labels": LABELS}, "spec": spec, "status": {"phase": phase}},
        )

    def remove_pod(self, ordinal: int) -> None:
        """The pod's object is deleted."""
        self.api.remove(f"{ROOT}/pods/{SET}-{ordinal}")

    def _put(self, path: str, body: Json) -> None:
        """Make an object, or change all of it: the API keeps the status apart."""
        if self.api.take(path) is not None:
            self.api.put(f"{path}/status", body)
        self.api.put(path, body)

    # What there is

    def taken(self, path: str) -> Json:
        """An object that has to be there."""
        found = self.api.take(path)
        assert found is not None, path
        return found

    @property
    def stateful_set(self) -> Json:
        """The set."""
        return self.taken(SET_PATH)

    @property
    def replicas(self) -> int:
        """Its scale."""
        count = self.stateful_set["spec"]["replicas"]
        assert isinstance(count, int)
        return count

    def gate(self, ordinal: int) -> str:
        """The state of a pod's gate."""
        pod = self.taken(f"{ROOT}/pods/{SET}-{ordinal}")
        conditions = pod["status"].get("conditions", [])
        return next((c["status"] for c in conditions if c["type"] == GATE), "")
