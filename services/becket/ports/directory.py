"""The directory port: where processes answer now, by their names.

Guarantees that every adapter gives: an address is what is known at the moment of the call, and may
be wrong the moment after, so whoever dials it checks whom it reached (disk and incarnation in the
hello). A name that is not known has no address. No call waits for anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from becket.core.ring.members import USUAL_WEIGHT


class Place(NamedTuple):
    """One process that should exist. ``address`` is host:port; empty where it is not known yet."""

    name: str
    service: str
    address: str
    zone: str = ""
    node: str = ""
    weight: int = USUAL_WEIGHT


class LearningDirectory(Protocol):
    """A directory that can be told where a process answers, by the process itself."""

    def address_of(self, name: str) -> str | None:
        """As ``Directory.address_of``."""

    def places(self, service: str) -> Mapping[str, Place]:
        """As ``Directory.places``."""

    def learn(self, name: str, address: str) -> None:
        """The process of this name says that it answers here; ignored where more is known."""


class Directory(Protocol):
    """Where processes answer."""

    def address_of(self, name: str) -> str | None:
        """The address of this process as host:port; None where it is not known."""

    def places(self, service: str) -> Mapping[str, Place]:
        """The processes of one service that should exist, by name: the wished ones."""
