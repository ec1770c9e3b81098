"""Requests: which outcome each answer is, and that a write is sent once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from kubernetes.aio.client.exceptions import ApiException

from becket.adapters.kubernetes import access as access_module
from becket.adapters.kubernetes.access import STRATEGIC_PATCH, open_access
from becket.adapters.kubernetes.failures import (
    AbsentError,
    ConflictError,
    ExpiredError,
    ForbiddenError,
    KubernetesError,
    RefusedError,
    UnavailableError,
    outcomes,
)
from becket.adapters.kubernetes.settings import KubernetesSettings
from becket.core.errors import InvalidInputError
from tests.unit.adapters.kubernetes.fake_api import (
    NAMESPACE,
    FakeApi,
    What,
    access_to,
    settings_for,
)

MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with FakeApi() as api:
        yield api


async def test_an_object_is_made_read_changed_and_deleted(api: FakeApi) -> None:
    async with access_to(api) as access:
        target = access.target("configmaps", "a")
        made = await access.create(target, {"metadata": {"name": "a"}, "data": {"k": "1"}})
        assert await access.get(target) == made
        changed = await access.update(target, {**made, "data": {"k": "2"}})
        assert changed["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
        patched = await access.patch(target, {"data": {"l": "3"}})
        assert patched["data"] == {"k": "2", "l": "3"}
        with pytest.raises(ConflictError):
            await access.update(target, made)
        with pytest.raises(ConflictError):
            await access.create(target, {"metadata": {"name": "a"}})
        uid = {"preconditions": {"uid": "another"}}
        with pytest.raises(ConflictError):
            await access.delete(target, uid)
        await access.delete(target)
        with pytest.raises(AbsentError):
            await access.get(target)


async def test_subresources_and_other_groups_have_their_paths(api: FakeApi) -> None:
    sets = f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets/s"
    api.put(sets, {"metadata": {"labels": {"a": "b"}}, "spec": {"replicas": 3}})
    api.put(f"/api/v1/namespaces/{NAMESPACE}/pods/p", {"status": {"conditions": []}})
    api.put("/api/v1/nodes/n", {})
    async with access_to(api) as access:
        scale = access.target("statefulsets", "s", group="apps/v1", sub="scale")
        found = await access.get(scale)
        assert found["spec"] == {"replicas": 3}
        assert "labels" not in found["metadata"]
        found["spec"]["replicas"] = 2
        await access.update(scale, found)
        stored = api.take(sets)
        assert stored is not None
        assert stored["spec"] == {"replicas": 2}
        status = access.target("pods", "p", sub="status")
        for value in ("False", "True"):
            body = {"status": {"conditions": [{"type": "becket.dev/whole", "status": value}]}}
            await access.patch(status, body, STRATEGIC_PATCH)
        pod = await access.get(access.target("pods", "p"))
        assert pod["status"]["conditions"] == [{"type": "becket.dev/whole", "status": "True"}]
        assert (await access.get(access_module.Target("v1", "nodes", name="n")))["metadata"]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, RefusedError),
        (401, ForbiddenError),
        (403, ForbiddenError),
        (404, AbsentError),
        (409, ConflictError),
        (410, ExpiredError),
        (413, RefusedError),
        (422, RefusedError),
        (429, UnavailableError),
        (500, UnavailableError),
        (503, UnavailableError),
    ],
)
async def test_each_status_is_one_outcome(
    api: FakeApi, status: int, error: type[KubernetesError]
) -> None:
    fault = api.fail("refuse")
    fault.status = status
    async with access_to(api) as access:
        with pytest.raises(error, match="get configmaps a in namespace ns"):
            await access.get(access.target("configmaps", "a"))


def test_errors_of_generated_calls_have_the_same_outcomes() -> None:
    said = ApiException(status=403, body='{"message": "use becket scale"}')
    with pytest.raises(ForbiddenError, match="use becket scale"), outcomes("patch", "scale s"):
        raise said
    for error in (TimeoutError(), ConnectionResetError("reset"), ValueError("no JSON")):
        with pytest.raises(UnavailableError, match="get pods a"), outcomes("get", "pods a"):
            raise error


async def test_who_lacks_a_right_is_told_which(api: FakeApi) -> None:
    api.forbidden.add(("update", "statefulsets/scale"))
    async with access_to(api) as access:
        scale = access.target("statefulsets", "s", group="apps/v1", sub="scale")
        with pytest.raises(ForbiddenError, match="may not update statefulsets/scale s") as found:
            await access.update(scale, {})
        assert "role lacks that right" in str(found.value)


async def test_a_refusal_by_policy_is_passed_on(api: FakeApi) -> None:
    api.admit = lambda _verb, _place, _body: "use becket scale"
    async with access_to(api) as access:
        with pytest.raises(ForbiddenError, match="use becket scale"):
            await access.patch(access.target("statefulsets", "s", group="apps/v1"), {})


@pytest.mark.parametrize("what", ["drop_after", "drop_before", "hold", "hold_after"])
@pytest.mark.parametrize("verb", ["create", "update", "patch", "delete"])
async def test_a_write_without_an_answer_is_sent_once(api: FakeApi, what: What, verb: str) -> None:
    settings = settings_for(call_ms=100)
    async with access_to(api, settings) as access:
        target = access.target("configmaps", "a")
        made = api.put(f"{MAPS}/a", {}) if verb != "create" else {"metadata": {"name": "a"}}
        with pytest.raises(AbsentError):  # The connection is one that was used before.
            await access.get(access.target("configmaps", "b"))
        api.fail(what, verb)
        write = {
            "create": access.create(target, made),
            "update": access.update(target, {**made, "data": {"k": "1"}}),
            "patch": access.patch(target, {"data": {"k": "1"}}),
            "delete": access.delete(target),
        }
        mine = write.pop(verb)
        for other in write.values():
            other.close()
        with pytest.raises(UnavailableError):
            await mine
        assert api.count(verb) == 1


async def test_an_api_that_is_away_is_unavailable(api: FakeApi) -> None:
    async with access_to(api) as access:
        await api.stop()
        with pytest.raises(UnavailableError, match="get configmaps a"):
            await access.get(access.target("configmaps", "a"))


async def test_a_cancelled_request_is_cancelled(api: FakeApi) -> None:
    fault = api.fail("hold")
    async with access_to(api) as access:
        request = asyncio.create_task(access.get(access.target("configmaps", "a")))
        await fault.met.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request


async def test_an_answer_has_a_limit(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_module, "MOST_BYTES", 1000)
    api.put(f"{MAPS}/a", {"data": {"k": "x" * 2000}})
    async with access_to(api) as access:
        with pytest.raises(RefusedError, match="over 1000 bytes"):
            await access.get(access.target("configmaps", "a"))


async def test_the_namespace_is_the_credentials_own_unless_one_is_set(
    api: FakeApi, tmp_path: Path
) -> None:
    file = str(api.write_kubeconfig(tmp_path / "config"))
    async with open_access(KubernetesSettings(), kubeconfig=file) as access:
        assert access.namespace == NAMESPACE
    async with open_access(KubernetesSettings(namespace="other"), kubeconfig=file) as access:
        assert access.namespace == "other"


async def test_the_token_is_sent(api: FakeApi) -> None:
    async with access_to(api) as access:
        headers = await access.client.configuration.auth_settings()
        assert headers["BearerToken"]["value"] == "Bearer fake-token"


async def test_without_credentials_nothing_begins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(InvalidInputError, match="no credentials"):
        async with open_access(KubernetesSettings()):
            pass
    broken = tmp_path / "broken"
    broken.write_text("{ no: [yaml")
    for file in (broken, tmp_path / "absent"):
        with pytest.raises(InvalidInputError, match="no credentials"):
            async with open_access(KubernetesSettings(), kubeconfig=str(file)):
                pass


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("ring_object", {"ring_object": "No_Name"}),
        ("namespace", {"namespace": "a.b"}),
        ("storage_port", {"storage_port": 0}),
        ("call_ms", {"call_ms": 0}),
        ("backoff_least_ms", {"backoff_least_ms": 6000}),
        ("lease_ms", {"lease_ms": 1500}),
        ("renew_ms", {"renew_ms": 4000}),
    ],
)
def test_settings_name_the_field_that_is_wrong(field: str, changed: dict[str, int | str]) -> None:
    with pytest.raises(InvalidInputError) as found:
        KubernetesSettings(**changed)  # type: ignore[arg-type] # each by its name
    assert found.value.field == field
