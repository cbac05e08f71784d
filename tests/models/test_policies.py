"""What every policy has to keep: a row per sample, the same whatever batch it is asked in."""

from itertools import product

import pytest
import torch

from corpus.reading.sampler import TEST_VIEWS, seeded
from engine.core.batch import COLUMNS, length
from engine.core.build import build, choices
from engine.core.network import network
from engine.training.predicting import predicted
from metrics.pq import PQ
from models.blocks.augment.boxes import resized
from models.blocks.augment.draws import Draws
from models.blocks.detection.merging import merged
from models.blocks.detection.targets import semantic_of
from tests.support.networks import TINY
from tests.support.scenes import Scenes, scene_network
from tests.support.videos import TINY_CLIPS, Videos

CLASSES, COUNT = 3, 5
TARGETS = {
    "supervised": {"label": torch.arange(COUNT) % CLASSES},
    "multilabel": {"tags": (torch.arange(COUNT * CLASSES).reshape(COUNT, -1) % 2).float()},
    "hashtags": {"hashtags": (torch.arange(COUNT * CLASSES).reshape(COUNT, -1) % 2).float()},
}
OTHERS = ("views", "transforms", "panoptic")  # of clips, and of objects and pixels


def batch_of(objective: str) -> dict[str, torch.Tensor]:
    pixels = torch.randint(0, 256, (COUNT, 32, 32, 3), generator=seeded(5)).to(torch.uint8)
    return {"image": pixels} | TARGETS[objective]


@pytest.mark.parametrize("objective", TARGETS)
@pytest.mark.parametrize("name", [name for name in choices("policies") if name not in OTHERS])
def test_each_sample_has_a_row_that_its_neighbours_do_not_change(name, objective):
    policy = build("policies", {"name": name})
    torch.manual_seed(0)
    module = network(TINY, {"name": objective}, {"name": "linear"}, classes=CLASSES).eval()
    batch = batch_of(objective)

    def asked(part: slice) -> tuple[dict, dict]:
        draws = Draws(seeded(0, TEST_VIEWS), part.start, COUNT)
        with torch.no_grad():
            return policy(module, {key: column[part] for key, column in batch.items()}, draws)

    whole, parts = asked(slice(0, COUNT)), [asked(slice(0, 2)), asked(slice(2, COUNT))]
    for columns, *split in zip(whole, *parts, strict=True):
        assert columns.keys() <= COLUMNS.keys()
        for key, column in columns.items():
            joined = torch.cat([part[key] for part in split])
            torch.testing.assert_close(joined, column, rtol=1e-5, atol=1e-6)
            assert len(column) == COUNT
    assert length(whole[0]) == COUNT


def test_plain_gives_what_the_objective_predicts_and_what_is_true():
    module = network(TINY, {"name": "supervised"}, {"name": "linear"}, classes=CLASSES).eval()
    batch, draws = batch_of("supervised"), Draws(seeded(0), 0, COUNT)
    with torch.no_grad():
        predictions, targets = build("policies", {"name": "plain"})(module, batch, draws)
        expected = module.logits(module.plain(batch["image"]))
    assert torch.equal(predictions["scores"], expected) and targets == {"label": batch["label"]}
    torch.testing.assert_close(predictions["probabilities"], expected.softmax(1))


def test_pseudo_labels_of_tags_are_those_as_probable_as_the_threshold():
    module = network(TINY, {"name": "multilabel"}, {"name": "linear"}, classes=CLASSES).eval()
    policy = build("policies", {"name": "pseudo", "threshold": 0.4})
    with torch.no_grad():
        found, targets = policy(module, batch_of("multilabel"), Draws(seeded(0), 0, COUNT))
    soft = found["soft"]
    assert targets == {} and torch.equal(found["tags"], (soft >= 0.4).float())
    torch.testing.assert_close(found["confidence"], soft.maximum(1 - soft).mean(1))


def test_a_pretext_task_has_no_pseudo_labels():
    module = network(TINY, {"name": "rotation"}, {"name": "linear"}, classes=CLASSES).eval()
    with pytest.raises(ValueError, match="objective rotation gives no probabilities"):
        build("policies", {"name": "pseudo"})(module, batch_of("supervised"), Draws(seeded(0)))


CLIPS = {"name": "clips", "frames": 4, "every": 2, "size": 16}


def of_clips(objective: str = "supervised") -> torch.nn.Module:
    torch.manual_seed(0)
    section = {"name": objective, "views": CLIPS}
    return network(TINY_CLIPS, section, {"name": "linear"}, classes=CLASSES).eval()


def asked(policy: dict, module: torch.nn.Module, samples: Videos) -> tuple[dict, dict]:
    """What a policy gives of all samples, as a test asks it."""
    found = list(predicted(module, samples, build("policies", policy)))
    assert [len(indices) for indices, *_ in found] == [len(samples)]
    return found[0][1:]


@pytest.mark.parametrize("objective", ["supervised", "hashtags", "multilabel"])
def test_one_view_of_a_video_is_the_plain_one(objective):
    module, column = of_clips(objective), TARGETS[objective]
    samples = Videos(module.reads, COUNT)
    samples.tags = TARGETS["multilabel"]["tags"]
    one, targets = asked({"name": "views", "clips": 1, "crops": 1}, module, samples)
    plain, true = asked({"name": "plain"}, module, samples)
    assert torch.equal(one["probabilities"], plain["probabilities"])
    assert targets.keys() == true.keys() == column.keys()
    torch.testing.assert_close(one["scores"].exp(), plain["probabilities"])


@pytest.mark.parametrize("side", [None, 12])
def test_views_of_a_video_are_averaged(side):
    """Each view by itself: cut out of its frames here, its answer by the network alone."""
    module, samples = of_clips(), Videos(of_clips().reads, COUNT)
    policy = {"name": "views", "clips": 3, "crops": 3, "side": side}
    found, _ = asked(policy, module, samples)
    whole, edge = torch.zeros(COUNT, CLASSES), side or 16
    for row, video in enumerate(samples.pixels):
        height, width = video.shape[1:3]
        for start, place in product((0, 2, 5), (0.0, 0.5, 1.0)):
            top, left = round(place * (height - 16)), round(place * (width - 16))
            clip = video[start : start + 7 : 2, top : top + 16, left : left + 16]
            planes = resized(clip.permute(0, 3, 1, 2), edge).transpose(0, 1).float() / 255
            with torch.no_grad():
                whole[row] += module.logits((planes[None] - 0.45) / 0.225).softmax(1)[0] / 9
    torch.testing.assert_close(found["probabilities"], whole, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found["scores"], whole.log(), atol=1e-4, rtol=1e-4)


def test_neither_the_order_of_clips_nor_neighbours_change_what_is_said_of_a_video():
    module, samples = of_clips(), Videos(of_clips().reads, COUNT)
    policy = build("policies", {"name": "views", "clips": 3})
    assert policy.count == 9 and policy.shape((3, 4, 16, 16)) == (3, 4, 16, 16)
    read = samples.reading(policy.columns(module.test_columns(samples.reads)))
    batch, draws = read.read(torch.arange(COUNT), None), Draws(seeded(0), 0, COUNT)
    assert len(batch["clip"][0]) == 3
    turned = batch | {"clip": [clips.flip(0) for clips in batch["clip"]]}
    alone = {name: column[1:2] for name, column in batch.items()}
    with torch.no_grad():
        found, other, one = (policy(module, each, draws)[0] for each in (batch, turned, alone))
    torch.testing.assert_close(found["probabilities"], other["probabilities"])
    torch.testing.assert_close(found["probabilities"][1:2], one["probabilities"])


def test_clips_of_segments_are_drawn_and_the_same_in_every_test():
    views = build("policies", {"name": "views", "clips": 4})
    own = {"clip": {"frames": 4, "clips": 1, "place": "middles"}, "label": {}}
    assert views.columns(own)["clip"] == {"frames": 4, "clips": 4, "place": "segments"}
    module = of_clips()
    samples = Videos({"clip": own["clip"] | {"every": 2}}, COUNT)
    module.tested = own
    first, second = (asked({"name": "views", "clips": 4}, module, samples)[0] for _ in range(2))
    assert torch.equal(first["scores"], second["scores"])


@pytest.mark.parametrize("section", [{"name": "supervised"}, {"name": "rotation"}])
def test_several_views_are_of_clips_and_classes(section):
    module = network(TINY, section, {"name": "linear"}, classes=CLASSES).eval()
    with pytest.raises(ValueError, match=rf"policy views.*{section['name']} has images, or no cla"):
        build("policies", {"name": "views"})(module, batch_of("supervised"), Draws(seeded(0)))


def test_a_panoptic_map_is_what_a_network_predicts_merged(monkeypatch):
    monkeypatch.setattr("models.policies.panoptic.AT_A_TIME", 4)
    module = scene_network("panoptic", "panoptic_fpn").eval()
    samples = Scenes(6).reading(module.reads)
    # a network that has learnt nothing is sure of nothing
    policy = {"name": "panoptic", "score": 0.0, "overlap": 0.8}
    found, targets = asked(policy, module, samples)
    columns, true = asked({"name": "plain"}, module, samples)
    assert targets.keys() == true.keys() and found.keys() <= COLUMNS.keys()
    # of a map that was stored smaller areas of annotations are not those of its pixels
    assert "panoptic_area" not in targets
    segments = 0
    for row, semantic in enumerate(columns["semantic"]):
        names = ("boxes", "box_label", "box_score", "masks")
        least = 4096 / (640 * 480) * semantic.numel()
        expected = merged(*(columns[name][row] for name in names), semantic, 0.8, 0.0, least)
        for name, column in expected._asdict().items():
            assert torch.equal(found[name][row], column), name
        segments += len(expected.panoptic_label)
    assert segments > 20
    PQ().update(found, targets)


class Told(torch.nn.Module):
    """Is told what the images show."""

    def test_views(self, batch, draws):
        return batch

    def targets(self, view):
        return {name: view[name] for name in view if name.startswith("panoptic")}

    def predict(self, view):
        pairs = zip(view["panoptic"], view["panoptic_label"], strict=True)
        columns = {"semantic": [semantic_of(*pair) for pair in pairs]}
        scores = [torch.full((len(labels),), 0.9) for labels in view["box_label"]]
        same = {name: view[name] for name in ("boxes", "box_label", "masks")}
        return columns | same | {"box_score": scores}


@pytest.mark.parametrize("least", [0, 300])
def test_of_one_who_knows_all_but_small_stuff_is_found(least):
    samples = Scenes(20)
    batch, metric = samples.read(torch.arange(20)), PQ(resamples=0)
    policy = build("policies", {"name": "panoptic", "stuff_area": least})
    found, targets = policy(Told(), batch, None)
    metric.update(found, targets)
    numbers, small = metric.compute(), 0
    for panoptic, thing in zip(batch["panoptic"], batch["panoptic_thing"], strict=True):
        areas = panoptic.flatten().bincount(minlength=len(thing) + 1)[1:]
        small += int((~thing & (areas < least)).sum())
    assert numbers["fn"] == small and numbers["fp"] == 0 and numbers["sq"] == 100
    assert (small > 0) == (least > 0), "no scene has small stuff"


@pytest.mark.parametrize(
    ("objective", "head", "lacking"),
    [("instances", "mask_rcnn", "semantic"), ("semantic", "semantic_fpn", "boxes")],
)
def test_a_panoptic_map_is_made_of_masks_and_classes_of_pixels(objective, head, lacking):
    module = scene_network(objective, head).eval()
    with pytest.raises(ValueError, match=f"policy panoptic: .* {objective} gives no {lacking}: ta"):
        asked({"name": "panoptic"}, module, Scenes(2).reading(module.reads))
