"""``becket verify``: its options.

Owns them and the choice between table and JSON. Must not do the work (``verify``, ``verify_job``).
"""

from __future__ import annotations

import asyncio
import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from becket.cli.exits import Exit, UsageError
from becket.cli.options import Context, Kubernetes, Namespace, Output, ReleaseName
from becket.cli.output import Form, print_json, say, write_line
from becket.cli.reporting import reporting
from becket.cli.texts import seconds

if TYPE_CHECKING:
    from becket.adapters.local.layout import ClusterSpec
    from becket.cli.releases import Place
    from becket.cli.verify import Order
    from becket.cli.verify_outcome import Outcome

_PICTURES = 5


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("verify")(verify)


Operations = Annotated[
    int, typer.Option(help="Go on until so many are acknowledged; else for --duration.", min=0)
]
Duration = Annotated[str, typer.Option(help="How long: seconds, or 1m, 1h.")]
Kills = Annotated[int, typer.Option(help="So many kill -9 of coordinators; 0: no fault.", min=0)]
Faults = Annotated[
    str,
    typer.Option(
        help="What is done: of kill, term, pause, wipe, all; of pods kill, delete, force, pause, "
        "all, router, supervisor, balancer. Beside the kills a tenth as many of each other kind, "
        "at least one; all kills every process at once.",
        show_default="all that can be done there",
    ),
]
Members = Annotated[int, typer.Option(help="Of the cluster that is started.", min=1)]
Partitions = Annotated[int, typer.Option(help="Of the cluster that is started.", min=1)]
Writers = Annotated[int, typer.Option(help="So many write at once.", min=1)]
Readers = Annotated[int, typer.Option(help="So many read at once.", min=0)]
Keys = Annotated[int, typer.Option(help="How many keys they use.", min=1)]
Batch = Annotated[int, typer.Option(help="Operations in one call.", min=1, max=1000)]
Rate = Annotated[int, typer.Option(help="Operations a second at most; 0: no limit.", min=0)]
FaultRate = Annotated[
    int, typer.Option(help="The same while a fault is measured; 0: no limit.", min=0)
]
CallTime = Annotated[str, typer.Option("--timeout", help="How long one call tries.")]
Seed = Annotated[
    int | None, typer.Option(help="The same seed plans the same faults.", show_default="chance")
]
Folder = Annotated[
    Path | None,
    typer.Option("--data", help="Verify the running cluster of this folder, by its processes."),
]
Elsewhere = Annotated[
    str,
    typer.Option(
        "--target",
        help="Verify the cluster that answers here; without faults, unless with --kubernetes.",
    ),
]
Report = Annotated[
    Path | None, typer.Option(help="A folder for the report and for pictures of violations.")
]
AsJob = Annotated[
    bool, typer.Option("--job", help="Run all of it as a Job in the cluster; with --kubernetes.")
]


class Where(NamedTuple):
    """Which cluster: a release, one that answers somewhere, one of a folder, or a new one."""

    members: int
    partitions: int
    data: Path | None = None
    target: str = ""
    release: Place | None = None


@reporting
def verify(
    *,
    operations: Operations = 0,
    duration: Duration = "60s",
    kills: Kills = 10,
    faults: Faults = "",
    members: Members = 5,
    partitions: Partitions = 256,
    writers: Writers = 4,
    readers: Readers = 4,
    keys: Keys = 4_000,
    batch: Batch = 100,
    rate: Rate = 0,
    fault_rate: FaultRate = 300,
    timeout: CallTime = "5",
    seed: Seed = None,
    data: Folder = None,
    target: Elsewhere = "",
    report: Report = None,
    output: Output = Form.TABLE,
    kubernetes: Kubernetes = False,
    job: AsJob = False,
    namespace: Namespace = "",
    release: ReleaseName = "becket",
    context: Context = "",
) -> Exit:
    """Put a cluster under load and faults, and check that every history is linearizable.

    Starts a cluster of its own in a temporary folder, unless one is named. Exit code 1 where a
    promise was broken, 3 where not everything could be judged.
    """
    from becket.cli.verify_workload import Load

    load = Load(writers, readers, keys, batch, seconds(timeout, "--timeout"), rate, fault_rate)
    place = _place(release, namespace, context) if kubernetes or job else None
    chosen = secrets.randbelow(1 << 32) if seed is None else seed
    order = _order(
        (chosen, operations, seconds(duration, "--duration"), load),
        (kills, [kind.strip() for kind in faults.split(",") if kind.strip()]),
        Where(members, partitions, data, target, place),
    )
    if job:
        from becket.cli.verify_job import run_job

        return run_job(order, (kills, faults), output, report)
    return _conclude(_run(order), report, output)


def _place(release: str, namespace: str, context: str) -> Place:
    from becket.cli.releases import Place

    return Place(release, namespace, context)


def _order(
    work: tuple[int, int, float, object], faults: tuple[int, list[str]], where: Where
) -> Order:
    from becket.cli.calling import check_target
    from becket.cli.chaos import LOCAL_KINDS, POD_KINDS
    from becket.cli.verify import Order
    from becket.cli.verify_nemesis import plan
    from becket.cli.verify_workload import Load

    seed, operations, duration_s, load = work
    kills, kinds = faults
    assert isinstance(load, Load)
    known = LOCAL_KINDS if where.release is None else POD_KINDS
    unknown = sorted(set(kinds) - set(known))
    if unknown:
        raise UsageError(f"--faults: {unknown[0]} is none of {', '.join(known)}")
    if where.data is not None and (where.target or where.release is not None):
        raise UsageError("give one of --data, --target and --kubernetes")
    if where.target:
        check_target(where.target)
    blows = tuple(plan(seed, kills, kinds or known))
    if blows and where.target and where.release is None:
        raise UsageError("--target: processes elsewhere cannot be hurt: give --kills 0 as well")
    folder = None if where.data is None else where.data.expanduser().absolute()
    spec = _spec(where, has_faults=bool(blows))
    return Order(
        *(seed, load, blows, operations, duration_s),
        spec=spec,
        folder=folder,
        target=where.target,
        release=where.release,
    )


def _spec(where: Where, *, has_faults: bool) -> ClusterSpec | None:
    """The cluster that is to be started; None where there is one."""
    from becket.adapters.local.layout import ClusterSpec

    if where.target or where.data is not None or where.release is not None:
        return None
    if has_faults and where.members < 3:
        raise UsageError("--members: faults need 3 at least, or no majority is left")
    return ClusterSpec(
        cluster_name="verify",
        members=where.members,
        partitions=where.partitions,
        replicas=min(3, where.members),
        router_port=0,
    )


def _run(order: Order) -> Outcome:
    try:
        from uvloop import new_event_loop
    except ImportError:  # it comes with the servers, which another machine may have
        from asyncio import new_event_loop  # type: ignore[assignment]  # makes a loop, too

    from becket.cli.verify import verify as run

    say(f"seed {order.seed}, {len(order.blows)} faults planned")
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(run(order, say))


def _conclude(outcome: Outcome, report: Path | None, output: Form) -> Exit:
    folder = _write(outcome, report)
    for sentence in (*outcome.stories(), *outcome.sentences()):
        (say if output is Form.JSON else write_line)(sentence)
    if folder is not None:
        say(f"the report is in {folder}")
    if output is Form.JSON:
        print_json(outcome.content())
    if outcome.is_broken:
        return Exit(1)
    return Exit.DONE if outcome.is_proven else Exit.NOT_DONE


def _write(outcome: Outcome, report: Path | None) -> Path | None:
    """The report, and pictures of what went wrong; always where something did."""
    from tempfile import mkdtemp

    from becket.cli.verify_picture import picture

    if report is None and not outcome.is_broken:
        return None
    folder = Path(mkdtemp(prefix="becket-report-")) if report is None else report
    folder.mkdir(parents=True, exist_ok=True)
    content = {**outcome.content(), "verdict": outcome.sentences()}
    (folder / "report.json").write_text(json.dumps(content, indent=1) + "\n")
    for number, found in enumerate(outcome.violations[:_PICTURES], 1):
        (folder / f"violation-{number}.html").write_text(picture(found.key, found.problem))
    return folder
