"""Classes of a labelled set: one spelling each, and what a person must know before training."""

import unicodedata

import pytest

from corpus.records.kind import kind
from corpus.records.spelling import spelled
from corpus.store import classes as module
from corpus.store.account import Unusable, class_fields
from corpus.store.classes import Classes

CAFE = "Café"


@pytest.mark.parametrize(
    ("typed", "label"),
    [
        (unicodedata.normalize("NFD", CAFE), CAFE),
        ("  golden   retriever\u00a0", "golden retriever"),
        ("3.0", "3"),
        ("-1.00", "-1"),
        ("3.5", "3.5"),
        ("03", "03"),
        ("1.0.0", "1.0.0"),
        ("3.", "3."),
        ("Dog", "Dog"),
        ("C++", "C++"),
        ("a\tb", "a b"),
    ],
)
def test_a_label_is_spelled_one_way(typed, label):
    assert spelled(typed) == label == spelled(label)


def counted(**labels: tuple[int, int, int]) -> Classes:
    classes = Classes()
    for name, counts in labels.items():
        for split, number in zip(("train", "val", "test"), counts, strict=True):
            classes.add([name], split, number)
    return classes


def class_notes(classes: Classes) -> list[str]:
    return module.class_notes(classes, kind("labels"))


def test_a_sound_set_is_told_nothing_of():
    assert class_notes(counted(cat=(20, 5, 5), dog=(15, 0, 3))) == []


def test_classes_that_are_never_learnt_are_named_and_counted():
    names = {f"c{i}": (0, 1, 1) for i in range(7)}
    [line] = class_notes(counted(cat=(9, 1, 1), **names))
    names = "'c0', 'c1', 'c2', 'c3', 'c4' and 2 more"
    assert line.startswith(f"7 classes ({names}) have no image in train")


def test_few_uneven_and_alike_classes_are_told():
    counts = {"Dog": (120, 0, 0), "dog": (3, 1, 0), "cat": (1, 0, 0), "hot-dog": (9, 1, 1)}
    lines = class_notes(counted(**counts))
    assert any(line.startswith("1 class ('cat') has a single label in train") for line in lines)
    assert "1 of the 4 classes has a single image in all splits together" in lines
    assert any("uneven" in line and "120 times fewer" in line for line in lines)
    assert any("'Dog' (120) and 'dog' (4) differ only in case" in line for line in lines)
    assert not any("hot-dog" in line for line in lines)


def test_a_set_of_one_class_is_refused_with_the_reason():
    with pytest.raises(Unusable, match="one class only, 'cat', and a classifier of one"):
        class_fields("pets", counted(cat=(9, 9, 9)), kind("labels"))
    both = class_fields("pets", counted(cat=(9, 9, 9), dog=(9, 9, 9)), kind("labels"))
    assert both["splits"] == {"train": 18, "val": 18, "test": 18}


def test_a_column_of_texts_is_no_column_of_labels(monkeypatch):
    monkeypatch.setattr(module, "MOST", 100)
    with pytest.raises(ValueError, match="more than 100 different labels: is that the right"):
        Classes().add([f"text {i}" for i in range(200)], "train")


def test_taken_away_images_leave_no_class_behind():
    classes = counted(cat=(1, 0, 0), dog=(2, 0, 0))
    classes.add(["cat"], "train", -1)
    assert list(classes.counts) == ["dog"]


def test_what_steers_a_terminal_is_escaped_in_names():
    [line] = class_notes(counted(**{"a\x1b]0;x\x07": (0, 1, 0), "b": (5, 0, 0), "c": (5, 0, 0)}))[
        :1
    ]
    assert "\x1b" not in line and r"\x1b]0;x\x07" in line
