"""What became of a request to the Kubernetes API, as few typed outcomes.

Owns the mapping from the client's errors (statuses, timeouts, lost connections) and the sentences.
Must not retry. Invariant: ``UnavailableError`` is the only outcome after which a write may have
taken place, or will yet; after every other one it has not and never will.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.config import ConfigException

from becket.core.errors import BecketError

MOST_WORDS = 400
"""So much of a server's message is passed on."""


class KubernetesError(BecketError):
    """Root of what a request can come to."""


class AbsentError(KubernetesError):
    """There is no such object (404)."""


class ConflictError(KubernetesError):
    """The object is another than the request expected, or exists already (409)."""


class ForbiddenError(KubernetesError):
    """The role lacks the right, or the token is not accepted; the message names verb and object."""


class RefusedError(KubernetesError):
    """The server does not accept what was asked (400, 405, 413, 422); asking again is in vain."""


class ExpiredError(KubernetesError):
    """What a list or a watch was to go on from is forgotten (410): list again."""


class UnavailableError(KubernetesError):
    """No answer, or none that says what became of the request."""


@contextmanager
def outcomes(verb: str, what: str) -> Iterator[None]:
    """Turn every error of the client within into a KubernetesError.

    ``verb`` and ``what`` are those of the request, as a role names them: ``update``,
    ``configmaps becket-ring``.
    """
    try:
        yield
    except ApiException as error:
        raise of_status(error.status or 0, _said(error), verb, what) from error
    # A response in another shape than that of the API is a ValueError: of JSON, UTF-8 or pydantic.
    except (aiohttp.ClientError, OSError, ValueError, ConfigException) as error:
        is_late = isinstance(error, TimeoutError)  # It says nothing by itself.
        words = "no answer in time" if is_late else str(error) or type(error).__name__
        raise UnavailableError(f"{verb} {what}: {words[:MOST_WORDS]}") from error


def of_status(status: int, said: str, verb: str, what: str) -> KubernetesError:
    """The outcome that an HTTP status stands for, or the code of a Status object."""
    request = f"{verb} {what}"
    said = said[:MOST_WORDS]
    if status == 404:
        return AbsentError(f"{request}: there is none")
    if status == 409:
        return ConflictError(f"{request}: {said}")
    if status == 410:
        return ExpiredError(f"{request}: {said}")
    if status == 401:
        return ForbiddenError(f"{request}: the API does not accept this process's token: {said}")
    if status == 403:
        problem = f"this process may not {request}: its service account's role lacks that right, "
        return ForbiddenError(problem + f"or a policy refuses it ({said})")
    # 408 and 429 are refusals for now, and 3xx is no answer of this API.
    if 400 <= status < 500 and status not in (408, 429):
        return RefusedError(f"{request}: {status}: {said}")
    return UnavailableError(f"{request}: {status}: {said}")


def _said(error: ApiException) -> str:
    """The server's own sentence, where the body is a Status object."""
    try:
        found = json.loads(error.body or "")["message"]
    except (ValueError, KeyError, TypeError):
        found = error.body or error.reason or ""
    return str(found)
