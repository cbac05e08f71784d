"""The pixel check of candidate duplicates: the correlation of one image with the best-placed
crop of the other.

Candidates come from hashes or learnt features, which say "alike"; here a pair must agree in its
edges once aligned.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

COARSE, FINE = 12, 32  # pixels per side at which crops are first placed, then compared
SCALES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)  # of the crop's side
STEPS = (0.06, 0.03, 0.03, 0.015, 0.015, 0.0075, 0.0075)  # of the image's side
HOPELESS = 0.7  # coarse correlation below which no placing is refined
# least correlation of a duplicate that features propose: of 42,000 unlike neighbours the best has
# 0.73
SAME = 0.8
# and of one that its hash proposes, which is hardly ever wrong but for images without content
LIKE = 0.6

Load = Callable[[np.ndarray], np.ndarray]


def _cells(low: Tensor, length: Tensor, pixels: int, size: int) -> Tensor:
    """Matrices (n, size, pixels) that average the pixels from low (n,) to low + length of a unit
    axis into cells.
    """
    edges = low[:, None] + length[:, None] * torch.arange(size + 1, device=low.device) / size
    grid = torch.arange(pixels + 1, device=low.device) / pixels
    top = torch.minimum(edges[:, 1:, None], grid[1:])
    return (top - torch.maximum(edges[:, :-1, None], grid[:-1])).clamp(min=0) * (
        size / length[:, None, None]
    )


def _crops(images: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Crops (n, size * size) of images (n, h, w), box (n, 3) being left, top and side in parts
    of the image.
    """
    rows = _cells(boxes[:, 1], boxes[:, 2], images.shape[1], size)
    columns = _cells(boxes[:, 0], boxes[:, 2], images.shape[2], size)
    return (rows @ images @ columns.mT).flatten(1)


def _unit(x: Tensor) -> Tensor:
    """Vectors along the last axis without their mean, of length 1.

    One without contrast becomes 0.
    """
    x = x - x.mean(-1, keepdim=True)
    return x / x.norm(dim=-1, keepdim=True).clamp(min=1e-3 * x.shape[-1])


def _whole(images: Tensor) -> Tensor:
    return torch.tensor([[0.0, 0.0, 1.0]], device=images.device).expand(len(images), 3)


def _placed(templates: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """Correlation (n,) and box (n, 3) of the grid's crop of each image (n, h, w) that is most
    like its template.
    """
    wanted = _unit(_crops(templates, _whole(templates), COARSE))
    images = _crops(images, _whole(images), FINE).view(-1, FINE, FINE)
    score = images.new_full((len(images),), -1)
    boxes = images.new_zeros(len(images), 3)
    for side in SCALES:  # places a tenth of the image apart
        places = torch.linspace(0, 1 - side, round((1 - side) * 10) + 1, device=images.device)
        cells = _cells(places, torch.full_like(places, side), FINE, COARSE).flatten(0, 1)
        crops = (
            (cells @ images @ cells.T)
            .unflatten(2, (-1, COARSE))
            .unflatten(1, (-1, COARSE))
            .transpose(2, 3)
        )
        best, at = torch.einsum("nyxp,np->nyx", _unit(crops.flatten(3)), wanted).flatten(1).max(1)
        found = torch.stack(
            [places[at % len(places)], places[at // len(places)], torch.full_like(best, side)], 1
        )
        boxes = torch.where((best > score)[:, None], found, boxes)
        score = torch.maximum(best, score)
    return score, boxes


def _refined(templates: Tensor, images: Tensor, boxes: Tensor) -> Tensor:
    """Correlation of edges (n,) after each box has climbed, in ever smaller steps, to where the
    crop fits best.
    """
    template = _crops(templates, _whole(templates), FINE)
    wanted = _unit(template)
    score = (_unit(_crops(images, boxes, FINE)) * wanted).sum(1)
    # left, top; and the side about its centre
    moves = torch.tensor([(1, 0, 0), (0, 1, 0), (-0.5, -0.5, 1)], device=images.device)
    for step in STEPS:
        for move in (*moves * step, *moves * -step):
            side = (boxes[:, 2] + move[2]).clamp(0.4, 1)
            moved = torch.stack([boxes[:, 0] + move[0], boxes[:, 1] + move[1], side], 1)
            moved[:, :2] = moved[:, :2].clamp(min=0).minimum(1 - side[:, None])
            new = (_unit(_crops(images, moved, FINE)) * wanted).sum(1)
            boxes = torch.where((new > score)[:, None], moved, boxes)
            score = torch.maximum(new, score)
    # two skies or a bright thing on a dark ground correlate in brightness wherever they come from,
    # their edges do not
    return (_unit(_edges(_crops(images, boxes, FINE))) * _unit(_edges(template))).sum(1)


def _edges(x: Tensor) -> Tensor:
    """Differences of neighbours down and across, (n, 2 * FINE * (FINE - 1)), of crops (n, FINE *
    FINE).
    """
    x = x.unflatten(1, (FINE, FINE))
    return torch.cat([x.diff(dim=1).flatten(1), x.diff(dim=2).flatten(1)], 1)


def _contained(templates: Tensor, images: Tensor) -> Tensor:
    """How well each template is a crop of its image: correlation (n,) of their edges.

    0 where that is hopeless.
    """
    placed, boxes = _placed(templates, images)
    score, likely = torch.zeros_like(placed), torch.nonzero(placed >= HOPELESS).flatten()
    if len(likely):
        score[likely] = _refined(templates[likely], images[likely], boxes[likely])
    return score


def verify_pairs(
    load_a: Load, load_b: Load, a: np.ndarray, b: np.ndarray, batch: int = 256
) -> np.ndarray:
    """float32 (m,): how well image a[i] of one side is found in image b[i] of the other, or that
    in it; 1 is a copy.

    The loaders give uint8 (n, h, w, 3) for indices; the size may differ between the sides. Colour
    is left out, so that a copy may be grey; a mirrored copy is not found.
    """
    where = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    scores = [np.empty(0, np.float32)]
    for start in range(0, len(a), batch):
        left, right = (
            _grey(load(rows[start : start + batch]), where)
            for load, rows in ((load_a, a), (load_b, b))
        )
        scores.append(torch.maximum(_contained(left, right), _contained(right, left)).cpu().numpy())
    return np.concatenate(scores)


def _grey(pixels: np.ndarray, where: torch.device) -> Tensor:
    weights = torch.tensor([0.299, 0.587, 0.114], device=where)
    return torch.from_numpy(np.ascontiguousarray(pixels)).to(where).float() @ weights
