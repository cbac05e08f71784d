"""What objectives on several views are made of: teacher, queue, projectors, views in one pass."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from models.blocks.augment.draws import Draws
from models.blocks.gather import first_row, gather, whole_mean, worker_count
from models.blocks.methods.method import Pace
from models.blocks.methods.multiview import GROUP, wide
from models.blocks.methods.projector import projector
from models.blocks.methods.queue import Queue
from models.blocks.methods.teacher import Teacher, rising_momentum
from tests.models.selfsup.toys import Normless, Photos, method, small, waves


def test_a_teacher_nears_a_network_that_stays_by_a_closed_form():
    network = nn.Linear(3, 2).double()
    teacher = Teacher(part=network)
    start = [weight.clone() for weight in teacher.parameters()]
    with torch.no_grad():
        for weight in network.parameters():
            weight += waves(tuple(weight.shape), 1)
    for _ in range(100):
        teacher.follow(0.99, part=network)
    for first, now, goal in zip(start, teacher.parameters(), network.parameters(), strict=True):
        share = (now - first) / (goal - first)
        # 1 - 0.99 ** 100
        torch.testing.assert_close(share, torch.full_like(share, 0.633967658727), rtol=1e-9, atol=0)


def test_a_teacher_has_its_own_buffers_and_no_gradient():
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    teacher = Teacher(part=network)
    assert not any(weight.requires_grad for weight in teacher.parameters())
    network(torch.randn(8, 3) + 5)
    teacher.follow(0.5, part=network)
    assert torch.equal(teacher.part[1].running_mean, torch.zeros(4))
    assert network[1].running_mean.abs().sum() > 0


def test_a_teacher_without_momentum_is_the_network():
    network, teacher = nn.Linear(3, 2), Teacher(part=nn.Linear(3, 2))
    teacher.follow(0, part=network)
    for weight, followed in zip(teacher.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(weight, followed)


@pytest.mark.parametrize("name", ["moco", "byol", "dino"])
def test_a_teacher_starts_from_a_backbone_that_was_loaded(name):
    """Released weights go into the backbone when the objective has been built."""
    made = small(name, Normless())
    with torch.no_grad():
        for weight in made.backbone.parameters():
            weight.add_(1)
    made.before_step(Pace(0, 10, 2))
    own = made.teacher.backbone.parameters()
    assert all(map(torch.equal, own, made.backbone.parameters()))
    with torch.no_grad():
        next(made.backbone.parameters()).add_(1)
    made.before_step(Pace(1, 10, 2))
    kept = next(made.teacher.backbone.parameters())
    assert not torch.equal(kept, next(made.backbone.parameters()))


@pytest.mark.parametrize(
    ("first", "values"),
    [
        (0.994, [0.994, 0.9948786797, 0.997, 0.9991213203, 1]),
        (0.996, [0.996, 0.9965857864, 0.998, 0.9994142136, 1]),
    ],
)
def test_the_momentum_rises_to_one(first, values):
    found = [rising_momentum(first, quarter / 4) for quarter in range(5)]
    assert found == pytest.approx(values, rel=1e-9)


def test_the_momentum_of_single_steps_is_golden():
    """Forty steps of a training from 0.996."""
    found = [rising_momentum(0.996, step / 40) for step in (1, 20, 39)]
    assert found == pytest.approx([0.9960061653, 0.998, 0.9999938347], rel=1e-9)


def test_a_queue_starts_with_vectors_of_length_one_and_replaces_the_oldest():
    queue = Queue(5, 3)
    torch.testing.assert_close(queue.vectors.norm(dim=1), torch.ones(5))
    rows = waves((12, 3), 0).float()
    kept = queue.vectors.clone()
    for start, stop in ((0, 2), (2, 4), (4, 7)):
        queue.push(rows[start:stop])
        kept = torch.cat([kept, rows[start:stop]])[-5:]
        assert torch.equal(queue.vectors.roll(-int(queue.place), 0), kept)
    assert queue.place == 2


@pytest.mark.parametrize("n", [5, 6, 12])
def test_of_more_vectors_than_a_queue_holds_the_last_stay(n):
    queue, rows = Queue(5, 3), waves((12, 3), 0).float()
    queue.push(rows[:2])
    queue.push(rows[:n])
    assert queue.place == (2 + n) % 5
    assert torch.equal(queue.vectors.roll(-int(queue.place), 0), rows[n - 5 : n])


def test_a_queue_is_part_of_a_state():
    queue, other = Queue(5, 3), Queue(5, 3)
    queue.push(torch.ones(2, 3))
    other.load_state_dict(queue.state_dict())
    assert torch.equal(queue.vectors, other.vectors) and other.place == 2
    assert not list(queue.parameters())


@pytest.mark.parametrize(
    ("options", "params"),
    [
        # the projector of Barlow Twins: its published size
        ({"widths": (2048, 8192, 8192, 8192), "bias": False, "last_bias": False}, 151_027_712),
        ({"widths": (6, 8, 4), "norm": False}, 6 * 8 + 8 + 8 * 4 + 4),
        ({"widths": (6, 8, 4)}, 6 * 8 + 8 + 16 + 8 * 4 + 4),
        ({"widths": (6, 4), "last_norm": True, "affine": False}, 6 * 4 + 4),
    ],
)
def test_projectors_have_their_sizes(options, params):
    with torch.device("meta"):
        made = projector(**options)
    assert sum(part.numel() for part in made.parameters()) == params
    linear = [layer for layer in made if isinstance(layer, nn.Linear)]
    sides = [(layer.in_features, layer.out_features) for layer in linear]
    assert sides == list(pairwise(options["widths"]))


def test_alone_there_is_nothing_to_gather():
    rows = waves((4, 3), 0)
    assert gather(rows) is rows and first_row(rows) == 0 and worker_count() == 1
    torch.testing.assert_close(whole_mean(rows), rows.mean(0))
    assert not whole_mean(rows.requires_grad_()).requires_grad


def test_views_pass_the_backbone_together():
    module = method("simclr", Normless())
    views = waves((3, 2, 3, 16, 16), 0).float()
    found = module.pooled(views)
    assert found.shape == (3, 2, 10)
    for place in range(2):
        torch.testing.assert_close(found[:, place], module.features(views[:, place]))
    small = waves((3, 4, 3, 8, 8), 1).float()
    both = module.pooled_all({"image": views, "small": small})
    assert both.shape == (3, 6, 10)
    torch.testing.assert_close(both[:, :2], found)
    torch.testing.assert_close(both[:, 2:], module.pooled(small))
    same = module.pooled_all({"image": views[:, :1], "small": views[:, 1:]})
    torch.testing.assert_close(same, found)
    assert torch.equal(module.pooled_all({"image": views}), found)


def test_the_task_that_it_is_measured_by_is_to_tell_samples():
    module = method("simclr", Normless()).eval()
    n = GROUP + 3
    batch = {"image": Photos(n).pixels}
    view = module.test_views(batch, Draws(torch.Generator().manual_seed(0)))
    assert view["label"].tolist() == [*range(GROUP), 0, 1, 2]
    twins = view | {"image": view["image"][:, :1].repeat(1, 2, 1, 1, 1)}
    scores = module.predict(twins)["scores"]
    assert scores.shape == (n, GROUP)
    torch.testing.assert_close(scores.gather(1, view["label"][:, None]), torch.ones(n, 1))
    # a smaller group has fewer answers
    assert torch.isinf(scores[GROUP:, 3:]).all() and torch.isfinite(scores[:, :3]).all()


def test_wide_is_float32_at_the_least():
    for kind, found in (
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ):
        assert wide(torch.ones(2, dtype=kind)).dtype == found


def test_a_head_that_nothing_teaches_has_no_gradient():
    module = method("simclr", Normless())
    assert not any(part.requires_grad for part in module.head.parameters())
    kept = {name.partition(".")[0] for name in module.export()}
    assert kept == {"backbone", "head"}
    assert F.normalize(module.embedded(torch.randn(2, 3, 16, 16))).shape == (2, 128)
