"""Every setting, as one page of Markdown: `python -m flows.settings` prints docs/settings.md.

Made from what the code itself reads: the signatures that sections of params.yaml are held to, their
docstrings, and the table of environment variables. `make docs` writes the page.
"""

import importlib
import inspect
import pydoc
from collections.abc import Iterable
from typing import Any

from flows.cli.command import parser, user_errors
from flows.tools.signatures import Parameter, parameters

HEAD = """# Settings

Made by `make docs` from the signatures and docstrings of the code; a test holds this page to them.
Edit those, not this page. [design.md](design.md#how-params-become-calls) says how a section becomes
a call.

`params.yaml` has a section for each stage. A key that has no default has to be given. What is out
of its range, unknown or missing is refused before anything runs, with its place and the fix.
"""
STAGES = ("corpus", "search", "pretrain", "finetune", "evaluate", "register")
CANDIDATES = """## candidates

`{baseline: <backbone>, winner: <backbone>}`: what is pretrained and fine-tuned. `baseline` is the
reference of the search, `winner` the network that the search found. The values are the kinds of
backbone of the two (files of `models/backbones/`): dvc.yaml makes a dependency of them.
"""
KINDS = {  # the folder of a nested section's plug-ins, and where such a section stands
    "backbones": "`search.reference`; written by the search: `out/search/<candidate>.yaml`",
    "spaces": "`search.space`",
    "objectives": "`search.objective`, `pretrain.objective`, `finetune.objective`",
    "heads": "`search.head`, `pretrain.head`, `finetune.head`",
}
SECTIONS = {  # keys whose value is a section, and the heading that has its keys
    "recipe": "recipe",
    "optimizer": "optimizer",
    "resampling": "resampling",
    "retrain": "retrain",
    "grid": "grid",
    "sampler": "sampler-and-pruner",
    "pruner": "sampler-and-pruner",
    "reference": "backbones",
    "space": "spaces",
    "objective": "objectives",
    "head": "heads",
}
GIVEN = {  # parameters of a plug-in that the code sets
    "objectives": ("backbone", "head"),
    "heads": ("channels", "classes", "samples"),
}


def table(rows: Iterable[Parameter], keys: str = "key") -> list[str]:
    """Lines of a table, without the last column where no docstring says anything."""
    rows = list(rows)
    head = [keys, "type and range", "default", "what it is"]
    if not any(row.about for row in rows):
        head.pop()
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for row in rows:
        cells = (f"`{row.name}`", kind(row), default(row), sentence(row.about))[: len(head)]
        # a | within a cell would end it
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return lines


def kind(row: Parameter) -> str:
    """The type of a key; where that is a section of its own, with a link to its keys."""
    place = SECTIONS.get(row.name)
    return f"[section](#{place})" if row.kind == "section" and place else row.kind


def default(row: Parameter) -> str:
    """The default of a key as params.yaml would have it."""
    return f"`{row.default}`" if row.default else "to be given"


def sentence(text: str) -> str:
    """Begun with a capital letter, unless it begins with a path, and without a full stop."""
    first = text.partition(" ")[0]
    begun = text if "/" in first else text[:1].upper() + text[1:]
    return begun.rstrip(".")


def summary(described: Any) -> str:
    """The first paragraph of a docstring, in one line."""
    return " ".join((inspect.getdoc(described) or "").partition("\n\n")[0].split())


def stages() -> list[str]:
    """A table of each stage's section."""
    lines = []
    for stage in STAGES:
        flow = inspect.unwrap(getattr(importlib.import_module(f"flows.{stage}"), stage))
        lines += [f"## {stage}", "", summary(flow), ""]
        lines += [*table(parameters(flow, ("candidate",))), ""]
    return lines


def nested() -> list[str]:
    """Tables of the sections inside of the stages'."""
    from engine.training.optimizers import FROM, PASSED, RANGES
    from engine.training.recipe import Recipe
    from engine.transfer.finetuning import probe
    from flows.cli.validate import resampling
    from flows.searching.sweep import Retrain

    lines = [
        "## recipe",
        "",
        f"`search.recipe`, `pretrain.recipe`, `finetune.recipe`. {summary(Recipe)}",
        "",
    ]
    lines += [*table(parameters(Recipe)), ""]
    lines += [
        "### optimizer",
        "",
        "`recipe.optimizer: {name: ...}`; rate and decay are the recipe's.",
        "",
    ]
    for name, place in FROM.items():
        found = parameters(pydoc.locate(place), PASSED, RANGES)
        lines += [f"`{name}`: `{place}`", "", *table(found), ""]
    lines += [
        "## resampling",
        "",
        f"`search.resampling`, `pretrain.resampling`. {summary(resampling)}",
        "",
    ]
    lines += [*table(parameters(resampling)), ""]
    lines += [
        "## retrain",
        "",
        f"`search.retrain`. {summary(Retrain)}",
        "",
        *table(parameters(Retrain)),
        "",
    ]
    lines += ["## grid", "", GRID, "", *table(parameters(probe, ("module", "samples"))), ""]
    return lines


GRID = """`finetune.grid`: lists of values to choose from, for all inits or below `pretrained` or
`scratch`. Mode `full` takes any key of [recipe](#recipe), mode `knn` the keys `k` and `temperature`
of [heads/knn](#headsknn), mode `linear`:"""


def chosen_from_optuna() -> list[str]:
    """The names and numbers of Optuna's samplers and pruners."""
    from flows.cli.validate_search import optuna_numbers
    from flows.searching.samplers import PRUNERS, SAMPLERS

    lines = ["## sampler and pruner", "", summary(optuna_numbers), ""]
    lines += [f"`search.sampler`: {', '.join(f'`{name}`' for name in SAMPLERS)}.", ""]
    lines += [f"`search.pruner`: {', '.join(f'`{name}`' for name in PRUNERS)}.", ""]
    return [*lines, *table(parameters(optuna_numbers)), ""]


def plugins() -> list[str]:
    """A table of each plug-in of models/."""
    from engine.core.build import choices, plugin

    lines = []
    for folder, where in KINDS.items():
        lines += [f"## {folder}", "", f"{where}. `name` is a file of `models/{folder}/`.", ""]
        before, shown = "", []
        for name in choices(folder):
            found = plugin(folder, name, folder)
            rows = table(parameters(found, GIVEN.get(folder, ())))
            about = summary(inspect.getmodule(found))
            lines += [f"### {folder}/{name}", "", about, ""]
            if rows == shown:
                lines += [f"The keys of {before}.", ""]
                continue
            before, shown = f"{folder}/{name}", rows
            lines += [*(rows if len(rows) > 2 else ["No keys."]), ""]
    return lines


def variables() -> list[str]:
    """The environment variables."""
    from engine.core.environment import VARIABLES

    lines = ["## Environment variables", ""]
    lines += [
        "`python -m flows.environment` prints them, and what is wrong with those that are set.",
        "",
    ]
    rows = [
        Parameter(name, variable.kind.wants, _unset(variable), variable.about)
        for name, variable in VARIABLES.items()
    ]
    return [*lines, *table(rows, "variable"), ""]


def _unset(variable: Any) -> str:
    """What a variable is when it is not set."""
    if variable.unset:
        return variable.unset
    return "no" if variable.default is False else f"{variable.default:g}"


def page() -> str:
    """docs/settings.md."""
    lines = [
        HEAD,
        CANDIDATES,
        *stages(),
        *nested(),
        *chosen_from_optuna(),
        *plugins(),
        *variables(),
    ]
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    """Command line: print the page."""
    parser("settings", __doc__).parse_args()
    with user_errors():
        print(page(), end="")


if __name__ == "__main__":
    main()
