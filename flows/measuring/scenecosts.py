"""What detectors cost on real images, all that comes after the network counted.

How long boxes take to be sorted out and masks to be pasted depends on how many are found, and in
random pixels that is another number than in images: so costs are those of the first images of the
test split. Latency is measured on one after the other, each on a canvas of its own; batches are of
one canvas that holds all of them.
"""

import itertools
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from corpus.reading.sampler import TEST_VIEWS, seeded
from engine.core.allocator import keep_freed_memory
from engine.core.batch import Batch, moved, rows
from engine.core.device import device
from engine.core.layout import placed
from engine.core.numerics import numerics
from engine.core.samples import Rows
from engine.measure.repeats import measure_quietly
from engine.measure.timing import timed
from engine.training.predicting import Policy
from models.blocks.augment.draws import Draws

IMAGES = 16  # of the test split
COUNTED = ("box_score", "panoptic_label")
PERCENTILES = (50, 95, 99)


class Seen(NamedTuple):
    """The first test images: a batch of each as the data set has it, and as a network sees it.

    images: (3, H, W) each, on canvases of their own.
    """

    batches: list[Batch]
    images: list[Tensor]

    def on_one_canvas(self) -> Tensor:
        """All of them, (n, 3, H, W), zeros beside the smaller ones."""
        sides = torch.tensor([image.shape[1:] for image in self.images])
        height, width = sides.amax(0).tolist()
        whole = torch.zeros(len(self.images), 3, height, width)
        for row, image in enumerate(self.images):
            whole[row, :, : image.shape[1], : image.shape[2]] = image
        return whole


def seen_of(module: nn.Module, samples: Rows) -> Seen:
    """samples: of a test split."""
    where = device()
    placed(module, where).eval()
    batch = moved(samples.read(torch.arange(min(IMAGES, len(samples)))), where)
    count = len(batch["image"])
    batches = [rows(batch, slice(row, row + 1)) for row in range(count)]
    return Seen(batches, module.placed(batch["image"])[0])


@numerics()
@torch.inference_mode()
def on_images(
    module: nn.Module, ask: Policy, seen: Seen, seconds: float, patience: float, runs: int
) -> dict[str, Any]:
    """Latency of an image, ms, from its pixels as they are stored to what the policy makes of the
    network's answers; the `backbone`'s part of it at the size of the test; sides of the canvases,
    how many images, and how many objects or segments are found in each on the average.

    The last arguments are those of engine/measure/profile.py.
    """
    keep_freed_memory()
    where = device()
    placed(module, where).eval()
    turns, count = itertools.cycle(range(len(seen.batches))), len(seen.batches)

    def answers(row: int) -> Batch:
        return ask(module, seen.batches[row], Draws(seeded(0, TEST_VIEWS), row, count))[0]

    def whole() -> Batch:
        return answers(next(turns))

    def trunk() -> Any:
        return module.backbone(seen.images[next(turns)][None])

    found = _told(*measure_quietly(partial(timed, whole, where, runs, seconds), patience))
    alone, _ = measure_quietly(partial(timed, trunk, where, runs, seconds), patience)
    numbers = [_found(answers(row)) for row in range(count)]
    heights, widths = zip(*(image.shape[1:] for image in seen.images), strict=True)
    return found | {
        "post_processing": True,
        "latency_backbone_p50_ms": 1e3 * alone.median().item(),
        "latency_images": count,
        "latency_canvas": [_middle(heights), _middle(widths)],
        "found_per_image": sum(numbers) / count,
    }


def _found(columns: Batch) -> int:
    """Objects or segments of one image; of classes of pixels 0."""
    return next((len(columns[name][0]) for name in COUNTED if name in columns), 0)


def _told(taken: Tensor, meanwhile: dict[str, Any]) -> dict[str, Any]:
    shares = torch.tensor(PERCENTILES, dtype=taken.dtype) / 100
    times = (1e3 * taken.quantile(shares)).tolist()
    found = {f"latency_p{p}_ms": ms for p, ms in zip(PERCENTILES, times, strict=True)}
    return found | {key: meanwhile[key] for key in ("latency_spread", "busy") if key in meanwhile}


def _middle(sides: Sequence[int]) -> int:
    return sorted(sides)[len(sides) // 2]
