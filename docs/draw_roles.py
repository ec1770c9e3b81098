"""Draws ``docs/roles.md`` from the table in ``becket.core.replication.roles``."""

from __future__ import annotations

from pathlib import Path

from becket.core.replication import roles

TARGET = Path(__file__).with_name("roles.md")


def drawn() -> str:
    """The page as it should be."""
    theory = (roles.__doc__ or "").strip().split("\n\n", 1)[1]
    lines = ["# The roles of a member in one partition", "", theory, "", "```mermaid"]
    lines += ["stateDiagram-v2", "    [*] --> follower"]
    for role, events in roles.TRANSITIONS.items():
        for event, after in events.items():
            if role is not after:
                lines.append(f"    {role.value} --> {after.value}: {event.value}")
    lines += ["```", "", "Drawn from the table by `python docs/draw_roles.py`.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    TARGET.write_text(drawn())
