"""README.md, docs/ and recipes/: links lead somewhere, files and commands that they name exist."""

import ast
import importlib.util
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from flows.tools import plugins, settings

TOP = Path(__file__).parents[2]
PAGES = [TOP / "README.md", *sorted(TOP.glob("docs/*.md")), *sorted(TOP.glob("recipes/*.md"))]
ROOMS = ["flows", "engine", "models", "metrics", "corpus"]
ROOMS += ["benchmarks", "tests", "docs", "recipes"]
LINK = re.compile(r"\]\(([^)\s]+)\)")
PATH = re.compile(rf"(?<![\w/.<-])(?:{'|'.join(ROOMS)})/[\w./-]*\w/?(?![\w*<{{-])")
CODE = re.compile(r"```\w*\n(.*?)```|`([^`]+)`", re.DOTALL)
COMMAND = re.compile(r"python -m ([\w.]+)([^\n]*)")
MAKE = re.compile(r"^make ([a-z-]+)(?: [A-Z]+=(\w+))?", re.MULTILINE)
EXAMPLE = re.compile(r"<!-- example: (\S+) -->")

every = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(TOP).as_posix())


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def code(page: Path) -> Iterator[str]:
    """What stands in backticks and in blocks of code, with broken lines joined."""
    for block, span in CODE.findall(page.read_text()):
        yield block.replace("\\\n", " ") if block else " ".join(span.split())


@every
def test_links_lead_somewhere(page):
    for link in LINK.findall(page.read_text()):
        if re.match(r"https?:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@every
def test_files_that_are_named_exist(page):
    text = page.read_text()
    examples = set(EXAMPLE.findall(text))
    named = set(PATH.findall(text)) - examples
    missing = sorted(path for path in named if not (TOP / path).exists())
    assert not missing


def test_the_paths_that_are_looked_for_are_found():
    text = (
        "`flows/x.py`, (engine/core/build.py), [a](docs/b.md); not models/<kind>/x.py, out/docs/a"
    )
    assert PATH.findall(text) == ["flows/x.py", "engine/core/build.py", "docs/b.md"]


def commands() -> list[tuple[str, ...]]:
    """Every `python -m module arguments` of the pages: module, then arguments."""
    found = set()
    for page in PAGES:
        for text in code(page):
            for module, rest in COMMAND.findall(text):
                if module.partition(".")[0] in ROOMS and not rest.startswith("<"):
                    found.add((module, *shlex.split(rest, comments=True)))
    return sorted(found)


# In one process, since many of them import torch: --help of each module, and what it says.
HELP = """
import contextlib, io, json, runpy, sys
told = {}
for module, *words in json.loads(sys.argv[1]):
    out = io.StringIO()
    sys.argv = [module, *words, "--help"]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    except ModuleNotFoundError as error:  # a library that only `make peers` installs
        told[" ".join([module, *words])] = [error.name, ""]
    except SystemExit as end:
        told[" ".join([module, *words])] = [end.code or 0, out.getvalue()]
print(json.dumps(told))
"""


def asked(command: tuple[str, ...]) -> tuple[str, ...]:
    """What --help is asked of: the module, and the word that chooses what it does, such as add."""
    return command[:2] if command[0] == "flows.version" else command[:1]


@pytest.fixture(scope="module")
def helps() -> dict[str, list]:
    """Exit code and text of --help of each command that the pages name."""
    wanted = json.dumps(sorted(set(map(asked, commands()))))
    options = {"capture_output": True, "text": True, "cwd": TOP}
    done = subprocess.run([sys.executable, "-c", HELP, wanted], **options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_a_command_exists_and_knows_its_options(helps, command):
    assert importlib.util.find_spec(command[0])
    status, text = helps[" ".join(asked(command))]
    peers = tomllib.loads((TOP / "pyproject.toml").read_text())["dependency-groups"]["peers"]
    if status in peers:
        pytest.skip(f"needs {status}: `make peers`")
    assert status == 0 and "usage" in text.lower()
    for option in (word for word in command if re.match(r"--?[a-zA-Z]", word)):
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", text), option


@every
def test_targets_of_make_exist(page):
    makefile = (TOP / "Makefile").read_text()
    for text in code(page):
        for target, recipe in MAKE.findall(text):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
            assert not recipe or target != "repro" or (TOP / f"benchmarks/{recipe}.py").exists()


def test_the_tree_of_the_design_has_every_folder():
    text = (TOP / "docs" / "design.md").read_text()
    tree = re.search(r"```\n(flows/.*?)```", text, re.DOTALL)[1]
    above, listed = [], set()
    for indent, name in re.findall(r"^( *)(\w+)/", tree, re.MULTILINE):
        above = [*above[: len(indent) // 2], name]
        listed.add("/".join(above))
    packages = [file.parent for room in ROOMS[:5] for file in TOP.glob(f"{room}/**/__init__.py")]
    assert listed == {package.relative_to(TOP).as_posix() for package in packages} | set(ROOMS)


def test_the_design_names_every_file_of_private_interfaces():
    text = (TOP / "docs" / "design.md").read_text()
    files = [file for room in ROOMS[:5] for file in TOP.glob(f"{room}/**/*_private.py")]
    assert files
    assert not [file.name for file in files if file.relative_to(TOP).as_posix() not in text]


def test_the_design_and_the_stage_name_one_reading_order():
    text = (TOP / "docs" / "design.md").read_text()
    listed = re.findall(r"^\d\. `([\w/]+\.py)`", text, re.MULTILINE)
    docstring = ast.get_docstring(ast.parse((TOP / "flows" / "pretrain.py").read_text()))
    assert len(listed) > 5
    assert listed == re.findall(r"^- ([\w/]+\.py):", docstring, re.MULTILINE)


def test_the_printed_learning_rate_is_the_shipped_one():
    text = (TOP / "docs" / "training.md").read_text()
    command = re.search(r"```\npython -c '(.*?)'\n```", text, re.DOTALL)[1]
    options = {"capture_output": True, "text": True, "cwd": TOP}
    done = subprocess.run([sys.executable, "-c", command], **options)
    assert done.stdout.startswith("learning rate "), done.stderr
    assert f"`{done.stdout.strip()}`" in " ".join(text.split())


def test_the_readme_is_short():
    assert len((TOP / "README.md").read_text().splitlines()) <= 110


def test_settings_are_what_the_command_prints():
    assert (TOP / "docs" / "settings.md").read_text() == settings.settings_page(), "run `make docs`"


def test_plugins_are_what_the_command_prints():
    assert (TOP / "docs" / "plugins.md").read_text() == plugins.plugins_page(), "run `make docs`"


def test_every_key_of_params_yaml_is_listed_and_described():
    """The stages' own keys, and those of a recipe: whatever params.yaml may say of them."""
    lines = "\n".join(settings.stage_parts() + settings.nested_parts()).splitlines()
    rows = [line for line in lines if line.startswith("| `") and line.count(" | ") == 3]
    undescribed = [row for row in rows if row.endswith("|  |")]
    assert len(rows) > 60 and not undescribed
    params = yaml.safe_load((TOP / "params.yaml").read_text())
    listed = {line.split("`")[1] for line in rows}
    sections = [params[name] for name in ("corpus", "search", "evaluate", "register")]
    sections += [*params["pretrain"].values(), *params["tasks"].values()]
    assert {key for section in sections for key in section} <= listed
