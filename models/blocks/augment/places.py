"""Random sizes, crops and flips for models/blocks/augment/geometry.py, of the draws of a step.

Every function takes the same numbers for an image whichever worker holds it. Sizes: "multi-scale"
training, He et al. 2017, "Mask R-CNN", arXiv 1703.06870, appendix A.
"""

from collections.abc import Sequence

from models.blocks.augment.draws import Draws

__all__ = ["random_crops", "random_flips", "random_sides"]

Sides = tuple[int, int]  # height and width


def random_sides(draws: Draws, n: int, choices: Sequence[int]) -> list[int]:
    """One of the choices for each of n images, such as the shorter side to resize it to."""
    places = (draws.rand(n) * len(choices)).long()
    return [choices[place] for place in places.tolist()]


def random_flips(draws: Draws, n: int, probability: float = 0.5) -> list[bool]:
    """Whether each of n images is flipped."""
    return (draws.rand(n) < probability).tolist()


def random_crops(
    draws: Draws, images: Sequence[Sides], least: float = 0.3, most: float = 1.0
) -> list[tuple[int, int, int, int]]:
    """(top, left, height, width) of a crop of each image.

    Height and width are each of least to most of the image's, one pixel at least; all places are
    equally likely.
    """
    found = []
    for numbers, (height, width) in zip(draws.rand(len(images), 4).tolist(), images, strict=True):
        high, wide = (
            max(1, round(side * (least + (most - least) * share)))
            for side, share in zip((height, width), numbers[:2], strict=True)
        )
        top = int(numbers[2] * (height - high + 1))
        left = int(numbers[3] * (width - wide + 1))
        found.append((top, left, high, wide))
    return found
