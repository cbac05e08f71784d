"""What a panoptic map says of pixels and things: pixel by pixel, on drawn scenes."""

import numpy as np
import torch

from corpus.drawn.concepts import SHAPES
from corpus.drawn.segments import STUFF, draw_scene
from models.blocks.detection.targets import instances_of, semantic_of

NAMES = sorted([*SHAPES, *STUFF])


def columns(seed: int, size: int = 64) -> tuple[torch.Tensor, ...]:
    """(panoptic, labels, thing, crowd) of a drawn scene."""
    drawn = draw_scene(np.random.default_rng(seed), size)
    labels = [NAMES.index(each.label) for each in drawn.segments]
    flags = [[each.thing for each in drawn.segments], [each.crowd for each in drawn.segments]]
    thing, crowd = (torch.tensor(each, dtype=torch.bool) for each in flags)
    return torch.from_numpy(drawn.numbers), torch.tensor(labels, dtype=torch.int64), thing, crowd


def test_classes_and_things_are_those_of_each_pixel():
    crowds = 0
    for seed in range(12):
        panoptic, labels, thing, crowd = columns(seed)
        classes = semantic_of(panoptic, labels)
        things = instances_of(panoptic, labels, thing, crowd)
        assert classes.dtype == torch.int64 and things.boxes.dtype == torch.float32
        for number, label in enumerate(labels.tolist(), 1):
            assert (classes[panoptic == number] == label).all()
        assert (classes[panoptic == 0] == 255).all()
        numbers = thing.nonzero()[:, 0] + 1
        assert torch.equal(things.masks, panoptic[None] == numbers[:, None, None])
        assert torch.equal(things.labels, labels[thing]) and torch.equal(things.crowd, crowd[thing])
        for mask, box in zip(things.masks, things.boxes.tolist(), strict=True):
            rows, places = mask.nonzero().T
            assert box == [places.min(), rows.min(), places.max() + 1, rows.max() + 1]
        crowds += int(things.crowd.sum())
    assert crowds, "no scene has a crowd"


def test_things_that_a_crop_has_cut_off_are_left_out():
    panoptic, labels, thing, crowd = columns(3)
    whole = instances_of(panoptic, labels, thing, crowd)
    # a crop that ends where the first thing begins
    edge = int(whole.boxes[:, 0].max())
    part = instances_of(panoptic[:, :edge], labels, thing, crowd)
    kept = whole.masks[:, :, :edge].flatten(1).any(1)
    assert len(whole.boxes) > 0 and not kept.all()
    assert torch.equal(part.masks, whole.masks[kept][:, :, :edge])
    assert torch.equal(part.labels, whole.labels[kept])


def test_a_map_without_segments():
    panoptic, none = torch.zeros(4, 6, dtype=torch.int32), torch.zeros(0, dtype=torch.bool)
    labels = torch.zeros(0, dtype=torch.int64)
    things = instances_of(panoptic, labels, none, none)
    assert [tuple(each.shape) for each in things] == [(0, 4), (0,), (0, 4, 6), (0,)]
    assert torch.equal(semantic_of(panoptic, labels), torch.full((4, 6), 255))
