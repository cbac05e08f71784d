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
from flows.running.settings import EACH, NAMED, STAGES
from flows.tools.signatures import Parameter, parameters

HEAD = """# Settings

Made by `make docs` from the signatures and docstrings of the code; a test holds this page to them.
Edit those, not this page. [design.md](design.md#how-params-become-calls) says how a section becomes
a call.

`params.yaml` has a section for each stage; `pretrain`, `tasks` and `materialise` hold one for each
name that you give. A key that has no default has to be given. What is out of its range, unknown or
missing is refused before anything runs, with its place and the fix. A file of an earlier tagdag is
answered with its own numbers in this shape.

A recipe that several share is written once, by YAML's own means: `a: &x {...}`, and in another
place `b: {<<: *x, epochs: 3}`, which takes all of `a` over but for what stands beside it.
"""
CANDIDATES = """## candidates

`{<name>: {backbone: <kind>, section: <file>}, ...}`: the networks that are pretrained and
fine-tuned. `section` is the file with a network's section: a committed one, such as
candidates/resnext.yaml, or out/search/winner.yaml, which the search writes. `backbone` is its kind,
a file of `models/backbones/`: dvc.yaml makes a dependency of both.
"""
OPTIMIZER = "`recipe.optimizer: {name: ...}`; rate and decay are the recipe's."
GRID = """`tasks.<name>.grid`: lists of values to choose from, for all arms, or below the name of an
init or a head for its own. A head that is trained with the whole network takes any key of
[recipe](#recipe), one that is fitted on frozen features its own keys: [heads](#heads)."""
VARIABLE = "`python -m flows.environment` prints them, and what is wrong with those that are set."
KINDS = {  # the folder of a nested section's plug-ins, and where such a section stands
    "backbones": "The files that `candidates` and `search.reference` name",
    "spaces": "`search.space`",
    "objectives": "`search.objective`, `pretrain.<name>.objective`, `tasks.<name>.objective`",
    "heads": "`search.head`, `pretrain.<name>.head`; by their names in `tasks.<name>.heads`",
    "views": "`views` of an objective's section",
    "slots": "`norm`, `spatial` and `after` of a backbone's section",
    "policies": "`tasks.<name>.policy`, `materialise.<name>.policy`",
    "metrics": "`pretrain.<name>.metric`, `tasks.<name>.metric`",
}
SECTIONS = {  # keys whose value is a section, and the heading that has its keys
    "recipe": "recipe",
    "optimizer": "optimizer",
    "resampling": "resampling",
    "monitor": "monitor",
    "retrain": "retrain",
    "grid": "grid",
    "sampler": "sampler-and-pruner",
    "pruner": "sampler-and-pruner",
    "reference": "backbones",
    "space": "spaces",
    "objective": "objectives",
    "head": "heads",
    "heads": "heads",
    "norm": "slots",
    "spatial": "slots",
    "after": "slots",
    "views": "views",
    "policy": "policies",
    "metric": "metrics",
}


def _table(rows: list[Parameter], keys: str = "key") -> str:
    """A table, without its last column where no docstring says anything."""
    head = [keys, "type and range", "default", "what it is"]
    if not any(row.about for row in rows):
        head.pop()
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for row in rows:
        cells = (f"`{row.name}`", _kind(row), _default(row), _sentence(row.about))[: len(head)]
        # a | within a cell would end it
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def _kind(row: Parameter) -> str:
    """The type of a key; where that is a section of its own, with a link to its keys."""
    place = SECTIONS.get(row.name)
    return row.kind.replace("section", f"[section](#{place})") if place else row.kind


def _default(row: Parameter) -> str:
    """The default of a key as params.yaml would have it."""
    return f"`{row.default}`" if row.default else "to be given"


def _sentence(text: str) -> str:
    """Begun with a capital letter, unless it begins with a path, and without a full stop."""
    first = text.partition(" ")[0]
    begun = text if "/" in first else text[:1].upper() + text[1:]
    return begun.rstrip(".")


def _summary(described: Any) -> str:
    """The first paragraph of a docstring, in one line."""
    return " ".join((inspect.getdoc(described) or "").partition("\n\n")[0].split())


def _part(heading: str, *paragraphs: str) -> str:
    """A heading and what stands below it."""
    return "\n\n".join([heading, *paragraphs]) + "\n"


def stage_parts() -> list[str]:
    """A table of each stage's section."""
    parts = []
    for stage in STAGES:
        flow = inspect.unwrap(getattr(importlib.import_module(f"flows.{stage}"), stage))
        # the first parameter of a stage that runs for each name of a section is that name
        given = list(inspect.signature(flow).parameters)[:1] if stage in EACH else ()
        heading = NAMED.get(stage, stage)
        parts.append(_part(f"## {heading}", _summary(flow), _table(parameters(flow, given))))
    return parts


def nested_parts() -> list[str]:
    """Tables of the sections inside of the stages'."""
    from engine.training.recipe import Recipe
    from flows.cli.validate import resampling
    from flows.searching.search import Retrain
    from flows.training.monitoring import Monitor

    trains = "`search.recipe`, `pretrain.<name>.recipe`, `tasks.<name>.recipe`."
    lists = "`search.resampling`, `pretrain.<name>.resampling`."
    return [
        _part("## recipe", f"{trains} {_summary(Recipe)}", _table(parameters(Recipe))),
        _part("### optimizer", OPTIMIZER, *_optimizers()),
        _part("## resampling", f"{lists} {_summary(resampling)}", _table(parameters(resampling))),
        _part(
            "## monitor",
            f"`pretrain.<name>.monitor`. {_summary(Monitor)}",
            _table(parameters(Monitor)),
        ),
        _part("## retrain", f"`search.retrain`. {_summary(Retrain)}", _table(parameters(Retrain))),
        _part("## grid", GRID),
    ]


def _optimizers() -> list[str]:
    from engine.training.optimizers import FROM, PASSED, RANGES

    paragraphs = []
    for name, place in FROM.items():
        rows = parameters(pydoc.locate(place), PASSED, RANGES)
        paragraphs += [f"`{name}`: `{place}`", _table(rows)]
    return paragraphs


def _optuna_part() -> str:
    """The names and numbers of Optuna's samplers and pruners."""
    from flows.cli.validate_search import optuna_numbers
    from flows.searching.samplers import PRUNERS, SAMPLERS

    samplers = f"`search.sampler`: {_listed(SAMPLERS)}."
    pruners = f"`search.pruner`: {_listed(PRUNERS)}."
    keys = _table(parameters(optuna_numbers))
    return _part("## sampler and pruner", _summary(optuna_numbers), samplers, pruners, keys)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _plugin_parts() -> list[str]:
    """A table of each plug-in of models/ and metrics/; spaces of a family share theirs."""
    from engine.core.build import choices, plugin
    from engine.core.network import FACTS

    # parameters that the code sets
    given = {"objectives": ("backbone", "head"), "heads": tuple(FACTS)}
    given["views"] = ("mean", "std")
    given["slots"] = ("channels", "inputs", "outputs", "stride", "size")
    parts = []
    for folder, where in KINDS.items():
        place = folder if folder == "metrics" else f"models/{folder}"
        parts.append(_part(f"## {folder}", f"{where}. `name` is a file of `{place}/`."))
        first: dict[str, str] = {}  # the plug-in that has a table's keys first
        for name in choices(folder):
            made = plugin(folder, name, folder)
            rows = parameters(made, given.get(folder, ()))
            keys = _table(rows) if rows else "No keys."
            same = first.setdefault(keys, name)
            shown = keys if same == name else f"The keys of [{folder}: {same}](#{folder}-{same})."
            about = _summary(inspect.getmodule(made))
            parts.append(_part(f"### {folder}: {name}", about, shown))
    return parts


def _variable_part() -> str:
    """The environment variables."""
    from engine.core.environment import VARIABLES

    rows = [
        Parameter(name, variable.kind.wants, _unset(variable), variable.about)
        for name, variable in VARIABLES.items()
    ]
    return _part("## Environment variables", VARIABLE, _table(rows, "variable"))


def _unset(variable: Any) -> str:
    """What a variable is when it is not set."""
    if variable.unset:
        return variable.unset
    return "no" if variable.default is False else f"{variable.default:g}"


def settings_page() -> str:
    """docs/settings.md."""
    parts = [HEAD, CANDIDATES, *stage_parts(), *nested_parts(), _optuna_part()]
    return "\n".join([*parts, *_plugin_parts(), _variable_part()])


def main() -> None:
    """Command line: print the page."""
    parser("settings", __doc__).parse_args()
    with user_errors():
        print(settings_page(), end="")


if __name__ == "__main__":
    main()
