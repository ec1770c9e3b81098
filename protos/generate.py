"""Writes the Python code of the protos, with its types.

Owns how generated code comes to be: `make proto` calls it, and tests/tidy proves by it that what
is checked in is fresh. Must not be needed to run Becket. Invariant: the same protos and the same
locked tools give the same bytes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from importlib import resources
from pathlib import Path

import google.rpc
from grpc_tools import protoc

PROTOS = Path(__file__).resolve().parent
SOURCE_ROOT = PROTOS.parent / "services"
PACKAGE = Path("becket/api/v1")

INIT = '"""Generated from protos/ by `make proto`; see docs/design/protos.md. Do not edit."""\n'


def include_paths() -> list[Path]:
    """Where imports are looked up: ours, protobuf's own, and the shared error model."""
    well_known = Path(str(resources.files("grpc_tools") / "_proto"))
    shared = Path(google.rpc.__path__[0]).parents[1]
    return [PROTOS, well_known, shared]


def proto_files() -> list[str]:
    """Every proto of the package, relative to the folder of the protos."""
    found = sorted((PROTOS / PACKAGE).glob("*.proto"))
    return [str(path.relative_to(PROTOS)) for path in found]


def generate(out: Path) -> list[Path]:
    """Write all generated files below ``out``, a source root, and name them."""
    package = out / PACKAGE
    package.mkdir(parents=True, exist_ok=True)
    # The plugins of this interpreter's own environment, whatever PATH says.
    plugins = ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
    tools = Path(sys.executable).parent
    arguments = ["protoc", *(f"--plugin={name}={tools / name}" for name in plugins)]
    arguments += [*(f"--proto_path={path}" for path in include_paths())]
    arguments += [f"--python_out={out}", f"--grpc_python_out={out}"]
    arguments += [f"--mypy_out=quiet:{out}", f"--mypy_grpc_out=quiet:{out}", *proto_files()]
    if protoc.main(arguments) != 0:
        raise SystemExit("protoc failed; its message stands above")
    services = [name for name in proto_files() if _declares_service(PROTOS / name)]
    keep = {Path(name).stem for name in services}
    for path in package.glob("*_pb2_grpc.py*"):
        # A proto without a service yields an empty gRPC module, which nobody should import.
        if path.name.partition("_pb2_grpc")[0] not in keep:
            path.unlink()
    for folder in (package, package.parent):
        (folder / "__init__.py").write_text(INIT)
    return sorted([*package.iterdir(), package.parent / "__init__.py"])


def _declares_service(proto: Path) -> bool:
    return any(line.startswith("service ") for line in proto.read_text().splitlines())


def replace(source_root: Path) -> None:
    """Put fresh files in the place of all that were generated before."""
    with tempfile.TemporaryDirectory() as scratch:
        fresh = generate(Path(scratch))
        wanted = {path.relative_to(scratch): path.read_bytes() for path in fresh}
    package = source_root / PACKAGE
    package.mkdir(parents=True, exist_ok=True)
    for stale in package.iterdir():
        if stale.is_file() and stale.relative_to(source_root) not in wanted:
            stale.unlink()
    for name, content in wanted.items():
        (source_root / name).write_bytes(content)


def main() -> int:
    """Regenerate in place, or below another source root."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, default=SOURCE_ROOT, help="the source root")
    replace(parser.parse_args().out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
