"""Views of clips: where they are cut, what is drawn for them, how a test sees them."""

import pytest
import torch

from engine.core.build import build
from models.blocks.augment.boxes import random_boxes, resized, scaled_boxes, square_box
from models.blocks.augment.clips import Clips
from models.blocks.augment.draws import Draws
from models.blocks.augment.views import IMAGENET_MEAN, IMAGENET_STD
from tests.support.videos import videos

COLOURS = {"jitter": (0.4, 0.4, 0.4, 0.1), "jitter_share": 0.7, "grey": 0.3, "blur": 0.4}
COLOURS_OF_CROPS = {key: value for key, value in COLOURS.items() if key != "blur"}
COLOURS_OF_CROPS |= {"scale": (1, 1), "ratio": (1, 1), "flip": 0}


def draws(seed: int = 1, **part: int) -> Draws:
    return Draws(torch.Generator().manual_seed(seed), **part)


def clips(n: int = 6, count: int = 2) -> list[torch.Tensor]:
    """uint8 (count, 4, h, w, 3) of each video, clips that overlap."""
    rows = 2 * torch.arange(count)[:, None] + torch.arange(4)
    return [video[rows] for video in videos(n)]


def still(size: tuple[int, int] = (20, 26), frames: int = 5) -> torch.Tensor:
    """One clip of one video, whose frames are all the same: uint8 (1, t, h, w, 3)."""
    drawn = torch.Generator().manual_seed(2)
    frame = torch.randint(0, 256, (1, 1, *size, 3), dtype=torch.uint8, generator=drawn)
    return frame.expand(1, frames, *size, 3)


def levels(views: torch.Tensor) -> torch.Tensor:
    """Views (..., 3, t, h, w) with the normalisation undone: 0 to 255."""
    std = torch.tensor(IMAGENET_STD).view(3, 1, 1, 1)
    mean = torch.tensor(IMAGENET_MEAN).view(3, 1, 1, 1)
    return 255 * (views * std + mean)


@pytest.mark.parametrize("colours", [{}, COLOURS])
def test_all_frames_of_a_view_are_treated_alike_and_views_differ(colours):
    made = Clips(frames=5, views=4, size=12, **colours)
    seen = made({"clip": [still()] * 3}, draws())["image"]
    assert seen.shape == (3, 4, 3, 5, 12, 12)
    assert torch.equal(seen, seen[:, :, :, :1].expand_as(seen))
    flat = seen.flatten(0, 1)
    alike = (flat[:, None] - flat[None]).abs().amax((2, 3, 4, 5)) < 1e-3
    assert alike.sum() == len(flat)


@pytest.mark.parametrize("colours", [{}, COLOURS])
def test_what_is_drawn_depends_on_the_place_in_the_step_alone(colours):
    made, whole = Clips(frames=4, clips=2, views=2, size=10, **colours), clips()
    seen = made({"clip": whole}, draws())["image"]
    assert seen.shape == (6, 4, 3, 4, 10, 10)
    parts = [slice(0, 1), slice(1, 4), slice(4, 6)]
    for part in parts:
        own = made({"clip": whole[part]}, draws(first=part.start, total=6))["image"]
        assert torch.equal(own, seen[part])
    assert not torch.equal(made({"clip": whole}, draws(2))["image"], seen)
    # a video of another size is no other draw
    others = [video[:, :, :-1] for video in whole[:3]]
    again = made({"clip": others + whole[3:]}, draws())["image"]
    assert torch.equal(again[3:], seen[3:])


def test_views_of_a_clip_follow_each_other():
    made = Clips(frames=4, clips=2, views=3, size=16, scale=(1, 1), ratio=(1, 1), flip=0)
    whole = [video[:, :, :16, :16] for video in clips()]
    seen = levels(made({"clip": whole}, draws())["image"])
    for video, views in zip(whole, seen, strict=True):
        for view, own in enumerate(views):
            expected = video[view // 3].permute(3, 0, 1, 2).float()
            torch.testing.assert_close(own, expected, atol=1e-3, rtol=0)


def test_a_crop_is_that_of_torchvision():
    transforms = pytest.importorskip("torchvision.transforms.v2.functional")
    made, whole = Clips(frames=4, clips=2, size=14, flip=0.5), clips(12)
    seen = levels(made({"clip": whole}, draws())["image"])
    drawn = draws().rand(12, 2, 14)
    mirrored = 0
    for video, own, numbers in zip(whole, seen, drawn, strict=True):
        sides = tuple(video.shape[2:4])
        boxes = random_boxes(sides, numbers[:, :5], 0.5, made.scale, made.ratio)
        for clip, view, (left, top, width, height, turned) in zip(video, own, boxes, strict=True):
            planes = clip.permute(0, 3, 1, 2)
            box = transforms.resized_crop(planes, top, left, height, width, [14, 14])
            box = transforms.horizontal_flip(box) if turned else box
            torch.testing.assert_close(view.transpose(0, 1), box.float(), atol=1e-3, rtol=0)
            mirrored += turned
    assert 4 < mirrored < 20


def test_colours_are_those_of_images():
    """A clip of one frame, and the same as an image: the same numbers, the same colours."""
    made = Clips(frames=1, size=20, scale=(1, 1), ratio=(1, 1), flip=0, **COLOURS)
    crops = build("views", {"name": "crops", "views": 1, "blur": [0.4]} | COLOURS_OF_CROPS)
    whole = [still((20, 20), 1) for _ in range(8)]
    numbers = Replayed(draws().rand(8, 1, 14), draws())
    ours = made({"clip": whole}, numbers)["image"]
    theirs = crops({"image": torch.cat([video[0] for video in whole])}, numbers)
    torch.testing.assert_close(ours[:, :, :, 0], theirs["image"], atol=1e-4, rtol=1e-4)


class Replayed:
    """Draws whose numbers are given: of clips in one call, of images box and colours apart."""

    def __init__(self, numbers: torch.Tensor, rest: Draws) -> None:
        self.numbers, self.order = numbers, rest.once(4)

    def rand(self, n: int, *shape: int) -> torch.Tensor:
        assert shape[-1] in (5, 9, 14)
        if shape == (5,):
            return self.numbers[:, 0, :5]
        return self.numbers[..., -shape[-1] :]

    def once(self, *shape: int) -> torch.Tensor:
        return self.order


def test_random_boxes_have_the_share_and_the_aspect_asked_for():
    sides, scale, ratio = (600, 900), (0.2, 0.5), (3 / 4, 4 / 3)
    found = torch.tensor(random_boxes(sides, draws().rand(5000, 5), 0.25, scale, ratio)).double()
    left, top, width, height, mirrored = found.unbind(1)
    assert left.min() == 0 and (left + width).max() == 900 and (top + height).max() == 600
    area, aspect = width * height / (600 * 900), width / height
    uncut = height < 600
    assert area[uncut].min().item() == pytest.approx(0.2, abs=0.01) and area.max() < 0.503
    assert aspect[uncut].min().item() == pytest.approx(3 / 4, abs=0.01)
    assert aspect[uncut].log().mean().item() == pytest.approx(0, abs=0.03)
    assert mirrored.mean().item() == pytest.approx(0.25, abs=0.02)


def test_a_scaled_short_side_is_any_length_of_its_range():
    found = scaled_boxes((300, 400), draws().rand(4000, 5), 0, (256, 320), 224)
    edges = {width for _, _, width, height, _ in found if width == height}
    assert len(edges) == len({round(224 * 300 / length) for length in range(256, 321)})
    assert min(edges) == round(224 * 300 / 320) and max(edges) == round(224 * 300 / 256)
    with pytest.raises(ValueError, match=r"short side of 200 px has no crop of 224: give `short`"):
        Clips(short=(200, 300), size=224)
    with pytest.raises(ValueError, match=r"short side of 12 px has no crop of 16"):
        Clips(frames=4, short=(12, 20)).plain(clips(1))


def test_tests_see_the_middle_and_places_along_the_longer_side():
    wide = torch.arange(30, dtype=torch.uint8).expand(1, 2, 10, 30)[..., None].repeat(1, 1, 1, 1, 3)
    made = Clips(frames=2)
    for place, first in ((0.0, 0), (0.5, 10), (1.0, 20)):
        for video in (wide, wide.transpose(2, 3)):
            seen = levels(made.cropped([video], 0, place)).round()[0, 0, 0]
            seen = seen if video is wide else seen.T
            assert (seen == torch.arange(first, first + 10)).all()
    assert torch.equal(made.plain([wide]), made.cropped([wide], 0, 0.5))
    # trained on squares of 8 of a short side of 10 and more, tested on such; a side given: on all
    scaled = Clips(frames=2, short=(10, 12), size=8)
    assert levels(scaled.plain([wide]))[0, 0, 0, 0].round().tolist() == list(range(11, 19))
    assert scaled.cropped([wide], side=10).shape == (1, 3, 2, 10, 10)
    assert torch.equal(scaled.cropped([wide], side=10), made.plain([wide]))
    assert square_box((10, 30), 0.8, 1.0) == (22, 1, 8, 8, False)


def test_sizes_and_what_is_read():
    made = Clips(frames=4, clips=2)
    assert made.shape(16) == (3, 4, 16, 16) and Clips(frames=4, size=8).shape(16) == (3, 4, 8, 8)
    with pytest.raises(ValueError, match=r"short sides of videos have 12 to 16 px.* give `size`"):
        made.plain([*clips(2), clips(1)[0][:, :, :12]])
    assert Clips.reads(frames=4, place="segments")["clip"]["place"] == "segments"
    given = {"frames": 4, "every": 3, "clips": 5, "within": 2}
    assert Clips.reads(**given, size=3)["clip"] == given | {"place": "random"}
    tested = {"frames": 4, "every": 3, "clips": 1, "place": "centre"}
    assert Clips.test_reads(**given) == {"clip": tested}
    assert Clips.test_reads(place="segments")["clip"]["place"] == "middles"
    with pytest.raises(ValueError, match=r"a hue turns by 0\.5 at most"):
        Clips(jitter=(0, 0, 0, 0.6))


def test_frames_are_resized_with_antialiasing_on_any_device():
    """A GPU has it in floats alone: at most one level apart."""
    frames = torch.randint(0, 256, (3, 3, 40, 30), dtype=torch.uint8)
    floats = torch.nn.functional.interpolate(
        frames.float(), size=(13, 13), mode="bilinear", antialias=True
    )
    assert (resized(frames, 13).float() - floats.round()).abs().max() <= 1
    assert torch.equal(resized(frames[:, :, :30], 30), frames[:, :, :30])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("colours", [{}, COLOURS])
def test_views_on_a_gpu_are_those_of_the_cpu_and_wait_for_nothing(colours):
    made, whole = Clips(frames=4, clips=2, views=2, size=14, **colours), clips()
    expected, plain = made({"clip": whole}, draws())["image"], made.plain(whole)
    there = [video.cuda() for video in whole]
    made.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        seen, tested = made({"clip": there}, draws())["image"], made.plain(there)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    # a level more or less, which a contrast may widen
    assert (levels(expected) - levels(seen.cpu())).abs().max() < 3
    assert (levels(plain) - levels(tested.cpu())).abs().max() <= 1.01
