"""Labels that a run could not use are told before it, with the class, the count and a fix."""

import copy
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from corpus.splits import Part, completed
from corpus.store.read import Shard, total
from flows.cli import label_counts, validate, validate_labels
from flows.running import settings
from tests.support import params

SHARES = {"val": 0.15, "test": 0.2}
PLENTY = {"dog": {"train": 40, "val": 5, "test": 60}, "cat": {"train": 30, "val": 5, "test": 60}}


def stored(counts: dict[str, dict[str, int]], target: str = "scenes") -> Path:
    """The lists of a store with so many images per class and split; their ids are numbers."""
    lines = []
    for label, found in counts.items():
        for split, number in found.items():
            lines += [(label, split)] * number
    parts = [lines[: len(lines) // 2], lines[len(lines) // 2 :]]
    return listed(Path("data/targets", target), parts)


def listed(folder: Path, parts: list[list[tuple[str, str]]]) -> Path:
    """The lists of a store of these (label, split), a shard of each part."""
    shards = []
    folder.mkdir(parents=True, exist_ok=True)
    for place, part in enumerate(parts):
        rows = [{"id": f"{place}-{i}", "label": a, "split": b} for i, (a, b) in enumerate(part)]
        (folder / f"{place:05d}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        empty = {"tar": "", "lines": "", "digest": f"{len(part):064x}"}
        shards.append({"name": f"{place:05d}", "records": len(part)} | empty)
    about = {"shards": shards, "digest": total(map(Shard.model_validate, shards))}
    (folder / "store.json").write_text(json.dumps(about))
    return folder


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A project whose data are posts and the labelled set that the committed params name."""
    monkeypatch.chdir(tmp_path)
    listed(Path("data/posts"), [[("", "")] * 200])
    stored(PLENTY)
    written()


def written(task: dict | None = None, **changes: dict) -> None:
    whole = copy.deepcopy(params.PARAMS)
    whole["tasks"]["scenes"] |= task or {}
    for stage, section in changes.items():
        whole[stage] |= section
    params.written(whole)


def test_labels_that_a_run_can_use_have_nothing_to_tell():
    assert validate.validate() == [] == validate_labels.label_problems()
    assert validate_labels.label_problems("scenes") == []


def test_nothing_is_told_before_dvc_has_brought_the_data():
    Path("data").rename("elsewhere")
    assert validate.validate() == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"task": {"data": "targets/mine"}},
            "tasks.scenes.data: no labelled set 'mine' in data/targets (scenes): name one that is "
            "there, or python -m flows.version add --labels SOURCE --target mine",
        ),
        (
            {"search": {"data": "targets/mine", "objective": {"name": "supervised"}}},
            "search.data: no labelled set 'mine' in data/targets (scenes)",
        ),
        (
            {"task": {"labels": [20, 200_000]}},
            "tasks.scenes.labels: 200000, and class 'cat' of scenes has 30 training images, "
            "and 1 more have too few: write 30 or fewer, or all",
        ),
        (
            {"task": {"labels": [31]}},
            "tasks.scenes.labels: 31, and class 'cat' of scenes has 30 training images: "
            "write 30 or fewer, or all",
        ),
    ],
)  # fmt: skip
def test_what_params_want_and_the_data_lack_is_refused(changes, says):
    written(**changes)
    with pytest.raises(ValueError) as told:
        validate.validate()
    assert str(told.value).startswith(says)
    assert validate_labels.label_problems()[0].startswith(says), "and told by an import"


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ({"dog": {"train": 60}, "cat": {"train": 60}}, None),  # held out
        ({"dog": {"train": 40, "test": 60}, "cat": {"train": 30, "test": 60}}, None),
        (
            {"dog": {"train": 40}, "cat": {"train": 21}},
            "tasks.scenes.labels: 20, and class 'cat' of scenes has {} training images, test "
            "and val held out: write {} or fewer, or all",
        ),
        (
            {"dog": {"train": 40, "test": 9}},
            "tasks.scenes.data: scenes has train images of 1 class, and two are",
        ),
        (
            {"dog": {"test": 40}, "cat": {"test": 30}},
            "tasks.scenes.data: scenes has train images of 0 classes, and two",
        ),
        (
            PLENTY | {"cow": {"test": 3}},
            "tasks.scenes.labels: 20, and class 'cow' of scenes has 0 training images",
        ),
    ],
)
def test_labels_as_people_bring_them(counts, says):
    stored(counts)
    fewest = min(_after(counts)[label, "train"] for label in counts)
    if says is None:
        assert fewest >= 20
        validate.validate()
        return
    with pytest.raises(ValueError) as told:
        validate.validate()
    assert str(told.value).startswith(says.format(fewest, fewest))


def _after(counts: dict[str, dict[str, int]]) -> Counter:
    """Images per (class, split) as the stage corpus makes them of the stored set."""
    names, parts = sorted(counts), []
    for file in sorted(Path("data/targets/scenes").glob("*.jsonl")):
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        labels = [[names.index(row["label"])] for row in rows]
        ids, split = [row["id"] for row in rows], [row["split"] for row in rows]
        parts.append(Part(ids, labels, split, np.ones(len(rows), bool)))
    splits, _ = completed(parts, len(names), SHARES)
    found = Counter()
    for part, into in zip(parts, splits, strict=True):
        found.update(
            (names[label], split) for [label], split in zip(part.labels, into, strict=True)
        )
    return found


SPLITS = [("train",), ("train", "test"), ("train", "val"), ("train", "val", "test")]


@pytest.mark.parametrize("splits", SPLITS)
def test_labels_are_counted_as_the_stage_corpus_leaves_them(splits):
    sizes = {"a": 50, "b": 20, "c": 2, "d": 1, "e": 7}
    counts = {label: dict.fromkeys(splits, number) for label, number in sizes.items()}
    folder = stored(counts)
    found, held = label_counts.count_labels(folder, SHARES)
    expected = _after(counts)
    for split in ("train", "val", "test"):
        assert found.of(split) == {label: expected[label, split] for label in counts}
    assert held == [name for name in ("test", "val") if name not in splits]


def test_a_share_of_nothing_leaves_no_split():
    stored({"dog": {"train": 40}, "cat": {"train": 30}})
    written(corpus={"val_share": 0, "test_share": 0})
    fault = r"scenes has no val images: add .* or set corpus\.val_share above 0"
    with pytest.raises(ValueError, match=fault) as told:
        validate.validate()
    assert "scenes has no test images" in str(told.value)


def test_counts_are_kept_until_the_store_is_another(monkeypatch):
    folder = stored(PLENTY)
    first = label_counts.count_labels(folder, SHARES)[0].counts
    with monkeypatch.context() as patch:
        patch.setattr(label_counts, "read_table", None)
        patch.setattr(label_counts, "classes_of", None)
        assert label_counts.count_labels(folder, SHARES)[0].counts == first
    stored(PLENTY | {"cow": {"train": 50, "test": 1}})
    assert label_counts.count_labels(folder, SHARES)[0].counts["cow"]["train"] == 50
    assert (
        label_counts.count_labels(folder, {"val": 0.5, "test": 0.5})[0].counts["cow"]["train"] == 50
    )


def test_what_a_run_does_not_stop_for_is_noted():
    stored(
        {
            "dog": {"train": 40, "val": 5, "test": 20},
            "c\x1bt": {"train": 30, "val": 5},
            "cow": {"test": 5},
        }
    )
    written({"labels": ["all"]})
    assert validate.validate() == validate_labels.label_problems()
    tests, never, untested = validate.validate()
    assert tests.startswith("scenes has 25 test images: an accuracy of 50 % is then known to 20")
    assert untested == "scenes has 1 of 3 classes without train images, never learnt: 'cow'"
    assert never == "scenes has 1 of 3 classes without test images, never tested: 'c\\x1bt'"


def test_a_share_of_the_labels_is_enough_however_few_a_class_has():
    stored({"dog": {"train": 40, "val": 5, "test": 150}, "cat": {"train": 1, "val": 1, "test": 9}})
    written({"labels": [0.1, "all"]})
    assert validate.validate() == []
    written({"labels": [0.1, 20]})
    with pytest.raises(ValueError, match="20, and class 'cat' of scenes has 1 training images"):
        validate.validate()
    written({"labels": [1.0]})
    with pytest.raises(ValueError, match=r"labels.*a whole number, or a share below 1; all labels"):
        validate.validate()


FEW = [(0.04, 200, "set it to 0.05 or more"), (0.4, 20, "add posts")]


@pytest.mark.parametrize(("share", "posts", "fix"), FEW)
def test_posts_that_leave_none_to_measure_on_are_told(share, posts, fix):
    listed(Path("data/posts"), [[("", "")] * posts])
    written(corpus={"holdout": share})
    [line] = validate_labels.label_problems()
    what = f"{share} of {posts} posts are 8 to measure the pretraining on, if any"
    assert line == f"corpus.holdout: {what}: {fix}"
    with pytest.raises(ValueError, match=r"^corpus\.holdout"):
        validate.validate()


def test_posts_and_classes_that_are_not_there_are_told():
    Path("data/posts/store.json").unlink()
    Path("data/targets").rename("gone")
    written(corpus={"vocabulary": "targets"})
    told = validate_labels.label_problems()
    assert told[0].startswith("data/posts: no posts to pretrain on")
    assert told[1].startswith("corpus.vocabulary: targets are the classes of labelled sets")
    assert told[2].startswith("tasks.scenes.data: no labelled set 'scenes' in data/targets (none)")


def test_an_import_looks_at_its_set_as_if_it_were_named_already():
    rest = {"val": 1, "test": 100}
    stored({"a": {"train": 3} | rest, "b": {"train": 9} | rest}, "mine")
    assert validate_labels.label_problems() == []
    [line] = validate_labels.label_problems("mine")
    assert line.startswith("tasks.mine.labels: 20, and class 'a' of mine has 3 training")


def test_a_wrong_params_yaml_or_store_is_a_line_of_an_import():
    settings.PARAMS.write_text("a: 1\na: 2\n")
    assert "stands twice" in validate_labels.label_problems()[0]
    written({"labels": 20})
    [line] = validate_labels.label_problems()
    assert line.startswith("tasks.scenes.labels = 20: Input should be a valid list")
    written()
    Path("data/targets/scenes/store.json").write_text("{")
    assert "store.json is damaged" in validate_labels.label_problems()[0]
    with pytest.raises(ValueError, match=r"store\.json is damaged"):
        validate.validate()
