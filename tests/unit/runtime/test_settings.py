"""Settings: their sources, which of them wins, and errors that name the field."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import ValidationError

from becket.core.errors import InvalidInputError
from becket.core.limits import Limits
from becket.core.membership.settings import MembershipSettings
from becket.runtime.settings import (
    CHECKED,
    ServiceSettings,
    SettingsError,
    load_settings,
    split_address,
    unknown_variables,
)


class Grouped(ServiceSettings):
    membership: Annotated[MembershipSettings, CHECKED] = MembershipSettings()


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "becket.toml"
    monkeypatch.setenv("BECKET_CONFIG_FILE", str(file))
    return file


def problems_of(kind: type[ServiceSettings]) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as raised:
        load_settings(kind)
    return raised.value.problems


def test_defaults_hold_together() -> None:
    settings = load_settings(Grouped)
    assert settings.cluster_name == "becket"
    assert settings.limits == Limits()
    assert settings.membership == MembershipSettings()


def test_settings_are_frozen() -> None:
    settings = load_settings(ServiceSettings)
    with pytest.raises(ValidationError, match="frozen"):
        settings.name = "other"


def test_environment_wins_over_file_and_file_over_default(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text(
        'name = "from-file"\ncluster_name = "file"\n'
        "[limits]\nvalue_bytes = 100\nbatch_operations = 7\n"
    )
    monkeypatch.setenv("BECKET_NAME", "from-env")
    monkeypatch.setenv("BECKET_LIMITS__VALUE_BYTES", "200")
    settings = load_settings(ServiceSettings)
    assert (settings.name, settings.cluster_name) == ("from-env", "file")
    assert settings.limits == Limits(value_bytes=200, batch_operations=7)


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("STOP_GRACE_S", "soon", "stop_grace_s: "),
        ("STOP_GRACE_S", "1", "stop_grace_s: must not be under default_deadline_ms"),
        ("STREAM_AGE_S", "10", "stream_age_s: must be over stop_grace_s"),
        ("LISTEN", "here", "listen: 'here' is not host:port"),
        ("LISTEN", "host:70000", "listen: 'host:70000' is not host:port"),
        ("HTTP_LISTEN", "1.2.3.4", "http_listen: '1.2.3.4' is not host:port"),
        ("OTLP_ENDPOINT", "collector:4318", "otlp_endpoint: must begin with http"),
        ("ADDRESS_TEMPLATE", "storage:7400", "address_template: must have {name}"),
        ("NAME", "Storage_0", "name: "),
        ("LOG_LEVEL", "loud", "log_level: "),
        ("MAX_IN_FLIGHT", "0", "max_in_flight: "),
        ("LIMITS__KEY_BYTES", "0", "limits.key_bytes: must be in 1..65535"),
        ("LIMITS__KEY_BITES", "9", "limits.key_bites: is no setting"),
        ("LIMITS__KEY_BYTES", "many", "limits.key_bytes: "),
        ("MEMBERSHIP__LEASE_US", "500000", "membership.suspicion_us: must not be under lease_us"),
    ],
)
def test_what_is_wrong_is_told_with_its_field(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str
) -> None:
    monkeypatch.setenv(f"BECKET_{variable}", value)
    assert problems_of(Grouped)[0].startswith(told)


def test_each_wrong_field_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BECKET_MAX_STREAMS", "none")
    monkeypatch.setenv("BECKET_TRACE_RATIO", "2")
    assert [problem.partition(":")[0] for problem in problems_of(ServiceSettings)] == [
        "trace_ratio",
        "max_streams",
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('nmae = "storage-0"', "nmae: is no setting"),
        ("[limits]\nkey_bites = 3", "limits.key_bites: is no setting"),
        ("name = ", "BECKET_CONFIG_FILE: "),
        ("# " + "x" * (1 << 20), "BECKET_CONFIG_FILE: "),
    ],
)
def test_a_file_is_read_strictly(config: Path, content: str, told: str) -> None:
    config.write_text(content)
    assert problems_of(ServiceSettings)[0].startswith(told)


def test_a_file_that_is_named_must_exist(config: Path) -> None:
    assert problems_of(ServiceSettings) == (
        f"BECKET_CONFIG_FILE: {config}: No such file or directory",
    )


def test_variables_that_nobody_reads_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (
        "BECKET_NAME",
        "BECKET_NAM",
        "BECKET_LIMITS__KEY_BYTES",
        "BECKET_CONFIG_FILE",
        # What Kubernetes adds for Services called becket and becket-storage.
        "BECKET_PORT",
        "BECKET_SERVICE_HOST",
        "BECKET_STORAGE_SERVICE_PORT_GRPC",
        "BECKET_STORAGE_PORT_7400_TCP_ADDR",
    ):
        monkeypatch.setenv(variable, "x")
    assert list(unknown_variables(ServiceSettings)) == ["BECKET_NAM"]


def test_addresses_may_be_of_either_family() -> None:
    assert split_address("[::1]:7400", "listen") == ("::1", 7400)
    assert split_address("storage-0.becket-storage:0", "listen") == ("storage-0.becket-storage", 0)
    with pytest.raises(InvalidInputError, match=r"^listen"):
        split_address("::1:7400", "listen")
