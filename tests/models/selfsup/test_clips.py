"""rho clips of each video in the place of crops (arXiv 2104.14558): the golden values through a
convolution over clips, what two clips are the same as, what the order of clips changes.
"""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.augment.draws import Draws
from models.blocks.methods.multiview import MultiView
from tests.models.selfsup.test_moco import KEY, LOSSES, PLACES, QUERY, QUEUE
from tests.models.selfsup.toys import RHO, method, of_clips, waves
from tests.support.videos import Normed, Normless, Videos


class Lines(nn.Module):
    """Clips (n, 3, t, h, w) -> a map of one pixel: a linear layer of all of their numbers."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        self.channels = [len(weight)]
        self.conv = nn.Conv3d(3, len(weight), weight.shape[2:], bias=bias is not None)
        self.conv.weight.data = weight.clone()
        if bias is not None:
            self.conv.bias.data = bias.clone()

    def layers(self) -> list[nn.Module]:
        return [self.conv]

    def forward(self, clips: Tensor) -> list[Tensor]:
        return [self.conv(clips)]


def unit(shape: tuple[int, ...], shift: float) -> Tensor:
    return F.normalize(waves(shape, shift), dim=1)


def eight() -> Lines:
    """The eight numbers of the first colour of two frames of 2 x 2 px."""
    weight = torch.zeros(8, 3, 2, 2, 2, dtype=torch.float64)
    weight[:, 0] = torch.eye(8).view(8, 2, 2, 2)
    return Lines(weight)


def clips_of(*vectors: Tensor) -> Tensor:
    """(n, v, 3, 2, 2, 2), of v vectors (n, 8) each: other colours and lengths are not to count."""
    first = torch.stack(vectors, 1).unflatten(2, (2, 2, 2))
    lengths = 1.5 + waves((*first.shape[:2], 1, 1, 1), 2)
    return torch.stack([lengths * first, first + 1, -first], 2)


def bare(name: str, **options) -> MultiView:
    """An objective whose projections are those eight numbers."""
    made = method(name, eight(), hidden=8, **options).double()
    made.projector = nn.Identity()
    if hasattr(made, "teacher"):
        made.teacher.projector = nn.Identity()
    return made


CLIPS_OF_CARD = [unit((4, 8), shift) for shift in range(4)]


@pytest.mark.parametrize(
    ("rho", "loss"), [(2, 5.0252407599), (3, 9.8531569957), (4, 13.4750927201)]
)
def test_moco_of_clips_is_golden(rho, loss):
    module = bare("moco", queue=16, width=8, temperature=0.1)
    module.queue.vectors.copy_(unit((16, 8), 4))
    clips = CLIPS_OF_CARD[:rho]
    found = module({"image": clips_of(*clips), "order": torch.arange(4)})["loss"]
    assert found.item() == pytest.approx(loss, rel=1e-8)
    # all keys of the step enter, view by view
    module.after_step(0.1)
    assert module.queue.place == 4 * (rho - 1) % 16
    torch.testing.assert_close(module.queue.vectors[: 4 * (rho - 1)], torch.cat(clips[1:]))


def test_byol_of_clips_is_golden():
    """The first clip predicts what the teacher makes of all four, of itself too."""
    module = bare("byol", width=8, sequential=True, temperature=0.5)
    module.predictor = nn.Linear(8, 8, bias=False).double()
    # what makes of the first clip the prediction of the golden value: all waves are sums of two
    shifted = torch.linalg.pinv(waves((4, 8), 0), rtol=1e-10) @ waves((4, 8), 5)
    module.predictor.weight.data = shifted.T.contiguous()
    found = module({"image": clips_of(*CLIPS_OF_CARD)})["loss"]
    assert found.item() == pytest.approx(0.8841930395, rel=1e-8)


@pytest.mark.parametrize(("rho", "loss"), [(2, 3.5332629549), (4, 10.8078436035)])
def test_swav_of_clips_is_golden(rho, loss):
    module = bare("swav", prototypes=5, width=8, freeze_prototypes=0)
    module.prototypes.weight.data = unit((5, 8), 3)
    found = module({"image": clips_of(*CLIPS_OF_CARD[:rho])})["loss"]
    assert found.item() == pytest.approx(loss, rel=1e-8)


@pytest.mark.parametrize("rho", [2, 4])
def test_simclr_of_clips_is_golden(rho):
    """Of four clips the first two are compared."""
    found = bare("simclr", width=8)({"image": clips_of(*CLIPS_OF_CARD[:rho])})["loss"]
    assert found.item() == pytest.approx(3.7558093140, rel=1e-8)


def test_two_clips_are_the_three_steps_of_moco_on_images():
    """Loss, queue, teacher and weights of the authors' code, of a convolution over clips."""
    weight = waves((4, 6), 1).view(4, 3, 1, 1, 2)
    options = {"queue": 4, "width": 4, "momentum": 0.9, "temperature": 0.2}
    module = method("moco", Lines(weight, waves((4,), 2)), **options).double()
    module.projector = module.teacher.projector = nn.Identity()
    module.queue.vectors.copy_(F.normalize(waves((4, 4), 3), dim=0).T)
    conv, key = module.backbone.conv, module.teacher.backbone.conv
    optimizer = torch.optim.SGD(conv.parameters(), 0.1)
    for t in range(3):
        clips = torch.stack([waves((2, 6), 10 + t), waves((2, 6), 20 + t)], 1)
        images = clips.unflatten(2, (3, 1, 1, 2))
        loss = module({"image": images, "order": torch.tensor([1, 0])})["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        followed = key.weight.flatten()[0].item()
        module.after_step((t + 1) / 3)
        first = conv.weight.flatten()[0]
        found = [loss, module.queue.place, first, module.queue.vectors.sum()]
        expected = [LOSSES[t], PLACES[t], QUERY[t], QUEUE[t], KEY[t]]
        assert [*map(Tensor.item, found), followed] == pytest.approx(expected, rel=1e-8)


# ---- a network of convolutions over clips


def trunk(name: str, backbone: Callable[[], nn.Module] = Normless, **changed) -> MultiView:
    torch.manual_seed(0)
    made = of_clips(name, backbone(), **changed).double()
    # crops are of floats, as in every training
    made.augment.float()
    return made


def views_of(module: MultiView, n: int = 6, seed: int = 0) -> dict[str, Tensor]:
    draws = Draws(torch.Generator().manual_seed(seed))
    found = module.views(Videos(module.reads).read(torch.arange(n), draws), draws)
    return found | {"image": found["image"].double()}


@pytest.mark.parametrize("name", RHO)
def test_four_clips_of_a_video_are_four_views(name):
    module = trunk(name)
    read = {"frames": 4, "every": 2, "clips": 4, "within": 3, "place": "random"}
    assert module.reads == {"clip": read}
    batch = views_of(module)
    assert batch["image"].shape == (6, 4, 3, 4, 16, 16)
    loss = module(batch)["loss"]
    loss.backward()
    grads = [part.grad for part in module.backbone.parameters()]
    assert all(grad.isfinite().all() and grad.any() for grad in grads)


# which clips may change places: MoCo's and BYOL's keys, the two that SwAV and SimCLR compare, and
# those that SwAV tells the clusters of the two from
ORDERS = {"moco": [(0, 3, 1, 2)], "byol": [(0, 3, 1, 2)], "simclr": [(1, 0, 3, 2)]}
ORDERS["swav"] = [(1, 0, 2, 3), (0, 1, 3, 2)]


@pytest.mark.parametrize(("name", "order"), [(n, each) for n in ORDERS for each in ORDERS[n]])
def test_the_order_of_positive_clips_changes_nothing(name, order):
    module = trunk(name, Normed)
    batch = views_of(module)
    turned = batch | {"image": batch["image"][:, list(order)]}
    losses = [module(each)["loss"] for each in (batch, turned)]
    torch.testing.assert_close(*losses)
    # but another clip in the place of the query is another loss
    other = batch | {"image": batch["image"][:, [2, 1, 0, 3]]}
    assert (module(other)["loss"] - losses[0]).abs() > 1e-6


def test_the_loss_is_the_mean_over_the_positive_clips():
    module = trunk("moco")
    batch = views_of(module)
    single = []
    for key in (1, 2, 3):
        pair = batch["image"][:, [0, key]]
        single.append(module(batch | {"image": pair})["loss"])
    torch.testing.assert_close(module(batch)["loss"], torch.stack(single).mean())
    # of each clip alone batch norm would have other statistics
    byol, single = trunk("byol").eval(), []
    first = byol.predictor(byol.embedded(batch["image"][:, 0]))
    for key in range(4):
        seen = byol.teacher.projector(byol.features(batch["image"][:, key]))
        single.append(-F.cosine_similarity(first, seen).mean() / 0.5)
    torch.testing.assert_close(byol(batch)["loss"], torch.stack(single).mean())


def test_keys_of_all_clips_enter_and_are_those_of_the_teacher():
    module = trunk("moco")
    batch = views_of(module)
    module(batch)
    module.after_step(0.1)
    assert module.queue.place == 18
    flat = batch["image"][:, 1:].transpose(0, 1).flatten(0, 1)
    expected = F.normalize(module.embedded(flat), dim=1).detach()
    torch.testing.assert_close(module.queue.vectors[:18], expected)


@pytest.mark.parametrize("name", ["moco", "byol"])
def test_the_teacher_of_clips_nears_by_a_closed_form(name):
    module = trunk(name)
    start = [weight.clone() for weight in module.teacher.backbone.parameters()]
    with torch.no_grad():
        for weight in module.backbone.parameters():
            weight += waves(tuple(weight.shape), 1)
    module.momentum = 0.99
    for _ in range(100):
        module.follow(module.momentum)
    pairs = zip(
        start, module.teacher.backbone.parameters(), module.backbone.parameters(), strict=True
    )
    for first, now, goal in pairs:
        share = (now - first) / (goal - first)
        # 1 - 0.99 ** 100
        torch.testing.assert_close(share, torch.full_like(share, 0.633967658727), rtol=1e-9, atol=0)


def test_rho_of_one_is_one_clip_seen_twice():
    """The paper's control. Without crops its views are equal; those of two clips are not."""
    plain = {"scale": [1, 1], "ratio": [1, 1], "flip": 0, "jitter": [0, 0, 0, 0], "grey": 0}
    found = []
    for changed in ({"clips": 1, "views": 2}, {"clips": 2, "within": 0}, {"clips": 2}):
        module = trunk("moco", **plain | {"within": None} | changed)
        draws = Draws(torch.Generator().manual_seed(0))
        data = Videos(module.reads)
        data.pixels = [video[:, :16, :16] for video in data.pixels]
        first, second = module.views(data.read(torch.arange(9), draws), draws)["image"].unbind(1)
        found.append(int((first != second).flatten(1).any(1).sum()))
    assert found[:2] == [0, 0] and found[2] >= 6
