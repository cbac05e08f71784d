"""What params.yaml asks of a set is held to its kind before anything runs."""

import json
from pathlib import Path

import pytest

from corpus.drawn.tagged import draw_tagged
from corpus.kinds.tags import Tagged
from corpus.records import kind as kinds
from corpus.splits import SHARES
from corpus.store.write import write_store
from flows.cli import label_counts
from flows.cli.validate_labels import _counted, _few, _unusable
from flows.cli.validate_networks import validate_columns


@pytest.fixture
def things(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    draw_tagged(tmp_path / "data/targets/things", (30, 0, 10))
    return tmp_path / "data/targets/things"


def test_an_objective_reads_what_a_set_of_its_kind_has(things):
    fault = "supervised reads the column 'label', and targets/things has image, tags: take another"
    with pytest.raises(ValueError, match=fault):
        validate_columns({"objective": {"name": "supervised"}}, "tasks.things", "targets/things")
    validate_columns({"objective": {"name": "multilabel"}}, "tasks.things", "targets/things")
    for name in ("supervised", "multilabel"):  # which of them will fit a set to come, nobody knows
        validate_columns({"objective": {"name": name}}, "tasks.other", "targets/other")


def test_videos_are_read_by_what_has_clips(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # nothing is there yet: a set to come may be of any kind
    for data, name in (("hashtags", "hashtags"), ("targets/moving", "supervised")):
        for views in ({}, {"views": {"name": "clips"}}):
            validate_columns({"objective": {"name": name} | views}, "pretrain.x", data)
    for store, kind in (("posts", "video_posts"), ("targets/moving", "clips")):
        (tmp_path / "data" / store).mkdir(parents=True)
        (tmp_path / "data" / store / "store.json").write_text(json.dumps({"kind": kind}))
    moco = {"name": "moco", "views": {"name": "clips", "clips": 2}}
    for data, objective in (("hashtags", moco), ("targets/moving", moco)):
        validate_columns({"objective": objective}, "pretrain.x", data)
    fault = "moco reads the column 'image', and {} has clip, {}: give the objective `views: {{name"
    for data, column in (("hashtags", "hashtags"), ("targets/moving", "label")):
        with pytest.raises(ValueError, match=fault.format(data, column)):
            validate_columns({"objective": {"name": "moco"}}, "pretrain.x", data)


def test_clips_are_not_read_of_images(things):
    section = {"objective": {"name": "multilabel", "views": {"name": "clips"}}}
    fault = "multilabel reads the column 'clip', and targets/things has image, tags: leave its `vie"
    with pytest.raises(ValueError, match=fault):
        validate_columns(section, "tasks.things", "targets/things")


def test_tags_are_counted_as_the_stage_corpus_leaves_them(things):
    classes, held = label_counts.count_labels(things, SHARES)
    rows = [json.loads(line) for line in (things / "00000.jsonl").open()]
    train = [row for row in rows if row["split"] == "train"]
    assert held == ["val"] and classes.splits["test"] == 10
    assert classes.splits["train"] + classes.splits["val"] == len(train)
    assert classes.bare == sum(not row["tags"] for row in rows)
    for name in classes.counts:
        of = classes.counts[name]
        assert of["train"] + of["val"] == sum(name in row["tags"] for row in train)
        assert of["val"] or of["train"] < 2
    again = label_counts.count_labels(things, SHARES)[0]
    assert again.stored() == classes.stored()


def test_one_class_is_enough_for_tags_and_none_is_not(things):
    image = b"x"
    one = [(Tagged(id=str(i), image=f"{i}.jpg", tags=["a"] * (i % 2)), image) for i in range(30)]
    write_store(things, one, kind="tags")
    classes, held = label_counts.count_labels(things, SHARES)
    assert _unusable("things", classes, ["tasks.x.data"], 1) == []
    assert "1 class, and two are the fewest" in _unusable("things", classes, ["x"], 2)[0]
    none = [(Tagged(id=str(i), image=f"{i}.jpg", tags=[]), image) for i in range(30)]
    write_store(things, none, kind="tags")
    classes, held = label_counts.count_labels(things, SHARES)
    assert "0 classes, and 1 is the fewest" in _unusable("things", classes, ["x"], 1)[0]
    assert _few("x", "things", classes, held, 20) == ""


@pytest.mark.parametrize("name", ["boxes", "panoptic"])
def test_images_of_several_objects_are_not_counted_by_class(name):
    told = "tasks.x.labels: 20 counts images of a class, and an image of set shows several: write "
    assert _counted("tasks.x.data", "set", kinds.kind(name), 20) == told + "a share as 0.1, or all"
    for wanted in (0.1, "all"):
        assert _counted("tasks.x.data", "set", kinds.kind(name), wanted) == ""
    assert _counted("tasks.x.data", "set", kinds.kind("tags"), 20) == ""
