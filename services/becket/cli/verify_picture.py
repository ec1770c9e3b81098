"""A violation as a picture: the operations of one key on a line of time, in one HTML file.

Owns the drawing. The file needs nothing beside itself. Must not judge: what is stuck is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from becket.core.histories.entries import Entry
from becket.core.histories.stream import Problem
from becket.core.replication.cells import Kind

_WIDTH, _LEFT, _LANE, _BAR = 1200, 110, 34, 18
_LEAST_BAR = 3
_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --line: #d0d7de; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --paper: #0d1117; --line: #30363d; } }
body { font: 14px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  margin: 2rem; }
svg { width: 100%; height: auto; } svg text { fill: var(--ink); font-size: 12px; }
line { stroke: var(--line); } .put, .delete, .increment { fill: #b56a00; } .get { fill: #2f6fde; }
.unknown { opacity: .45; } .stuck { stroke: #d1242f; stroke-width: 3; }
table { border-collapse: collapse; } td, th { border-bottom: 1px solid var(--line);
  padding: .2rem .8rem; text-align: left; font-variant-numeric: tabular-nums; }
tr.stuck td { color: #d1242f; font-weight: 600; } code { font-size: 12px; }
"""


def picture(key: bytes, problem: Problem) -> str:
    """The page for one key."""
    entries = sorted([*problem.before, *problem.stuck], key=lambda entry: entry.began_us)
    stuck = {id(entry) for entry in problem.stuck}
    start = min(entry.began_us for entry in entries)
    name = escape(key.decode(errors="replace"))
    could = ", ".join(
        "nothing" if register.value is None else escape(register.value.decode(errors="replace"))
        for register in problem.registers
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{name}</title>'
        f"<style>{_STYLE}</style></head><body><h1>No order explains the history of "
        f"<code>{name}</code></h1><p>Up to here the key could hold: <code>{could}</code>. One of "
        "the operations in red had to be next, and none could. Reads are blue, writes brown; a "
        "pale bar is a write of unknown outcome: it may take effect at any later moment, or "
        f"never.</p>{_drawing(entries, stuck, start)}{_table(entries, stuck, start)}</body></html>"
    )


def _drawing(entries: Sequence[Entry], stuck: set[int], start: int) -> str:
    end = max(entry.ended_us or entry.began_us for entry in entries)
    scale = (_WIDTH - _LEFT) / max(1, end - start)
    lanes = _lanes(entries)
    names = sorted({entry.client for entry in entries})
    top = dict.fromkeys(names, 0)
    height = 0
    for name in names:
        top[name] = height
        height += 1 + max(lane for e, lane in zip(entries, lanes, strict=True) if e.client == name)
    parts = [f'<svg viewBox="0 0 {_WIDTH} {height * _LANE + 30}" role="img">']
    for name in names:
        y = top[name] * _LANE
        parts.append(f'<text x="0" y="{y + _BAR}">{escape(name)}</text>')
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH}" y1="{y}" y2="{y}"/>')
    for entry, lane in zip(entries, lanes, strict=True):
        x = _LEFT + (entry.began_us - start) * scale
        until = entry.ended_us if entry.ended_us is not None else end
        width = max(_LEAST_BAR, (until - entry.began_us) * scale)
        y = (top[entry.client] + lane) * _LANE + 4
        classes = _class(entry) + (" stuck" if id(entry) in stuck else "")
        parts.append(
            f'<rect class="{classes}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_BAR}" '
            f'rx="3"><title>{escape(str(entry))}</title></rect>'
        )
    parts.append(
        f'<text x="{_LEFT}" y="{height * _LANE + 20}">0 ms</text><text x="{_WIDTH}" '
        f'text-anchor="end" y="{height * _LANE + 20}">{(end - start) / 1000:.1f} ms</text></svg>'
    )
    return "".join(parts)


def _lanes(entries: Sequence[Entry]) -> list[int]:
    """Operations of one client that overlap are drawn below each other."""
    free: dict[str, list[int]] = {}
    lanes = []
    for entry in entries:
        ends = free.setdefault(entry.client, [])
        until = entry.ended_us if entry.ended_us is not None else 1 << 62
        lane = next((i for i, end in enumerate(ends) if end <= entry.began_us), len(ends))
        ends[lane : lane + 1] = [until]
        lanes.append(lane)
    return lanes


def _table(entries: Sequence[Entry], stuck: set[int], start: int) -> str:
    rows = []
    for entry in entries:
        began = f"{(entry.began_us - start) / 1000:.3f}"
        ended = "" if entry.ended_us is None else f"{(entry.ended_us - start) / 1000:.3f}"
        told = escape(str(entry).partition("] ")[2])
        mark = ' class="stuck"' if id(entry) in stuck else ""
        rows.append(f"<tr{mark}><td>{began}</td><td>{ended}</td><td><code>{told}</code></td></tr>")
    head = "<tr><th>began (ms)</th><th>ended</th><th>client, operation, answer</th></tr>"
    return f"<table>{head}{''.join(rows)}</table>"


def _class(entry: Entry) -> str:
    kind = entry.operations[0].kind
    name = "get" if kind is Kind.GET else kind.name.lower()
    return name if entry.results is not None else f"{name} unknown"
