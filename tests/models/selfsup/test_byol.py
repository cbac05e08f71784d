"""BYOL: golden values of both forms, what is stopped, what follows, symmetry, the predictor."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.core.network import network
from models.blocks.augment.draws import Draws
from models.blocks.methods.method import Pace
from models.objectives.byol import BYOL, distance
from tests.support.networks import TINY

SMALL = TINY | {"stem_stride": 1}


def sines(*shape: int, shift: float = 0.0) -> Tensor:
    """Rows of length one."""
    count = torch.Size(shape).numel()
    waves = (0.37 * torch.arange(count, dtype=torch.float64) + shift).sin().reshape(shape)
    return F.normalize(waves, dim=1)


QUERY, KEY = sines(4, 8), sines(4, 8, shift=1)


def objective(**options) -> nn.Module:
    torch.manual_seed(0)
    section = {"name": "byol", "hidden": 12, "width": 8} | options
    method = network(SMALL, section, {"name": "linear"}, classes=4)
    with torch.no_grad():
        for parameter in method.backbone.parameters():
            # norms start at zero that would keep gradients from what is below them
            parameter.add_(0.1 * torch.randn_like(parameter))
    method.before_step(Pace())
    return method


def some_views(method: nn.Module, n: int = 6, count: int = 2) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (n, 16, 16, 3), dtype=torch.uint8, generator=generator)
    draws = Draws(torch.Generator().manual_seed(2))
    return {"image": torch.cat([method.views({"image": images}, draws)["image"]] * 2, 1)[:, :count]}


def test_the_golden_value_of_two_views_that_predict_each_other():
    """2 - 2 cosine, each of the two ways."""
    both = torch.stack([QUERY, KEY], 1)
    apart = distance(both, both.flip(1))
    expected = torch.full((2,), 0.8406933638, dtype=torch.float64)
    torch.testing.assert_close(apart.mean(0), expected, rtol=1e-8, atol=0)
    assert apart.sum(1).mean().item() == pytest.approx(2 * 0.8406933638, rel=1e-8)


def test_the_golden_value_of_four_clips_in_sequence():
    """-cosine / 0.5, the mean over the keys of all clips, the predicting one's too."""
    found = sines(4, 8, shift=5)[:, None]
    keys = torch.stack([sines(4, 8, shift=k) for k in range(4)], 1)
    apart = distance(found.expand_as(keys), keys, 0.5)
    assert apart.mean().item() == pytest.approx(0.8841930395, rel=1e-8)


def test_parity_with_lightly():
    loss = pytest.importorskip("lightly.loss").NegativeCosineSimilarity()
    generator = torch.Generator().manual_seed(0)
    found, keys = torch.randn(2, 5, 2, 7, dtype=torch.float64, generator=generator)
    theirs = [loss(found[:, k], keys[:, 1 - k]) for k in (0, 1)]
    ours = distance(found, keys.flip(1))
    torch.testing.assert_close(ours.sum(1).mean(), 4 + 2 * sum(theirs), rtol=1e-12, atol=0)
    torch.testing.assert_close(distance(found, keys.flip(1), 1.0).sum(1).mean(), sum(theirs))


def test_the_gradient_of_the_paper_is_that_of_a_temperature_of_a_half():
    slopes = []
    for temperature in (None, 0.5):
        found = sines(4, 8, shift=5)[:, None].clone().requires_grad_()
        distance(found, KEY[:, None], temperature).mean().backward()
        slopes.append(found.grad)
    torch.testing.assert_close(*slopes)


def by_hand(method: nn.Module, views: Tensor, taught: list[tuple[int, int]]) -> Tensor:
    """Mean of 2 - 2 cosine over samples, summed over pairs of a view that predicts and a key."""
    pool = method.head.pool
    n, count = views.shape[:2]
    flat = views.flatten(0, 1)
    teacher = method.teacher
    keys = teacher.projector(pool(teacher.backbone(flat))).unflatten(0, (n, count)).detach()
    which = sorted({view for view, _ in taught})
    seen = method.projector(pool(method.backbone(views[:, which].flatten(0, 1))))
    found = method.predictor(seen).unflatten(0, (n, len(which)))
    pairs = [(found[:, which.index(view)], keys[:, key]) for view, key in taught]
    return sum((2 - 2 * F.cosine_similarity(*pair)).mean() for pair in pairs)


def test_the_loss_of_a_batch_is_that_of_both_ways():
    method = objective()
    view = some_views(method)
    loss = method(view)["loss"]
    torch.testing.assert_close(loss, by_hand(method, view["image"], [(0, 1), (1, 0)]))
    swapped = method({"image": view["image"].flip(1)})["loss"]
    torch.testing.assert_close(swapped, loss)


def test_in_sequence_the_first_view_predicts_all():
    method = objective(sequential=True)
    view = some_views(method, count=3)
    ways = [(0, 0), (0, 1), (0, 2)]
    torch.testing.assert_close(method(view)["loss"], by_hand(method, view["image"], ways) / 3)
    method.temperature = 0.5
    torch.testing.assert_close(
        method(view)["loss"], by_hand(method, view["image"], ways) / 3 - torch.tensor(2.0)
    )


def test_the_order_of_samples_does_not_matter():
    method = objective()
    view = some_views(method)
    rows = torch.tensor([3, 0, 5, 1, 4, 2])
    found = method({"image": view["image"][rows]})["loss"]
    torch.testing.assert_close(found, method(view)["loss"])


def test_gradients_reach_what_is_trained_and_not_the_teacher():
    method = objective()
    method(some_views(method))["loss"].backward()
    for name, parameter in method.named_parameters():
        stopped = name.startswith(("teacher.", "head."))
        assert parameter.requires_grad is not stopped, name
        if stopped:
            assert parameter.grad is None, name
        else:
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_the_teacher_starts_as_the_network_that_is_trained_from():
    """Also one whose weights were loaded after the objective was made."""
    method = objective()
    with torch.no_grad():
        for parameter in method.backbone.parameters():
            parameter.add_(1.0)
    method.before_step(Pace(1, 10))
    own, teacher = method.backbone.parameters(), method.teacher.backbone.parameters()
    assert not all(map(torch.equal, own, teacher))
    method.before_step(Pace(0, 10))
    for part in ("backbone", "projector"):
        own, teacher = (m.get_submodule(part).parameters() for m in (method, method.teacher))
        assert all(map(torch.equal, own, teacher))


def test_the_teacher_follows_with_a_momentum_that_rises():
    method = objective(momentum=0.9)
    with torch.no_grad():
        for parameter in method.projector.parameters():
            parameter.zero_()
    kept = [parameter.clone() for parameter in method.teacher.projector.parameters()]
    shares = []
    for iteration in range(4):
        # the first would copy the network
        method.before_step(Pace(iteration + 1, 8))
        shares.append(method.momentum)
        assert method.monitors() == {"momentum": method.momentum}
        method.after_step((iteration + 2) / 8)
    # cosines of 22.5, 45, 67.5 and 90 degrees
    cosines = [0.9238795325, 0.7071067812, 0.3826834324, 0]
    assert shares == pytest.approx([1 - 0.1 * (c + 1) / 2 for c in cosines])
    product = torch.tensor(shares).prod()
    for before, now in zip(kept, method.teacher.projector.parameters(), strict=True):
        torch.testing.assert_close(now, before * product)


def test_a_loss_changes_no_weight_and_no_momentum():
    method = objective()
    view, before = some_views(method), method.momentum
    weights = {name: p.clone() for name, p in method.named_parameters()}
    first = method(view)["loss"]
    torch.testing.assert_close(method(view)["loss"], first, rtol=0, atol=0)
    assert method.momentum == before
    assert all(torch.equal(p, weights[name]) for name, p in method.named_parameters())


def test_the_papers_perceptrons():
    backbone, head = nn.Module(), nn.Linear(1, 1)
    backbone.channels = [2048]
    with torch.device("meta"):
        method = BYOL(backbone, head)
    count = partial(map, nn.Parameter.numel)
    # weights, biases and norms of 2048-4096-256 and 256-4096-256
    assert sum(count(method.projector.parameters())) == 2048 * 4096 + 3 * 4096 + 4097 * 256
    assert sum(count(method.predictor.parameters())) == 256 * 4096 + 3 * 4096 + 4097 * 256
    assert method.momentum == 0.996 and method.temperature is None and not method.sequential


def test_the_state_has_the_teacher_and_what_is_exported_has_not():
    method = objective()
    names = {name.partition(".")[0] for name in method.state_dict()}
    assert names == {"backbone", "head", "projector", "predictor", "teacher"}
    assert {name.partition(".")[0] for name in method.export()} == {"backbone", "head"}


def test_a_batch_in_half_precision_is_compared_in_whole():
    method = objective()
    with torch.autocast("cpu", torch.bfloat16):
        assert method(some_views(method))["loss"].dtype == torch.float32
    assert distance(QUERY[None].bfloat16(), KEY[None].bfloat16()).dtype == torch.float32
