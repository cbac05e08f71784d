"""Which object each anchor or region is to find, and a box as its distance from an anchor.

Ren, He, Girshick, Sun 2015, "Faster R-CNN", arXiv 1506.01497, section 3.1.2 and equation 2;
torchvision's Matcher and BoxCoder compute them. Regions to be ignored: those of COCO's crowds.
"""

import torch
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder, Matcher
from torchvision.ops import box_area, box_iou

__all__ = ["NEGATIVE", "NEITHER", "Deltas", "Matching"]

NEGATIVE = Matcher.BELOW_LOW_THRESHOLD  # shows no object
NEITHER = Matcher.BETWEEN_THRESHOLDS  # not to be learnt from
WITHIN = 0.5  # of a candidate's area that lies in a region to be ignored


class Matching:
    """Objects and candidates (anchors, regions) -> the object that each candidate is to find.

    foreground: least overlap (intersection over union) with the object.
    background: below this overlap with all objects a candidate is a negative, from it on up to
        `foreground` it is neither.
    low_quality: whether the candidates that overlap an object most are its own, however little they
        overlap it, unless they overlap another more.

    ValueError where background is above foreground.
    """

    def __init__(self, foreground: float, background: float, low_quality: bool = False) -> None:
        if background > foreground:
            raise ValueError(
                f"overlaps from {foreground} on are of an object and below {background} of none: "
                "give a background that is not above the foreground"
            )
        self.matcher = Matcher(foreground, background, low_quality)

    def __call__(self, boxes: Tensor, ignore: Tensor, candidates: Tensor) -> Tensor:
        """Boxes (m, 4), ignore bool (m,), candidates (n, 4) -> int64 (n,): a place in `boxes`,
        NEGATIVE or NEITHER.

        Candidates that lie by half in an ignored box, and match no other, are NEITHER.
        """
        kept = (~ignore).nonzero()[:, 0]
        found = candidates.new_full((len(candidates),), NEGATIVE, dtype=torch.int64)
        if len(kept) and len(candidates):
            found = self.of_overlaps(box_iou(boxes[kept], candidates))
            found = torch.where(found >= 0, kept[found.clamp(min=0)], found)
        if ignore.any():
            within = _within(candidates, boxes[ignore]) >= WITHIN
            found[(found == NEGATIVE) & within] = NEITHER
        return found

    def of_overlaps(self, overlaps: Tensor) -> Tensor:
        """Overlaps (m, n) of objects and candidates -> int64 (n,); m and n are above 0."""
        found = self.matcher(overlaps)
        if self.matcher.allow_low_quality_matches:
            # an object beside all candidates overlaps each of them "most", by 0
            beside = overlaps.amax(0) == 0
            found[beside] = self.matcher.BELOW_LOW_THRESHOLD
        return found


def _within(candidates: Tensor, regions: Tensor) -> Tensor:
    """The largest share (n,) of each candidate's own area that lies in one of the regions."""
    corner = torch.maximum(candidates[:, None, :2], regions[:, :2])
    other = torch.minimum(candidates[:, None, 2:], regions[:, 2:])
    shared = (other - corner).clamp(min=0).prod(2)
    share = shared / box_area(candidates)[:, None].clamp(min=1e-6)
    return share.amax(1)


class Deltas:
    """Boxes as seen from anchors: dx, dy in sides of the anchor, logs of the ratios of the sides.

    weights: factors on the four. No box is decoded as more than 62.5 times its anchor's side.
    """

    def __init__(self, weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)) -> None:
        self.coder = BoxCoder(weights)

    def encode(self, boxes: Tensor, anchors: Tensor) -> Tensor:
        """Boxes (n, 4) and anchors (n, 4), neither empty -> deltas float32 (n, 4)."""
        return self.coder.encode_single(boxes.float(), anchors.float())

    def decode(self, deltas: Tensor, anchors: Tensor) -> Tensor:
        """Deltas (n, 4), or (n, 4 * classes) of each class, and anchors (n, 4) -> boxes like them.

        float32, whatever half precision the network computes in.
        """
        return self.coder.decode_single(deltas.float(), anchors)
