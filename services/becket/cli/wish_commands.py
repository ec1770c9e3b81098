"""The commands that change a cluster: ``scale``, ``drain``, ``undrain``, ``ring recover``.

Owns their options and the question before what cannot be taken back. Must not do the work
(``wishes``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from becket.cli.exits import Exit, UsageError
from becket.cli.options import DEFAULT_TARGET, Target
from becket.cli.output import say, write_line
from becket.cli.question_commands import asked, ring_app
from becket.cli.reporting import reporting
from becket.cli.texts import seconds

if TYPE_CHECKING:
    from becket.cli.calling import Services
    from becket.cli.wishes import Step

CALL_TIME = "5"

Member = Annotated[str, typer.Argument(help="The member's name.", show_default=False)]
Wait = Annotated[bool, typer.Option("--wait", help="Return when it is done.")]
Within = Annotated[str, typer.Option("--within", help="How long --wait waits.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands; ``ring recover`` goes to those of ``ring``."""
    app.command("scale")(scale)
    app.command("drain")(drain)
    app.command("undrain")(undrain)
    ring_app.command("recover")(recover)


@reporting
def scale(
    count: Annotated[int, typer.Argument(help="So many members.", min=1, show_default=False)],
    *,
    wait: Wait = False,
    within: Within = "1h",
    target: Target = DEFAULT_TARGET,
) -> Exit:
    """Wish for another number of members. Who leaves is drained before it is removed."""
    from becket.cli.wishes import scale as wish
    from becket.cli.wishes import scaled

    limit_s = seconds(within, "--within")

    async def run(services: Services) -> None:
        for sentence in await wish(services, count):
            write_line(sentence)
        if wait:
            await _wait(services, scaled(count), limit_s)

    asked(run, target, CALL_TIME)
    return Exit.DONE


@reporting
def drain(
    member: Member,
    *,
    wait: Wait = False,
    within: Within = "1h",
    target: Target = DEFAULT_TARGET,
) -> Exit:
    """Move every copy off a member, so that it may be stopped for good."""
    from becket.cli.wishes import drain as wish
    from becket.cli.wishes import drained

    limit_s = seconds(within, "--within")

    async def run(services: Services) -> None:
        for sentence in await wish(services, member):
            write_line(sentence)
        if wait:
            await _wait(services, drained(member), limit_s)

    asked(run, target, CALL_TIME)
    return Exit.DONE


@reporting
def undrain(member: Member, *, target: Target = DEFAULT_TARGET) -> Exit:
    """Take a drain back: the member is given copies again."""
    from becket.cli.wishes import undrain as wish

    for sentence in asked(lambda services: wish(services, member), target, CALL_TIME):
        write_line(sentence)
    return Exit.DONE


@reporting
def recover(
    *,
    declare_gone: Annotated[
        str,
        typer.Option(
            help="Give up the disk of this member, or this disk, for ever: tells what would follow,"
            " then asks.",
            show_default=False,
        ),
    ] = "",
    confirm: Annotated[
        str, typer.Option(help="The disk's id, in place of the question.", show_default=False)
    ] = "",
    target: Target = DEFAULT_TARGET,
) -> Exit:
    """What the supervisor waits for before it restores a ring, and a way out if that never comes.

    A ring is made anew only for a cluster without data; otherwise the newest ring that the members
    hold is restored, and only when each of its members has answered.
    """
    from becket.cli.wishes import declare_gone as wish
    from becket.cli.wishes import waits_for

    if not declare_gone:
        for sentence in asked(waits_for, target, CALL_TIME):
            write_line(f"- {sentence}")
        return Exit.DONE
    found = asked(lambda services: wish(services, declare_gone), target, CALL_TIME)
    for sentence in found.sentences:
        write_line(f"- {sentence}")
    if found.is_declared:
        return Exit.DONE
    typed = confirm or typer.prompt(f"To give up disk {found.disk}, type its id", err=True)
    if typed.strip() != found.disk:
        raise UsageError(f"nothing was declared: {typed.strip()} is not {found.disk}")
    after = asked(lambda services: wish(services, declare_gone, found.disk), target, CALL_TIME)
    for sentence in after.sentences:
        write_line(f"- {sentence}")
    return Exit.DONE if after.is_declared else Exit.NOT_DONE


async def _wait(services: Services, missing: Step, within_s: float) -> None:
    from becket.cli.wishes import until_done

    await until_done(services, missing, within_s, say)
    write_line("done")
