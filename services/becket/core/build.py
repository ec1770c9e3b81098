"""How this copy of Becket was built: with its hot modules compiled (setup.py), or as it stands.

Owns the answer alone; nothing behaves differently for it.
"""

from __future__ import annotations

from becket.core import hashing


def is_compiled() -> bool:
    """Whether the hot modules are compiled."""
    return not str(hashing.__file__).endswith(".py")
