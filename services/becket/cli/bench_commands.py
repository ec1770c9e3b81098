"""``becket bench``: its options.

Owns them. Must not do the work (``bench``).
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from becket.cli.bench_keys import MIXES, Shape
from becket.cli.exits import Exit, UsageError
from becket.cli.options import DEFAULT_TARGET, Output, Route, Target, Timeout
from becket.cli.output import Form
from becket.cli.reporting import reporting
from becket.cli.store import Routing
from becket.cli.texts import seconds

NEEDED = ("hdrh", "matplotlib")
VALUE_BYTES = 1 << 20


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("bench")(bench)


MixName = Annotated[
    str, typer.Option(help=f"What is done: {', '.join(MIXES)}; a to f are those of YCSB.")
]
Distribution = Annotated[
    Shape | None, typer.Option(help="How keys are chosen.", show_default="the mix's own")
]
Keys = Annotated[int, typer.Option(help="So many keys.", min=1, max=100_000_000)]
Size = Annotated[int, typer.Option(help="The size of a value.", min=0, max=VALUE_BYTES)]
InFlight = Annotated[
    int, typer.Option(help="So many calls at once; with --rate at most so many.", min=1)
]
Rate = Annotated[
    float, typer.Option(help="An open loop of so many calls a second; 0: a closed one.", min=0)
]
PerCall = Annotated[
    int, typer.Option(help="Operations in one call: get, put, load.", min=1, max=1000)
]
Duration = Annotated[str, typer.Option(help="How long: seconds, or 1m.")]
WarmUp = Annotated[str, typer.Option(help="Before that, not counted.")]
Load = Annotated[bool, typer.Option(help="Write every key first.")]
Stock = Annotated[
    bool, typer.Option("--stock", help="Unary gRPC calls to the target, as other languages do.")
]
Seed = Annotated[int, typer.Option(help="The same seed asks for the same keys.")]
Report = Annotated[Path | None, typer.Option(help="Write all figures to this file (JSON).")]
Plot = Annotated[
    Path | None, typer.Option(help="Draw the percentiles into this file: .png, .svg, .pdf.")
]


@reporting
def bench(
    *,
    mix: MixName = "mixed",
    distribution: Distribution = None,
    keys: Keys = 10_000,
    value_bytes: Size = 100,
    in_flight: InFlight = 64,
    rate: Rate = 0,
    batch: PerCall = 1,
    duration: Duration = "10s",
    warm_up: WarmUp = "1s",
    load: Load = True,
    stock: Stock = False,
    seed: Seed = 1,
    report: Report = None,
    plot: Plot = None,
    target: Target = DEFAULT_TARGET,
    routing: Route = Routing.AUTO,
    timeout: Timeout = "5",
    output: Output = Form.TABLE,
) -> Exit:
    """Measure a cluster: rate, percentiles, and errors by what they mean for the operation.

    Its keys begin with bench/ and stay.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise UsageError("becket bench needs more than the command line: install becket[bench]")
    from becket.cli.bench import Order
    from becket.cli.bench import bench as run
    from becket.cli.bench_driving import Drive
    from becket.cli.bench_picture import check_ending

    if plot is not None:
        check_ending(plot)
    drive = Drive(
        seconds(duration, "--duration"),
        in_flight,
        batch,
        rate,
        value_bytes=value_bytes,
        seed=seed,
        warm_up_s=seconds(warm_up, "--warm-up") if warm_up not in ("0", "0s") else 0.0,
    )
    order = Order(
        target,
        mix,
        drive,
        keys,
        distribution,
        routing,
        stock=stock,
        load=load,
        timeout_s=seconds(timeout, "--timeout"),
    )
    return run(order, output, report, plot)
