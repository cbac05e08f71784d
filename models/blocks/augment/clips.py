"""Random views of clips of videos: cropped, flipped and recoloured, all frames of a view alike.

Feichtenhofer, Fan, Malik, He 2019, "SlowFast Networks for Video Recognition", arXiv 1812.03982,
section 4: the short side is scaled to a random length, and a square is cropped. Several clips of a
video as the views of methods without labels: Feichtenhofer, Fan, Xiong, Girshick, He 2021, "A
Large-Scale Study on Unsupervised Spatiotemporal Representation Learning", arXiv 2104.14558, section
3. Segments: Wang et al. 2016, "Temporal Segment Networks", arXiv 1608.00859, section 3.1.

A crop is of whole pixels, and resized with antialiasing to levels of 0 to 255, as torchvision does.
"""

import inspect
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from models.blocks.augment.boxes import (
    PLACED,
    Box,
    random_boxes,
    resized,
    scaled_boxes,
    square_box,
)
from models.blocks.augment.draws import Draws
from models.blocks.augment.looks import DRAWN, Looks, checked_jitter, drawn_looks, recoloured
from models.blocks.augment.views import IMAGENET_MEAN, IMAGENET_STD
from models.blocks.ranges import Count, Least, Part, Pixels, Positive, Rising, Share, Whole

__all__ = ["Clips", "centred"]

CROPPED = 1 << 17  # pixels of the frames that are worked on at a time on a CPU, within its cache
READ = ("frames", "every", "clips", "within", "place")  # what of a video is read


def centred(options: dict[str, Any]) -> dict[str, Any]:
    """What of a video is read for a test: one clip, from its middle; of segments their middles."""
    kept = {key: value for key, value in options.items() if key != "within"}
    segmented = options.get("place") in ("segments", "middles")
    return kept | {"clips": 1, "place": "middles" if segmented else "centre"}


class Clips(nn.Module):
    """clip, a list of uint8 (k, t, h, w, 3) -> image (n, k * views, 3, t, size, size).

    The views of one clip follow each other. The parameters are told in models/views/clips.py.
    """

    column: ClassVar[str] = "clip"

    def __init__(
        self,
        frames: Count = 8,
        every: Count = 2,
        clips: Count = 1,
        within: Whole | None = None,
        place: Literal["random", "segments"] = "random",
        views: Count = 1,
        scale: Rising[Part] = (0.4, 1.0),
        ratio: Rising[Positive] = (3 / 4, 4 / 3),
        short: Rising[Pixels] | None = None,
        flip: Share = 0.5,
        jitter: tuple[Least, Least, Least, Least] = (0.0, 0.0, 0.0, 0.0),
        jitter_share: Share = 0.8,
        grey: Share = 0.0,
        blur: Share = 0.0,
        sigma: Rising[Positive] = (0.1, 2.0),
        size: Pixels | None = None,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        self.frames, self.count, self.each = frames, clips * views, views
        self.scale, self.ratio, self.short, self.flip = scale, ratio, short, flip
        self.jitter, self.jitter_share, self.grey = checked_jitter(jitter), jitter_share, grey
        self.blur, self.sigma, self.size = blur, tuple(sigma), size
        self._check_short(size)
        mean, std = (torch.tensor(tuple(each)).view(3, 1, 1, 1) for each in (mean, std))
        # (x / 255 - mean) / std as one multiply-add
        self.register_buffer("gain", 1 / (255 * std), persistent=False)
        self.register_buffer("offset", -mean / std, persistent=False)

    @classmethod
    def reads(cls, **options: Any) -> dict[str, dict[str, Any]]:
        """What of a data set is read for training, with these settings."""
        known = inspect.signature(cls.__init__).parameters
        return {cls.column: {key: options.get(key, known[key].default) for key in READ}}

    @classmethod
    def test_reads(cls, **options: Any) -> dict[str, dict[str, Any]]:
        """What is read for a test: one clip of each video."""
        return {name: centred(own) for name, own in cls.reads(**options).items()}

    def shape(self, size: int) -> tuple[int, ...]:
        """Of a view of videos whose short side has `size` pixels."""
        return 3, self.frames, self.size or size, self.size or size

    def forward(self, batch: dict[str, Any], draws: Draws) -> dict[str, Tensor]:
        """The views of a batch of a data set: what is drawn for one depends on its place alone."""
        videos = batch[self.column]
        side = self._side(videos)
        n, v = len(videos), len(videos[0]) * self.each
        drawn, order = draws.rand(n, v, PLACED + DRAWN), draws.once(4).argsort().tolist()
        shares = self.jitter, self.jitter_share, self.grey, self.blur
        looks = drawn_looks(drawn[..., PLACED:], *shares, self.sigma)
        frames, device = videos[0].shape[1], videos[0].device
        made = torch.empty(n, v, 3, frames, side, side, device=device)
        # blurs are products of matrices, which autocast would compute in half precision
        with torch.autocast(device.type, enabled=False):
            for row, video in enumerate(videos):
                sides, places = tuple(video.shape[2:4]), drawn[row, :, :PLACED]
                for view, box in enumerate(self.boxes(sides, places, side)):
                    look = looks.of(slice(row, row + 1), slice(view, view + 1))
                    self._fill(made[row, view], video[view // self.each], box, look, order)
        return {"image": made}

    def boxes(self, sides: tuple[int, int], drawn: Tensor, side: int) -> list[Box]:
        """Where crops lie in frames of this height and width, by uniform numbers (v, PLACED)."""
        if self.short:
            return scaled_boxes(sides, drawn, self.flip, self.short, side)
        return random_boxes(sides, drawn, self.flip, self.scale, self.ratio)

    def plain(self, videos: Sequence[Tensor]) -> Tensor:
        """The test view (n, 3, t, size, size): the middle of each video's first clip."""
        return self.cropped(videos)

    def cropped(
        self, videos: Sequence[Tensor], clip: int = 0, place: float = 0.5, side: int | None = None
    ) -> Tensor:
        """A test view of each video, a square of one of its clips.

        place: along the longer side, 0 to 1. side: of the view in pixels, which is then of the
        whole short side; None: as in training.
        """
        own, frames = side or self._side(videos), videos[0].shape[1]
        made = torch.empty(len(videos), 3, frames, own, own, device=videos[0].device)
        # trained on crops of a larger frame, it is tested on such
        part = own / self.short[0] if self.short and side is None else 1.0
        for out, video in zip(made, videos, strict=True):
            box = square_box(tuple(video.shape[2:4]), part, place)
            self._fill(out, video[clip], box)
        return made

    def _fill(
        self,
        out: Tensor,
        clip: Tensor,
        box: Box,
        look: Looks | None = None,
        order: Sequence[int] = (),
    ) -> None:
        """Write the view (3, t, side, side) of a clip (t, h, w, 3) that a box has."""
        left, top, width, height, mirrored = box
        side, frames = out.shape[-1], len(clip)
        part = frames if out.is_cuda else max(1, CROPPED // side**2)
        for start in range(0, frames, part):
            rows = slice(start, start + part)
            cut = clip[rows, top : top + height, left : left + width].permute(0, 3, 1, 2)
            seen = resized(cut, side)
            seen = seen.flip(3) if mirrored else seen
            if look is not None and self._recolours:
                seen = seen.float().contiguous().mul_(1 / 255)
                recoloured(seen, _repeated(look, len(seen)), order)
                seen.mul_(255)
            out[:, rows].copy_(seen.transpose(0, 1)).mul_(self.gain).add_(self.offset)

    @property
    def _recolours(self) -> bool:
        return bool((any(self.jitter) and self.jitter_share) or self.grey or self.blur)

    def _side(self, videos: Sequence[Tensor]) -> int:
        """Pixels of a view; ValueError where videos differ in what they are stored with."""
        sides = sorted({min(video.shape[2:4]) for video in videos})
        if self.size is None and len(sides) > 1:
            raise ValueError(
                f"views: the short sides of videos have {sides[0]} to {sides[-1]} px, and views "
                "are of one size: give `size`"
            )
        side = self.size or sides[0]
        self._check_short(side)
        return side

    def _check_short(self, side: int | None) -> None:
        if self.short and side and self.short[0] < side:
            raise ValueError(
                f"views: a short side of {self.short[0]} px has no crop of {side}: give `short` "
                f"from {side} on, or a smaller `size`"
            )


def _repeated(look: Looks, frames: int) -> Looks:
    """The look of one view, for each of its frames."""
    drawn = (numbers.expand(frames, *numbers.shape[1:]) for numbers in look[:-2])
    return Looks(*drawn, look.acting, look.widest)
