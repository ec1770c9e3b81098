"""The way to the Kubernetes API: the one ApiClient of a process, and requests with a time limit.

Theory of operation. Objects are plain JSON as the API documents them: the generated models would
drop the fields of a newer server when an object is read, changed and written back, and their
modules take a router tens of megabytes. So requests go by ``Target``. The generated groups
(``core`` and others) are there for who wants them, over the same ApiClient; their errors become
outcomes by ``failures.outcomes``.

Owns the client, its credentials and the namespace. Must not retry, nor know what objects mean.
Invariants: one ApiClient a process (each leaks threads and memory); every request ends within its
time limit; a write is sent once: aiohttp repeats a PUT whose connection broke, and the answer to
the second one (409) would hide that the first took place.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import aiohttp
from kubernetes.aio import client as generated
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config
from yaml import YAMLError

from becket.adapters.kubernetes.failures import RefusedError, UnavailableError, of_status, outcomes
from becket.adapters.kubernetes.settings import KubernetesSettings
from becket.core.errors import InvalidInputError

Json = dict[str, Any]
"""An object of the API, by the names of its documentation."""

ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
MOST_BYTES = 64 << 20
"""No answer may be longer: a page of a list has 500 objects, and each 1.5 MB at most."""

_VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class Target(NamedTuple):
    """An object, or where there is no name, the collection of its kind."""

    group: str
    """``v1``, ``apps/v1``, ``policy/v1``, ``coordination.k8s.io/v1``..."""
    kind: str
    """In the plural, as a role has it: ``pods``."""
    namespace: str = ""
    """Empty for what belongs to no namespace."""
    name: str = ""
    sub: str = ""
    """A subresource: ``status``, ``scale``."""

    @property
    def path(self) -> str:
        """Where it is served; names are checked by the settings or come from the API."""
        root = "/api/v1" if self.group == "v1" else f"/apis/{self.group}"
        place = f"/namespaces/{self.namespace}" if self.namespace else ""
        rest = "".join(f"/{part}" for part in (self.name, self.sub) if part)
        return f"{root}{place}/{self.kind}{rest}"

    @property
    def words(self) -> str:
        """What a sentence calls it."""
        kind = f"{self.kind}/{self.sub}" if self.sub else self.kind
        named = f"{kind} {self.name}" if self.name else kind
        return f"{named} in namespace {self.namespace}" if self.namespace else named


class ListCall(Protocol):
    """Lists or watches one kind; returns the response with its body unread, whatever its status.

    Takes the parameters of the generated calls, by their names: ``label_selector``, ``watch``...
    """

    async def __call__(self, **parameters: Any) -> aiohttp.ClientResponse: ...  # noqa: ANN401


class Access:
    """Requests to the API of one cluster. Made by ``open_access``."""

    def __init__(self, client: Any, namespace: str, settings: KubernetesSettings) -> None:  # noqa: ANN401 - untyped package
        self.namespace = namespace
        self.settings = settings
        self.call_s = settings.call_ms / 1000
        """The time limit of a request, as the generated calls' ``_request_timeout``."""
        self.client = client
        """The ApiClient."""

    @cached_property
    def core(self) -> Any:  # noqa: ANN401 - untyped package
        """The generated CoreV1Api."""
        return generated.CoreV1Api(self.client)

    @cached_property
    def apps(self) -> Any:  # noqa: ANN401 - untyped package
        """The generated AppsV1Api."""
        return generated.AppsV1Api(self.client)

    @cached_property
    def policy(self) -> Any:  # noqa: ANN401 - untyped package
        """The generated PolicyV1Api."""
        return generated.PolicyV1Api(self.client)

    @cached_property
    def coordination(self) -> Any:  # noqa: ANN401 - untyped package
        """The generated CoordinationV1Api."""
        return generated.CoordinationV1Api(self.client)

    @cached_property
    def events(self) -> Any:  # noqa: ANN401 - untyped package
        """The generated EventsV1Api."""
        return generated.EventsV1Api(self.client)

    def target(self, kind: str, name: str = "", *, group: str = "v1", sub: str = "") -> Target:
        """An object of this process's namespace, or a collection of them."""
        return Target(group, kind, self.namespace, name, sub)

    # Objects. Each raises a KubernetesError: after UnavailableError a write may have taken place.

    async def get(self, target: Target) -> Json:
        """The object as it is now: a quorum read, never from a cache."""
        return await self.request("GET", target)

    async def create(self, target: Target, body: Json) -> Json:
        """Make the object; ConflictError: there is one of that name."""
        return await self.request("POST", target, body=body)

    async def update(self, target: Target, body: Json) -> Json:
        """Replace the object; its ``uid`` and ``resourceVersion`` in ``body`` are conditions."""
        return await self.request("PUT", target, body=body)

    async def patch(self, target: Target, body: object, content_type: str = MERGE_PATCH) -> Json:
        """Change parts of the object; a ``resourceVersion`` in ``body`` is a condition."""
        return await self.request("PATCH", target, body=body, content_type=content_type)

    async def delete(self, target: Target, options: Json | None = None) -> Json:
        """Delete the object, under the preconditions of the DeleteOptions."""
        return await self.request("DELETE", target, body=options)

    async def request(
        self,
        method: str,
        target: Target,
        *,
        body: object = None,
        content_type: str = JSON,
        limit_s: float | None = None,
    ) -> Json:
        """One request, and its answer.

        :raises KubernetesError: no success; the class says which outcome.
        """
        verb, what = _VERBS[method], target.words
        limit_s = self.call_s if limit_s is None else limit_s
        with outcomes(verb, what):
            async with asyncio.timeout(limit_s):
                response = await self._send(
                    method, target, body=body, content_type=content_type, limit_s=limit_s
                )
                try:
                    return await answer_of(response, verb, what)
                finally:
                    response.release()

    def lister(self, target: Target) -> ListCall:
        """What a Mirror lists and watches this collection by."""

        async def call(**parameters: Any) -> aiohttp.ClientResponse:  # noqa: ANN401
            limit_s = parameters.pop("_request_timeout", self.call_s)
            query = [
                (_camel(name), value) for name, value in parameters.items() if value is not None
            ]
            return await self._send("GET", target, query=query, limit_s=limit_s)

        return call

    async def _send(
        self,
        method: str,
        target: Target,
        *,
        query: Sequence[tuple[str, Any]] = (),
        body: object = None,
        content_type: str = JSON,
        limit_s: float,
    ) -> aiohttp.ClientResponse:
        headers = {"Accept": JSON}
        if body is not None:
            headers["Content-Type"] = content_type
        if method == "POST" and not target.sub:
            target = target._replace(name="")  # What is made is posted to its collection.
        serialized = await self.client.param_serialize(
            method,
            target.path,
            query_params=list(query),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        answer = await self.client.call_api(*serialized, _request_timeout=limit_s)
        response: aiohttp.ClientResponse = answer.response
        return response


async def answer_of(response: aiohttp.ClientResponse, verb: str, what: str) -> Json:
    """The body of a response.

    :raises KubernetesError: it is no success; UnavailableError also when it is no object.
    """
    data = bytearray()
    async for chunk in response.content.iter_any():
        data += chunk
        if len(data) > MOST_BYTES:
            raise RefusedError(f"{verb} {what}: the answer is over {MOST_BYTES} bytes")
    if not 200 <= response.status < 300:
        raise of_status(response.status, said_in(bytes(data)), verb, what)
    found = json.loads(data)
    if not isinstance(found, dict):
        raise UnavailableError(f"{verb} {what}: the answer is no object")
    return found


def said_in(data: bytes) -> str:
    """The sentence of a Status object; of anything else, its beginning."""
    try:
        return str(json.loads(data)["message"])
    except (ValueError, KeyError, TypeError):
        return data[:1000].decode(errors="replace")


@asynccontextmanager
async def open_access(
    settings: KubernetesSettings, *, kubeconfig: str = "", context: str = ""
) -> AsyncIterator[Access]:
    """The access that is asked for, else what ``KUBECONFIG`` names, else the pod's account.

    :raises InvalidInputError: there are no credentials, or they cannot be read.
    """
    configuration: Any = generated.Configuration()
    file = kubeconfig or os.environ.get("KUBECONFIG", "")
    try:
        namespace = await _configure(configuration, file, context)
    except (ConfigException, OSError, ValueError, YAMLError) as error:
        problem = f"there are no credentials for the Kubernetes API: {error}"
        raise InvalidInputError("kubernetes", problem) from error
    configuration.client_session_kwargs = {"middlewares": (_send_writes_once,)}
    client: Any = generated.ApiClient(configuration)
    try:
        yield Access(client, settings.namespace or namespace, settings)
    finally:
        await client.close()


async def _configure(configuration: Any, file: str, context: str) -> str:  # noqa: ANN401 - untyped package
    """Fill in server and credentials; returns the namespace that goes with them."""
    if file:
        loader = await load_kube_config(
            file, context=context or None, client_configuration=configuration, persist_config=False
        )
        return str(loader.current_context["context"].get("namespace") or "default")
    load_incluster_config(client_configuration=configuration)
    return _account_namespace()


def _account_namespace() -> str:
    try:
        return ACCOUNT_NAMESPACE.read_text().strip()
    except FileNotFoundError:
        return "default"


async def _send_writes_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending a write again: it does so after exactly these errors."""
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        if request.method == "GET" or isinstance(error, aiohttp.ClientConnectorError):
            raise
        raise aiohttp.ClientConnectionError(f"the connection broke: {error}") from error


def _camel(name: str) -> str:
    """``label_selector`` as the API has it."""
    first, *rest = name.strip("_").split("_")
    return first + "".join(part.capitalize() for part in rest)
