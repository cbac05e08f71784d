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
    ("low", "said"), [(10.5, "yes"), (9.5, "no"), (10.0, "no"), (None, "one seed")]
)
def test_what_is_above_chance_goes_by_the_interval(low, said):
    assert video.above({"low": low}) == said
