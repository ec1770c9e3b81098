"""Settings that every service has, and the one place that reads them.

Owns the common settings, their sources (environment over a TOML file over defaults) and the errors
that name a field. Must not start anything. Invariants: settings are frozen; a field's unit is in
its name; an unknown key in the file is refused; a relation between two fields is checked when they
are loaded, not when they are used.

A service adds its own by a subclass; a frozen dataclass of the core becomes a group of settings by
``Annotated[Settings, CHECKED]``.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, ValidationError, ValidationInfo, WrapValidator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.sources import InitSettingsSource

from becket.core.errors import GiveUpError, InvalidInputError
from becket.core.limits import Limits

PREFIX = "BECKET_"
NESTED = "__"
FILE_VARIABLE = f"{PREFIX}CONFIG_FILE"
FILE_BYTES = 1 << 20
ADDRESS = re.compile(r"^(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):([0-9]{1,5})$")
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
"""A label of DNS."""
Count = Annotated[int, Field(ge=1, le=1_000_000)]
# What Kubernetes puts into a pod's environment for a Service called becket or becket-something.
SERVICE_LINK = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)\w*)?)$")


class SettingsError(GiveUpError):
    """Settings that cannot be used; ``problems`` has one sentence for each field."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def _checked(value: Any, handler: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 - pydantic's
    try:
        return handler(value)
    except InvalidInputError as error:
        raise InvalidInputError(f"{info.field_name}.{error.field}", error.problem) from error


CHECKED = WrapValidator(_checked)
"""Makes a frozen dataclass of the core a group of settings: an error of its own check gets the
group's name before the field's."""

UNKNOWN = frozenset(("extra_forbidden", "unexpected_keyword_argument"))
"""What pydantic calls a key that is no setting, of a model and of a dataclass."""


class ServiceSettings(BaseSettings):
    """What every service process is told. Load it by ``load_settings``."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter=NESTED, frozen=True, extra="forbid"
    )

    cluster_name: Name = "becket"
    """Joins what belongs together; a process of another cluster is refused."""
    name: Name = "local-0"
    """Of this process: in Kubernetes its pod, on one machine what the supervisor calls it."""
    listen: str = "127.0.0.1:0"
    """Where gRPC is served, host:port; port 0 takes a free one."""
    advertise: str = ""
    """Where others reach this process, host:port, as it tells them; empty: by their directory."""
    http_listen: str = ""
    """Where /live, /ready and /metrics are served, host:port; empty for nowhere."""
    announce_file: str = ""
    """A file for the bound addresses, written when they are known; empty for none."""
    addresses_file: str = ""
    """Name to address on one machine; where it is empty, the template says."""
    address_template: str = "{name}.becket-storage:7400"
    """Where a member is by its name: a headless service's record."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    otlp_endpoint: str = ""
    """A collector, http(s)://host:port; empty for no export. /metrics does not need one."""
    otlp_interval_s: Annotated[float, Field(ge=1, le=600)] = 15
    trace_ratio: Annotated[float, Field(ge=0, le=1)] = 0
    """The share of calls without a caller's trace that begin one; a span costs 20 us."""
    stop_grace_s: Annotated[float, Field(gt=0, le=3600)] = 10
    """From SIGTERM on: the drain, then calls in flight. Kubernetes must wait longer."""
    pre_stop_s: Annotated[float, Field(ge=0, le=600)] = 0
    """From SIGTERM on calls are answered for so long, since routes to here vanish with a delay;
    ``stop_grace_s`` comes after it."""
    default_deadline_ms: Annotated[int, Field(ge=1, le=3_600_000)] = 5000
    """Of a unary call that brings no deadline."""
    max_in_flight: Count = 4096
    """Unary calls at one moment; beyond it they are refused. Half a second of work at most."""
    max_streams: Count = 2000
    """Streams at one moment; a client has one, a member two with each other."""
    max_connections: Count = 20_000
    """Beyond it none is taken. Each costs about 40 KiB and a file."""
    max_streams_per_connection: Count = 1024
    """Calls and streams that one connection may have open; beyond it they wait at the caller."""
    stream_age_s: Annotated[float, Field(gt=0, le=86_400)] = 1800
    """A service ends its streams with OK at about this age, so that clients spread again."""
    reflection: bool = True
    """Whether tools may ask which services there are; off in production."""
    limits: Annotated[Limits, CHECKED] = Limits()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - named by pydantic-settings
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, that wins over the file."""
        return init_settings, env_settings, InitSettingsSource(settings_cls, _file())

    @model_validator(mode="after")
    def _relations(self) -> Self:
        for field in ("listen", "http_listen", "advertise"):
            value = getattr(self, field)
            if value or field == "listen":
                split_address(value, field)
        if self.http_listen == self.listen and not self.listen.endswith(":0"):
            raise InvalidInputError("http_listen", "must not be the same as listen")
        if self.default_deadline_ms > 1000 * self.stop_grace_s:
            raise InvalidInputError(
                "stop_grace_s", "must not be under default_deadline_ms: calls end before the stop"
            )
        if self.stream_age_s <= self.stop_grace_s:
            raise InvalidInputError("stream_age_s", "must be over stop_grace_s")
        if self.otlp_endpoint and not self.otlp_endpoint.startswith(("http://", "https://")):
            raise InvalidInputError("otlp_endpoint", "must begin with http:// or https://")
        if not self.addresses_file and "{name}" not in self.address_template:
            raise InvalidInputError("address_template", "must have {name} in it")
        return self


Loaded = TypeVar("Loaded", bound=ServiceSettings)


def load_settings(kind: type[Loaded]) -> Loaded:
    """Settings of ``kind`` from the environment and the file that ``BECKET_CONFIG_FILE`` names.

    Raises SettingsError with one sentence for each field that is wrong.
    """
    try:
        return kind()
    except InvalidInputError as error:
        raise SettingsError((f"{error.field}: {error.problem}",)) from error
    except ValidationError as error:
        raise SettingsError(tuple(_sentence(each) for each in error.errors())) from error


def _sentence(error: ErrorDetails) -> str:
    field = ".".join(str(part) for part in error["loc"]) or "settings"
    problem = "is no setting" if error["type"] in UNKNOWN else error["msg"]
    return f"{field}: {problem}"


def _file() -> dict[str, Any]:
    name = os.environ.get(FILE_VARIABLE, "")
    if not name:
        return {}
    try:
        with Path(name).open("rb") as file:
            content = file.read(FILE_BYTES + 1)
        if len(content) > FILE_BYTES:
            raise InvalidInputError(FILE_VARIABLE, f"{name} is over {FILE_BYTES} bytes")
        return tomllib.loads(content.decode())
    except OSError as error:
        raise InvalidInputError(FILE_VARIABLE, f"{name}: {error.strerror}") from error
    except ValueError as error:  # of TOML or of UTF-8; both name the place
        raise InvalidInputError(FILE_VARIABLE, f"{name} is no TOML: {error}") from error


def unknown_variables(kind: type[ServiceSettings]) -> Iterator[str]:
    """Variables of the environment that look like settings of ``kind`` and are none.

    They are no error, because Kubernetes puts such variables into pods by itself; those of its
    known form are left out.
    """
    known = {field.upper() for field in kind.model_fields}
    for variable in sorted(os.environ):
        if not variable.startswith(PREFIX) or variable == FILE_VARIABLE:
            continue
        top = variable.removeprefix(PREFIX).upper().partition(NESTED)[0]
        if top not in known and not SERVICE_LINK.search(variable):
            yield variable


def split_address(address: str, field: str) -> tuple[str, int]:
    """(host without brackets, port) of ``host:port``; raises InvalidInputError naming ``field``."""
    found = ADDRESS.match(address)
    if found is None or int(found[2]) > 65_535:
        raise InvalidInputError(field, f"{address!r} is not host:port")
    return found[1].strip("[]"), int(found[2])
