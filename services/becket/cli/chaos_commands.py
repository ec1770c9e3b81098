"""``becket chaos``: a fault, by hand, in a cluster on this machine.

Owns the options and what is said. Must not decide what is dangerous (``chaos``).
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from becket.cli.exits import Exit, UsageError
from becket.cli.options import ClusterName, Data
from becket.cli.output import write_line
from becket.cli.reporting import reporting

if TYPE_CHECKING:
    from becket.cli.chaos import Fault

chaos_app = typer.Typer(
    help="Hurt a cluster on this machine, to see what it does.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Name = Annotated[
    str | None,
    typer.Argument(help="A process, such as storage-1, router-0 or supervisor-0."),
]
Random = Annotated[bool, typer.Option("--random", help="Any storage member.")]
Seed = Annotated[
    int | None, typer.Option(help="Makes --random choose the same again.", show_default="chance")
]
Force = Annotated[
    bool, typer.Option("--force", help="Even where a majority would be lost, and with it data.")
]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(chaos_app, name="chaos")


@chaos_app.command("kill")
@reporting
def kill(
    member: Name = None,
    *,
    any_member: Random = False,
    seed: Seed = None,
    force: Force = False,
    data: Data = None,
    name: ClusterName = "becket",
) -> Exit:
    """Kill a process at once (SIGKILL). The keeper starts it again."""
    from becket.cli.chaos import Fault

    return _strike(Fault.KILL, member, any_member, (seed, force, 0.0), (data, name))


@chaos_app.command("pause")
@reporting
def pause(
    member: Name = None,
    *,
    seconds: Annotated[float, typer.Option(help="For how long.", min=0.001, max=3600)] = 2.0,
    any_member: Random = False,
    seed: Seed = None,
    force: Force = False,
    data: Data = None,
    name: ClusterName = "becket",
) -> Exit:
    """Let a process stand still for a while (SIGSTOP, then SIGCONT)."""
    from becket.cli.chaos import Fault

    return _strike(Fault.PAUSE, member, any_member, (seed, force, seconds), (data, name))


@chaos_app.command("wipe")
@reporting
def wipe(
    member: Name = None,
    *,
    any_member: Random = False,
    seed: Seed = None,
    force: Force = False,
    data: Data = None,
    name: ClusterName = "becket",
) -> Exit:
    """Kill a storage member and remove its volume; it starts again on an empty one."""
    from becket.cli.chaos import Fault

    return _strike(Fault.WIPE, member, any_member, (seed, force, 0.0), (data, name))


def _strike(
    fault: Fault,
    member: str | None,
    any_member: bool,
    how: tuple[int | None, bool, float],
    where: tuple[Path | None, str],
) -> Exit:
    from becket.adapters.local.layout import Layout
    from becket.cli import chaos
    from becket.cli.clusters import folder_of

    if (member is None) is not any_member:
        raise UsageError("name a process, or give --random; one of the two")
    seed, force, seconds = how
    layout = Layout(folder_of(*where))

    async def run() -> None:
        scene = await chaos.look(layout)
        victim = member or random.Random(seed).choice(scene.members or [""])  # noqa: S311
        info = chaos.check(scene, fault, victim, force=force)
        if fault is chaos.Fault.PAUSE:
            write_line(f"{victim} (pid {info.pid}) stands still for {seconds:g} s")
            await chaos.pause(layout, info, seconds)
            write_line(f"{victim} goes on")
            return
        chaos.strike(layout, fault, info)
        what = "was killed" if fault is chaos.Fault.KILL else "was killed and loses its volume"
        write_line(f"{victim} (pid {info.pid}) {what}; the keeper starts it again")

    asyncio.run(run())
    return Exit.DONE
