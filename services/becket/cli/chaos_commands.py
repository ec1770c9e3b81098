"""``becket chaos``: a fault, by hand, in a cluster on this machine or on Kubernetes.

Owns the options and what is said. Must not decide what is dangerous (``chaos``).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from becket.cli.exits import Exit, UsageError
from becket.cli.options import ClusterName, Context, Data, Kubernetes, Namespace, ReleaseName
from becket.cli.output import write_line
from becket.cli.reporting import reporting

if TYPE_CHECKING:
    from becket.cli.chaos import Fault, Scene, Victim, Victims

chaos_app = typer.Typer(
    help="Hurt a cluster on this machine or on Kubernetes, to see what it does.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Name = Annotated[
    str | None,
    typer.Argument(
        help="A process, such as storage-1, router-0 or supervisor-0; with --kubernetes a pod.",
        show_default=False,
    ),
]
Random = Annotated[bool, typer.Option("--random", help="Any storage member.")]
Seed = Annotated[
    int | None, typer.Option(help="Makes --random choose the same again.", show_default="chance")
]
Majority = Annotated[
    bool,
    typer.Option(
        "--force-majority",
        "--force",
        help="Even where a majority would be lost, and with it data.",
    ),
]
OnlyMajority = Annotated[
    bool, typer.Option("--force-majority", help="Even where a majority would be lost.")
]


@dataclass(frozen=True)
class Aim:
    """Who is to be hit; and whatever speaks against it, where ``force`` is set."""

    name: str | None
    is_random: bool
    seed: int | None
    force: bool


@dataclass(frozen=True)
class Where:
    """Which cluster: a folder of this machine, or a release on Kubernetes."""

    data: Path | None = None
    cluster: str = "becket"
    is_kubernetes: bool = False
    namespace: str = ""
    release: str = ""
    context: str = ""


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
    force: Majority = False,
    data: Data = None,
    name: ClusterName = "becket",
    kubernetes: Kubernetes = False,
    namespace: Namespace = "",
    release: ReleaseName = "becket",
    context: Context = "",
) -> Exit:
    """Kill a process at once (SIGKILL). Its keeper, or Kubernetes, starts it again."""
    from becket.cli.chaos import Fault

    where = Where(data, name, kubernetes, namespace, release, context)
    return _run(Fault.KILL, Aim(member, any_member, seed, force), where)


@chaos_app.command("pause")
@reporting
def pause(
    member: Name = None,
    *,
    pause_s: Annotated[
        float, typer.Option("--seconds", help="For how long.", min=0.001, max=3600)
    ] = 2.0,
    any_member: Random = False,
    seed: Seed = None,
    force: Majority = False,
    data: Data = None,
    name: ClusterName = "becket",
    kubernetes: Kubernetes = False,
    namespace: Namespace = "",
    release: ReleaseName = "becket",
    context: Context = "",
) -> Exit:
    """Let a process stand still for a while (SIGSTOP, then SIGCONT)."""
    from becket.cli.chaos import Fault

    where = Where(data, name, kubernetes, namespace, release, context)
    return _run(Fault.PAUSE, Aim(member, any_member, seed, force), where, pause_s=pause_s)


@chaos_app.command("wipe")
@reporting
def wipe(
    member: Name = None,
    *,
    any_member: Random = False,
    seed: Seed = None,
    force: Majority = False,
    data: Data = None,
    name: ClusterName = "becket",
) -> Exit:
    """Kill a storage member of this machine and remove its volume; it starts on an empty one."""
    from becket.cli.chaos import Fault

    return _run(Fault.WIPE, Aim(member, any_member, seed, force), Where(data, name))


@chaos_app.command("delete")
@reporting
def delete(
    pod: Name = None,
    *,
    grace_0: Annotated[
        bool,
        typer.Option(
            "--force",
            help="With no grace time: the process may live on for seconds beside its successor.",
        ),
    ] = False,
    any_member: Random = False,
    seed: Seed = None,
    force: OnlyMajority = False,
    namespace: Namespace = "",
    release: ReleaseName = "becket",
    context: Context = "",
) -> Exit:
    """Delete a pod; its StatefulSet or Deployment makes another."""
    from becket.cli.chaos import Fault

    where = Where(None, "", True, namespace, release, context)  # noqa: FBT003 - by the order above
    return _run(Fault.FORCE if grace_0 else Fault.DELETE, Aim(pod, any_member, seed, force), where)


def _run(fault: Fault, aim: Aim, where: Where, *, pause_s: float = 0.0) -> Exit:
    if (aim.name is None) is not aim.is_random:
        raise UsageError("name a process or pod, or give --random; one of the two")
    asyncio.run(_strike(fault, aim, where, pause_s))
    return Exit.DONE


async def _strike(fault: Fault, aim: Aim, where: Where, pause_s: float) -> None:
    from becket.cli.chaos import Fault as Faults

    async with _victims(where) as victims:
        victim = _choose(await victims.look(), fault, aim)
        if fault is Faults.PAUSE:
            write_line(f"{_named(victim, where)} stands still for {pause_s:g} s")
            await victims.pause(victim, pause_s)
            write_line(f"{victim.name} goes on")
            return
        await victims.strike(fault, [victim])
        again = "Kubernetes" if where.is_kubernetes else "the keeper"
        what = {
            Faults.KILL: f"was killed; {again} starts it again",
            Faults.WIPE: f"was killed and loses its volume; {again} starts it again",
            Faults.DELETE: "is being deleted; another pod takes its place",
            Faults.FORCE: "was deleted with no grace time; another pod takes its place",
        }[fault]
        write_line(f"{_named(victim, where)} {what}")


def _choose(scene: Scene, fault: Fault, aim: Aim) -> Victim:
    from becket.cli import chaos

    name = aim.name or random.Random(aim.seed).choice(scene.members or [""])  # noqa: S311
    if scene.ring is None and name in scene.members and not aim.force:
        raise chaos.TooDangerousError(
            f"{fault.value} {name} is refused: there is no ring, so nobody can say what is left"
        )
    return chaos.check(scene, fault, name, force=aim.force)


def _named(victim: Victim, where: Where) -> str:
    return victim.name if where.is_kubernetes else f"{victim.name} (pid {victim.identity})"


@asynccontextmanager
async def _victims(where: Where) -> AsyncIterator[Victims]:
    if where.is_kubernetes:
        from becket.cli.chaos_pods import PodVictims
        from becket.cli.releases import Place, open_release

        place = Place(where.release, where.namespace, where.context)
        async with open_release(place) as release:
            yield PodVictims(release)
        return
    from becket.adapters.local.layout import Layout
    from becket.cli.chaos_local import LocalVictims
    from becket.cli.clusters import folder_of

    yield LocalVictims(Layout(folder_of(where.data, where.cluster)))
