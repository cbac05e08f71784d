"""What detectors cost on real images, all that comes after the network counted.

How long boxes take to be sorted out and masks to be pasted depends on how many are found, and in
random pixels that is another number than in images: so the time of an image is measured on the
first images of the test split, one after the other, each on a canvas of its own.
"""

import itertools
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from engine.core.allocator import keep_freed_memory
from engine.core.device import device
from engine.core.layout import placed
from engine.core.numerics import numerics
from engine.core.samples import Rows
from engine.measure.repeats import measure_quietly
from engine.measure.timing import timed

IMAGES = 16  # of the test split
PERCENTILES = (50, 95, 99)


@numerics()
@torch.inference_mode()
def on_images(
    module: nn.Module, samples: Rows, seconds: float, patience: float, runs: int
) -> dict[str, Any]:
    """Latency of an image in the place of that of random pixels, ms; the `backbone`'s part of it;
    sides of the canvases, how many images, and how many objects are found in each on the average.

    samples: of a test split. The other arguments are those of engine/measure/profile.py.
    """
    keep_freed_memory()
    where = device()
    placed(module, where).eval()
    batch = samples.read(torch.arange(min(IMAGES, len(samples))))
    views = [image.to(where) for image in batch["image"]]
    images, contents = module.placed(views)
    sides = [tuple(each.tolist()) for each in batch["sides"]]
    rows = itertools.cycle(range(len(images)))

    def whole() -> dict[str, list[Tensor]]:
        row = next(rows)
        found = module.scenes_found([images[row]], [contents[row]])
        return module.columns_of(found, [contents[row]], [sides[row]])

    def trunk() -> Any:
        return module.backbone(images[next(rows)][None])

    found = _told(*measure_quietly(partial(timed, whole, where, runs, seconds), patience))
    alone, _ = measure_quietly(partial(timed, trunk, where, runs, seconds), patience)
    answers = [len(each) for _ in images for each in whole().get("box_score", ())]
    heights, widths = zip(*(image.shape[1:] for image in images), strict=True)
    return found | {
        "post_processing": True,
        "latency_backbone_p50_ms": 1e3 * alone.median().item(),
        "latency_images": len(images),
        "latency_canvas": [_middle(heights), _middle(widths)],
        "found_per_image": sum(answers) / max(1, len(answers)),
    }


def _told(taken: Tensor, meanwhile: dict[str, Any]) -> dict[str, Any]:
    shares = torch.tensor(PERCENTILES, dtype=taken.dtype) / 100
    times = (1e3 * taken.quantile(shares)).tolist()
    found = {f"latency_p{p}_ms": ms for p, ms in zip(PERCENTILES, times, strict=True)}
    return found | {key: meanwhile[key] for key in ("latency_spread", "busy") if key in meanwhile}


def _middle(sides: Sequence[int]) -> int:
    return sorted(sides)[len(sides) // 2]
