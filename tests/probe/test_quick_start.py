"""What the documents show is what happens: their commands and programs, run on a real cluster.

Starts real processes. ``...`` in an expected output stands for anything.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from tests.probe.running import Running, cluster

ROOT = Path(__file__).parents[2]
USUAL = "127.0.0.1:7400"


class Block(NamedTuple):
    """A fenced block of a document."""

    language: str
    text: str


def blocks_of(document: str, section: str = "") -> list[Block]:
    text = (ROOT / document).read_text(encoding="utf-8")
    if section:
        text = text.split(f"\n## {section}\n")[1].split("\n## ")[0]
    found = re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Block(language, content) for language, content in found]


def pattern_of(expected: str) -> re.Pattern[str]:
    parts = expected.strip().split("...")
    return re.compile(".*".join(map(re.escape, parts)), re.DOTALL)


def run_console(block: str, running: Running) -> None:
    """Run each command of a block; its output must be what follows it there."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", f"exec 2>&1\n{command}"],
            cwd=ROOT,
            env=running.environment,
            stdout=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
        assert pattern_of(expected).fullmatch(done.stdout.strip()), (command, done.stdout)


def run_program(program: str, expected: str, running: Running) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program.replace(USUAL, running.target)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert pattern_of(expected).fullmatch(done.stdout.strip()), (program, done.stdout)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with cluster(tmp_path_factory.mktemp("cluster"), "--members", "3") as found:
        yield found


def test_make_up_is_becket_up() -> None:
    # As a person's shell calls it, not as the make that runs this test would.
    alone = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["make", "--dry-run", "up"],
        cwd=ROOT,
        env=alone,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1].split() == [".venv/bin/becket", "up"]
    first = blocks_of("README.md", "Quick start")[0]
    assert [line.partition("#")[0].strip() for line in first.text.splitlines()] == [
        "make up",
        "make test",
    ]


@pytest.mark.parametrize(
    ("document", "section", "languages"),
    [
        (
            "README.md",
            "Quick start",
            ["sh", "console", "console", "python", "text", "python", "text"],
        ),
        ("docs/python-client.md", "", ["python", "text"]),
    ],
)
def test_what_a_document_shows(
    running: Running, document: str, section: str, languages: list[str]
) -> None:
    blocks = blocks_of(document, section)
    assert [block.language for block in blocks] == languages
    for block, after in zip(blocks, [*blocks[1:], Block("", "")], strict=True):
        if block.language == "console":
            run_console(block.text, running)
        elif block.language == "python":
            run_program(block.text, after.text, running)


def test_other_tools_find_the_services_by_reflection(running: Running) -> None:
    with grpc.insecure_channel(running.target) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        services = database.get_services()
        pool = DescriptorPool(database)
        method = pool.FindServiceByName("becket.api.v1.KeyValueService").methods_by_name["Get"]
    assert {"becket.api.v1.KeyValueService", "becket.api.v1.RingService"} <= set(services)
    assert method.input_type.full_name == "becket.api.v1.GetRequest"
