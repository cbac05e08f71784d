"""One entry to all that people use: `tagdag run`, `tagdag predict photos/`, `tagdag doctor`.

A command's options are those of its module, `python -m flows.<module>`, which is imported when the
command is called: so the list of commands comes at once.
"""

import importlib
import os
import sys
from pathlib import Path
from typing import NamedTuple

import typer

HELP = {"help_option_names": ["-h", "--help"]}


class Command(NamedTuple):
    """A module with `main`, what it is told first, what it is for; the panel that lists it."""

    module: str
    given: tuple[str, ...]
    about: str
    panel: str


DATA, MAKE, USE, KEEP = "Data", "Make a model", "Use it", "Run it as a team"
COMMANDS = {
    "version": Command("version", (), "Put posts and labels into data/, and version that.", DATA),
    "explain": Command("explain", (), "Why a hashtag became what it became.", DATA),
    "run": Command("pipeline", (), "The whole DAG, unchanged stages skipped.", MAKE),
    "search": Command("pipeline", ("search",), "The DAG up to the search.", MAKE),
    "evaluate": Command("pipeline", ("evaluate",), "The DAG up to the evaluation.", MAKE),
    "watch": Command("watch", (), "Import what is new, then run; also on a schedule.", MAKE),
    "settings": Command("settings", (), "Every key of params.yaml.", MAKE),
    "plugins": Command("plugins", (), "Backbones, heads, objectives, spaces, metrics.", MAKE),
    "predict": Command("predict", (), "Classes or hashtags of images.", USE),
    "serve": Command("serve", (), "Answer requests for predictions on 127.0.0.1.", USE),
    "export": Command("export", (), "ONNX or torch.export of a model.", USE),
    "compare": Command("versions", (), "A page that compares registered versions.", USE),
    "compare-searches": Command("compare", (), "A page that compares searches.", USE),
    "compare-predictions": Command(
        "compare_predictions", (), "A page that compares two files of predictions.", USE
    ),
    "promote": Command("promote", (), "Make a version champion, with a reason.", USE),
    "rollback": Command("rollback", (), "Go back to the champion before.", USE),
    "up": Command("up", (), "Start Prefect, MLflow and a worker on 127.0.0.1.", KEEP),
    "down": Command("down", (), "Stop them.", KEEP),
    "prune": Command("prune", (), "Delete runs and versions that nothing needs.", KEEP),
    "doctor": Command("doctor", (), "What is wrong with this machine, and its cure.", KEEP),
    "environment": Command("environment", (), "Every environment variable.", KEEP),
}

app = typer.Typer(
    help="From images with noisy hashtags and a few labels to the best vision model for a budget.",
    epilog="`tagdag COMMAND --help` lists a command's options. Run it in a clone of tagdag.",
    no_args_is_help=True,
    context_settings=HELP,
    pretty_exceptions_enable=False,  # commands tell their faults themselves
)


def forward(name: str, arguments: list[str]) -> None:
    """Call a command's module as `python -m flows.<module>` would be."""
    module, given, _, _ = COMMANDS[name]
    sys.argv = [f"tagdag {name}", *given, *arguments]
    importlib.import_module(f"flows.{module}").main()


for _name, _listed in COMMANDS.items():
    # listed and completed by typer, called by `main`
    app.command(_name, help=_listed.about, rich_help_panel=_listed.panel)(lambda: None)


def main() -> None:
    """Command line `tagdag`."""
    here = Path("flows/cli/tagdag.py")
    if here.is_file() and not here.samefile(__file__):
        # the clone in which it is called goes before the one from which it was installed
        os.execv(sys.executable, [sys.executable, "-m", "flows.cli.tagdag", *sys.argv[1:]])
    if sys.argv[1:] and sys.argv[1] in COMMANDS:
        # all that stands behind the name as it was typed: typer would take away a --
        forward(sys.argv[1], sys.argv[2:])
    else:
        app(prog_name="tagdag")


if __name__ == "__main__":
    main()
