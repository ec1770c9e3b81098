"""Structured logs to standard error: one event with fields a line.

Owns the form of a line and its bounds. Must not decide what is logged. Invariants: a line is
bounded whatever its fields hold; nothing global is configured but the root of the standard
library's loggers, through which third parties speak, and that only by ``adopt``.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import TextIO, cast

import structlog
from opentelemetry import trace
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

TEXT_LIMIT = 1000
TRACEBACK_LIMIT = 8000
FIELDS_LIMIT = 40
FIRST = ("timestamp", "level", "event", "service", "name")

Log = FilteringBoundLogger
"""A logger of this module: ``log.info("event", field=value)``."""


def open_log(level: str, form: str, stream: TextIO | None = None) -> Log:
    """A logger that writes lines of ``form`` (json or console) to ``stream``, or to stderr."""
    target = stream or sys.stderr
    logger = structlog.wrap_logger(
        structlog.WriteLogger(target),
        processors=[*_common(), *_renderers(form, colors=target.isatty())],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        context_class=dict,
        cache_logger_on_first_use=True,
    )
    return cast("Log", logger)


def adopt(level: str, form: str) -> None:
    """Give what third parties log through the standard library the same form.

    They are heard from warnings on: their lower levels speak of every request.
    """
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *_common()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *_renderers(form, colors=sys.stderr.isatty()),
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level.upper()]))


def _common() -> list[Processor]:
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _trace,
        structlog.processors.format_exc_info,
        bound,
    ]


def _renderers(form: str, *, colors: bool) -> list[Processor]:
    if form == "console":
        return [structlog.dev.ConsoleRenderer(colors=colors)]
    return [structlog.processors.JSONRenderer(serializer=_dumps)]


def _dumps(value: object, **_: object) -> str:
    return json.dumps(value, default=repr, ensure_ascii=False)


def _trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = f"{context.trace_id:032x}"
    return event


def bound(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Cut what is too long, drop the last fields where there are too many, and say so.

    What each line has comes first, so that a person finds it.
    """
    names = list(dict.fromkeys((*FIRST, *event)))
    line: EventDict = {
        name: _short(name, event[name]) for name in names[:FIELDS_LIMIT] if name in event
    }
    if len(names) > FIELDS_LIMIT:
        line["fields_dropped"] = len(names) - FIELDS_LIMIT
    return line


def _short(name: str, value: object) -> object:
    # The standard library's records pass as they are: the formatter takes them away again.
    if isinstance(value, bool | int | float | None) or name.startswith("_"):
        return value
    limit = TRACEBACK_LIMIT if name == "exception" else TEXT_LIMIT
    text = value if isinstance(value, str) else _text(value)
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


def _text(value: object) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        # Only what can be shown is turned into text: a value may be a mebibyte.
        return f"{bytes(value[:TEXT_LIMIT])!r}" + ("..." if len(value) > TEXT_LIMIT else "")
    return repr(value)
