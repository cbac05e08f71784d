"""What sources say of the classes of a set, beside its shards: added, replaced, damaged."""

import pytest

from corpus.records.kind import kind
from corpus.store.categories import CATEGORIES, note_categories, read_categories, unused_note
from tests.support.annotated import box, coco, image, imported, written

DOG = {"id": 1, "name": "dog", "supercategory": "animal"}
CAT = {"id": 2, "name": "cat", "keypoints": ["nose"]}


def test_classes_are_added_once_and_replaced_on_demand(tmp_path):
    assert read_categories(tmp_path) == []
    note_categories(tmp_path, [], False)
    assert not [*tmp_path.iterdir()]
    note_categories(tmp_path, [DOG], False)
    note_categories(tmp_path, [DOG, CAT], False)
    assert read_categories(tmp_path) == [DOG, CAT]
    note_categories(tmp_path, [], False)
    assert read_categories(tmp_path) == [DOG, CAT], "a source that says nothing takes nothing away"
    note_categories(tmp_path, [CAT], True)
    assert read_categories(tmp_path) == [CAT]
    note_categories(tmp_path, [], True)
    assert not [*tmp_path.iterdir()], "labels in the place of boxes have none"


def test_classes_that_no_object_has_are_named(tmp_path):
    objects = [box(1, 1), box(2, 2, category_id=7)]
    imported(written(tmp_path / "in", coco([image(1), image(2)], objects)), tmp_path / "data")
    folder = tmp_path / "data/targets/things"
    lines = unused_note(folder, kind("boxes"))
    assert lines == ["1 of 3 classes of the source have no object: 'never seen'"]
    note_categories(folder, [], True)
    assert unused_note(folder, kind("boxes")) == []


@pytest.mark.parametrize("text", ["{", "{}", "[1]", ""])
def test_a_damaged_list_is_told(tmp_path, text):
    (tmp_path / CATEGORIES).write_text(text)
    with pytest.raises(ValueError, match=r"categories\.json is damaged; restore the store"):
        read_categories(tmp_path)
