"""Labelled sets without val or test: held out of train, by id, and added images move no other."""

from collections import Counter

import numpy as np
import pytest

from corpus.sources.rows import number_of
from corpus.splits import SHARES, Part, completed, held_out_note, split_notes
from tests.support.corpora import section


def test_an_import_tells_the_shares_that_the_stage_takes_by_default():
    assert {name: section()[f"{name}_share"] for name in ("val", "test")} == SHARES


def part(ids: range, classes: int, splits: list[str] | None = None, bad: tuple = ()) -> Part:
    good = np.array([i not in bad for i in ids])
    labels = [[i % classes] for i in ids]
    return Part([f"i{i}" for i in ids], labels, splits or ["train"] * len(ids), good)


@pytest.mark.parametrize(
    ("given", "lacking"),
    [
        (["train", "val", "test"], []),
        (["train", "test"], ["val"]),
        (["train", "val"], ["test"]),
        (["train"], ["test", "val"]),
        (["test"], []),
        (["val", "test"], []),
    ],
)
def test_what_a_set_lacks_is_held_out_of_train_alone(given, lacking):
    splits = [given[i % len(given)] for i in range(600)]
    [found], named = completed([part(range(600), 5, splits)], 5, SHARES)
    assert named == lacking
    moved = [(old, new) for old, new in zip(splits, found, strict=True) if old != new]
    assert {old for old, _ in moved} <= {"train"} and {new for _, new in moved} == set(lacking)
    train = splits.count("train")
    for name, share in (("test", 0.2), ("val", 0.15 * (0.8 if "test" in lacking else 1))):
        if name in lacking:
            assert found.count(name) == pytest.approx(share * train, rel=0.35)


def test_each_class_of_two_or_more_has_one_and_a_single_image_is_trained_on():
    for number in range(40):  # sets of other ids each
        ids = [f"{number}-{i}" for i in range(7)]
        labels = np.array([0, 1, 1, 2, 2, 2, 2], np.int32)
        one = Part(ids, labels[:, None], ["train"] * 7, np.ones(7, bool))
        [found], _ = completed([one], 3, SHARES | {"test": 0})
        held = Counter(labels[np.array(found) == "val"].tolist())
        alone = number_of(f"val:{ids[0]}") < 0.15 * 2**64  # held out by its hash, as any other
        assert held[1] >= 1 and held[2] >= 1 and held[0] == alone


def test_more_images_move_no_other_image():
    parts = [part(range(40), 7), part(range(40, 300), 7), part(range(300, 310), 9)]
    first, _ = completed(parts[:1], 7, SHARES)
    for number in (2, 3):
        more, _ = completed(parts[:number], 9, SHARES)
        assert more[0] == first[0]


def test_an_image_that_cannot_be_used_is_nobodys_validation():
    few, rule = (2, 3), {"val": 0.0001, "test": 0}
    [found], _ = completed([part(range(4), 2, bad=few)], 2, rule)
    assert found == ["train"] * 4  # of each class one image can be used
    [found], _ = completed([part(range(6), 2, bad=few)], 2, rule)
    assert [i for i, split in enumerate(found) if split == "val"] == [4, 5]


def test_no_share_holds_nothing_out():
    assert completed([part(range(9), 2)], 2, {"val": 0, "test": 0}) == ([["train"] * 9], [])


def test_it_is_told_before_and_after():
    [test, val] = split_notes({"train": 9, "val": 0, "test": 0})
    assert "no test split: 20% of train" in test and "no val split: 15% of train" in val
    assert split_notes({"train": 9, "val": 1, "test": 1}) == []
    assert "no train split" in split_notes({"train": 0, "val": 3, "test": 0})[0]
    assert "3 images of train (corpus.val_share = 0.15) serve as validation" in held_out_note(
        "val", 3, 0.15
    )
    assert "add images" in held_out_note("test", 0, 0.2)
