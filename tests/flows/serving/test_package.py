"""The code that travels: whole, equal for equal code, and no stranger's."""

import pytest

from flows.serving.package import Package, package, renamed
from tests.support.networks import TINY

SECTIONS = {"backbone": TINY, "objective": {"name": "supervised"}, "head": {"name": "linear"}}


def test_equal_code_is_equal_bytes_under_one_name_and_other_code_has_another():
    sources = {"engine/a.py": "from engine.core import b\n", "engine/core/b.py": "x = 1\n"}
    one, same = Package(sources), Package(dict(reversed(sources.items())))
    assert (one.name, one.files) == (same.name, same.files)
    assert Package(sources | {"engine/core/b.py": "x = 2\n"}).name != one.name
    assert (
        one.files[f"{one.name}/engine/a.py"] == f"from {one.name}.engine.core import b\n".encode()
    )
    assert (
        one.files[f"{one.name}/__init__.py"] == one.files[f"{one.name}/engine/__init__.py"] == b""
    )


def test_a_package_holds_the_plugins_that_are_named_and_nothing_that_trains_or_tracks():
    paths = {path.partition("/")[2] for path in package(SECTIONS).files}
    assert {"models/backbones/regnet.py", "models/heads/linear.py"} <= paths
    assert "flows/serving/model.py" in paths and "engine/inference/predictor.py" in paths
    assert not {"models/backbones/resnet.py", "models/heads/knn.py"} & paths
    rooms = {"/".join(path.split("/")[:2]) for path in paths if path.count("/") > 1}
    assert rooms <= {
        *("flows/serving", "engine/core", "engine/inference", "corpus/media"),
        *("models/backbones", "models/heads", "models/objectives", "models/blocks"),
    }


def test_requirements_are_pinned_to_what_is_imported():
    found = package(SECTIONS).requirements
    names = [line.partition("==")[0] for line in found]
    assert {"torch", "numpy", "pillow", "simplejpeg", "safetensors", "mlflow"} <= set(names)
    assert not {"prefect", "dvc", "optuna", "matplotlib"} & set(names)
    assert all("==" in line and "+" not in line for line in found)


def test_imports_of_ours_are_renamed_wherever_they_stand_and_others_are_not():
    text = (
        "from engine.core.x import (\n    y,\n)\nimport models.z as z\nimport torch\n"
        "from pathlib import Path\ndef f():\n    from corpus import media\n"
        "from modelsque import b\n# from engine.core import c\n"
    )
    assert renamed(text, "p", "a.py") == text.replace(
        "from engine.core.x", "from p.engine.core.x"
    ).replace("import models.z", "import p.models.z").replace("from corpus", "from p.corpus")
    with pytest.raises(AssertionError, match=r"a.py:1: import it by from"):
        renamed("import engine.core.x\n", "p", "a.py")
