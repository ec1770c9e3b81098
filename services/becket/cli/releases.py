"""One release of Becket on a Kubernetes cluster, as the commands that hurt and verify it need it.

Owns the access to the Kubernetes API of those commands: kubeconfig or service account, the objects
of a release by their labels, commands in its pods. Must not choose whom to hurt. The Kubernetes
client is imported only when a release is opened. Invariants: every request has a time limit; a pod
is deleted only if it still is the one that was meant.
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from becket.cli.exits import ApiAwayError, NotRunningError, UsageError
from becket.core.errors import BecketError, EncodingError, NotFoundError
from becket.core.ring.encoding import decode
from becket.core.ring.ring import Ring

if TYPE_CHECKING:
    from kubernetes.aio import client
    from kubernetes.aio.client import V1Pod, V1StatefulSet

NAME = "app.kubernetes.io/name"
INSTANCE = "app.kubernetes.io/instance"
COMPONENT = "app.kubernetes.io/component"
COMPONENTS = ("storage", "router", "supervisor", "balancer")
RING_KEY = "ring"
CALL_S = 10.0
CRASH_LOOP = "CrashLoopBackOff"

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_PORT = 7400

Answer = TypeVar("Answer")


class RefusedError(BecketError):
    """The Kubernetes API understood and said no; nothing was changed."""


@dataclass(frozen=True)
class Place:
    """Which release is meant. Empty: the namespace of the context, the context in use."""

    release: str
    namespace: str = ""
    context: str = ""


class Pod(NamedTuple):
    """A pod of a release."""

    name: str
    uid: str
    component: str
    address: str
    container: str
    container_id: str
    """Empty where the container does not run."""
    is_ready: bool
    is_going: bool
    waits_for: str
    """Why its container does not run; empty where it does."""
    shares_processes: bool


class Release:
    """The objects of one release. Open it by ``open_release``."""

    def __init__(
        self, api: client.ApiClient, sockets: client.ApiClient, place: Place, namespace: str
    ) -> None:
        from kubernetes.aio import client

        self.api = api
        self.core = client.CoreV1Api(api)
        self.apps = client.AppsV1Api(api)
        self.batch = client.BatchV1Api(api)
        self._sockets = client.CoreV1Api(sockets)
        self.name, self.namespace = place.release, namespace
        self._full_name = ""

    async def ask(self, call: Awaitable[Answer], what: str) -> Answer:
        """The answer to a request; ``what`` it was for, as a verb.

        :raises ApiAwayError: there was none.
        :raises NotFoundError: there is no such thing.
        :raises RefusedError: it was refused.
        """
        from aiohttp import ClientError
        from kubernetes.aio.client import ApiException

        try:
            async with asyncio.timeout(CALL_S):
                return await call
        except ApiException as error:
            problem = f"cannot {what}: {error.status} {error.reason}{_message(error.body)}"
            if error.status == 404:
                raise NotFoundError(problem) from error
            raise RefusedError(problem) from error
        except ClientError as error:
            status = getattr(error, "status", 0)
            problem = f"cannot {what}: {error}"
            raise (RefusedError(problem) if status else ApiAwayError(problem)) from error
        except (OSError, TimeoutError) as error:
            reason = str(error) or f"no answer within {CALL_S:g} s"
            raise ApiAwayError(f"cannot {what}: {reason}") from error

    async def storage_set(self) -> V1StatefulSet:
        """The StatefulSet of the members.

        :raises NotRunningError: there is none.
        """
        listed = await self.ask(
            self.apps.list_namespaced_stateful_set(
                self.namespace, label_selector=f"{INSTANCE}={self.name},{COMPONENT}=storage"
            ),
            "list StatefulSets",
        )
        if not listed.items:
            where = f"namespace {self.namespace}"
            raise NotRunningError(f"no release {self.name} of Becket is installed in {where}")
        return listed.items[0]

    async def full_name(self) -> str:
        """What the names of the release's objects begin with.

        Told by the members' pods, which the chaos role may list, or by their StatefulSet.
        """
        if not self._full_name:
            names = [pod.name for pod in await self.pods() if pod.component == "storage"]
            if names:
                self._full_name = names[0].rpartition("-")[0].removesuffix("-storage")
            else:
                metadata = (await self.storage_set()).metadata
                assert metadata is not None
                assert metadata.name is not None
                self._full_name = metadata.name.removesuffix("-storage")
        return self._full_name

    async def target(self) -> str:
        """Where its routers answer within the cluster."""
        return f"{await self.full_name()}-router.{self.namespace}.svc:{_PORT}"

    async def pods(self) -> list[Pod]:
        """The pods of its four services, by name."""
        listed = await self.ask(
            self.core.list_namespaced_pod(
                self.namespace, label_selector=f"{INSTANCE}={self.name},{COMPONENT}"
            ),
            "list pods",
        )
        found = [_pod(pod) for pod in listed.items]
        return sorted(pod for pod in found if pod.component in COMPONENTS)

    async def ring(self) -> Ring | None:
        """The ring in its object; None where there is none.

        :raises RefusedError: it is there, and cannot be read.
        """
        name = f"{await self.full_name()}-ring"
        try:
            found = await self.ask(
                self.core.read_namespaced_config_map(name, self.namespace), f"read ConfigMap {name}"
            )
        except NotFoundError:
            return None
        data = found.binary_data or {}
        if RING_KEY not in data:
            return None
        try:
            return decode(base64.b64decode(data[RING_KEY]))
        except (EncodingError, ValueError) as error:
            raise RefusedError(f"ConfigMap {name} holds no ring: {error}") from error

    async def run(self, pod: Pod, command: Sequence[str]) -> str:
        """Run a command in a pod; what it said on stdout and stderr."""
        return await self.ask(
            self._sockets.connect_get_namespaced_pod_exec(
                pod.name,
                self.namespace,
                command=list(command),
                container=pod.container,
                stdin=False,
                stdout=True,
                stderr=True,
                tty=False,
            ),
            f"run a command in {pod.name}",
        )

    async def delete(self, pod: Pod, *, grace_s: int | None = None) -> None:
        """Delete this very pod; ``grace_s`` None: with its own grace time. Gone is fine."""
        from kubernetes.aio.client import V1DeleteOptions, V1Preconditions

        options = V1DeleteOptions(
            grace_period_seconds=grace_s, preconditions=V1Preconditions(uid=pod.uid)
        )
        try:
            await self.ask(
                self.core.delete_namespaced_pod(pod.name, self.namespace, body=options),
                f"delete pod {pod.name}",
            )
        except NotFoundError:
            return


@asynccontextmanager
async def open_release(place: Place) -> AsyncIterator[Release]:
    """Open a release by KUBECONFIG, or in a pod by its service account.

    :raises UsageError: the client is not installed, or there is no such context.
    """
    if find_spec("kubernetes") is None:
        raise UsageError("this needs the Kubernetes client: install becket with the extra server")
    from kubernetes.aio import client, stream

    configuration = client.Configuration()
    namespace = await _load(configuration, place)
    async with (
        client.ApiClient(configuration) as api,
        stream.ws_client.WsApiClient(configuration, heartbeat=CALL_S) as sockets,
    ):
        yield Release(api, sockets, place, place.namespace or namespace)


async def _load(configuration: client.Configuration, place: Place) -> str:
    """Fill in the configuration; the namespace that comes with it."""
    from kubernetes.aio import config

    is_in_pod = "KUBERNETES_SERVICE_HOST" in os.environ and (_ACCOUNT / "token").exists()
    try:
        if is_in_pod and not place.context and "KUBECONFIG" not in os.environ:
            config.load_incluster_config(client_configuration=configuration)
            return (_ACCOUNT / "namespace").read_text()
        loader = await config.load_kube_config(
            context=place.context or None, client_configuration=configuration, persist_config=False
        )
    except config.ConfigException as error:
        raise UsageError(f"no Kubernetes cluster is known: {error}") from error
    context = loader.current_context["context"]
    return str(context["namespace"]) if "namespace" in context else "default"


def _pod(pod: V1Pod) -> Pod:
    metadata, spec, status = pod.metadata, pod.spec, pod.status
    assert metadata is not None
    assert spec is not None
    states = (status.container_statuses or []) if status is not None else []
    first = states[0] if states else None
    state = first.state if first is not None else None
    waiting = state.waiting if state is not None else None
    is_running = state is not None and state.running is not None
    return Pod(
        name=metadata.name or "",
        uid=metadata.uid or "",
        component=(metadata.labels or {}).get(COMPONENT, ""),
        address=f"{status.pod_ip}:{_PORT}" if status is not None and status.pod_ip else "",
        container=spec.containers[0].name,
        container_id=(first.container_id or "") if first is not None and is_running else "",
        is_ready=first is not None and first.ready,
        is_going=metadata.deletion_timestamp is not None,
        waits_for=(waiting.reason or "") if waiting is not None else "",
        shares_processes=bool(spec.share_process_namespace),
    )


def _message(body: str | None) -> str:
    """What the API says of a refusal."""
    import json

    try:
        content = json.loads(body or "")
        return f": {content['message']}"
    except (ValueError, KeyError, TypeError):
        return ""
