"""Proves that the checked-in generated code is what the protos give, and that it can be used."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.tidy.sources import GENERATED, ROOT, repository_files

STALE = "run `make proto` and commit what it writes"


def differences(fresh: Path, checked_in: Path) -> list[str]:
    """Names of files below either folder that are not the same in both."""
    names = {
        path.relative_to(folder)
        for folder in (fresh, checked_in)
        for path in folder.rglob("*.py*")
        if path.suffix in {".py", ".pyi"}
    }
    return sorted(
        str(name)
        for name in names
        if not (fresh / name).is_file()
        or not (checked_in / name).is_file()
        or (fresh / name).read_bytes() != (checked_in / name).read_bytes()
    )


def test_generated_code_is_fresh(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "protos" / "generate.py"), "--out", str(tmp_path)]
    subprocess.run(command, check=True)
    package = GENERATED.removeprefix("services/")
    assert not differences(tmp_path / package, ROOT / GENERATED), STALE


def test_stale_and_missing_files_are_seen(tmp_path: Path) -> None:
    fresh, checked_in = tmp_path / "fresh", tmp_path / "checked_in"
    for folder in (fresh, checked_in):
        folder.mkdir()
        (folder / "same.py").write_text("same")
        (folder / "stale.py").write_text(folder.name)
    (fresh / "new.pyi").touch()
    (checked_in / "old.py").touch()
    assert differences(fresh, checked_in) == ["new.pyi", "old.py", "stale.py"]


def test_generated_code_imports_without_a_warning() -> None:
    generated = [path for path in repository_files() if path.startswith(GENERATED)]
    modules = [path.removeprefix("services/") for path in generated if path.endswith(".py")]
    names = ", ".join(
        path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in modules
    )
    assert "becket.api.v1.key_value_pb2_grpc" in names
    command = [sys.executable, "-W", "error", "-c", f"import {names}"]
    environment = {"PYTHONPATH": str(ROOT / "services")}
    subprocess.run(command, check=True, env=environment)


def test_floors_follow_the_generated_code() -> None:
    package = ROOT / GENERATED / "v1"
    grpc_code = (package / "key_value_pb2_grpc.py").read_text(encoding="utf-8")
    grpc_version = re.findall(r"GRPC_GENERATED_VERSION = '([\d.]+)'", grpc_code)[0]
    code = (package / "key_value_pb2.py").read_text(encoding="utf-8")
    numbers = re.findall(r"^    (\d+),$", code, re.MULTILINE)[:3]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    client = project["optional-dependencies"]["client"]
    assert f"grpcio>={grpc_version}" in client
    assert f"protobuf>={'.'.join(numbers)},<{int(numbers[0]) + 2}" in client
