"""Logs: the form of a line, and its bounds."""

from __future__ import annotations

import io
import json
from typing import Any

from opentelemetry.sdk.trace import TracerProvider

from becket.runtime.logs import FIELDS_LIMIT, TEXT_LIMIT, TRACEBACK_LIMIT, open_log


def line(**fields: object) -> dict[str, Any]:
    stream = io.StringIO()
    open_log("info", "json", stream).info("event", **fields)
    (text,) = stream.getvalue().splitlines()
    return dict(json.loads(text))


def test_a_line_is_one_object_that_begins_with_what_each_has() -> None:
    found = line(member="storage-0", count=3, share=0.5, whole=True, none=None)
    assert list(found)[:3] == ["timestamp", "level", "event"]
    assert found["timestamp"].endswith("Z")
    assert {name: found[name] for name in ("member", "count", "share", "whole", "none")} == {
        "member": "storage-0",
        "count": 3,
        "share": 0.5,
        "whole": True,
        "none": None,
    }


def test_long_texts_and_bytes_are_cut() -> None:
    found = line(text="a" * 5000, value=b"\x00" * (1 << 20), other=["x" * 5000])
    assert found["text"] == "a" * TEXT_LIMIT + "... (5000 characters)"
    assert all(len(str(field)) < 2 * TEXT_LIMIT for field in found.values())


def test_many_fields_are_cut_and_that_is_said() -> None:
    found = line(**{f"field{number}": number for number in range(100)})
    assert len(found) <= FIELDS_LIMIT + 1
    assert found["event"] == "event"
    assert found["fields_dropped"] > 50


def test_a_traceback_is_bounded() -> None:
    stream = io.StringIO()
    try:
        int("x" * 100_000)
    except ValueError as error:
        open_log("info", "json", stream).error("failed", exc_info=error, more="y" * 100_000)
    assert "Traceback" in stream.getvalue()
    assert len(stream.getvalue()) < 2 * TRACEBACK_LIMIT


def test_levels_are_filtered_and_the_console_is_for_people() -> None:
    stream = io.StringIO()
    log = open_log("warning", "console", stream)
    log.info("quiet")
    log.warning("heard", member="storage-0")
    assert "quiet" not in stream.getvalue()
    assert "member=storage-0" in stream.getvalue()


def test_a_line_within_a_trace_names_it() -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    with provider.get_tracer("test").start_as_current_span("call") as span:
        assert line()["trace_id"] == f"{span.get_span_context().trace_id:032x}"
    assert "trace_id" not in line()
    provider.shutdown()
