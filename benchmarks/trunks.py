"""How fast each trunk is beside the same network of timm or torchvision, in one run.

`python -m benchmarks.trunks [--seconds 4] [--only NAME ...] [--out]`. A forward pass without
gradients, and a training step: forward, backward, SGD. Both networks have the same random images in
the same memory format, one thread, and take turns; the ratio is the median over turns of ours over
theirs in seconds of the processor, its interval that of the median (binomial, 95 %).
"""

import argparse
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import timm
import torch
import torchvision
from scipy.stats import binom
from timm.layers import GlobalContext, NonLocalAttn
from timm.models.byobnet import ByoBlockCfg, ByobNet, ByoModelCfg
from timm.models.resnet import Bottleneck, ResNet
from torch import Tensor, nn
from torchvision.models.vision_transformer import ConvStemConfig, VisionTransformer

from engine.core.build import build
from engine.core.cores import processor

RESULTS = Path(__file__).parent / "results/trunks.md"
LIMIT = 1.05
TURNS = 60  # at most; of a fast network fewer take all the time there is


class Pair(NamedTuple):
    """A section and the network that it is compared with, at a batch and a side in pixels."""

    section: dict
    theirs: str
    make: Callable[[], nn.Module]
    batch: int
    side: int


def with_attention(layer: Callable[..., nn.Module]) -> nn.Module:
    """timm's ResNet-50 with a block on every residual branch."""
    return ResNet(Bottleneck, (3, 4, 6, 3), block_args={"attn_layer": layer})


def botnet() -> nn.Module:
    """BoTNet-50 of timm's parts."""
    stages = [("bottle", 3, 256, 1), ("bottle", 4, 512, 2), ("bottle", 6, 1024, 2)]
    stages.append(("self_attn", 3, 2048, 2))
    blocks = [ByoBlockCfg(type=kind, d=d, c=c, s=s, gs=0, br=0.25) for kind, d, c, s in stages]
    stem = {"stem_chs": 64, "stem_type": "7x7", "stem_pool": "maxpool"}
    config = ByoModelCfg(blocks=tuple(blocks), self_attn_layer="bottleneck", **stem)
    return ByobNet(config, img_size=128)


def conv_vit() -> nn.Module:
    """ViT_C of 1 GF of torchvision's parts."""
    stem = [ConvStemConfig(width, 3, 2) for width in (24, 48, 96, 192)]
    options = {"image_size": 224, "patch_size": 16, "num_layers": 11, "num_heads": 3}
    return VisionTransformer(**options, hidden_dim=192, mlp_dim=576, conv_stem_configs=stem)


def of_timm(name: str) -> tuple[str, Callable[[], nn.Module]]:
    return f"timm {name}", partial(timm.create_model, name)


def of_torchvision(name: str) -> tuple[str, Callable[[], nn.Module]]:
    return f"torchvision {name}", getattr(torchvision.models, name)


def pairs() -> dict[str, Pair]:
    tiny = {"name": "vit", "width": 192, "heads": 3, "hidden": 768}
    stem = {"stem": "convolution", "stem_widths": [24, 48, 96, 192], "stem_strides": [2] * 4}
    conv = tiny | stem | {"hidden": 576, "depth": 11}
    context = partial(GlobalContext, fuse_add=True, fuse_scale=False, rd_ratio=1 / 16)
    gcnet = partial(with_attention, context)
    nlnet = partial(with_attention, partial(NonLocalAttn, rd_ratio=1 / 2))
    grouped = {"name": "resnet", "norm": {"name": "group_norm"}}
    halo = {"name": "halonet", "heads": [8] * 4, "scaled": False}
    bot = {"name": "botnet", "resolution": 128, "scaled": False}
    regnet = {"depth": 22, "w_0": 24, "w_a": 24.48, "w_m": 2.54, "group_width": 16}
    parts, everywhere = "timm's parts", {"context_at": "all"}
    return {
        "resnet": Pair({"name": "resnet"}, *of_torchvision("resnet50"), 2, 96),
        "resnet, group norm": Pair(grouped, *of_timm("resnet50_gn"), 2, 96),
        "resnext": Pair({"name": "resnext"}, *of_torchvision("resnext50_32x4d"), 2, 96),
        "regnet": Pair({"name": "regnet"} | regnet, *of_timm("regnetx_004"), 4, 96),
        "efficientnet": Pair({"name": "efficientnet"}, *of_timm("efficientnet_b0"), 4, 96),
        "vit": Pair(tiny, *of_timm("vit_tiny_patch16_224"), 2, 224),
        "vit, conv stem": Pair(conv, "torchvision's parts", conv_vit, 2, 224),
        "botnet": Pair(bot, parts, botnet, 2, 128),
        "halonet": Pair(halo, *of_timm("halonet_h1"), 1, 256),
        "gcnet, all stages": Pair({"name": "gcnet"} | everywhere, parts, gcnet, 2, 96),
        "nlnet, all blocks": Pair({"name": "nlnet", "nonlocal_at": "all"}, parts, nlnet, 2, 96),
    }


def classifier(section: dict, classes: int = 1000) -> nn.Module:
    backbone = build("backbones", section)
    return nn.Sequential(
        backbone, build("heads", {"name": "linear"}, channels=backbone.channels, classes=classes)
    )


def forward(network: nn.Module, images: Tensor) -> Callable[[], object]:
    return torch.no_grad()(partial(network.eval(), images))


def step(network: nn.Module, images: Tensor) -> Callable[[], object]:
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    classes = torch.arange(len(images))

    def call() -> None:
        network.train()
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), classes).backward()
        optimizer.step()

    return call


def seconds_of(call: Callable[[], object]) -> float:
    # the processor's, for there is one thread, and neighbours take turns on its core
    start = time.process_time()
    call()
    return time.process_time() - start


def turns(ours: Callable[[], object], theirs: Callable[[], object], seconds: float) -> np.ndarray:
    """Seconds (turns, 2) of ours and theirs, which of them first changing from turn to turn."""
    for call in (ours, theirs):  # memory and kernels are chosen in the first
        call()
    found, end = [], time.process_time() + seconds
    while len(found) < 5 or (time.process_time() < end and len(found) < TURNS):
        first, second = (ours, theirs) if len(found) % 2 else (theirs, ours)
        taken = [seconds_of(first), seconds_of(second)]
        found.append(taken if len(found) % 2 else taken[::-1])
    return np.array(found)


def ratio(found: np.ndarray) -> tuple[float, float, float]:
    """Median ratio of ours over theirs, and the ends of its 95 % interval."""
    ratios = np.sort(found[:, 0] / found[:, 1])
    low = int(binom.ppf(0.025, len(ratios), 0.5))
    return float(np.median(ratios)), ratios[low], ratios[len(ratios) - 1 - low]


def compared(ours: nn.Module, theirs: nn.Module, inputs: Tensor, seconds: float) -> list[str]:
    """Milliseconds of ours and the ratio to theirs, of a forward pass and of a step."""
    cells = []
    for kind in (forward, step):
        found = turns(kind(ours, inputs), kind(theirs, inputs), seconds)
        middle, low, high = ratio(found)
        over = " *" if middle > LIMIT else ""
        cells.append(f"{1e3 * np.median(found[:, 0]):.0f}")
        cells.append(f"{middle:.2f} ({low:.2f} to {high:.2f}){over}")
    return cells


def told(cells: list[str]) -> str:
    """A line of the table, printed."""
    line = "| " + " | ".join(cells) + " |"
    print(line, flush=True)
    return line


def row(name: str, pair: Pair, seconds: float) -> str:
    torch.manual_seed(0)
    images = torch.rand(pair.batch, 3, pair.side, pair.side)
    images = images.contiguous(memory_format=torch.channels_last)
    ours = classifier(pair.section).to(memory_format=torch.channels_last)
    theirs = pair.make().to(memory_format=torch.channels_last)
    cells = [name, pair.theirs, f"{pair.batch} x {pair.side}"]
    return told([*cells, *compared(ours, theirs, images, seconds)])


def main() -> None:
    command = argparse.ArgumentParser(description=__doc__)
    command.add_argument(
        "--seconds", type=float, default=4, help="of the processor, for either ratio"
    )
    command.add_argument("--only", nargs="+", help="names of trunks")
    command.add_argument("--out", action="store_true", help=f"write {RESULTS.name}")
    given = command.parse_args()
    torch.set_num_threads(1)
    known = pairs()
    chosen = given.only or list(known)
    rows = [row(name, known[name], given.seconds) for name in chosen]
    if given.out:
        RESULTS.write_text(page(rows), encoding="utf-8")


def page(rows: list[str]) -> str:
    head = [
        "# Trunks beside their twins",
        "",
        "`python -m benchmarks.trunks --out`. " + " ".join((__doc__ or "").split("`.")[1].split()),
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {processor()}, one thread. * is above {LIMIT}.",
        "",
        "| trunk | twin | batch x pixels | forward, ms | ratio | step, ms | ratio |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*head, *rows]) + "\n"


if __name__ == "__main__":
    main()
