"""Keys and values between bytes and what people and scripts type and read.

Owns the three encodings. Invariant: what is printed in an encoding is read back to the same bytes;
bytes that are no UTF-8 are never bent into it.
"""

from __future__ import annotations

import base64
import binascii
import re
import sys
from enum import StrEnum
from pathlib import Path

from becket.cli.exits import UsageError


class Encoding(StrEnum):
    """How bytes stand in text."""

    UTF8 = "utf-8"
    BASE64 = "base64"
    HEX = "hex"


_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def to_bytes(text: str, encoding: Encoding, what: str) -> bytes:
    """The bytes that ``text`` stands for.

    :raises UsageError: it is not in that encoding; names ``what``.
    """
    try:
        if encoding is Encoding.HEX:
            return bytes.fromhex(text)
        if encoding is Encoding.BASE64:
            return base64.b64decode(text, validate=True)
        # What a terminal could not decode comes as surrogates, and goes back to its bytes.
        return text.encode("utf-8", "surrogateescape")
    except (ValueError, binascii.Error) as error:
        raise UsageError(f"{what} is not {encoding.value}: {error}") from error


def to_text(data: bytes, encoding: Encoding) -> str:
    """Text that stands for ``data``; raises UnicodeDecodeError for UTF-8 that is none."""
    if encoding is Encoding.HEX:
        return data.hex()
    if encoding is Encoding.BASE64:
        return base64.b64encode(data).decode()
    return data.decode()


def fitting(encoding: Encoding, *parts: bytes) -> Encoding:
    """``encoding``, or base64 where one of the parts is no UTF-8."""
    if encoding is Encoding.UTF8:
        try:
            for part in parts:
                part.decode()
        except UnicodeDecodeError:
            return Encoding.BASE64
    return encoding


def shown(data: bytes) -> str:
    """A key or value for a sentence: as it is, or as Python would write it."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return repr(data)
    return text if text.isprintable() else repr(text)


def read_value(argument: str | None, encoding: Encoding) -> bytes:
    """The value of an argument: itself, ``@FILE``, or what comes by stdin for ``-`` and None.

    A file or stdin is taken as it is, unless it is in base64 or hex; ``@@`` begins a value with @.
    """
    if argument is None or argument == "-":
        if argument is None and sys.stdin.isatty():
            raise UsageError("there is no value: give one, or @FILE, or - and type it")
        return _decoded(sys.stdin.buffer.read(), encoding, "stdin")
    if argument.startswith("@@"):
        return to_bytes(argument[1:], encoding, "VALUE")
    if argument.startswith("@"):
        try:
            return _decoded(Path(argument[1:]).read_bytes(), encoding, argument)
        except OSError as error:
            raise UsageError(f"{argument[1:]} cannot be read: {error.strerror}") from error
    return to_bytes(argument, encoding, "VALUE")


def _decoded(data: bytes, encoding: Encoding, what: str) -> bytes:
    if encoding is Encoding.UTF8:
        return data
    return to_bytes("".join(data.decode("ascii", "replace").split()), encoding, what)


def seconds(text: str, what: str) -> float:
    """A length of time: a number of seconds, or with ms, s, m, h or d after it."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d|)", text.strip())
    if found is None:
        raise UsageError(f"{what}: {text} is no time; write 1.5, 500ms, 30s, 10m, 2h or 7d")
    value = float(found[1]) * _UNITS[found[2]]
    if value <= 0:
        raise UsageError(f"{what}: must be over 0")
    return value
