"""What says that it is compiled is."""

from __future__ import annotations

import inspect

from becket.core import hashing
from becket.core.build import is_compiled


def test_only_what_is_compiled_has_functions_that_are_none_of_python() -> None:
    assert is_compiled() != inspect.isfunction(hashing.slot)
