"""Becket: a replicated, linearizable key-value store.

``becket.Client`` is the asyncio client, ``becket.sync.Client`` the one for programs without an
event loop, ``becket.core.errors`` what they raise. Nothing is imported before it is used: the core
needs no gRPC.
"""

from importlib import import_module as _import
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from becket.client.client import Client
    from becket.client.values import Consistency, Delete, Entry, Get, Increment, Put

_HOMES = dict.fromkeys(("Consistency", "Delete", "Entry", "Get", "Increment", "Put"), "values")
_HOMES["Client"] = "client"

__all__ = ["Client", "Consistency", "Delete", "Entry", "Get", "Increment", "Put"]


def __getattr__(name: str) -> object:
    if name == "sync":
        return _import("becket.sync")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(_import(f"becket.client.{_HOMES[name]}"), name)
