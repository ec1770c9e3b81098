"""``python -m becket.cli``: the same as the command ``becket``."""

from __future__ import annotations

from becket.cli.main import main

if __name__ == "__main__":
    main()
