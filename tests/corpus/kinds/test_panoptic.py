"""The kind panoptic: segments that a table says, as masks that do not overlap."""

import pytest

from corpus.records.kind import kind

SKY = {"id": 3, "label": "sky", "rle": {"size": [2, 4], "counts": [0, 4, 4]}, "thing": False}
DOG = {"id": 9, "label": "dog", "rle": {"size": [2, 4], "counts": [4, 2, 2]}}


def described(*segments: dict) -> list:
    row = {"width": 4, "height": 2, "objects": [*segments]}
    return kind("panoptic").described(row)["objects"]


def test_boxes_and_areas_are_those_of_the_masks():
    sky, dog = described(SKY, DOG)
    assert (sky.box, sky.area, sky.thing) == ((0, 0, 2, 2), 4, False)
    assert (dog.box, dog.area, dog.thing) == ((2, 0, 1, 2), 2, True)


@pytest.mark.parametrize(
    ("segment", "why"),
    [
        (DOG | {"rle": {"size": [2, 4], "counts": [3, 2, 3]}}, "segments that overlap: 3 and 9"),
        ({"id": 9, "label": "dog", "box": [0, 0, 1, 1]}, "segment without a mask: 9"),
        (DOG | {"id": 0}, "segment without an id from 1 to 16777215: 0"),
        (DOG | {"id": 1 << 24}, "segment without an id from 1 to 16777215"),
    ],
)
def test_segments_that_make_no_map_are_refused(segment, why):
    with pytest.raises(ValueError, match="segment") as told:
        described(SKY, segment)
    assert str(told.value).startswith(why)
