"""``becket plan``: ring changes, seen before anything moves, and steered while they do.

Owns the options. Must not do the work (``plans``, ``plan_watch``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from becket.cli.exits import Exit
from becket.cli.options import DEFAULT_TARGET, Output, Target, Timeout
from becket.cli.output import Form, print_json, print_table, write_line
from becket.cli.question_commands import TIMEOUT, asked
from becket.cli.reporting import reporting
from becket.cli.texts import seconds

if TYPE_CHECKING:
    from becket.api.v1 import supervisor_pb2 as pb
    from becket.cli.calling import Services

plan_app = typer.Typer(
    help="Ring changes: what one would move, and steering the one under way.",
    rich_markup_mode=None,
    invoke_without_command=True,
)

PlanId = Annotated[str, typer.Argument(help="The plan.", show_default=False)]
SomePlanId = Annotated[
    str, typer.Argument(help="The plan.", show_default="the one under way", metavar="[PLAN]")
]
Steps = Annotated[bool, typer.Option("--steps", help="List each step, too.")]
Watch = Annotated[bool, typer.Option("--watch", help="Follow it to its end.")]
Within = Annotated[str, typer.Option("--within", help="How long --watch watches.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(plan_app, name="plan")


@plan_app.callback()
@reporting
def plan(
    context: typer.Context,
    *,
    add: Annotated[int, typer.Option(help="What if so many members more.", min=0, max=1000)] = 0,
    drain: Annotated[
        list[str] | None, typer.Option(help="What if this member left; may be repeated.")
    ] = None,
    weight: Annotated[
        list[str] | None,
        typer.Option(help="What if this member weighed W (100 is usual): MEMBER=W.", metavar="M=W"),
    ] = None,
    zone: Annotated[
        list[str] | None,
        typer.Option(help="What if this member were in zone Z: MEMBER=Z.", metavar="M=Z"),
    ] = None,
    steps: Steps = False,
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = TIMEOUT,
    output: Output = Form.TABLE,
) -> None:
    """What a ring change would move. Nothing is changed until `becket plan apply PLAN`.

    Without options: the plan under way, or what would be moved for the members as they are.
    """
    if context.invoked_subcommand is not None:
        return
    from becket.cli import plans

    change = plans.Change(
        add,
        drain or (),
        plans.parsed_weights(weight or ()),
        plans.parsed_pairs(zone or (), "--zone"),
    )

    async def find(services: Services) -> pb.Plan:
        found = await plans.present(services) if change.is_nothing else None
        return found or await plans.make(services, change)

    found = asked(find, target, timeout)
    _print(found, steps=steps, output=output)
    if output is Form.TABLE and found.steps and found.state == _proposed():
        write_line(f"to start it: becket plan apply {found.plan_id}")


@plan_app.command("show")
@reporting
def show(
    plan_id: SomePlanId = "",
    *,
    steps: Steps = False,
    watch: Watch = False,
    within: Within = "1h",
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = TIMEOUT,
    output: Output = Form.TABLE,
) -> Exit:
    """A plan and how far it is."""
    from becket.cli import plan_watch, plans

    limit_s = seconds(within, "--within")

    async def find(services: Services) -> tuple[pb.Plan, Exit]:
        name = await plans.present_name(services, plan_id)
        done = await plan_watch.watch(services, name, limit_s) if watch else Exit.DONE
        return await plans.get(services, name), done

    found, done = asked(find, target, timeout)
    _print(found, steps=steps, output=output)
    return done


@plan_app.command("apply")
@reporting
def apply(
    plan_id: PlanId,
    *,
    watch: Watch = False,
    within: Within = "1h",
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = TIMEOUT,
    output: Output = Form.TABLE,
) -> Exit:
    """Start a plan that was made. Refused where the ring has changed since, or another one runs."""
    from becket.cli import plan_watch, plans
    from becket.cli.members import status

    limit_s = seconds(within, "--within")

    async def run(services: Services) -> tuple[pb.Plan, Exit]:
        started = await plans.apply(services, plan_id)
        if not watch:
            return started, Exit.DONE
        if started.state == _proposed():
            count = (await status(services))["wished_members"]
            return started, await plan_watch.watch_scale(services, count, limit_s)
        return started, await plan_watch.watch(services, plan_id, limit_s)

    found, done = asked(run, target, timeout)
    _print_short(found, output)
    return done


def _add_steering(name: str, words: str) -> None:
    """Add a command that asks one thing of a plan, by the function of that name in ``plans``."""

    @plan_app.command(name, help=words)
    @reporting
    def steer(
        plan_id: SomePlanId = "",
        *,
        target: Target = DEFAULT_TARGET,
        timeout: Timeout = TIMEOUT,
        output: Output = Form.TABLE,
    ) -> None:
        from becket.cli import plans

        ask = {"pause": plans.pause, "resume": plans.resume, "cancel": plans.cancel}[name]
        _print_short(asked(lambda services: ask(services, plan_id), target, timeout), output)


_add_steering(
    "pause",
    "Begin nothing new of a plan; what is under way is finished. It outlives the supervisor.",
)
_add_steering("resume", "Go on with a paused plan.")
_add_steering(
    "cancel",
    "End a plan: what is half done is taken back, what is done stays, the ring is whole.",
)


@plan_app.command("list")
@reporting
def list_plans(
    *, target: Target = DEFAULT_TARGET, timeout: Timeout = TIMEOUT, output: Output = Form.TABLE
) -> None:
    """The plans that are remembered: under way, made and not started, over."""
    from becket.cli import plans

    found = [plans.document(each) for each in asked(plans.listed, target, timeout)]
    if output is Form.JSON:
        for each in found:
            each.pop("steps")  # type: ignore[misc]  # of a list they are left out
            each.pop("loads")  # type: ignore[misc]
        print_json(found)
        return
    print_table(
        ("PLAN", "STATE", "RING", "STEPS", "DONE", "MB", "WHY"),
        [
            (
                *(each["plan_id"], each["state"], each["ring_version"]),
                *(each["steps_total"], each["steps_done"]),
                *(each["total_bytes"] / plans.MEGA, each["reason"]),
            )
            for each in found
        ],
    )


def _print_short(found: pb.Plan, output: Form) -> None:
    from becket.cli import plans

    if output is Form.JSON:
        print_json(plans.document(found))
        return
    write_line(plans.progress_line(found))
    if found.state == _proposed():
        write_line(f"- {found.sentences[0]}")


def _print(found: pb.Plan, *, steps: bool, output: Form) -> None:
    from becket.cli import plans

    if output is Form.JSON:
        print_json(plans.document(found))
        return
    for line in plans.lines(found):
        write_line(line)
    if found.loads:
        write_line("")
        print_table(plans.LOAD_COLUMNS, plans.load_rows(found))
    if found.steps:
        write_line("")
        print_table(plans.REASON_COLUMNS, plans.reason_rows(found))
    if steps and found.steps:
        write_line("")
        print_table(plans.STEP_COLUMNS, plans.step_rows(found))


def _proposed() -> pb.PlanState.ValueType:
    from becket.api.v1 import supervisor_pb2

    return supervisor_pb2.PLAN_STATE_PROPOSED
