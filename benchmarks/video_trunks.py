"""How fast each trunk of clips is beside the same network of another library, in one run.

`python -m benchmarks.video_trunks [--seconds 20] [--only NAME ...] [--out]`. A forward pass without
gradients, and a training step: forward, backward, SGD. Both networks have the same random clips,
one thread, and take turns; the ratio is the median over turns of ours over theirs in seconds of the
processor, its interval that of the median (binomial, 95 %).
"""

import argparse
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import torch
from pytorchvideo.models import hub
from torch import Tensor, nn
from torchvision.models import video

from benchmarks.trunks import LIMIT, classifier, compared, told
from engine.core.cores import processor
from models.blocks.layers.video.pathways import slowed

RESULTS = Path(__file__).parent / "results/video_trunks.md"
CLASSES = 400
FORMATS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last_3d}


class Pair(NamedTuple):
    """A section and the network that it is compared with, at a batch of frames of `side` pixels."""

    section: dict
    theirs: str
    make: Callable[[int, int], nn.Module]
    batch: int
    frames: int
    side: int


class Packed(nn.Module):
    """A network of two pathways that packs them itself, as ours does."""

    def __init__(self, network: nn.Module, alpha: int) -> None:
        super().__init__()
        self.network, self.alpha = network, alpha

    def forward(self, clips: Tensor) -> Tensor:
        return self.network([slowed(clips, self.alpha), clips])


def slowfast(frames: int, side: int) -> nn.Module:
    """SlowFast-50 8x8, which pools what is there."""
    windows = [(steps, side // 32, side // 32) for steps in (frames // 4, frames)]
    return Packed(hub.slowfast_r50(head_pool_kernel_sizes=windows, dropout_rate=0), 4)


def resnet(name: str, frames: int) -> Callable[[int, int], nn.Module]:
    """A network of one pathway, `frames` of whose clip are left at its end."""

    def make(_: int, side: int) -> nn.Module:
        window = (frames, side // 32, side // 32)
        return getattr(hub, name)(head_pool_kernel_size=window, dropout_rate=0)

    return make


def torchvisions(name: str) -> Callable[[int, int], nn.Module]:
    """A residual network of torchvision."""
    return lambda frames, side: getattr(video, name)(num_classes=CLASSES)


def csn(frames: int, side: int) -> nn.Module:
    """ir-CSN-101, pooled over all that is there; its own window is that of whole clips."""
    network = hub.csn_r101()
    network.blocks[-1].pool = nn.AdaptiveAvgPool3d(1)
    return network


def x3d(*_: int) -> nn.Module:
    """X3D-XS without the softmax that it ends in, behind which no loss of ours belongs."""
    return hub.x3d_xs(head_activation=None, dropout_rate=0)


def pairs() -> dict[str, Pair]:
    r3d, r2plus1d = [
        {"name": "videoresnet", **each}
        for each in ({"convolutions": "3d", "stem": "3d"}, {"middle": "block"})
    ]
    i3d = {"name": "resnet3d", "temporal": "i3d"}
    return {
        "slowfast": Pair({"name": "slowfast"}, "pytorchvideo slowfast_r50", slowfast, 2, 32, 64),
        "resnet3d, i3d": Pair(i3d, "pytorchvideo i3d_r50", resnet("i3d_r50", 4), 2, 8, 64),
        "videoresnet, R(2+1)D": Pair(
            r2plus1d, "torchvision r2plus1d_18", torchvisions("r2plus1d_18"), 2, 8, 56
        ),
        "videoresnet, R3D": Pair(r3d, "torchvision r3d_18", torchvisions("r3d_18"), 2, 8, 56),
        "csn": Pair(
            {"name": "csn", "depths": (3, 4, 23, 3)}, "pytorchvideo csn_r101", csn, 2, 8, 64
        ),
        "x3d": Pair({"name": "x3d"}, "pytorchvideo x3d_xs", x3d, 2, 4, 160),
    }


def row(name: str, pair: Pair, layout: str, seconds: float) -> str:
    torch.manual_seed(0)
    form = FORMATS[layout]
    clips = torch.rand(pair.batch, 3, pair.frames, pair.side, pair.side)
    clips = clips.contiguous(memory_format=form)
    ours = classifier(pair.section, CLASSES).to(memory_format=form)
    theirs = pair.make(pair.frames, pair.side).to(memory_format=form)
    shape = f"{pair.batch} x {pair.frames} x {pair.side}"
    cells = [name, pair.theirs, shape, layout]
    return told([*cells, *compared(ours, theirs, clips, seconds)])


def main() -> None:
    command = argparse.ArgumentParser(description=__doc__)
    command.add_argument(
        "--seconds", type=float, default=20, help="of the processor, for either ratio"
    )
    command.add_argument("--only", nargs="+", help="names of trunks")
    command.add_argument("--out", action="store_true", help=f"write {RESULTS.name}")
    given = command.parse_args()
    torch.set_num_threads(1)
    known, rows = pairs(), []
    for name in given.only or list(known):
        rows += [row(name, known[name], layout, given.seconds) for layout in FORMATS]
    if given.out:
        RESULTS.write_text(page(rows), encoding="utf-8")


def page(rows: list[str]) -> str:
    head = [
        "# Trunks of clips beside their twins",
        "",
        "`python -m benchmarks.video_trunks --out`. "
        + " ".join((__doc__ or "").split("`.")[1].split()),
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {processor()}, one thread. * is above {LIMIT}.",
        "",
        "| trunk | twin | clip | memory | forward, ms | ratio | step, ms | ratio |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*head, *rows]) + "\n"


if __name__ == "__main__":
    main()
