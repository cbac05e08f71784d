"""Networks whose head finds objects, or classes of pixels: what they are run on to be measured.

How much such a network computes depends on what it sees: masks are made of what is found. So it is
run on images, those that are given or noise, and what is made of its answers counts as well.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.detection.pasting import pasted
from models.blocks.detection.scene import Found, Scene, SceneHead

OBJECTS = 8  # of an image that a step of training is measured with: COCO has 7.3 an image


def scene_head(network: nn.Module) -> SceneHead | None:
    """The head that finds things in images, of nn.Sequential(backbone, head); else None."""
    last = network[-1] if isinstance(network, nn.Sequential) and len(network) else None
    return last if isinstance(last, SceneHead) else None


def noise(count: int, shape: Sequence[int], where: torch.device) -> Tensor:
    """Random images float32 (count, *shape), the same each time."""
    drawn = torch.rand(count, *shape, generator=torch.Generator().manual_seed(0))
    return drawn.to(where)


def finished(found: Sequence[Found], canvas: Sequence[int]) -> list[tuple[Tensor | None, ...]]:
    """What people get of each image: masks bool (m, h, w), classes of pixels int64 (h, w)."""
    return [_finished(one, (canvas[0], canvas[1])) for one in found]


def _finished(found: Found, canvas: tuple[int, int]) -> tuple[Tensor | None, ...]:
    masks = classes = None
    if found.masks is not None:
        masks = pasted(found.masks, found.boxes, canvas)
    if found.semantic is not None:
        scores = F.interpolate(found.semantic[None], canvas, mode="bilinear")
        classes = scores[0].argmax(0)
    return masks, classes


def drawn_scenes(head: SceneHead, count: int, canvas: Sequence[int]) -> list[Scene]:
    """Scenes of OBJECTS objects each at random, with all that a head may learn of them."""
    generator = torch.Generator().manual_seed(0)
    return [_drawn(head, seed, (canvas[0], canvas[1]), generator) for seed in range(count)]


def _drawn(
    head: SceneHead, seed: int, canvas: tuple[int, int], generator: torch.Generator
) -> Scene:
    (height, width), where = canvas, next(head.parameters()).device
    middles = torch.rand(OBJECTS, 2, generator=generator)
    # sides of 0.1 to 0.5 of the image's
    halves = 0.05 + 0.2 * torch.rand(OBJECTS, 2, generator=generator)
    shares = torch.cat((middles - halves, middles + halves), 1).clamp(0, 1)
    boxes = shares * torch.tensor([width, height, width, height])
    labels = torch.randint(head.classes, (OBJECTS,), generator=generator)
    masks = torch.zeros(OBJECTS, height, width, dtype=torch.bool)
    for mask, box in zip(masks, boxes.round().long().tolist(), strict=True):
        mask[box[1] : box[3], box[0] : box[2]] = True
    none = torch.zeros(OBJECTS, dtype=torch.bool, device=where)
    return Scene(
        content=canvas,
        boxes=boxes.to(where),
        labels=labels.to(where),
        ignore=none,
        masks=masks.to(where),
        masks_known=~none,
        semantic=torch.zeros(height, width, dtype=torch.int64, device=where),
        unjudged=torch.zeros(head.classes, dtype=torch.bool, device=where),
        seed=seed,
    )
