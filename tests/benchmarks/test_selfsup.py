"""The recipe of pretrainings: valid settings, equal compute as counted, what its page tells."""

from pathlib import Path

import pytest
import yaml

from benchmarks import clone, overlays, photographs_data, selfsup, selfsup_report
from benchmarks.selfsup import Pretraining
from engine.core.build import options
from flows.cli import validate
from flows.measuring.headline import KEYS, USUAL
from flows.running import settings
from flows.training.learning import Job
from tests.support import params

POSTS, COMPUTE = 8900, 100_000  # as the overlay says
OVERLAY, _ = overlays.sections_of(selfsup.STUDY.recipe, [])
TRAININGS = {name: section for name, section in OVERLAY["pretrain"].items() if section}
METHODS = ["hashtags", "moco", "dino", "barlow_twins", "byol", "simclr", "swav", "rotation"]
METHODS += ["jigsaw", "hashtags-moco"]


@pytest.mark.parametrize("overrides", [(), selfsup.QUICK], ids=["full", "quick"])
def test_overlay_gives_valid_params(tmp_path, monkeypatch, overrides):
    overlay, sections = overlays.sections_of(selfsup.STUDY.recipe, overrides)
    given = ("packs", "out")
    options(photographs_data.posts, sections["posts"], "posts", given)
    options(photographs_data.labels, sections["labels"], "labels", given)
    monkeypatch.chdir(tmp_path)
    params.written(clone.merged(params.PARAMS, overlay))
    validate.validate()
    laid = settings.load_params()
    assert list(laid["pretrain"]) == [f"baseline-{method}" for method in METHODS]
    assert laid["tasks"]["cifar10"]["inits"] == [*laid["pretrain"], "scratch"]
    assert len({training["candidate"] for training in laid["pretrain"].values()}) == 1


def sections_of(name: str) -> dict:
    section = TRAININGS[name] | {"backbone": params.REFERENCE}
    return Job.of(section).sections


@pytest.mark.parametrize("name", TRAININGS)
def test_each_pretraining_has_about_the_same_compute(name):
    trained, taught = selfsup.passes(sections_of(name), OVERLAY["corpus"]["size"])
    compute = (trained + selfsup.FORWARD * taught) * TRAININGS[name]["epochs"] * POSTS
    assert compute == pytest.approx(COMPUTE, rel=0.02)


def test_passes_are_counted_by_pixels_and_gradient():
    size = OVERLAY["corpus"]["size"]
    found = {name: selfsup.passes(sections_of(f"baseline-{name}"), size) for name in METHODS}
    assert found["hashtags"] == (1, 0) and found["moco"] == (1, 1) and found["simclr"] == (2, 0)
    assert found["rotation"] == (4, 0) and found["jigsaw"] == (4 * 12**2 / 32**2, 0)
    # two small views of a quarter of the pixels, which a teacher does not see
    assert found["dino"] == (2.5, 2) and found["swav"] == (2.5, 0)
    assert found["hashtags-moco"] == (2, 1)


def test_seconds_leave_out_pauses():
    # 50 steps at 100 images/s, then 20 at 50: of 10 images
    assert selfsup.seconds_of({50: 100.0, 70: 50.0}, 10) == pytest.approx(5 + 4)


def test_curves_are_of_the_file_of_monitors(tmp_path):
    file = tmp_path / "monitor.csv"
    assert selfsup.curves_of(file, 8) == {}
    file.write_text("epoch,step,knn_accuracy,feature_rank\n1,4,20.5,\n2,8,30.5,4\n")
    found = selfsup.curves_of(file, 8)
    assert found == {"knn_accuracy": [(0.5, 20.5), (1, 30.5)], "feature_rank": [(1, 4)]}


def records() -> list[dict]:
    arm = {"candidate": "baseline", "task": "cifar10", "size": 32, "low": 38.0, "high": 42.0}
    arm |= dict(zip(KEYS, USUAL, strict=True)) | {"device": "a CPU (1 threads)"}
    inits = ("baseline-hashtags", "baseline-moco", "scratch")
    cells = [(i, h, n) for n in (10, 50) for h in ("linear", "logistic") for i in inits]
    return [
        arm | {"init": i, "head": h, "labels": n, "value": 40.0, "model": f"{i}-{h}-{n}"}
        for i, h, n in cells
    ]


TOOK = [
    Pretraining("baseline-hashtags", 11.2, 99_000, 99_000, 0, 100.0, {"knn_accuracy": [(1, 30)]}),
    Pretraining("baseline-moco", 8.4, 75_000, 75_000, 75_000, 150.0),
]


def test_costs_are_told_of_each_pretraining():
    *_, hashtags, moco = selfsup_report.costs(TOOK)
    assert hashtags == "| hashtags | 11.2 | 99,000 | 99,000 | 0 | 99,000 | 100 | 990 |"
    assert moco == "| moco | 8.4 | 75,000 | 75,000 | 75,000 | 100,000 | 150 | 500 |"


def test_a_row_per_pretraining_a_column_per_head_and_labels():
    head, _, *rows = selfsup_report.accuracies(records())
    assert head.count("fine-tuned") == head.count("linear probe") == 2
    assert [row.split(" | ")[0] for row in rows] == ["| hashtags", "| moco", "| scratch"]
    assert rows[0].count("40.0 (38.0 to 42.0)") == 4


@pytest.mark.parametrize(
    ("low", "high", "said"), [(1, 3, "yes"), (-3, -1, "no"), (-1, 1, "does not show")]
)
def test_verdicts_are_of_the_whole_interval(monkeypatch, low, high, said):
    monkeypatch.setattr(
        selfsup_report, "gain", lambda *_: {"value": (low + high) / 2, "low": low, "high": high}
    )
    head, _, hashtags, moco = selfsup_report.verdicts(Path(), records())
    assert head.count("above new weights") == 2 and head.count("above hashtags") == 4
    assert hashtags.count(said) == 2 and moco.count(said) == 6


def test_the_picture_is_drawn_also_where_a_curve_or_an_interval_is_missing(tmp_path):
    alone = [record | {"low": None, "high": None} for record in records()]
    for number, each in enumerate((records(), alone)):
        file = tmp_path / f"{number}.png"
        selfsup_report.plot(file, each, TOOK)
        assert file.stat().st_size > 10_000


def test_the_recipe_is_named_where_people_look():
    top = Path(__file__).parents[2]
    assert "selfsup" in (top / "Makefile").read_text()
    assert "## selfsup" in (top / "recipes" / "README.md").read_text()
    assert yaml.safe_load(selfsup.STUDY.recipe.read_text())["register"]["name"] != "tagdag"
