"""Views of methods without labels: each colour operation, what is drawn, layout and refusals."""

from math import sqrt

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.core.build import build
from models.blocks.augment import colours, crops
from models.blocks.augment.crops import Crops
from models.blocks.augment.draws import Draws
from models.blocks.augment.views import Views

RAW = {"mean": (0, 0, 0), "std": (1, 1, 1)}
# nothing but what a test adds; ratios of 1 keep the whole of a square image
STILL = {"scale": (1, 1), "ratio": (1, 1), "flip": 0, "jitter_share": 0, "grey": 0, "blur": (0,)}
STILL |= RAW
PAPERS = [name for name in crops.__all__ if name.isupper()]
EVERYTHING = crops.DINO | {"views": 3, "small": 4}
FACTORS = torch.tensor([0, 0.3, 0.7, 1, 1.2, 1.6, 1.8, 2])
SHIFTS = torch.tensor([-0.5, -0.3, -0.1, 0, 0.1, 0.2, 0.45, 0.5])


def photos(n: int = 16, h: int = 32, w: int = 32) -> Tensor:
    return torch.randint(
        0, 256, (n, h, w, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )


def pictures(n: int = 8, h: int = 20, w: int = 23) -> Tensor:
    """Float images, of which one is grey and one has few colours, so that many are equal."""
    found = torch.rand(n, 3, h, w, generator=torch.Generator().manual_seed(1))
    found[0] = found[0, :1]
    found[1] = (found[1] * 2).round() / 2
    return found


def draws(seed: int = 0, **part: int) -> Draws:
    return Draws(torch.Generator().manual_seed(seed), **part)


def made(images: Tensor, seed: int = 0, **settings) -> Tensor:
    return Crops(**(STILL | settings))({"image": images}, draws(seed))["image"]


@pytest.mark.parametrize(
    ("ours", "theirs", "factors"),
    [
        (colours.brightness, "adjust_brightness", FACTORS),
        (colours.contrast, "adjust_contrast", FACTORS),
        (colours.saturation, "adjust_saturation", FACTORS),
        (colours.hue, "adjust_hue", SHIFTS),
    ],
)
def test_a_jitter_is_torchvisions(ours, theirs, factors):
    functional = pytest.importorskip("torchvision.transforms.v2.functional")
    images, adjust = pictures(), getattr(functional, theirs)
    expected = [adjust(image, float(f)) for image, f in zip(images, factors, strict=True)]
    torch.testing.assert_close(ours(images, factors), torch.stack(expected), atol=3e-6, rtol=0)


def test_greyscale_and_solarisation_are_torchvisions():
    functional = pytest.importorskip("torchvision.transforms.v2.functional")
    images = pictures()
    expected = functional.rgb_to_grayscale(images, 3), functional.solarize(images, 0.5)
    torch.testing.assert_close(colours.grey(images.clone()), expected[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(colours.solarise(images.clone()), expected[1], atol=0, rtol=0)


# a side of one block and of several, sides that differ, and one shorter than the kernel
@pytest.mark.parametrize("shape", [(32, 32), (70, 70), (40, 100), (5, 9)])
def test_a_blur_is_torchvisions(shape):
    functional = pytest.importorskip("torchvision.transforms.v2.functional")
    images, sigmas = pictures(8, *shape), torch.linspace(0.1, 2, 8)
    kernel = [
        2 * min(6, side - 1) + 1 for side in reversed(shape)
    ]  # three deviations of the widest
    expected = [
        functional.gaussian_blur(image, kernel, [float(sigma)] * 2)
        for image, sigma in zip(images, sigmas, strict=True)
    ]
    torch.testing.assert_close(
        colours.blur(images, sigmas, 2.0), torch.stack(expected), atol=3e-6, rtol=0
    )


def test_three_deviations_are_wide_enough_for_a_blur():
    functional = pytest.importorskip("torchvision.transforms.v2.functional")
    images = pictures(2, 32, 32)
    expected = functional.gaussian_blur(images, [31, 31], [2.0, 2.0])
    seen = colours.blur(images, torch.tensor([2.0, 2.0]), 2.0)
    assert (seen - expected).abs().max() < 1 / 255


def test_blurring_with_tiny_deviations_makes_no_denormal_numbers():
    """A CPU takes ten times as long for them."""
    sigmas = torch.linspace(0.05, 0.3, 40)
    for _, _, weights in colours._blocks(32, sigmas, 2.0):
        assert not ((weights != 0) & (weights.abs() < 1e-20)).any()


def test_a_jitter_is_its_operations_in_the_order_given_without_those_that_do_nothing():
    factors = torch.stack([FACTORS, FACTORS.flip(0), FACTORS, SHIFTS], 1)
    seen = colours.jitter(pictures(), factors, [2, 0, 3, 1], (True, True, True, False))
    expected = colours.saturation(pictures(), FACTORS)
    expected = colours.contrast(colours.brightness(expected, FACTORS), FACTORS.flip(0))
    assert torch.equal(seen, expected)


@pytest.mark.parametrize("shape", [(0, 3, 8, 8), (1, 3, 1, 1), (1, 3, 40, 1)])
def test_no_image_and_the_smallest_are_changed_too(shape):
    images = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    n = len(images)
    changed = colours.jitter(images.clone(), torch.full((n, 4), 0.5), range(4))
    changed = colours.solarise(colours.grey(colours.blur(changed, torch.ones(n), 2.0)))
    assert changed.shape == shape and changed.isfinite().all()


@pytest.mark.parametrize("shape", [(16, 32, 32), (16, 24, 40)])
@pytest.mark.parametrize("settings", [{}, EVERYTHING, EVERYTHING | {"size": 20}], ids=str)
def test_views_are_those_of_their_draws_whoever_holds_the_images(settings, shape):
    views, images = Crops(**settings), photos(*shape)
    whole, again, other = (views({"image": images}, draws(seed)) for seed in (0, 0, 1))
    for key, values in whole.items():
        assert torch.equal(values, again[key]) and not torch.equal(values, other[key])
    for first, n in ((0, 5), (5, 1), (6, 10), (16, 0)):
        part = views({"image": images[first : first + n]}, draws(first=first, total=16))
        assert part.keys() == whole.keys()
        for key, values in part.items():
            assert values.shape == whole[key][first : first + n].shape
            torch.testing.assert_close(values, whole[key][first : first + n], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("cropped", [1, 3 * 32 * 32, 1 << 30])
def test_views_do_not_depend_on_how_many_are_made_at_a_time(cropped, monkeypatch):
    views, images = Crops(**EVERYTHING), photos()
    expected = views({"image": images}, draws())
    monkeypatch.setattr(crops, "CROPPED", cropped)
    for key, values in views({"image": images}, draws()).items():
        torch.testing.assert_close(values, expected[key], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", PAPERS)
def test_views_lie_in_memory_as_one_batch_with_colours_last(name):
    found = Crops(**getattr(crops, name))({"image": photos(3)}, draws())
    for values in found.values():
        flat = values.flatten(0, 1)
        assert flat.data_ptr() == values.data_ptr()
        assert flat.is_contiguous(memory_format=torch.channels_last)
        assert values.isfinite().all()


def test_views_have_the_sides_asked_for():
    for settings, whole, small in (
        ({}, (24, 40), (10, 17)),
        ({"size": 28}, (28, 28), (12, 12)),
        ({"size": 14}, (14, 14), (8, 8)),
        ({"small_size": 6}, (24, 40), (6, 6)),
    ):
        found = Crops(small=2, **settings)({"image": photos(2, 24, 40)}, draws())
        assert found["image"].shape == (2, 2, 3, *whole)
        assert found["small"].shape == (2, 2, 3, *small)
    assert "small" not in Crops()({"image": photos(2)}, draws())


def test_a_crop_of_the_whole_image_is_the_image_at_the_side_asked_for():
    images = photos()
    plain = images.permute(0, 3, 1, 2) / 255
    smaller = F.interpolate(plain, (20, 20), mode="bilinear")
    for view in made(images, size=20).unbind(1):
        torch.testing.assert_close(view, smaller, atol=1e-4, rtol=0)
    for view in made(images, flip=1).unbind(1):
        torch.testing.assert_close(view, plain.flip(3), atol=1e-4, rtol=0)
    normalised = Views((1, 1), (1, 1), 0).plain(images)
    assert torch.equal(Crops().plain(images), normalised)
    default = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    torch.testing.assert_close(made(images, **default)[:, 0], normalised, atol=1e-3, rtol=0)


def within(found: Tensor, share: float) -> bool:
    """Whether so many of the draws are as a share of them would be, five deviations at most."""
    n = len(found)
    return abs(found.sum().item() - n * share) <= 5 * sqrt(n * share * (1 - share)) + 1e-9


@pytest.mark.parametrize(
    ("settings", "shares"),
    [
        ({"flip": 0.3}, (0.3, 0.3, 0.3)),
        ({"grey": 0.2}, (0.2, 0.2, 0.2)),
        ({"jitter_share": 0.8}, (0.8, 0.8, 0.8)),
        ({"blur": (1.0, 0.1, 0.5), "sigma": (1, 2)}, (1, 0.1, 0.5)),
        ({"blur": (0.9, 0.25), "sigma": (1, 2)}, (0.9, 0.25, 0.25)),
        ({"solarise": (0, 0.2)}, (0, 0.2, 0.2)),
        ({"solarise": (0, 0.2, 0)}, (0, 0.2, 0)),
    ],
    ids=str,
)
def test_of_each_view_as_large_a_share_is_changed_as_was_asked_for(settings, shares):
    """The third of them is a small one: of as many pixels, it can be compared."""
    small = {"small": 1, "small_scale": (1, 1), "small_size": 6}
    images = photos(1500, 6, 6)
    found = Crops(**(STILL | small | settings))({"image": images}, draws())
    views = [*found["image"].unbind(1), *found["small"].unbind(1)]
    plain = images.permute(0, 3, 1, 2) / 255
    for view, share in zip(views, shares, strict=True):
        changed = ((view - plain).abs() > 1e-3).flatten(1).any(1)
        assert within(changed, share)


def test_grey_views_have_three_equal_colours():
    seen = made(photos(300, 4, 4), grey=0.4).flatten(0, 1)
    assert within((seen.amax(1) - seen.amin(1)).flatten(1).amax(1) < 1e-6, 0.4)


def test_factors_are_uniform_in_their_ranges_and_each_views_own():
    images = torch.full((2000, 2, 2, 3), 102, dtype=torch.uint8)
    for strength, low, high in ((0.4, 0.6, 1.4), (1.2, 0, 2.2)):
        seen = made(images, jitter=(strength, 0, 0, 0), jitter_share=1)[:, :, 0, 0, 0] / 0.4
        assert seen.min().item() == pytest.approx(low, abs=0.02)
        assert seen.max().item() == pytest.approx(high, abs=0.02)
        assert seen.mean().item() == pytest.approx((low + high) / 2, abs=0.03)
        assert abs(torch.corrcoef(seen.T)[0, 1].item()) < 0.1


def test_a_hue_turns_either_way_by_as_much_as_was_asked_for():
    images = torch.tensor([204, 51, 51], dtype=torch.uint8).expand(2000, 2, 2, 3)
    seen = made(images, jitter=(0, 0, 0, 0.1), jitter_share=1)[:, :, :, 0, 0].flatten(0, 1)
    turned = (seen[:, 1] - seen[:, 2]) / 0.6 / 6  # from red, up to a sixth of a turn
    assert turned.min().item() == pytest.approx(-0.1, abs=1e-3)
    assert turned.max().item() == pytest.approx(0.1, abs=1e-3)


def test_blurs_are_as_wide_as_their_range():
    image = torch.zeros(1, 33, 33, 3, dtype=torch.uint8)
    image[:, 16, 16] = 255
    seen = made(image.expand(400, -1, -1, -1), blur=(1,), sigma=(0.8, 2))[:, :, 0]
    places = torch.arange(33.0) - 16
    widths = (seen.sum(2) @ places**2 / seen.sum((2, 3))).sqrt()
    # a kernel cut at six pixels is 1.5 % narrower than it says
    assert widths.min().item() == pytest.approx(0.8, abs=0.02)
    assert widths.max().item() == pytest.approx(2, abs=0.04)


def test_the_order_of_the_jitter_is_drawn_for_each_step():
    images = photos(1, 4, 4).expand(2, -1, -1, -1)
    strong = {"jitter": (1, 1, 1, 0.5), "jitter_share": 1}
    orders = {tuple(draws(seed).once(4).argsort().tolist()) for seed in range(40)}
    assert len(orders) > 12
    assert not torch.equal(made(images, 0, **strong), made(images, 1, **strong))


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"views": 0}, "views"),
        ({"scale": [0.5, 0.2]}, "scale"),
        ({"scale": [0, 1]}, "scale"),
        ({"ratio": [0, 1]}, "ratio"),
        ({"flip": 1.5}, "flip"),
        ({"jitter": [-0.1, 0, 0, 0]}, "jitter"),
        ({"jitter": [0.4, 0.4, 0.4, 0.6]}, "jitter"),
        ({"jitter": [0.4, 0.4, 0.4]}, "jitter"),
        ({"jitter_share": -1}, "jitter_share"),
        ({"grey": 2}, "grey"),
        ({"blur": [0.5, 1.1]}, "blur"),
        ({"blur": []}, "blur"),
        ({"sigma": [0, 2]}, "sigma"),
        ({"solarise": [-0.1]}, "solarise"),
        ({"solarise": []}, "solarise"),
        ({"size": 0}, "size"),
        ({"small": -1}, "small"),
        ({"small_scale": [0.4, 1.2]}, "small_scale"),
        ({"small_size": 0}, "small_size"),
    ],
    ids=str,
)
def test_what_is_out_of_range_is_refused(setting, told):
    with pytest.raises(ValueError, match=told):
        build("views", {"name": "crops"} | setting)


@pytest.mark.parametrize("name", PAPERS)
def test_the_papers_settings_are_those_of_a_section_too(name):
    settings = getattr(crops, name)
    section = {key: list(v) if isinstance(v, tuple) else v for key, v in settings.items()}
    views = build("views", {"name": "crops"} | section)
    expected = Crops(**settings)({"image": photos(2)}, draws())
    for key, values in views({"image": photos(2)}, draws()).items():
        assert torch.equal(values, expected[key])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_views_on_a_gpu_are_those_of_the_cpu_and_wait_for_nothing():
    views, images = Crops(**EVERYTHING), photos()
    expected = views({"image": images}, draws())
    views.cuda()
    views({"image": images.cuda()}, draws())  # tables of the blur are moved once
    images = images.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        seen = views({"image": images}, draws())
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for key, values in seen.items():
        torch.testing.assert_close(values.cpu(), expected[key], atol=0.01, rtol=0)
