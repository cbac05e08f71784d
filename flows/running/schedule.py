"""Flows on a schedule: this process stays, and runs what Prefect's server starts when it is due."""

import argparse
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from flows.running.orchestrate import orchestrated
from flows.running.prefectauth import authenticate


def add_options(parser: argparse.ArgumentParser) -> None:
    """`--cron` and `--every`, of which one may be given."""
    when = parser.add_mutually_exclusive_group()
    until = "until Ctrl-C (needs PREFECT_API_URL)"
    when.add_argument("--cron", help=f"stay and run at these times, as '0 3 * * *', {until}")
    help_ = f"stay and run so often, as 30 or 0.5, {until}"
    when.add_argument("--every", type=float, metavar="MINUTES", help=help_)


def schedule_of(options: argparse.Namespace) -> dict[str, Any]:
    """The schedule as Prefect's `serve` takes it; empty where none was asked for."""
    # `not ... > 0`: nan is refused too
    if options.every is not None and not options.every > 0:
        raise ValueError(f"--every {options.every:g}: give minutes above 0, for example --every 30")
    if options.every:
        return {"interval": timedelta(minutes=options.every)}
    return {"cron": options.cron} if options.cron else {}


def serve_flow(
    flow: Callable[..., Any], name: str, schedule: dict[str, Any], **parameters: Any
) -> None:
    """Serve a flow until Ctrl-C, one run at a time; ValueError without a server."""
    if not orchestrated():
        fix = "run `make prefect`, then set PREFECT_API_URL"
        raise ValueError(f"a schedule needs a Prefect server: {fix}")
    authenticate()
    # limit: a second pipeline in this folder would be refused
    flow.prefect().serve(name=name, parameters=parameters, limit=1, **schedule)
