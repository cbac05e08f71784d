"""Designs of an expansion of networks of clips: where they begin, what is trained, what is told."""

import contextlib
from pathlib import Path

import pytest
import yaml

from benchmarks.clone import merged
from engine.core.build import build, with_defaults
from engine.measure.complexity import measure
from engine.measure.expansion import expand
from flows.searching.designs import Images, designs_of
from flows.searching.trial import costs_of
from tests.support import params

TINY = {"name": "x3d", "width": 0.5, "depth": 1.0, "depths": [1, 1, 2, 1], "head_width": 64}
VIEWS = {"name": "clips", "frames": 2, "every": 4, "size": 16, "flip": 0.0}
SECTION = {
    "objective": {"name": "supervised", "views": VIEWS},
    "space": {"name": "anynetxa"},
    "epochs": 1,
}


@pytest.fixture
def sized(monkeypatch):
    monkeypatch.setattr("flows.searching.designs.settings.image_size", lambda: 20)


def clips(network: dict, section: dict = SECTION) -> Images:
    return designs_of(with_defaults("backbones", network), section, "small.yaml")


def test_clips_begin_with_the_views_of_the_search_and_are_trained_by_their_own(sized):
    designs = clips(TINY)
    assert {key: designs.base[key] for key in ("frames", "every", "resolution")} == {
        "frames": 2,
        "every": 4,
        "resolution": 16,
    }
    design = designs.base | {"frames": 4, "every": 2, "resolution": 18}
    part = designs.trained(SECTION, design)
    views = {"name": "clips", "frames": 4, "every": 2, "size": 18, "flip": 0.0}
    assert part["objective"] == {"name": "supervised", "views": views}
    assert part["backbone"] == design["backbone"] and part["epochs"] == 1
    # a state belongs to what is seen, not to the network alone
    assert designs.key("a", design) != designs.key("a", designs.base) != designs.key("b", design)
    counted = measure(build("backbones", design["backbone"]), (3, 4, 18, 18))
    assert costs_of(design["backbone"], designs.space(design)) == counted
    assert designs.complexity(design) < counted["flops"], "the biases of the gates"
    assert designs.shown(design) == "4 frames, every 2, 18 px, depth 1, width 0.5, bottleneck 2.25"
    written = designs.written(design)
    assert "{name: clips, frames: 4, every: 2, size: 18}" in written.splitlines()[0]
    assert yaml.safe_load(written) == design["backbone"]


def test_expansion_of_clips_takes_the_axis_of_the_best_score_on_pixels_that_there_are(sized):
    designs = clips(TINY)
    tried, asked = designs.tried(["temporal", "spatial", "depth"]), []

    def score(design: dict) -> float:
        asked.append(design)
        return design["frames"]

    base = designs.complexity(designs.base)
    how = {"tolerance": 0.25, "pick": designs.pick}
    steps = expand(designs.base, tried, designs.complexity, score, 4 * base, **how)
    assert [step[0].axis for step in steps] == ["temporal"] * len(steps)
    assert max(design["resolution"] for design in asked) <= 20
    assert steps[-1][0].complexity == pytest.approx(4 * base, rel=0.25)


def test_what_cannot_grow_is_told(sized):
    with pytest.raises(ValueError, match=r"small.yaml: a x3d reads clips: give .*views: {name: cl"):
        clips(TINY, SECTION | {"objective": {"name": "supervised"}})
    with pytest.raises(ValueError, match=r"small.yaml: a resnet has no stages .* give an anynet"):
        clips({"name": "resnet"})
    other = clips({"name": "videoresnet", "depths": [1, 1]})
    assert set(other.tried(None)) == {"fast", "temporal", "spatial"}
    with pytest.raises(ValueError, match="--axes: a videoresnet has no 'depth' here: choose from"):
        other.tried(["depth"])


def test_command_on_clips_goes_on_where_it_was_and_tells_the_clips(tmp_path, monkeypatch, capsys):
    from flows.tools import expansion

    trained = []

    def run_trial(trial, key, name, part, space, run, show):
        if len(trained) == 3:
            trained.append(None)
            raise KeyboardInterrupt
        views = part["objective"]["views"]
        trained.append((key, name, views["frames"]))
        row = {"error": 90.0 - views["frames"] * views["every"]}
        trial.set_user_attr("row", row)
        return row

    monkeypatch.chdir(tmp_path)
    overlay = {"search": {"objective": None}, "corpus": {"size": 20}}
    section = {"objective": SECTION["objective"], "data": "targets/motions"}
    params.written(merged(merged(params.PARAMS, overlay), {"search": section}))
    Path("small.yaml").write_text(yaml.safe_dump(TINY))
    monkeypatch.setattr(expansion, "search_key", lambda *_: "searched")
    monkeypatch.setattr(expansion, "stage_run", lambda *_: contextlib.nullcontext())
    monkeypatch.setattr(expansion, "run_trial", run_trial)
    asked = Path("small.yaml"), 4, ["fast", "temporal"], Path("expanded.yaml")
    with pytest.raises(KeyboardInterrupt):
        expansion.grow(*asked)
    expansion.grow(*asked)
    assert len(set(trained)) == len(trained), "none twice"
    printed = capsys.readouterr().out
    assert "  1*  temporal" in printed and "4 frames, every 4, 16 px" in printed
    first, *_ = Path("expanded.yaml").read_text().splitlines()
    assert first.startswith("# for clips as objective.views: {name: clips, frames: ")
    expansion.grow(*asked)
    assert capsys.readouterr().out == printed
