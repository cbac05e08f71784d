"""Networks of torchvision for clips by their names there, with the maps of their stages.

Torchvision maintainers 2016, "TorchVision", https://github.com/pytorch/vision, models.video:
S3D of Xie, Sun, Huang, Tu, Murphy 2018, "Rethinking Spatiotemporal Feature Learning",
arXiv 1712.04851; MViT of Fan et al. 2021, "Multiscale Vision Transformers", arXiv 2104.11227, and
of Li et al. 2022, "MViTv2", arXiv 2112.01526; Swin of Liu et al. 2022, "Video Swin Transformer",
arXiv 2106.13230; its residual networks. New networks have new weights: those that torchvision
publishes come from a file by `init`, never by a download.
"""

from functools import partial
from typing import Any, ClassVar

from torch import Tensor, nn

from models.blocks.expected import clip_row
from models.blocks.layers.borrowed import built, sized
from models.blocks.layers.mapped import Mapped, published_input, set_rates
from models.blocks.layers.mvit import clip_network
from models.blocks.ranges import Count, Pixels, Share, Whole

__all__ = ["TorchvisionVideo", "expected"]

FRAMES = {"s3d": 64, "swin3d": 32}  # of clips, as published; the others' are 16
# torchvision's classes themselves, all of whose sizes are options; and whose input is theirs
CLASSES = {"mvit": "mvit_v2_s", "swin3d": "swin3d_t"}


class TorchvisionVideo(Mapped):
    """A network of torchvision for clips: `{name: torchvision_video, model: mvit_v2_s}`.

    Tokens come as maps: those of patches, without the class token, which `pooled` has where the
    network's classifier does, and before the last norm of an MViT. The sizes of a published name
    are fixed; two more names take all of them in `options`, for networks as small as wished:
    `mvit` (MViT, with `block_setting` a list of {num_heads, input_channels, output_channels,
    kernel_q, kernel_kv, stride_q, stride_kv}; as v2 where nothing else is said) and `swin3d`
    (SwinTransformer3d: patch_size, embed_dim, depths, num_heads, window_size). S3D has none.

    model: its name.
    frames: of the clips, for networks of one length; null: their own.
    resolution: pixels of the clips, for networks of one size; null: their own.
    out: numbers of its maps, from 0: of each size the last; null: all.
    pooled: whether the last map is the vector (n, c, 1, 1, 1) before the last layer of the
        classifier; S3D takes clips below 13 frames or 209 pixels only without it.
    drop: dropout in the classifier; null: torchvision's own.
    drop_path: stochastic depth of the last block, less in those before; null: torchvision's own.
    options: other arguments of torchvision's builder.
    """

    library = "torchvision"
    reads: ClassVar[str] = "clip"

    def __init__(
        self,
        model: str,
        frames: Count | None = None,
        resolution: Pixels | None = None,
        out: list[Whole] | None = None,
        pooled: bool = True,
        drop: Share | None = None,
        drop_path: Share | None = None,
        options: dict[str, Any] = {},  # noqa: B006 - read only
    ) -> None:
        super().__init__()
        self.name = model
        side, self.mean, self.std = published_input(model, _names(), CLASSES.get(model))
        side = resolution or side
        length = frames or FRAMES.get(model.partition("_")[0], 16)
        one_size = model.startswith("mvit")
        self.frames, self.resolution = (length, side) if one_size else (None, None)
        fixed = {"temporal_size": length, "spatial_size": (side, side)} if one_size else {}
        self.settings = fixed | options
        made = built(partial(clip_network, model), self.library, model, self.settings)
        set_rates(made, drop, drop_path)
        if model == "s3d" and not pooled:
            made.avgpool = nn.Identity()  # of a size of its own, which small clips have not
        self.take(made, out, pooled, (length, side, side))

    def check_side(self, side: int) -> None:
        """ValueError, with what to change, where clips of so many pixels do not fit."""
        self.check_clip(self.frames or FRAMES.get(self.name.partition("_")[0], 16), side)

    def check_clip(self, frames: int, side: int) -> None:
        """ValueError, with what to change, where clips of this size do not fit."""
        built_for, given = (self.frames, self.resolution), (frames, side)
        if self.frames is not None and built_for != given:
            ours, _ = sized(self.frames, self.resolution, self.resolution)
            theirs, _ = sized(frames, side, side)
            raise ValueError(
                f"torchvision's {self.name} is built for {ours}, and gets {theirs}: set `frames: "
                f"{frames}` and `resolution: {side}` in the backbone's section, or give it such "
                "clips"
            )
        found = self.shapes(frames, side, side)
        assert [shape[1] for shape in found] == self.channels, found

    def check_images(self, images: Tensor) -> None:
        """ValueError for no clips, or clips of another size than a network of one size takes."""
        if images.ndim != 5:
            raise ValueError(
                f"torchvision's {self.name} takes clips (n, 3, frames, h, w), and gets "
                f"{tuple(images.shape)}: give its objective `views: {{name: clips}}`"
            )
        frames, height, width = images.shape[2:]
        if self.frames is not None and (frames, height, width) != (
            self.frames,
            self.resolution,
            self.resolution,
        ):
            self.check_clip(frames, height if height != self.resolution else width)


def _names() -> list[str]:
    from torchvision.models import list_models, video

    return [*list_models(module=video), *CLASSES]


def _row(model: str, params: int, frames: int, side: int = 224) -> dict[str, Any]:
    """A network by torchvision's own table (`num_params`)."""
    return clip_row({"model": model}, params, frames, side)


expected = [
    _row("s3d", 8_320_048, 64),
    _row("mvit_v1_b", 36_610_672, 16),
    _row("mvit_v2_s", 34_537_744, 16),
    _row("swin3d_t", 28_158_070, 32),
    _row("swin3d_s", 49_816_678, 32),
    _row("swin3d_b", 88_048_984, 32),
    _row("r3d_18", 33_371_472, 16, 112),
    _row("mc3_18", 11_695_440, 16, 112),
    _row("r2plus1d_18", 31_505_325, 16, 112),
]
