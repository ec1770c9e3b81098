"""Options that several commands have, with the same names and meanings everywhere.

Owns their words. Must not import what is slow: every help text loads this.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from becket.cli.output import Form
from becket.cli.texts import Encoding

DEFAULT_TARGET = "127.0.0.1:7400"

Target = Annotated[
    str,
    typer.Option(
        "--target",
        envvar="BECKET_TARGET",
        help="Where the cluster answers: host:port of a router, or of any member.",
        show_default=DEFAULT_TARGET,
    ),
]
Output = Annotated[Form, typer.Option("--output", "-o", help="How results are printed.")]
Timeout = Annotated[
    str, typer.Option("--timeout", help="How long to try: seconds, or 500ms, 10s, 1m.")
]
KeyArgument = Annotated[str, typer.Argument(help="The key, 1 byte to 4 KiB.", show_default=False)]
ValueEncoding = Annotated[
    Encoding, typer.Option("--encoding", help="How values stand in arguments and output.")
]
KeyEncoding = Annotated[
    Encoding, typer.Option("--key-encoding", help="How keys stand in arguments and output.")
]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        envvar="BECKET_DATA",
        help="The folder of the cluster.",
        show_default="$XDG_DATA_HOME/becket/NAME, or ~/.local/share/becket/NAME",
    ),
]
ClusterName = Annotated[
    str, typer.Option("--name", help="The cluster's name, where no folder is given.")
]
