"""Every objective: views, a loss that learns, weights to export; and the loss of hashtags to the digit."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from engine.build import build, choices
from models.blocks.views import Views

TARGETS = {
    "hashtags": F.one_hot(torch.arange(16) % 4, 4).float() + F.one_hot(torch.zeros(16, dtype=int), 4),
    "supervised": torch.arange(16) % 4,
}
TARGETS["hashtags"].clamp_(max=1)


def objective(name: str, **options) -> nn.Module:
    torch.manual_seed(0)
    small = {"depth": 3, "w_0": 16, "w_a": 8, "w_m": 2, "group_width": 8, "stem_width": 8, "stem_stride": 1}
    backbone = build("backbones", {"name": "regnet", **small})
    head = build("heads", {"name": "linear"}, channels=backbone.channels, classes=4)
    return build("objectives", {"name": name, **options}, backbone=backbone, head=head)


def photos(n: int = 16, h: int = 32, w: int = 32) -> torch.Tensor:
    return torch.randint(0, 256, (n, h, w, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", choices("objectives"))
def test_contract(name):
    method = objective(name)
    inputs = method.views(photos(), torch.Generator().manual_seed(0))
    assert inputs.shape == (16, 3, 32, 32) and inputs.is_contiguous(memory_format=torch.channels_last)
    inputs[:, 0] += TARGETS["supervised"].view(16, 1, 1)  # something to learn
    optimizer, losses = torch.optim.SGD(method.parameters(), 0.1, momentum=0.9), []
    for _ in range(12):
        loss = method({"inputs": inputs, "targets": TARGETS[name]})["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        method.after_step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert method.predict(method.plain(photos())).shape == (16, 4)


@pytest.mark.parametrize("name", choices("objectives"))
def test_exported_backbone_fits_another_objective(name):
    weights = objective(name).export()
    assert {key.split(".")[0] for key in weights} == {"backbone", "head"}
    fresh = objective("supervised").backbone
    fresh.load_state_dict({k.removeprefix("backbone."): v for k, v in weights.items() if k.startswith("backbone.")})


class Fixed(nn.Module):
    """A backbone that returns what it is given."""

    def forward(self, inputs):
        return inputs


class Pass(Fixed):
    """A head whose logits are its features."""

    @staticmethod
    def loss(predictions, targets):
        return {"loss": F.cross_entropy(predictions, targets)}


def hashtag_loss(logits: torch.Tensor, tags: torch.Tensor) -> float:
    return build("objectives", {"name": "hashtags"}, backbone=Fixed(), head=Pass())(
        {"inputs": logits, "targets": tags}
    )["loss"].item()


GOLDEN = 3 * torch.sin(0.37 * torch.arange(18, dtype=torch.float64)).view(3, 6)
TAGS = torch.tensor([[1, 0, 1, 0, 0, 0], [0, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 1]], dtype=torch.float64)


def test_hashtag_loss_is_golden():
    assert hashtag_loss(GOLDEN, TAGS) == pytest.approx(2.3162061331, abs=1e-10)


def test_one_hashtag_is_plain_cross_entropy():
    expected = F.cross_entropy(GOLDEN, torch.tensor([5, 0, 2])).item()
    assert hashtag_loss(GOLDEN, F.one_hot(torch.tensor([5, 0, 2]), 6).double()) == pytest.approx(expected)


def test_image_without_a_hashtag_teaches_nothing():
    logits = GOLDEN.clone().requires_grad_()
    method = build("objectives", {"name": "hashtags"}, backbone=Fixed(), head=Pass())
    method({"inputs": logits, "targets": TAGS * torch.tensor([[1.0], [0.0], [1.0]])})["loss"].backward()
    assert logits.grad[1].abs().sum() == 0 and logits.grad[0].abs().sum() > 0


@pytest.mark.parametrize("shape", [(4, 32, 32), (4, 24, 40)])
@pytest.mark.parametrize("flip", [0, 1])
def test_whole_crop_is_the_image(shape, flip):
    views, images = Views((1, 1), (1, 1), flip), photos(*shape)
    seen = views(images, torch.Generator().manual_seed(0))
    if shape[1] == shape[2]:
        plain = views.plain(images)
        torch.testing.assert_close(seen, plain.flip(-1) if flip else plain, atol=2e-5, rtol=1e-5)
    assert seen.shape == (shape[0], 3, *shape[1:])


@pytest.mark.parametrize("shape", [(100, 32, 32), (40, 24, 60), (3, 256, 200), (1, 1, 1)])
@pytest.mark.parametrize("threads", [1, 2])
def test_views_in_parts_are_those_of_an_affine_grid_over_the_whole_batch(shape, threads):
    n, h, w = shape
    views, images, before = Views((0.2, 1), (3 / 4, 4 / 3), 0.5), photos(*shape), torch.get_num_threads()
    theta = views.boxes(n, h / w, torch.Generator().manual_seed(0))
    grid = F.affine_grid(theta, [n, 3, h, w], align_corners=False)
    expected = F.grid_sample(views.plain(images), grid, padding_mode="border", align_corners=False)
    torch.set_num_threads(threads)
    try:
        seen = views(images, torch.Generator().manual_seed(0))
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(seen, expected, atol=1e-4, rtol=1e-5)  # equal bits on most machines


def test_plain_view_is_normalised_as_torchvision_does():
    transforms = pytest.importorskip("torchvision.transforms.v2.functional")
    chw = photos().permute(0, 3, 1, 2)
    expected = transforms.normalize(chw.float() / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    torch.testing.assert_close(Views((1, 1), (1, 1), 0).plain(photos()), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("scale", [(0.2, 0.5), (0.4, 1.0)])
def test_crops_lie_inside_and_have_the_shape_asked_for(scale):
    views, aspect = Views(scale, (3 / 4, 4 / 3), 0.5), 0.75
    theta = views.boxes(20_000, aspect, torch.Generator().manual_seed(0))
    width, height = theta[:, 0, 0].abs(), theta[:, 1, 1]
    assert (theta[:, 0, 2].abs() + width).max() <= 1 + 1e-6 and (theta[:, 1, 2].abs() + height).max() <= 1 + 1e-6
    inside = (width < 1) & (height < 1)  # the others were cut
    area, ratio = (width * height)[inside], (width / height / aspect)[inside]
    assert area.min().item() == pytest.approx(scale[0], abs=1e-2) and area.max() <= scale[1] + 1e-5
    assert (ratio.min().item(), ratio.max().item()) == pytest.approx((3 / 4, 4 / 3), abs=1e-2)
    if inside.all():
        assert area.mean().item() == pytest.approx(sum(scale) / 2, abs=1e-2)
        assert ratio.log().mean().item() == pytest.approx(0, abs=1e-2)
    assert (theta[:, 0, 0] < 0).float().mean().item() == pytest.approx(0.5, abs=0.02)


def test_views_repeat_with_their_generator():
    method = objective("hashtags")
    first, again, other = (method.views(photos(), torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
