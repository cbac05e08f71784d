"""What sources say of the classes of a set, beside its shards: added, replaced, damaged."""

import pytest

from corpus.store.categories import CATEGORIES, note_categories, read_categories

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


@pytest.mark.parametrize("text", ["{", "{}", "[1]", ""])
def test_a_damaged_list_is_told(tmp_path, text):
    (tmp_path / CATEGORIES).write_text(text)
    with pytest.raises(ValueError, match=r"categories\.json is damaged; restore the store"):
        read_categories(tmp_path)
