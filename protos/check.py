"""Lints the protos with buf, and compares them with what was committed before.

Owns the way to buf: a tool module under tests/tools/buf pins it, Go builds it. Must not fail where
there is no Go, or too old a one: it says so, and tests/tidy still proves the generated code fresh.
Invariant: nothing outside .build/ is written.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import google.rpc

ROOT = Path(__file__).resolve().parents[1]
TOOL = ROOT / "tests" / "tools" / "buf"
BUILD = ROOT / ".build"
SHARED = Path("googleapis/google/rpc/status.proto")


def build_buf() -> Path | None:
    """The buf program, built unless it is there; None, with a printed reason, without a fit Go."""
    go = shutil.which("go")
    if go is None:
        print("buf: skipped: Go is not installed")
        return None
    known = subprocess.run([go, "list", "-m"], cwd=TOOL, capture_output=True, check=False)
    if known.returncode != 0:
        print(f"buf: skipped: this Go cannot build it: {known.stderr.decode().strip()}")
        return None
    program = BUILD / "buf"
    command = [go, "build", "-mod=readonly", "-o", str(program)]
    subprocess.run([*command, "github.com/bufbuild/buf/cmd/buf"], cwd=TOOL, check=True)
    return program


def lay_out_shared(build: Path) -> None:
    """Put the one proto of others that we import where buf.yaml looks for it."""
    source = Path(google.rpc.__path__[0]) / "status.proto"
    (build / SHARED).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, build / SHARED)


def committed_protos(ref: str) -> bytes | None:
    """The protos of a commit as a tar file; None where it has none, or is not there."""
    command = ["git", "archive", "--format=tar", ref, "protos/becket"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None


def run_buf(buf: Path, *arguments: str) -> bool:
    """Whether buf, run in the repository, was content."""
    cache = {"BUF_CACHE_DIR": str(BUILD / "buf-cache")}
    done = subprocess.run([str(buf), *arguments], cwd=ROOT, env=os.environ | cache, check=False)
    return done.returncode == 0


def breaks(buf: Path, ref: str) -> bool:
    """Whether the protos break what the commit ``ref`` promised."""
    archive = committed_protos(ref)
    if archive is None:
        print(f"buf breaking: skipped against {ref}: no protos there")
        return False
    base = BUILD / "base"
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(base, filter="data")
    lay_out_shared(base / ".build")
    shutil.copyfile(ROOT / "buf.yaml", base / "buf.yaml")
    print(f"buf breaking against {ref}")
    return not run_buf(buf, "breaking", "--against", str(base))


def main() -> int:
    """Lint, then compare with the last commit and the one before it."""
    buf = build_buf()
    if buf is None:
        return 0
    lay_out_shared(BUILD)
    print("buf lint")
    faults = [not run_buf(buf, "lint"), not run_buf(buf, "format", "-d", "--exit-code", "protos")]
    faults += [breaks(buf, ref) for ref in ("HEAD", "HEAD~1")]
    return int(any(faults))


if __name__ == "__main__":
    sys.exit(main())
