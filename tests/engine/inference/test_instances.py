"""Which objects are kept: the golden threshold, ties, and what of a file follows from it."""

import json

import pytest
import torch

from corpus.drawn.objects import draw_objects
from corpus.reading.shards import Shards
from engine.core.batch import joined
from engine.core.listed import packed
from engine.core.materialised import joined_by_id, materialised, origin
from engine.core.mixed import Mixed
from engine.core.samples import Rows
from engine.inference.instances import matching, threshold_kept
from engine.inference.materialising import Keep, materialise
from flows.training.labelling import objects_per_image, without
from models.objectives.instances import Instances
from models.objectives.semantic import Semantic
from tests.corpus.test_objects import OPTIONS, posts
from tests.engine.core.test_mixed import shards as squares
from tests.support.corpora import build_with

READS = Instances.reads


def golden() -> torch.Tensor:
    return torch.arange(1, 101, dtype=torch.float64) * 0.6180339887498949 % 1


def test_the_threshold_keeps_as_many_of_an_image_as_are_labelled():
    told = matching(golden(), 2.3, 20)
    assert told["wanted"] == 46 and 0.5410196625 < told["threshold"] <= 0.5541752800
    kept, numbers = threshold_kept(list(golden().split(5)), told["threshold"])
    assert sum(map(len, kept)) == numbers["kept"] == 46 and numbers["tied"] == 1
    assert numbers["found"] == 100 and numbers["images"] == 20
    assert numbers["none"] == sum(not len(each) for each in kept)


@pytest.mark.parametrize(
    ("scores", "average", "kept", "wanted"),
    [([0.9, 0.5, 0.5, 0.5, 0.1], 1.0, 4, 2), ([0.9, 0.8], 4.0, 2, 8), ([0.9], 0.1, 0, 0)],
    ids=["ties", "too few found", "none wanted"],
)
def test_equal_scores_and_too_few_are_told(scores, average, kept, wanted):
    told = matching(torch.tensor(scores), average, 2)
    some = [torch.tensor(scores[:1]), torch.tensor(scores[1:])]
    numbers = threshold_kept(some, told["threshold"])[1]
    assert (numbers["kept"], told["wanted"]) == (kept, wanted)
    assert numbers["tied"] == (3 if kept == 4 else kept and 1)
    json.dumps(told | numbers, allow_nan=False)


def test_nothing_found_at_all():
    told = matching(torch.zeros(0), 3.0, 4)
    kept, numbers = threshold_kept([torch.zeros(0)] * 4, told["threshold"])
    assert numbers["kept"] == 0 and numbers["none"] == 4 and all(not len(each) for each in kept)


def found_in(row: int) -> dict[str, torch.Tensor]:
    """What a network is taken to find in an image of 40 x 30 px: as many objects as its number."""
    count = row % 4
    boxes = torch.arange(4.0 * count).view(-1, 4) + torch.tensor([0.0, 0, 5, 5])
    masks = torch.zeros(count, 30, 40, dtype=torch.bool)
    for place in range(count):
        masks[place, 2 + place : 9, 3:8] = True
    scores = 0.9 - 0.2 * torch.arange(count) - 0.01 * row
    labels = torch.arange(count) % 3
    about = {"boxes": boxes, "box_label": labels, "box_score": scores, "masks": masks}
    return about | {"sides": torch.tensor([40, 30])}


class Finds:
    """A policy that gives those, in the order in which it is asked."""

    def __init__(self, but: tuple[str, ...] = ()) -> None:
        self.asked, self.but = 0, but

    def __call__(self, objective, batch, draws):
        count = len(batch["image"])
        rows = [found_in(row) for row in range(self.asked, self.asked + count)]
        self.asked += count
        found = {key: [] for key in rows[0] if key not in self.but}
        for key, column in found.items():
            column += [row[key] for row in rows]
        return found, {}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A set of 8 training images with their objects, 30 px; and one of maps."""
    top = tmp_path_factory.mktemp("drawn")
    draw_objects(top / "data/targets/things", "boxes", (8, 1, 1), size=40)
    draw_objects(top / "data/targets/maps", "panoptic", (8, 1, 1), size=40)
    posts(top / "data")
    build_with(top / "data", top / "out", top / "cache", size=40, **OPTIONS)
    return top / "out/targets"


def written(samples: Rows, file, keep: Keep, policy=None, **more) -> int:
    module = torch.nn.Linear(1, 1)
    module.test_columns = lambda reads: reads
    return materialise(module, samples, policy or Finds(), keep, file, {}, **more)


def test_what_is_kept_is_trained_on_as_annotated_images_are(drawn, tmp_path):
    samples = Rows(Shards(drawn / "things", "train"), {"image": {}})
    file = tmp_path / "objects.parquet"
    assert written(samples, file, Keep(instances="match"), average=0.75) == 8
    told = origin(file)["objects"]
    # rows 1, 2, 3, 5, 6, 7 have 1, 2, 3, 1, 2, 3 objects
    assert told["wanted"] == told["kept"] == 6 and told["found"] == 12 and told["none"] == 2
    _, columns, _ = materialised(file)
    assert len(columns["boxes"][0]) == 0 and columns["boxes"][0].shape == (0, 4)
    joined = joined_by_id(samples, file, READS)
    batch = joined.read(torch.arange(8))
    assert batch.keys() == READS.keys()
    for row in range(8):
        expected, good = found_in(row), found_in(row)["box_score"].double() >= told["threshold"]
        for name in ("boxes", "box_label", "masks"):
            assert torch.equal(batch[name][row], expected[name][good]), (name, row)
        m = int(good.sum())
        assert batch["box_crowd"][row].tolist() == batch["box_ignore"][row].tolist() == [False] * m
        assert batch["masks_known"][row].tolist() == [True] * m
        assert batch["negative"][row].dtype == torch.int64 and not len(batch["negative"][row])
        assert batch["box_area"][row].tolist() == [49] * m
    assert batch["masks"][0].shape == (0, 30, 40) and batch["masks"][0].dtype == torch.bool
    # none of it is what the set itself says of these images
    for name, column in Rows(samples.shards, READS).read(torch.arange(8)).items():
        assert {each.dtype for each in column} == {each.dtype for each in batch[name]}, name


def test_generated_and_labelled_images_are_one_batch(drawn, tmp_path):
    labelled = Rows(Shards(drawn / "things", "train"), READS)
    others = Rows(squares(tmp_path / "posts", 5, 0), {"image": {}})
    file = tmp_path / "objects.parquet"
    written(others, file, Keep(column="box_score", least=0.6, empty=False))
    joined = joined_by_id(others, file, READS)
    assert joined.ids(torch.arange(len(joined))) == ["1", "2", "3"]
    mixed = Mixed([labelled, joined], [0.6, 0.4], "batch")
    batch = mixed.read(torch.tensor([8, 0, 9]))
    assert batch.keys() == READS.keys() and all(isinstance(c, list) for c in batch.values())
    assert batch["image"][0].shape == (8, 8, 3) and batch["image"][1].shape[2:] == (3,)
    assert batch["box_label"][0].tolist() == [0]
    assert torch.equal(batch["boxes"][1], labelled.read(torch.tensor([0]))["boxes"][0])
    assert batch["sides"][0].tolist() == [40, 30]


def test_masks_that_nobody_found_are_not_known_or_refused(drawn, tmp_path):
    samples = Rows(Shards(drawn / "things", "train"), {"image": {}})
    file = tmp_path / "boxes.parquet"
    written(samples, file, Keep(column="box_score", least=0.0), Finds(("masks",)))
    batch = joined_by_id(samples, file, READS).read(torch.tensor([3]))
    assert batch["masks_known"][0].tolist() == [False] * 3
    assert batch["masks"][0].shape == (3, 30, 40) and not batch["masks"][0].any()
    for name in ("masks", "keypoints", "panoptic"):
        with pytest.raises(ValueError, match=rf"has no {name} of its images.*let a network label"):
            joined_by_id(samples, file, {"image": {}, "boxes": {}, name: {}})


class Maps:
    """A policy that finds two segments, the second without a pixel in every other image."""

    def __call__(self, objective, batch, draws):
        maps = torch.zeros(len(batch["image"]), 30, 40, dtype=torch.int32)
        maps[:, :9], maps[::2, 9:20] = 1, 2
        labels = [torch.tensor([4, 0])] * len(maps)
        columns = {"panoptic": list(maps), "panoptic_label": labels}
        return columns | {"confidence": torch.linspace(0.1, 0.9, len(maps))}, {}


def test_maps_of_segments_come_back_as_they_were(drawn, tmp_path):
    samples = Rows(Shards(drawn / "maps", "train"), {"image": {}})
    file = tmp_path / "maps.parquet"
    assert written(samples, file, Keep(least=0.3), Maps()) == 6
    batch = joined_by_id(samples, file, Semantic.reads).read(torch.tensor([0, 1]))
    assert batch.keys() == Semantic.reads.keys()
    assert batch["panoptic"][0].dtype == torch.int32
    assert [sorted(each.unique().tolist()) for each in batch["panoptic"]] == [[0, 1, 2], [0, 1]]
    assert (batch["panoptic"][0][9:20] == 2).all() and batch["panoptic_label"][1].tolist() == [4, 0]
    assert batch["panoptic_crowd"][0].tolist() == batch["panoptic_thing"][1].tolist() == [False] * 2


def test_objects_of_labelled_images_are_counted_and_these_are_not_labelled_again(drawn):
    samples = Rows(Shards(drawn / "things", "train"), READS)
    some = samples.some(torch.tensor([1, 4, 6]))
    own = some.read(torch.arange(3))
    flags = [c | i for c, i in zip(own["box_crowd"], own["box_ignore"], strict=True)]
    assert objects_per_image(some) == sum(int((~each).sum()) for each in flags) / 3
    assert without(samples, some).places.tolist() == [0, 2, 3, 5, 7]
    with pytest.raises(ValueError, match=r"has learnt from all images of .*things: name others"):
        without(samples, samples)
    maps = Rows(Shards(drawn / "maps", "train"), Semantic.reads)
    with pytest.raises(ValueError, match=r"instances: match counts the objects of .*no boxes"):
        objects_per_image(maps)


@pytest.mark.parametrize(
    ("keep", "told"),
    [
        ({"instances": "match", "per_class": 3}, "leave per_class out"),
        ({"column": "boxes"}, "'boxes' has several numbers of each image"),
    ],
)
def test_a_rule_that_fits_no_objects_is_refused(keep, told):
    predictions, _ = Finds()(None, {"image": [0] * 3}, None)
    rule = Keep(**keep)
    with pytest.raises(ValueError, match=told):
        chosen = rule.objects(predictions, 1.0) if rule.of_objects else rule(predictions)
        assert not chosen
    with pytest.raises(ValueError, match="the policy gives none of"):
        Keep(instances="match").objects({"label": torch.zeros(3)}, 1.0)


def test_run_lengths_of_batches_are_joined():
    masks = [found_in(row)["masks"] for row in (0, 3)]
    whole = joined([{"masks": [packed(each)]} for each in masks])["masks"]
    assert [len(each) for each in whole] == [0, 3]
