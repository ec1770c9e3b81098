"""The commands that run a cluster on this machine: ``up`` and ``down``.

Owns their options. Must not do the work (``up``).
"""

from __future__ import annotations

from typing import Annotated

import typer

from becket.cli.exits import Exit
from becket.cli.options import ClusterName, Data
from becket.cli.reporting import reporting


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("up")(up)
    app.command("down")(down)


@reporting
def up(
    *,
    members: Annotated[
        int | None,
        typer.Option(
            help="Storage members. On a folder with a cluster: grow or shrink to that.",
            show_default="5 in a new cluster",
        ),
    ] = None,
    partitions: Annotated[
        int | None,
        typer.Option(help="Of a new cluster; never changes.", show_default="256"),
    ] = None,
    replicas: Annotated[
        int | None,
        typer.Option(help="Copies of each partition of a new cluster.", show_default="3"),
    ] = None,
    zones: Annotated[
        int | None,
        typer.Option(help="Deal the members over so many zones.", show_default="no zones"),
    ] = None,
    data: Data = None,
    name: ClusterName = "becket",
    port: Annotated[
        int | None,
        typer.Option(help="Where the router listens; 0: any free port.", show_default="7400"),
    ] = None,
    detach: Annotated[
        bool,
        typer.Option("--detach", "-d", help="Return when the cluster serves; it stays up."),
    ] = False,
) -> Exit:
    """Start a cluster on this machine: all its services as processes, with their data in a folder.

    Processes that end are started again, as Kubernetes would. Ctrl-C stops everything in order.
    """
    from becket.cli.clusters import Wish, check_installed, folder_of
    from becket.cli.up import up as run

    check_installed()
    wish = Wish(name, members, partitions, replicas, zones, port)
    return run(folder_of(data, name), wish, detach=detach)


@reporting
def down(*, data: Data = None, name: ClusterName = "becket") -> Exit:
    """Stop a cluster on this machine, in order. Its data stays."""
    from becket.cli.clusters import folder_of
    from becket.cli.up import down as run

    return run(folder_of(data, name))
