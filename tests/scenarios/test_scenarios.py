"""Every scenario file plays as it was recorded.

``BECKET_RECORD=1 pytest tests/scenarios`` writes the output anew; read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.scenarios.playing import Player

FOLDER = Path(__file__).parent
RULE = "----"


def played(text: str) -> str:
    """The file with its output played anew; comments and commands stay."""
    player, out = Player(), []
    for block in text.strip().split("\n\n"):
        lines = block.splitlines()
        commands = lines[: lines.index(RULE)] if RULE in lines else lines
        out.append("\n".join(commands))
        told = [player.play(line) for line in commands if not line.startswith("#")]
        if told:
            out[-1] += f"\n{RULE}\n" + "\n".join(told)
    return "\n\n".join(out) + "\n"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: str(path.stem))
def test_scenario(path: Path) -> None:
    recorded = path.read_text()
    fresh = played(recorded)
    if os.environ.get("BECKET_RECORD"):
        path.write_text(fresh)
    else:
        assert fresh == recorded


def test_a_changed_output_is_noticed() -> None:
    assert played("put a k v\n----\ndone\n") != "put a k v\n----\ndone\n"
