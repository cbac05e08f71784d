"""How much a newcomer has to read, and how hard it is: `python -m benchmarks.readability`.

Prints a table of the tree as it stands, and with `--before REVISION` of that commit beside it.
Nothing is run but each tree's own `closure`, which says what a stage is made of. Lines are those of
the product (flows, engine, models, metrics, corpus) unless a row says otherwise.
"""

import argparse
import ast
import json
import re
import statistics
import subprocess
import sys
import tarfile
import tempfile
import tokenize
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import yaml

TOP = Path(__file__).parents[1]
ROOMS = ("flows", "engine", "models", "metrics", "corpus")
WIDTH = 100  # columns
STAGES = ("corpus", "search", "pretrain", "finetune", "evaluate", "register")
# a plug-in of each kind that is there, by which the files are found that one more would touch
EXAMPLES = {"backbone": "efficientnet", "metric": "accuracy", "data kind": "labels"}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)

# run in a tree: what each stage is made of, without and with what only checks, tells and schedules
CLOSURES = """
import json, sys
try:
    from flows.running import code
except ImportError:
    from flows import code
from pathlib import Path
def files(modules, aside):
    found = code.closure(modules, aside)
    return [str(file.relative_to(code.ROOT)) for file in found if file.suffix == ".py"]
told = {}
for stage, plugins in json.loads(sys.argv[1]).items():
    modules = [f"flows.{stage}", *plugins]
    told[stage] = [files(modules, code.ASIDE | code.DRAWN), files(modules, frozenset())]
print(json.dumps(told))
"""


class Source:
    """A file: its text, its syntax tree and its comments."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8")
        self.lines = self.text.splitlines()
        self.tree = ast.parse(self.text)
        tokens = tokenize.generate_tokens(iter(self.text.splitlines(True)).__next__)
        self.comments = sum(token.type == tokenize.COMMENT for token in tokens)

    def nodes(self, *kinds: type) -> Iterator[ast.AST]:
        """All nodes of these kinds."""
        return (node for node in ast.walk(self.tree) if isinstance(node, kinds))

    def imported(self) -> Iterator[str]:
        """Modules, and names of modules, that the file imports at any place."""
        for node in self.nodes(ast.Import, ast.ImportFrom):
            names = [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom):
                yield node.module or ""
                names = [f"{node.module}.{name}" for name in names]
            yield from names


def sources(tree: Path, *rooms: str) -> list[Source]:
    """The files of some rooms; those that are empty are left out."""
    paths = sorted(path for room in rooms for path in (tree / room).rglob("*.py"))
    return [Source(path) for path in paths if path.stat().st_size]


def nested(file: Source) -> Iterator[int]:
    """Lines of comprehensions inside of comprehensions."""
    for outer in file.nodes(*COMPREHENSIONS):
        for inner in ast.walk(outer):
            if inner is not outer and isinstance(inner, COMPREHENSIONS):
                yield inner.lineno


def effects(file: Source) -> Iterator[int]:
    """Lines of conditional expressions that are statements: `a() if b else c()`, `b and a()`."""
    for node in file.nodes(ast.Expr):
        if isinstance(node.value, (ast.IfExp, ast.BoolOp)):
            yield node.lineno


def assigning(file: Source) -> Iterator[int]:
    """Lines of conditions that assign by the way: `if (a := b())`."""
    tests = [node.test for node in file.nodes(ast.If, ast.While, ast.IfExp)]
    for node in file.nodes(ast.comprehension):
        tests += node.ifs
    for test in tests:
        for node in ast.walk(test):
            if isinstance(node, ast.NamedExpr):
                yield node.lineno


FORBIDDEN = {
    "a comprehension inside of another: name what the inner one makes": nested,
    "a conditional expression as a statement: write if": effects,
    "a condition that assigns: assign on a line of its own": assigning,
}


def dense(files: list[Source]) -> list[str]:
    """`file:line: what` for what is forbidden because several thoughts stand on one line."""
    return sorted(
        f"{file.path.relative_to(TOP)}:{line}: {what}"
        for file in files
        for what, found in FORBIDDEN.items()
        for line in set(found(file))
    )


def lengths(files: list[Source]) -> list[int]:
    """Lines of each function, from its `def` to its end."""
    functions = (node for file in files for node in file.nodes(*FUNCTIONS))
    return [node.end_lineno - node.lineno + 1 for node in functions]


def doubles(files: list[Source]) -> list[str]:
    """Public functions and classes that two or more modules define at their top by one name."""
    found: Counter[str] = Counter()
    for file in files:
        tops = (node for node in file.tree.body if isinstance(node, (*FUNCTIONS, ast.ClassDef)))
        found.update({node.name for node in tops if not node.name.startswith("_")})
    contracts = {"main"}  # of commands
    return sorted(name for name, times in found.items() if times > 1 and name not in contracts)


def cycles(tree: Path, files: list[Source]) -> int:
    """Groups of two or more modules that import each other, directly or not."""
    named = {}
    for file in files:
        parts = file.path.relative_to(tree).with_suffix("").parts
        named[".".join(parts).removesuffix(".__init__")] = file
    edges = {name: named.keys() & file.imported() for name, file in named.items()}
    reach: dict[str, set[str]] = {}
    for name in named:
        seen: set[str] = set()
        waiting = list(edges[name])
        while waiting:
            other = waiting.pop()
            if other not in seen:
                seen.add(other)
                waiting += edges[other]
        reach[name] = seen
    groups = set()
    for name in named:
        groups.add(frozenset(other for other in reach[name] if name in reach[other]))
    return sum(len(group) > 1 for group in groups)


def naming(tree: Path, files: list[Source], kind: str) -> int:
    """Files beside its own, params.yaml among them, that name the example of a kind of plug-in."""
    example = EXAMPLES[kind]
    found = 0
    for file in files:
        constants = {node.value for node in file.nodes(ast.Constant) if isinstance(node.value, str)}
        modules = {name.rpartition(".")[2] for name in file.imported()}
        found += file.path.stem != example and example in constants | modules
    text = (tree / "params.yaml").read_text()
    return found + bool(re.search(rf"\b{example}\b", text))


def plugins(section: object) -> Iterator[str]:
    """Modules of the plug-ins that params.yaml names, and of the backbones of its candidates."""
    rooms = {"objective": "objectives", "head": "heads", "space": "spaces"}
    if isinstance(section, list):
        for item in section:
            yield from plugins(item)
    if not isinstance(section, dict):
        return
    for key, value in section.items():
        if key in rooms and isinstance(value, dict):
            yield f"models.{rooms[key]}.{value['name']}"
        yield from plugins(value)


def reading_sets(tree: Path) -> dict[str, list[list[str]]]:
    """Files that each stage is made of, and all that it imports."""
    params = yaml.safe_load((tree / "params.yaml").read_text())
    # a revision before tasks had names has the kind of the network alone
    winner = params["candidates"]["winner"]
    kind = winner if isinstance(winner, str) else winner["backbone"]
    backbone = f"models.backbones.{kind}"
    asked = {}
    for stage in STAGES:
        trained = [] if stage in ("corpus", "register") else [backbone]
        asked[stage] = [*trained, *sorted(set(plugins(params.get(stage))))]
    command = [sys.executable, "-c", CLOSURES, json.dumps(asked)]
    return json.loads(subprocess.run(command, cwd=tree, check=True, capture_output=True).stdout)


def measured(tree: Path) -> dict[str, str]:
    """The rows of the table for one tree."""
    files = sources(tree, *ROOMS)
    lines = sum(len(file.lines) for file in files)
    sizes = lengths(files)
    median = statistics.median(len(file.lines) for file in files)
    longest = max(len(file.lines) for file in files)

    def per_thousand(count: int) -> str:
        return f"{1000 * count / lines:.1f}"

    def wide(chosen: list[Source]) -> str:
        long = sum(len(line) > WIDTH for file in chosen for line in file.lines)
        return f"{long:,} of {sum(len(file.lines) for file in chosen):,}"

    def count(*kinds: type) -> int:
        return sum(1 for file in files for _ in file.nodes(*kinds))

    code = sum(bool(line.strip()) for file in files for line in file.lines)
    rows = {
        f"lines over {WIDTH} columns": wide(files),
        f"lines over {WIDTH} columns, tests and benchmarks": wide(
            sources(tree, "tests", "benchmarks")
        ),
        "comprehensions per 1,000 lines": per_thousand(count(*COMPREHENSIONS)),
        "nested comprehensions": f"{sum(len(list(nested(file))) for file in files)}",
        "conditional expressions per 1,000 lines": per_thousand(count(ast.IfExp)),
        "assignment expressions per 1,000 lines": per_thousand(count(ast.NamedExpr)),
        "comments per line of code": f"{sum(file.comments for file in files) / code:.3f}",
        "public names defined twice or more": f"{len(doubles(files))}",
        "circles of modules": f"{cycles(tree, files)}",
        "functions over 30, over 40 lines": (
            f"{sum(size > 30 for size in sizes)}, {sum(size > 40 for size in sizes)} "
            f"of {len(sizes):,}"
        ),
        "median function, lines": f"{statistics.median(sizes):.0f}",
        "files; median and longest, lines": f"{len(files)}; {median:.0f} and {longest}",
        "files flat in flows/": f"{sum(file.path.parent.name == 'flows' for file in files)}",
        "tests flat in tests/": f"{len(list((tree / 'tests').glob('test_*.py')))}",
    }
    for stage, sets in reading_sets(tree).items():
        for what, names in zip(("is made of", "imports in all"), sets, strict=True):
            chosen = [Source(tree / name) for name in names]
            classes = sum(1 for file in chosen for _ in file.nodes(ast.ClassDef))
            total = sum(len(file.lines) for file in chosen)
            rows[f"{stage} {what}: files, lines, classes"] = f"{len(names)}, {total:,}, {classes}"
    for kind in EXAMPLES:
        rows[f"files that name one {kind}"] = f"{naming(tree, files, kind)}"
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.readability", description=__doc__)
    parser.add_argument("--before", metavar="REVISION", help="a commit to compare with")
    parser.add_argument("--doubles", action="store_true", help="name what is defined twice")
    lint = "name places where several thoughts stand on one line, and end with 1 if there are any"
    parser.add_argument("--check", action="store_true", help=lint)
    args = parser.parse_args()
    if args.check:
        found = dense(sources(TOP, *ROOMS, "benchmarks", "tests"))
        print("\n".join(found) or "one thought a line")
        raise SystemExit(bool(found))
    if args.doubles:
        print("\n".join(doubles(sources(TOP, *ROOMS))))
        return
    now = measured(TOP)
    if not args.before:
        print("| | now |\n| --- | --- |")
        print("\n".join(f"| {name} | {value} |" for name, value in now.items()))
        return
    archive = subprocess.run(
        ["git", "archive", args.before], cwd=TOP, check=True, capture_output=True
    ).stdout
    with tempfile.TemporaryDirectory() as folder:
        tarfile.open(fileobj=BytesIO(archive)).extractall(folder, filter="data")  # noqa: SIM115
        before = measured(Path(folder))
    print("| | before | now |\n| --- | --- | --- |")
    print(
        "\n".join(f"| {name} | {before.get(name, '')} | {value} |" for name, value in now.items())
    )


if __name__ == "__main__":
    main()
