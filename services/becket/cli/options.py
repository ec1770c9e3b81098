"""Options that several commands have, with the same names and meanings everywhere.

Owns their words. Must not import what is slow: every help text loads this.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from becket.cli.output import Form
from becket.cli.store import Routing
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
Route = Annotated[
    Routing,
    typer.Option(
        "--routing",
        envvar="BECKET_ROUTING",
        help="direct: ask members only; router: ask the target only, as through a port-forward; "
        "auto: members, and the target where none can be reached.",
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
Kubernetes = Annotated[
    bool, typer.Option("--kubernetes", help="Of a release on Kubernetes, by its pods.")
]
Namespace = Annotated[
    str,
    typer.Option(
        "--namespace", "-n", help="Of the release.", show_default="the context's, or the pod's own"
    ),
]
ReleaseName = Annotated[str, typer.Option("--release", help="The name of the helm release.")]
Context = Annotated[
    str,
    typer.Option("--context", help="Of the kubeconfig.", show_default="the one in use"),
]
