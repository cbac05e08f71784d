"""The examples of docs/design.md are complete plug-ins: the tests of their kind pass on each.

Every test of a kind runs over the files of its folder, so a copy of the tree that holds the example
is all that it takes.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine.core.build import choices, plugin
from tests.support.scenes import other, scene_heads

TOP = Path(__file__).parents[2]
EXAMPLE = re.compile(r"<!-- example: (\S+) -->\n```python\n(.*?)```", re.DOTALL)
DESIGN = (TOP / "docs" / "design.md").read_text()
EXAMPLES = dict(EXAMPLE.findall(DESIGN))
COPIED = ("flows", "engine", "models", "metrics", "corpus", "tests", "benchmarks")
FILES = ("pyproject.toml", "params.yaml", "dvc.yaml", "README.md")
TESTS = {  # folders of plug-ins, and the tests that run over all of their files
    "models/backbones": "tests/models/test_backbones.py",
    "models/heads": "tests/models/test_heads.py",
    "models/objectives": "tests/models/test_objectives.py",
    "models/policies": "tests/models/test_policies.py",
    "models/slots": "tests/models/test_slots.py",
    "models/spaces": "tests/models/test_spaces.py",
    "models/views": "tests/models/selfsup/test_views.py",
    "metrics": "tests/metrics/test_contract.py",
    "corpus/kinds": "tests/corpus/kinds/test_contract.py",
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """A copy of the tree with all examples in it."""
    top = tmp_path_factory.mktemp("tree")
    left = shutil.ignore_patterns("__pycache__", "results")
    for room in COPIED:
        shutil.copytree(TOP / room, top / room, ignore=left)
    for file in FILES:
        shutil.copy(TOP / file, top / file)
    for path, text in EXAMPLES.items():
        assert not (top / path).exists()
        (top / path).write_text(text)
    return top


def ran(tree: Path, *command: str) -> str:
    done = subprocess.run([sys.executable, *command], cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


ROW = re.compile(r"^\| \w+ \| `(?:models/)?(\w+)/` \| (.*?) \| `tests/", re.MULTILINE)


@pytest.mark.parametrize(("kind", "contract"), ROW.findall(DESIGN))
def test_each_plugin_has_what_the_table_says(kind, contract):
    methods = re.findall(r"`(\w+)\(", contract)
    assert methods
    for name in other(kind) if kind == "heads" else choices(kind):
        missing = [each for each in methods if not hasattr(plugin(kind, name, kind), each)]
        assert not missing, name


def test_each_head_of_scenes_has_what_the_table_says():
    [contract] = re.findall(r"^\| head of scenes \| `models/heads/` \| (.*?) \|", DESIGN, re.M)
    methods = re.findall(r"`(\w+)\(", contract)
    assert methods
    for name in scene_heads():
        assert not [each for each in methods if not hasattr(plugin("heads", name, name), each)]


def test_there_is_an_example_of_each_kind():
    # kinds of data sets have a row too, and are no plug-ins of engine.core.build
    assert len(ROW.findall(DESIGN)) + 1 == len(TESTS)
    assert {str(Path(path).parent) for path in EXAMPLES} == set(TESTS)


@pytest.fixture(scope="module")
def passed(tree) -> str:
    """What the tests of plug-ins say that run on the examples, all in one process."""
    names = " or ".join(Path(path).stem for path in EXAMPLES)
    options = ("-q", "-rA", "-p", "no:cacheprovider", "-k", names)
    return ran(tree, "-m", "pytest", *options, *TESTS.values())


@pytest.mark.parametrize("folder", TESTS)
def test_an_example_passes_the_tests_of_its_kind(passed, folder):
    name = next(Path(path).stem for path in EXAMPLES if Path(path).parent == Path(folder))
    assert re.search(rf"^PASSED {TESTS[folder]}::.*\b{name}\b", passed, re.MULTILINE)


SMOOTHED = """
import torch
from engine.core.network import network
sections = {"name": "patches"}, {"name": "supervised", "label_smoothing": 0.1}, {"name": "cosine"}
module = network(*sections, classes=4)
batch = {"image": torch.rand(8, 3, 32, 32), "label": torch.arange(8) % 4}
logits = module.logits(batch["image"])
by_hand = torch.nn.functional.cross_entropy(logits, batch["label"], label_smoothing=0.1)
torch.testing.assert_close(module(batch)["loss"], by_hand)
"""


def test_the_head_is_trained_by_the_supervised_objective(tree):
    ran(tree, "-c", SMOOTHED)


def test_examples_are_as_tidy_as_the_rest_and_no_stage_depends_on_them(tree):
    ran(tree, "-m", "ruff", "check", "--config", "pyproject.toml", *EXAMPLES)
    ran(tree, "-m", "ruff", "format", "--check", "--config", "pyproject.toml", *EXAMPLES)
    before = (tree / "dvc.yaml").read_text()
    ran(tree, "-m", "flows.running.code")
    assert (tree / "dvc.yaml").read_text() == before
