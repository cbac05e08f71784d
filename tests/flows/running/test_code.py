"""The plug-ins that a section names, wherever they stand in it."""

import pytest

from flows.running.code import code_files, plugins
from tests.support.params import PARAMS

LINEAR, LOGISTIC, ROTATION = ({"name": name} for name in ("linear", "logistic", "rotation"))
HEADS = ["models.heads.linear", "models.heads.logistic"]
TOYS = ("models.objectives.noisy", "models.objectives.several")


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"head": LINEAR}, ["models.heads.linear"]),
        ({"head": "linear"}, ["models.heads.linear"]),
        ({"heads": {"linear": {}, "strict": LOGISTIC}}, HEADS),
        ({"objective": {"name": "noisy", "inner": ROTATION}}, ["models.objectives.rotation"]),
        ({"objective": {"name": "several", "more": [LINEAR, LOGISTIC]}}, HEADS),
        ({"objective": {"name": "several", "heads": [LINEAR, LOGISTIC]}}, HEADS),
        ({"objective": {"name": "several", "by": {"a": LINEAR, "b": [LOGISTIC]}}}, HEADS),
        # libraries' names are those of no plug-in
        ({"recipe": {"optimizer": {"name": "sgd"}}, "sampler": {"name": "TPESampler"}}, []),
    ],
)
def test_plugins_are_found_wherever_a_section_names_them(section, expected):
    found = list(plugins(section))
    assert {name for name in found if name not in TOYS} == set(expected)


def test_a_state_depends_on_the_code_of_what_an_objective_holds():
    section = {"objective": {"name": "supervised", "inner": {"name": "rotation"}}}
    files = {file.name for file in code_files("pretrain", section)}
    assert {"supervised.py", "rotation.py"} <= files and "jigsaw.py" not in files


def test_committed_sections_name_the_plug_ins_that_they_have():
    found = set(plugins(PARAMS))
    assert "models.objectives.jigsaw" not in found
    assert {"models.objectives.hashtags", "metrics.accuracy", "models.heads.knn"} <= found
