"""The command ``becket``: which commands there are.

Owns the order of commands in the help and nothing else. Each group of commands declares its own in
a ``..._commands`` module, which must be quick to import.
"""

from __future__ import annotations

import os

import typer

from becket.cli import (
    bench_commands,
    chaos_commands,
    cluster_commands,
    key_commands,
    plan_commands,
    question_commands,
    service_commands,
    verify_commands,
    wish_commands,
)

app = typer.Typer(
    name="becket",
    help="A replicated, linearizable key-value store.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

cluster_commands.add_to(app)
key_commands.add_to(app)
question_commands.add_to(app)
plan_commands.add_to(app)
wish_commands.add_to(app)
chaos_commands.add_to(app)
verify_commands.add_to(app)
bench_commands.add_to(app)
service_commands.add_to(app)


def main() -> None:
    """Run the command line; never returns."""
    # The core of gRPC tells of its connections on standard error; what went wrong we say ourselves.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    app()
