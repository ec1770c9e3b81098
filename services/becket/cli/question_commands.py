"""The commands that ask about a cluster: ``ring``, ``members``, ``status``, ``top``, ``version``.

Owns their options and the choice between table and JSON. Must not change anything.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from becket.cli.exits import Exit, UsageError
from becket.cli.options import (
    DEFAULT_TARGET,
    KeyArgument,
    KeyEncoding,
    Output,
    Route,
    Target,
    Timeout,
)
from becket.cli.output import Form, print_json, print_table, write_line
from becket.cli.reporting import reporting
from becket.cli.store import Routing
from becket.cli.texts import Encoding, seconds, to_bytes

if TYPE_CHECKING:
    from becket.cli.calling import Services

TIMEOUT = "5"
LISTING_TIMEOUT = "30"
Found = TypeVar("Found")

ring_app = typer.Typer(
    help="Which member holds which key, and why.", no_args_is_help=True, rich_markup_mode=None
)


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(ring_app, name="ring")
    app.command("members")(members)
    app.command("status")(status)
    app.command("top")(top)
    app.command("availability")(availability)
    app.command("version")(version)


def asked(question: Callable[[Services], Awaitable[Found]], target: str, timeout: str) -> Found:
    """The answer to a question, from the services at ``target``."""
    import asyncio

    from becket.cli.calling import services_at

    async def run() -> Found:
        async with services_at(target, seconds(timeout, "--timeout")) as services:
            return await question(services)

    return asyncio.run(run())


@ring_app.command("show")
@reporting
def ring_show(
    *,
    partitions: Annotated[
        bool, typer.Option("--partitions", help="List each partition, too.")
    ] = False,
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = TIMEOUT,
    output: Output = Form.TABLE,
) -> None:
    """The ring: its members, and what each of them holds."""
    from becket.cli.rings import ring

    found = asked(ring, target, timeout)
    if output is Form.JSON:
        print_json(found)
        return
    write_line(
        f"ring version {found['version']} of cluster {found['cluster']}: "
        f"{len(found['partitions'])} partitions, {found['replicas']} replicas of each"
    )
    columns = ("NAME", "STATE", "ZONE", "WEIGHT", "PARTITIONS", "COORDINATING", "DISK")
    fields = ("name", "state", "zone", "weight", "partitions", "coordinating", "disk")
    print_table(columns, [[dict(row)[field] for field in fields] for row in found["members"]])
    if partitions:
        print_table(
            ("PARTITION", "GENERATION", "COORDINATOR", "REPLICAS", "CHANGES TO"),
            [
                (
                    row["partition"],
                    row["generation"],
                    row["coordinator"],
                    " ".join(row["replicas"]),
                    " ".join(row["joining"] or ()),
                )
                for row in found["partitions"]
            ],
        )


@ring_app.command("locate")
@reporting
def ring_locate(
    key: KeyArgument,
    *,
    key_encoding: KeyEncoding = Encoding.UTF8,
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = TIMEOUT,
    output: Output = Form.TABLE,
) -> None:
    """Where a key is: its partition, who coordinates it, who holds it."""
    from becket.cli.rings import locate

    data = to_bytes(key, key_encoding, "KEY")
    found = asked(lambda services: locate(services, data), target, timeout)
    if output is Form.JSON:
        print_json(found)
        return
    print_table(
        ("PARTITION", "COORDINATOR", "REPLICAS"),
        [(found["partition"], found["coordinator"], " ".join(found["replicas"]))],
    )


@ring_app.command("explain")
@reporting
def ring_explain(
    key: KeyArgument,
    *,
    joining: Annotated[
        int,
        typer.Option(
            "--with", "--joining", help="What if so many members joined.", min=0, max=1000
        ),
    ] = 0,
    leaving: Annotated[
        list[str] | None,
        typer.Option("--without", "--leaving", help="What if this member left; may be repeated."),
    ] = None,
    key_encoding: KeyEncoding = Encoding.UTF8,
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = TIMEOUT,
    output: Output = Form.TABLE,
) -> None:
    """Why a key is where it is, and where it would be if members came or went."""
    from becket.cli.rings import explain

    data = to_bytes(key, key_encoding, "KEY")
    found = asked(
        lambda services: explain(services, data, joining=joining, leaving=leaving or []),
        target,
        timeout,
    )
    if output is Form.JSON:
        print_json(found)
        return
    for sentence in found["sentences"]:
        write_line(f"- {sentence}")
    if found["replicas_after"]:
        write_line(f"now on:    {' '.join(found['replicas'])}")
        write_line(f"then on:   {' '.join(found['replicas_after'])}")
        write_line(f"the whole change moves {found['moved_copies']} copies of partitions")


@ring_app.command("compare")
@reporting
def ring_compare(
    prefix: Annotated[
        str, typer.Argument(help="Measure on keys that begin so.", show_default=False)
    ] = "",
    *,
    joining: Annotated[
        int, typer.Option("--with", help="What if so many members joined.", min=0, max=1000)
    ] = 0,
    leaving: Annotated[
        list[str] | None,
        typer.Option("--without", help="What if this member left; may be repeated."),
    ] = None,
    limit: Annotated[
        int, typer.Option(help="Measure on at most so many keys.", min=1, max=100_000_000)
    ] = 1_000_000,
    key_encoding: KeyEncoding = Encoding.UTF8,
    target: Target = DEFAULT_TARGET,
    routing: Route = Routing.AUTO,
    timeout: Timeout = LISTING_TIMEOUT,
    output: Output = Form.TABLE,
) -> None:
    """What one change would move under hash mod n, on a ring of virtual nodes, and in Becket.

    Measured on the keys that are there. Nothing is changed.
    """
    from becket.cli import comparing, opening

    if not (joining or leaving):
        raise UsageError("name a change: --with N, --without MEMBER, or both")
    change = comparing.Change(joining, leaving or ())
    keys = comparing.Keys(to_bytes(prefix, key_encoding, "PREFIX"), limit)
    timeout_s = seconds(timeout, "--timeout")

    async def measure(services: Services) -> comparing.ComparisonRow:
        async with opening.open_store(target, timeout_s, routing) as store:
            return await comparing.compare(services, store, change, keys)

    found = asked(measure, target, timeout)
    if output is Form.JSON:
        print_json(found)
        return
    for line in comparing.lines(found):
        write_line(line)
    print_table(comparing.COLUMNS, comparing.rows(found))


@reporting
def members(
    *, target: Target = DEFAULT_TARGET, timeout: Timeout = TIMEOUT, output: Output = Form.TABLE
) -> None:
    """The storage members: their state, where they are, and what they hold."""
    from becket.cli.members import listed

    found = asked(listed, target, timeout)
    if output is Form.JSON:
        print_json(found.rows)
    else:
        print_table(*found.table())


@reporting
def status(
    *, target: Target = DEFAULT_TARGET, timeout: Timeout = TIMEOUT, output: Output = Form.TABLE
) -> None:
    """How the cluster is, and what is going on."""
    from becket.cli.members import status as ask
    from becket.cli.members import status_lines

    found = asked(ask, target, timeout)
    if output is Form.JSON:
        print_json(found)
        return
    for line in status_lines(found):
        write_line(line)


@reporting
def top(
    *,
    once: Annotated[bool, typer.Option("--once", help="Print one look and end.")] = False,
    every: Annotated[str, typer.Option("--every", help="How often to look.")] = "1",
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = TIMEOUT,
) -> Exit:
    """The cluster and its members, live."""
    from becket.cli.top import live
    from becket.cli.top import once as look_once

    every_s = max(0.1, seconds(every, "--every"))
    # Ctrl-C is how a person ends it.
    with contextlib.suppress(KeyboardInterrupt):
        asked(look_once if once else lambda services: live(services, every_s), target, timeout)
    return Exit.DONE


@reporting
def availability(
    *,
    member_fails: Annotated[
        str, typer.Option(help="A member fails once in so long, on average.")
    ] = "30d",
    member_repair: Annotated[
        str, typer.Option(help="It is then away for so long, on average.")
    ] = "10m",
    zone_fails: Annotated[
        str, typer.Option(help="A zone fails once in so long; 'never': it does not.")
    ] = "365d",
    zone_repair: Annotated[str, typer.Option(help="It is then away for so long.")] = "1h",
    draws: Annotated[
        int, typer.Option(help="So often the simulation draws.", min=2, max=10_000_000)
    ] = 100_000,
    seed: Annotated[int, typer.Option(help="Of the simulation.")] = 1,
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = TIMEOUT,
    output: Output = Form.TABLE,
) -> None:
    """How likely it is that a partition loses its majority, by a model and by simulation."""
    from becket.cli import availability as model
    from becket.cli.rings import ring
    from becket.core.availability import Failing

    def failing(fails: str, repair: str, which: str) -> Failing:
        between_h = 0.0 if fails == "never" else seconds(fails, f"--{which}-fails") / 3600
        return Failing(between_h, seconds(repair, f"--{which}-repair") / 3600)

    assumed = model.Assumed(
        failing(member_fails, member_repair, "member"),
        failing(zone_fails, zone_repair, "zone"),
        draws,
        seed,
    )
    found = model.availability(asked(ring, target, timeout), assumed)
    if output is Form.JSON:
        print_json(found)
        return
    for line in model.lines(found):
        write_line(line)
    print_table(
        ("REPLICAS BY ZONE", "PARTITIONS", "NO MAJORITY", "MIN/YEAR"),
        [
            (
                " ".join(str(count) for count in row["replicas_by_zone"]),
                row["partitions"],
                f"{row['lost_probability']:.3g}",
                f"{row['minutes_per_year']:.3f}",
            )
            for row in found["shapes"]
        ],
    )


@reporting
def version(*, output: Output = Form.TABLE) -> None:
    """The version of this command, and whether its hot modules are compiled."""
    import platform
    from importlib.metadata import version as version_of

    from becket.core.build import is_compiled

    found = {
        "becket": version_of("becket"),
        "api": "v1",
        "python": platform.python_version(),
        "compiled": is_compiled(),
    }
    if output is Form.JSON:
        print_json(found)
    else:
        built = ", compiled" if found["compiled"] else ""
        write_line(
            f"becket {found['becket']} (api {found['api']}, Python {found['python']}{built})"
        )
