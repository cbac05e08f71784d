"""The recipe of videos: valid settings, in full and in small, and a verdict that can say no."""

import pytest

from benchmarks import clone, overlays, video
from engine.core.build import options
from flows.cli import validate
from flows.running import settings
from tests.support import params


@pytest.mark.parametrize("overrides", [(), video.QUICK], ids=["full", "quick"])
def test_overlay_gives_valid_params(tmp_path, monkeypatch, overrides):
    study = video.STUDY
    overlay, sections = overlays.sections_of(study.recipe, overrides, study.told)
    options(video.videos, sections["motions"], "motions", ("out",))
    monkeypatch.chdir(tmp_path)
    params.written(clone.merged(params.PARAMS, overlay))
    validate.validate()
    laid = settings.load_params()
    assert list(laid["tasks"]) == [video.TASK, video.FRAME]
    shown = {name: task["objective"]["views"] for name, task in laid["tasks"].items()}
    assert shown["one-frame"] == shown["motions"] | {"frames": 1}
    # left is not right
    assert all(views["flip"] == 0 for views in shown.values())
    assert set(laid["candidates"]) >= {video.CONTROL}


@pytest.mark.parametrize(
    ("low", "high", "said"), [(51, 60, "passes"), (49, 60, "does not"), (8, 12, "does not")]
)
def test_verdicts_go_by_the_interval(low, high, said):
    assert video.verdict({"low": low, "high": high}, video.UNORDERED).startswith(said)
