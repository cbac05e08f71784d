"""Which code a result depends on: the import closure of its stage and of its section's plug-ins.

It keys all states that outlive a kill: an edited loss never goes on from a state of the old one,
and the edit of something else discards nothing. dvc.yaml has the same files as dependencies:
`python -m flows.running.code` (`make dag`) rewrites its lists, and tests/flows/running/test_dag.py
holds them to it.
"""

import argparse
import ast
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.core.digest import digest

ROOT = Path(__file__).parents[2]
ROOMS = ("flows", "engine", "models", "metrics", "corpus")

# What checks, tells and schedules, and changes nothing of what a stage computes: the walk goes
# around these modules, and around all below these packages.
ASIDE = frozenset(
    {
        *("corpus.names", "corpus.progress", "corpus.spread"),
        *("engine.core.environment", "engine.core.waiting"),
        *("flows.cli", "flows.data", "flows.pipeline", "flows.running", "flows.tracking"),
        # they start workers and stop them, and word what went wrong
        *(f"engine.training.{name}" for name in ("launching", "nonfinite", "stopping")),
        "engine.core.refusals",
        "metrics.cli",  # asks a metric about files
        # networks whose memory is short go in smaller parts: of predictions, which stay the same
        "engine.core.allocator",
        # in how many processes, and on how many threads
        *("flows.training.beside", "flows.training.threads"),
        # of a champion, by code that evaluate, whose outputs register needs, runs again for
        "flows.registry.retest",
    }
)
# They draw what was computed: no state depends on them, but the stage whose page they make runs
# again.
DRAWN = frozenset({"flows.reports"})

KINDS = {  # keys that name a plug-in, and the package that it lies in
    "backbone": "models.backbones",
    "reference": "models.backbones",
    "objective": "models.objectives",
    "head": "models.heads",
    "heads": "models.heads",
    "space": "models.spaces",
    "policy": "models.policies",
    "metric": "metrics",
}
NESTED = dict.fromkeys([*KINDS.values(), "models.slots", "models.views"])
NETWORKS = ("models/backbones", "models/slots", "models/heads", "models/objectives", "models/views")
TASKS = (*NETWORKS, "models/policies", "metrics")
STAGES = {  # folders whose plug-ins a stage uses; which of them, dvc.yaml's own templates say
    "corpus": (),
    "search": (*NETWORKS, "models/spaces"),
    "pretrain": (*NETWORKS, "metrics"),
    "finetune": TASKS,
    "materialise": TASKS,
    "evaluate": TASKS,
    "register": (),
}

# what finds files of a folder by their names: all of them are used with it
LOADED = {"corpus.records.kind": "corpus.kinds", "engine.transfer.weights": "models.formats"}


def _file(module: str) -> Path | None:
    """The file of a module of the project.

    None for a package, and a name that is imported from one.
    """
    file = ROOT.joinpath(*module.split(".")).with_suffix(".py")
    return file if file.is_file() else None


def _names_in(package: str) -> list[str]:
    """The modules of a package."""
    return [file.stem for file in ROOT.joinpath(*package.split(".")).glob("*.py")]


class _Imports(ast.NodeVisitor):
    """Collects what a file imports, inside of functions too; not what only type checkers read."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def visit_If(self, node: ast.If) -> None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return
        self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.names.update(alias.name for alias in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        # the name may be a module or what one defines: `_file` finds out which
        self.names.add(node.module or "")
        self.names.update(f"{node.module}.{alias.name}" for alias in node.names)


# by the time of the last change too: `unchanged_while` asks twice in one process
@functools.cache
def _imported(file: Path, _modified: int) -> frozenset[str]:
    found = _Imports()
    found.visit(ast.parse(file.read_text(encoding="utf-8"), str(file)))
    return frozenset(name for name in found.names if name.partition(".")[0] in ROOMS)


def _packages(module: str) -> list[str]:
    """The module itself, and the packages that it lies in."""
    parts = module.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts) + 1)]


def closure(modules: Iterable[str], aside: Set[str] = ASIDE) -> list[Path]:
    """Files of the project that modules are made of: their own, and all that they import.

    The walk goes around the modules `aside` and those below them, and leaves out empty files.
    """
    found: dict[str, Path | None] = {}
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module in found or not aside.isdisjoint(_packages(module)):
            continue
        file = found[module] = _file(module)
        if file is not None:
            waiting += _imported(file, file.stat().st_mtime_ns)
        if module in LOADED:
            waiting += (f"{LOADED[module]}.{name}" for name in _names_in(LOADED[module]))
    files = {file for file in found.values() if file is not None and file.stat().st_size}
    folders = {file.parent for file in files}
    tables = {table for folder in folders for table in _data(folder)}
    # sorted: states are keyed by these files in their order
    return sorted(files | tables)


def _data(folder: Path) -> list[Path]:
    """What lies beside modules of a sub-folder, such as a table of words: all of them use it."""
    if folder.parent == ROOT:
        return []
    return [
        file for file in folder.iterdir() if file.is_file() and file.suffix not in (".py", ".pyc")
    ]


def plugins(section: Any, kind: str | None = None) -> Iterator[str]:
    """Modules of the plug-ins that a section names, at any depth: models.heads.linear of {head:
    {name: linear}}, of {head: linear} and of {heads: {linear: {}}}.

    Of one under any other key, which a plug-in gives to those inside of it, all of that name.
    """
    if isinstance(section, list):
        for item in section:
            yield from plugins(item)
    for name in _names(section, kind):
        yield f"{KINDS[kind]}.{name}"
    if not isinstance(section, dict):
        return
    if kind not in KINDS and isinstance(section.get("name"), str):
        names = (f"{package}.{section['name']}" for package in NESTED)
        yield from (name for name in names if _file(name))
    for key, value in section.items():
        yield from plugins(value, key)


def _names(section: Any, kind: str | None) -> list[str]:
    """The plug-ins of this kind that stand at the top of a section."""
    if kind not in KINDS:
        return []
    if isinstance(section, str):
        return [section]
    if not isinstance(section, dict):
        return []
    found = [section.get("name")]
    if kind == "heads":
        # by the plug-in's name, unless its section has another
        found = [(head or {}).get("name", name) for name, head in section.items()]
    return [name for name in found if isinstance(name, str)]


def code_files(stage: str, section: Any, *more: str, aside: Set[str] = frozenset()) -> list[Path]:
    """The files that a stage's result with this section depends on: what its states are keyed by.

    more: modules that no import and no name in the section tells of. aside: those that this result
    does not use.
    """
    return closure([f"flows.{stage}", *plugins(section), *more], ASIDE | DRAWN | set(aside))


@contextmanager
def unchanged_while(stage: str, load: Callable[[], Any]) -> Iterator[None]:
    """ValueError when section, code or data.dvc have changed while the stage ran.

    load: gives the section.
    """

    def state() -> dict[str, str]:
        section, pointer = load(), Path("data.dvc")
        found = {
            file.relative_to(ROOT).as_posix(): digest(file) for file in code_files(stage, section)
        }
        # of params.yaml the own section alone: others may be edited while the stage runs
        found["params.yaml"] = digest(section)
        found["data.dvc"] = digest(pointer) if pointer.exists() else ""
        return found

    # DVC hashes dependencies when a stage has ended: what was edited meanwhile it would record as
    # the origin
    before = state()
    yield
    after = state()
    changed = sorted(name for name in before | after if before.get(name) != after.get(name))
    if changed:
        raise ValueError(
            f"{', '.join(changed[:5])} changed while the stage {stage} ran: what it has made is of "
            "neither state, and is not recorded; run the same command again"
        )


def dependencies(stage: str) -> list[str]:
    """The code that dvc.yaml names as dependencies of a stage: imports, also of its plug-ins.

    The plug-ins themselves are left to dvc.yaml's templates. A folder stands for all of its files.
    """
    used = set(closure([f"flows.{stage}"]))
    folders = [Path(folder) for folder in STAGES[stage]]
    for folder in folders:
        files = sorted((ROOT / folder).glob("*.py"))
        names = [file.stem for file in files if file.stem != "__init__"]
        used.update(closure(f"{'.'.join(folder.parts)}.{name}" for name in names))
    own = {file.relative_to(ROOT) for file in used}
    rest = {file for file in own if file.parent not in folders}
    return sorted(path.as_posix() for path in _folded(rest))


def _folded(files: set[Path]) -> set[Path]:
    """The same, with a folder in the place of its files where all of them are among these."""
    found = set(files)
    # of plug-ins a folder would be too much: one more of them changes no result
    plugged = {Path(*package.split(".")) for package in KINDS.values()}
    folders = {parent for file in files for parent in file.parents if parent.name}
    for folder in sorted(folders - plugged):
        inside = (
            file.relative_to(ROOT) for file in (ROOT / folder).rglob("*.py") if file.stat().st_size
        )
        if set(inside) <= files and found.isdisjoint(folder.parents):
            found = {path for path in found if folder not in path.parents} | {folder}
    return found


def with_code_lists(text: str) -> str:
    """dvc.yaml's text with the lines below each `# code of <stage>` made anew."""

    def listed(found: re.Match) -> str:
        indent, stage = found[1], found[2]
        lines = [f"{indent}- {path}\n" for path in dependencies(stage)]
        return f"{indent}# code of {stage}\n" + "".join(lines)

    return re.sub(r"( +)# code of (\w+)\n(?:\1- [\w./]+\n)*", listed, text)


def main() -> None:
    """Rewrite the lists of code in dvc.yaml."""
    argparse.ArgumentParser(
        prog="python -m flows.running.code", description=main.__doc__
    ).parse_args()
    file = ROOT / "dvc.yaml"
    text = with_code_lists(file.read_text())
    file.write_text(text)


if __name__ == "__main__":
    main()
