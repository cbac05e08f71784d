"""Views: crops, the test view, colours; and the numbers that they are drawn from."""

import pytest
import torch
import torch.nn.functional as F

from models.blocks.augment.draws import Draws
from models.blocks.augment.views import Views


def photos(n: int = 16, h: int = 32, w: int = 32) -> torch.Tensor:
    return torch.randint(
        0, 256, (n, h, w, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )


def draws(**part: int) -> Draws:
    return Draws(torch.Generator().manual_seed(0), **part)


@pytest.mark.parametrize("shape", [(4, 32, 32), (4, 24, 40)])
@pytest.mark.parametrize("flip", [0, 1])
def test_whole_crop_is_the_image(shape, flip):
    views, images = Views((1, 1), (1, 1), flip), photos(*shape)
    seen = views(images, draws())
    if shape[1] == shape[2]:
        plain = views.plain(images)
        torch.testing.assert_close(seen, plain.flip(-1) if flip else plain, atol=2e-5, rtol=1e-5)
    assert seen.shape == (shape[0], 3, *shape[1:])


@pytest.mark.parametrize("shape", [(100, 32, 32), (40, 24, 60), (3, 256, 200), (1, 1, 1)])
@pytest.mark.parametrize("threads", [1, 2])
def test_views_in_parts_are_those_of_an_affine_grid_over_the_whole_batch(shape, threads):
    n, h, w = shape
    views, images, before = (
        Views((0.2, 1), (3 / 4, 4 / 3), 0.5),
        photos(*shape),
        torch.get_num_threads(),
    )
    theta = views.boxes(n, h / w, draws())
    grid = F.affine_grid(theta, [n, 3, h, w], align_corners=False)
    expected = F.grid_sample(views.plain(images), grid, padding_mode="border", align_corners=False)
    torch.set_num_threads(threads)
    try:
        seen = views(images, draws())
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(seen, expected, atol=1e-4, rtol=1e-5)  # equal bits on most machines


def test_plain_view_is_normalised_as_torchvision_does():
    transforms = pytest.importorskip("torchvision.transforms.v2.functional")
    chw = photos().permute(0, 3, 1, 2)
    expected = transforms.normalize(chw.float() / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    torch.testing.assert_close(
        Views((1, 1), (1, 1), 0).plain(photos()), expected, atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("scale", [(0.2, 0.5), (0.4, 1.0)])
def test_crops_lie_inside_and_have_the_shape_asked_for(scale):
    views, aspect = Views(scale, (3 / 4, 4 / 3), 0.5), 0.75
    theta = views.boxes(20_000, aspect, draws())
    width, height = theta[:, 0, 0].abs(), theta[:, 1, 1]
    assert (theta[:, 0, 2].abs() + width).max() <= 1 + 1e-6 and (
        theta[:, 1, 2].abs() + height
    ).max() <= 1 + 1e-6
    inside = (width < 1) & (height < 1)  # the others were cut
    area, ratio = (width * height)[inside], (width / height / aspect)[inside]
    assert area.min().item() == pytest.approx(scale[0], abs=1e-2) and area.max() <= scale[1] + 1e-5
    assert (ratio.min().item(), ratio.max().item()) == pytest.approx((3 / 4, 4 / 3), abs=1e-2)
    if inside.all():
        assert area.mean().item() == pytest.approx(sum(scale) / 2, abs=1e-2)
        assert ratio.log().mean().item() == pytest.approx(0, abs=1e-2)
    assert (theta[:, 0, 0] < 0).float().mean().item() == pytest.approx(0.5, abs=0.02)


class Unchanged:
    """A RandAugment whose operations do nothing."""

    N = 1

    def __call__(self, images, draws):
        return images


def test_randaugment_without_an_effect_leaves_the_crop_but_for_rounding():
    crop, same = Views((0.4, 1), (3 / 4, 4 / 3), 0.5), Views((0.4, 1), (3 / 4, 4 / 3), 0.5, (1, 0))
    same.randaugment = Unchanged()
    torch.testing.assert_close(
        same(photos(), draws()), crop(photos(), draws()), atol=0.51 * crop.gain.max(), rtol=0
    )


def test_lighting_moves_all_pixels_of_an_image_along_the_colours_of_imagenet():
    plain, lit = Views((1, 1), (1, 1), 0), Views((1, 1), (1, 1), 0, lighting=0.1)
    images = photos(2000, 2, 2)
    change = (lit(images, draws()) - plain(images, draws())) / (
        255 * plain.gain
    )  # in colours of 0 to 1
    torch.testing.assert_close(change, change[..., :1, :1].expand_as(change), atol=1e-6, rtol=1e-4)
    change = change[:, :, 0, 0]
    lengths = torch.linalg.eigvalsh(change.T @ change / len(change)).sqrt()
    torch.testing.assert_close(
        lengths, 0.1 * torch.tensor([0.0045, 0.0188, 0.2175]), rtol=0.06, atol=1e-5
    )


def test_draws_are_a_matter_of_the_image_not_of_the_part():
    whole = draws()
    expected = [whole.rand(10, 3), whole.once(2), whole.randn(10), torch.tensor(whole.beta(0.2))]
    for first, n in ((0, 5), (5, 5), (9, 1), (3, 0)):
        part = draws(first=first, total=10)
        seen = [part.rand(n, 3), part.once(2), part.randn(n), torch.tensor(part.beta(0.2))]
        rows = slice(first, first + n)
        for mine, all_rows, cut in zip(seen, expected, (rows, slice(None), rows, ...), strict=True):
            assert torch.equal(mine, all_rows[cut])


@pytest.mark.parametrize("alpha", [0.2, 1, 4])
def test_beta_has_the_moments_of_its_distribution(alpha):
    one = draws()
    seen = torch.tensor([one.beta(alpha) for _ in range(4000)])
    assert seen.min() >= 0 and seen.max() <= 1
    assert seen.mean().item() == pytest.approx(0.5, abs=0.03)
    assert seen.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.08)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_views_on_a_gpu_are_those_of_the_cpu_and_wait_for_nothing():
    views = Views((0.4, 1), (3 / 4, 4 / 3), 0.5, (2, 9), 0.1)
    expected, images = views(photos(), draws()), photos().cuda()
    views.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        seen = views(images, draws())
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert (
        (seen.cpu() - expected).abs() < 0.03
    ).float().mean() > 0.98  # but for rounding, and what it does to edges
