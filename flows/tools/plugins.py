"""What can be chosen by name: `python -m flows.plugins [KIND]`, as a page with `--markdown`.

Of each plug-in: what it is, the papers that it follows, and the tests that name it, which are its
evidence (docs/evidence.md says what they found). docs/settings.md has its keys, and what else is
chosen by name: optimizers, samplers and pruners.
"""

import ast
import re
from pathlib import Path
from typing import NamedTuple

from engine.core.build import choices
from flows.cli.command import parser, user_errors

ROOT = Path(__file__).parents[2]
# where the plug-ins of each kind lie, and the tests that try them one by one
KINDS = {
    "backbones": ("models/backbones", "tests/models", "tests/engine/measure"),
    "heads": ("models/heads", "tests/models", "tests/engine/transfer"),
    "objectives": ("models/objectives", "tests/models", "tests/models/selfsup"),
    "spaces": ("models/spaces", "tests/models"),
    "views": ("models/views", "tests/models/selfsup"),
    "slots": ("models/slots", "tests/models"),
    "policies": ("models/policies", "tests/models", "tests/engine"),
    "metrics": ("metrics", "tests/metrics", "tests/engine/training"),
}
# authors, year, title, and arXiv's number where there is one
PAPER = re.compile(r'((?:[^.:;"]|et al\.)+ \d{4}, "[^"]+"(?:, arXiv \d{4}\.\d{4,5})?)')


class Plugin(NamedTuple):
    """A file of a plug-in. tests: paths from the project's top folder."""

    name: str
    about: str
    papers: list[str]
    tests: list[str]


def read_plugin(file: Path, tests: list[Path]) -> Plugin:
    """A plug-in by its module's docstring, which is read and not run: no torch is loaded."""
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    about, *more = text.split("\n\n")
    papers = PAPER.findall(" ".join(" ".join(more).split()))
    papers = [re.sub(r"^.*\bas ", "", paper.strip()) for paper in papers]  # "initialised as ..."
    kind, name = file.parent.name, file.stem
    # by its name, its module, or as one of all that there are
    named = re.compile(rf"""["']{name}["']|\b{kind}\.{name}\b|\bchoices\("{kind}"\)""")
    found = [path for path in tests if named.search(path.read_text(encoding="utf-8"))]
    return Plugin(name, " ".join(about.split()), papers, [_shown(path) for path in found])


def _shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def list_plugins(kind: str) -> list[Plugin]:
    """All plug-ins of a kind, by name."""
    folder, *tried = KINDS[kind]
    tests = [path for place in tried for path in sorted((ROOT / place).glob("test_*.py"))]
    files = [ROOT / folder / f"{name}.py" for name in choices(kind)]
    return [read_plugin(file, tests) for file in files]


PAGE = """# Plug-ins

Made by `make docs` from the files themselves; a test holds this page to them. `python -m
flows.plugins` prints the same. Their contracts are in [design.md](design.md#plug-ins), their keys
in [settings.md](settings.md).
"""


def plugins_page() -> str:
    """docs/plugins.md."""
    lines = [PAGE]
    for kind, (folder, *_) in KINDS.items():
        lines += [f"## {kind}", "", f"`{folder}/`", ""]
        lines += [
            "| name | what it is | papers | tests that name it |",
            "| --- | --- | --- | --- |",
        ]
        for plugin in list_plugins(kind):
            tests = ", ".join(f"`{path}`" for path in plugin.tests)
            cells = (f"`{plugin.name}`", plugin.about, "; ".join(plugin.papers), tests)
            # a | within a cell would end it
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    command = parser("plugins", __doc__)
    command.add_argument("kind", nargs="?", choices=KINDS, help="one kind (default: all)")
    command.add_argument("--markdown", action="store_true", help="print docs/plugins.md")
    given = command.parse_args()
    with user_errors():
        if given.markdown:
            print(plugins_page(), end="")
            return
        for kind in [given.kind] if given.kind else KINDS:
            print(f"{kind} ({KINDS[kind][0]}/)")
            for plugin in list_plugins(kind):
                print(f"  {plugin.name}: {plugin.about}")
                for paper in plugin.papers:
                    print(f"    paper: {paper}")
                print(f"    evidence: {', '.join(plugin.tests) or 'none'}")


if __name__ == "__main__":
    main()
