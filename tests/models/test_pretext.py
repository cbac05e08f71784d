"""Pretext tasks: their puzzles have the answers they claim, are the same for all networks, and
can be learnt.
"""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from corpus.drawn.painting import expose
from corpus.drawn.scenes import compose
from engine.core.batch import Batch
from engine.core.network import load_network, network, save_network
from engine.training import predicting
from engine.training.loop import initialise, train
from engine.training.recipe import Recipe
from engine.training.schedule import Training
from models.blocks.augment.draws import Draws
from models.objectives.colour import bins, lab, matrices, rgb
from models.objectives.jigsaw import permutation_set
from tests.engine.training.toys import accuracy, answers
from tests.support.networks import TINY

SMALL = TINY | {"stem_stride": 1}
CLASSES = {"rotation": 4, "jigsaw": 24, "colour": 261}


def task(name: str, **options) -> nn.Module:
    return network(SMALL, {"name": name} | options, {"name": "linear"}, classes=7)


def draws(seed: int = 0, **part: int) -> Draws:
    return Draws(torch.Generator().manual_seed(seed), **part)


class Scenes:
    """Pictures of the drawn sample, without targets."""

    def __init__(self, n: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.pixels = torch.from_numpy(np.stack([expose(rng, *compose(rng), 32) for _ in range(n)]))

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, indices: torch.Tensor, draws: Draws) -> Batch:
        return {"image": self.pixels[indices]}


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return Scenes(192)


@pytest.mark.parametrize("rotations", [1, 2, 4])
def test_rotations_are_balanced_and_undone_by_as_many_turns(rotations, scenes):
    method, images = task("rotation", rotations=rotations), scenes.pixels[:32]
    made = method.test_views({"image": images}, draws(first=5, total=40))
    plain, targets = method.plain(images), made["label"].unflatten(0, (32, rotations))
    assert targets.flatten().bincount().tolist() == [8 * rotations] * 4
    assert all(len(set(row.tolist())) == rotations for row in targets)
    for image, views, turns in zip(plain, made["image"], targets, strict=True):
        for view, turn in zip(views, turns.tolist(), strict=True):
            assert torch.equal(view.rot90(-turn, (1, 2)), image) and torch.equal(
                view.rot90(4 - turn, (1, 2)), image
            )


@pytest.mark.parametrize(("grid", "permutations"), [(2, 24), (3, 50)])
def test_inverse_permutation_restores_the_image(grid, permutations, scenes):
    method = task("jigsaw", grid=grid, permutations=permutations, tile=1)
    images = scenes.pixels[:, : 30 // grid * grid, : 30 // grid * grid]
    made = method.test_views({"image": images}, draws())
    ordered = torch.stack(
        [
            t[o.argsort()]
            for t, o in zip(made["image"], method.permutations[made["label"]], strict=True)
        ]
    )
    cells = (
        method.augment.plain(images)
        .unflatten(2, (grid, -1))
        .unflatten(4, (grid, -1))
        .permute(0, 2, 4, 1, 3, 5)
    )
    cells = F.layer_norm(cells.flatten(1, 2), cells.shape[3:])
    torch.testing.assert_close(ordered, cells, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(method.plain(images), cells, atol=1e-4, rtol=1e-4)
    assert made["label"].unique().numel() > permutations / 2


def test_tiles_come_from_anywhere_in_their_cells():
    method, ramp = task("jigsaw"), torch.arange(32, dtype=torch.float32).expand(500, 3, 32, 32)
    cells, places = torch.arange(4).expand(500, -1), draws().rand(500, 4, 2)
    assert method.cut(ramp, cells, places).shape == (500, 4, 3, 12, 12)
    spike = (
        F.one_hot(torch.tensor(3), 32).float().expand(500, 3, 32, 32)
    )  # column 3 of 16, a tile starts at 0 to 4
    found = method.cut(spike, cells, places)[:, 0, 0, 0].argmax(1)
    assert (
        found[method.cut(spike, cells, places)[:, 0].std((1, 2, 3)) > 0.5]
        .bincount(minlength=4)
        .min()
        > 60
    )


@pytest.mark.parametrize(("tiles", "count"), [(4, 24), (9, 1000)])
def test_permutations_are_unique_and_as_far_apart_as_can_be(tiles, count):
    chosen = permutation_set(tiles, count)
    apart = (chosen[:, None] != chosen).sum(2)
    assert torch.equal(chosen.sort(1).values, torch.arange(tiles).expand(count, -1))
    assert len(chosen.unique(dim=0)) == count and apart[~torch.eye(count, dtype=bool)].min() >= 2
    # no set does better: a tile that comes equally often in every place agrees least with itself
    assert apart.sum() / (count * (count - 1)) == pytest.approx(
        (tiles - 1) * count / (count - 1), abs=1e-3
    )
    assert not torch.equal(chosen[:20], permutation_set(tiles, 20, seed=1))


def test_colours_are_those_of_the_standard_and_come_back():
    corners = torch.tensor([[1.0, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]])
    known = [
        [100, 0, 0],
        [53.24, 80.09, 67.20],
        [87.73, -86.18, 83.18],
        [32.30, 79.19, -107.86],
        [0, 0, 0],
    ]
    torch.testing.assert_close(lab(corners), torch.tensor(known), atol=0.01, rtol=0)
    drawn = torch.rand(10_000, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(rgb(lab(drawn)), drawn, atol=1e-4, rtol=0)


def test_bins_are_those_of_all_colours_and_within_half_a_step():
    level = torch.arange(0, 256, 5) / 255
    ab = lab(torch.cartesian_prod(level, level, level))[:, 1:]
    centres, table = bins()
    cells = (ab / 10).round().long() + 11
    assert ((centres[table[cells[:, 0], cells[:, 1]]] - ab).abs() <= 5.001).all()
    assert len(centres.unique(dim=0)) == 261 and not (centres % 10).any() and table.max() == 260


@pytest.mark.parametrize("stride", [1, 4])
def test_lightness_and_bin_give_the_picture_within_quantisation(stride, scenes):
    method, images = task("colour", stride=stride), scenes.pixels[:16]
    small = F.avg_pool2d(images.permute(0, 3, 1, 2).float(), stride).repeat_interleave(stride, 2)
    images = (
        small.repeat_interleave(stride, 3).round().byte().permute(0, 2, 3, 1)
    )  # one colour per prediction
    made = method.test_views({"image": images}, draws())
    lightness = (
        100
        * (made["image"][:, :1].movedim(1, -1) * (0.229 + 0.224 + 0.225) + 0.485 + 0.456 + 0.406)
        / 3
    )
    ab = (
        bins()[0][made["label"].view(16, 32 // stride, -1)]
        .repeat_interleave(stride, 1)
        .repeat_interleave(stride, 2)
    )
    apart = lab(images / 255) - torch.cat([lightness, ab], -1)
    assert apart[..., 0].abs().max() < 0.01 and apart[..., 1:].abs().max() < 5.01
    torch.testing.assert_close(method.plain(images), made["image"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("name", "classes"), CLASSES.items())
def test_head_of_zeros_has_the_loss_of_chance(name, classes, scenes):
    method = task(name)
    nn.init.zeros_(method.head.fc.weight)
    batch = method.views({"image": scenes.pixels[:8]}, draws())
    assert method(batch)["loss"].item() == pytest.approx(math.log(classes), rel=1e-5)


def test_tables_are_real_where_networks_are_only_sketched(scenes):
    for table in (bins, matrices, permutation_set):
        table.cache_clear()
    with torch.device("meta"):
        assert all(task(name).head.fc.weight.is_meta for name in CLASSES)
    for name in CLASSES:
        _, targets = answers(task(name), scenes)
        assert targets.unique().numel() > 3


@pytest.mark.parametrize("name", CLASSES)
def test_mean_loss_of_equal_parts_is_that_of_the_batch(name, scenes):
    method = task(name).eval()
    batch = method.views({"image": scenes.pixels[:16]}, draws())
    parts = []
    for first in range(0, 16, 4):
        parts.append({key: values[first : first + 4] for key, values in batch.items()})
    torch.testing.assert_close(
        torch.stack([method(part)["loss"] for part in parts]).mean(), method(batch)["loss"]
    )


@pytest.mark.parametrize("name", CLASSES)
def test_all_networks_are_measured_on_the_same_puzzles(name, scenes, monkeypatch):
    options = {"stride": 4} if name == "colour" else {}
    method, other = task(name, **options), task(name, **options)
    whole = answers(method, scenes)[1]
    of_workers = [answers(other, scenes, rows)[1] for rows in (slice(0, 90), slice(90, 192))]
    assert torch.equal(whole, torch.cat(of_workers))
    assert accuracy(method, scenes)["samples"] == len(whole)
    monkeypatch.setattr(predicting, "BATCH", 100)
    assert torch.equal(whole, answers(other, scenes)[1])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("name", "options", "chance"),
    [("rotation", {"rotations": 2}, 25), ("jigsaw", {}, 100 / 24), ("colour", {"stride": 4}, None)],
)
def test_a_small_network_learns_it(name, options, chance, seed, scenes):
    initialise(seed)
    method, held = task(name, scale=(0.75, 1), **options), Scenes(100, seed=1)
    train(method, scenes, Training(Recipe(batch=32, rate=1.6, warmup=1), 10, seed))
    if chance is None:  # of pixels, by the bin that is the most frequent
        _, targets = answers(method, held)
        chance = 100 * targets.bincount().max().item() / len(targets)
    assert accuracy(method, held)["top1_low"] > chance


@pytest.mark.parametrize("name", CLASSES)
def test_weights_come_back_whatever_classes_the_data_has(name, tmp_path, scenes):
    sections = {"backbone": SMALL, "objective": {"name": name}, "head": {"name": "linear"}}
    method = task(name)
    save_network(tmp_path / "model.safetensors", method, sections, ["cat", "dog"])
    again, _ = load_network(tmp_path / "model.safetensors")
    plain = method.plain(scenes.pixels[:4])
    torch.testing.assert_close(again.eval().logits(plain), method.eval().logits(plain))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("rotation", {"rotations": 5}),
        ("jigsaw", {"grid": 4}),
        ("jigsaw", {"permutations": 25}),
        ("jigsaw", {"tile": 0}),
        ("colour", {"stride": 0}),
    ],
)
def test_puzzles_that_cannot_be_made_are_refused(name, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        task(name, **wrong)
