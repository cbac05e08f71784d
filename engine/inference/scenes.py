"""A trained network of objects, or of classes of pixels, as people use it: photographs in, boxes,
masks and maps out, in px of the photographs.

It gives the numbers that the stage evaluate measured: an image becomes the one that the stage
corpus stores, with its aspect, is seen as in a test, and the policy of the task is asked. What is
found is then scaled to the photograph: masks and maps by nearest neighbours.
"""

import functools
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from corpus.media.decoding import decode
from corpus.media.images import BadImage, opened_image
from corpus.media.kept import kept_picture
from corpus.media.runs import nearest
from corpus.reading.sampler import TEST_VIEWS, seeded
from engine.core.batch import moved
from engine.core.build import build, plugin
from engine.core.numerics import numerics
from engine.inference.predictor import Predictor, from_array
from models.blocks.augment.draws import Draws

PLAIN = {"name": "plain"}
PIXELS = 1 << 22  # of images that are looked at together: each may have a hundred masks
FOUND = {"boxes", "semantic", "panoptic"}  # columns of which a policy tells one at least
FLAGS = ("box_crowd", "box_ignore", "masks_known", "panoptic_crowd", "panoptic_thing")


class Picture(NamedTuple):
    """An image as the stage corpus stores it, uint8 (h, w, 3); width and height as it came."""

    pixels: np.ndarray
    sides: tuple[int, int]


class Answer(NamedTuple):
    """What is found in an image of height h and width w, as it came, surest objects first.

    boxes: float32 (m, 4), x1 y1 x2 y2. labels: int64 (m,). scores: float32 (m,).
    masks: COCO's compressed run lengths of each object; None where none are told.
    classes: int (h, w), the class of each pixel, 255 where none is told; None where none are.
    segments: int32 (h, w), s + 1 where the s-th segment is, 0: none is; None where none are told.
    segment_labels: the class of each. segment_things: whether it is a countable thing.
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    masks: list[str] | None
    classes: np.ndarray | None
    segments: np.ndarray | None
    segment_labels: list[int]
    segment_things: list[bool]


def finds(sections: Mapping[str, Any]) -> bool:
    """Whether a network of these sections finds objects, or classes of pixels."""
    found = plugin("objectives", sections["objective"]["name"], "objective")
    return getattr(found, "scenes", False)


def seen_at(module: nn.Module, size: int, stored: int) -> None:
    """Let a network see images with so many px on their shorter side, by its objective's views.

    stored: px that they are stored with.
    """
    views = module.augment
    # the size that it is tested at anyway has the bounds of its training
    if size != (views.test_shorter or stored):
        views.test_shorter, views.longer, views.canvas = size, None, None


class ScenePredictor(Predictor):
    """A network of objects out of its weight file, ready for images as people have them.

    size: px of the longer side that the stage corpus stored at the most. tested: of the shorter
    side of what the network is given, as the stage evaluate counts them.
    """

    finds: ClassVar[bool] = True

    def __init__(
        self,
        weights: Path,
        size: int,
        device: torch.device | str | None = None,
        tested: int | None = None,
        policy: Mapping[str, Any] | None = None,
    ) -> None:
        """tested: None for what its objective says. policy: the section of the task's, by which it
        was tested.

        ValueError with cause and fix for a file that is none of a network.
        """
        super().__init__(weights, size, device, tested)
        self.tested = tested or self.module.augment.test_shorter or size
        seen_at(self.module, self.tested, size)
        self.policy = build("policies", dict(policy or PLAIN), where="policy")

    @functools.cached_property
    def width(self) -> int:
        """Numbers of an image's features."""
        black = Picture(np.zeros((self.size, self.size, 3), np.uint8), (self.size, self.size))
        return self.features([black]).shape[1]

    @property
    def at_once(self) -> int:
        """Images whose masks fit into memory beside each other."""
        return max(1, PIXELS // self.size**2)

    def square(self, image: bytes | Image.Image | np.ndarray) -> Picture:
        """The image as the stage corpus stores it: no square here, it keeps its aspect.

        image: as of `Predictor.square`. Raises BadImage with a reason.
        """
        if isinstance(image, np.ndarray):
            image = from_array(image)
        if isinstance(image, Image.Image):
            out = BytesIO()
            Image.fromarray(opened_image(image).pixels).save(out, "PNG")
            image = out.getvalue()
        if not isinstance(image, bytes | bytearray | memoryview):
            raise BadImage("unknown format", f"{type(image).__name__} is no image: give its bytes")
        jpeg, _, sides = kept_picture(bytes(image), self.size)
        return Picture(decode(jpeg), sides)

    def together(self, read: Sequence[Picture]) -> list[Picture]:
        """A list: images differ in their sides."""
        return list(read)

    def _views(self, pictures: list[Picture]) -> Any:
        return self.module.plain([_pixels(each).to(self.device) for each in pictures])

    def _answers(self, images: Any) -> tuple[Tensor, Tensor]:
        raise ValueError("a network that finds objects names no class of an image: ask `found`")

    @torch.no_grad()
    def found(
        self, pictures: list[Picture], threshold: float = 0.0, most: int | None = None
    ) -> list[Answer]:
        """What the network finds in each; objects of a score from `threshold` on, `most` of each.

        A map of segments is told as it is.
        """
        batch = moved(_batch(pictures, self.module.reads), self.device)
        draws = Draws(seeded(0, TEST_VIEWS), 0, len(pictures))
        with numerics():
            found, _ = self.policy(self.module, batch, draws)
            if not FOUND & found.keys():
                # a policy that tells something else of each image, as its features
                found = self.module.predict(self.module.test_views(batch, draws))
        answers = []
        for row, picture in enumerate(pictures):
            columns = {name: column[row] for name, column in found.items()}
            answers.append(_answer(columns, picture, threshold, most))
        return answers


def _pixels(picture: Picture) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture.pixels))


def _batch(pictures: Sequence[Picture], reads: Mapping[str, Any]) -> dict[str, list[Tensor]]:
    """The images as columns of a data set of which nothing is known: no object, no segment."""
    batch = {}
    for name in (*reads, "sides"):
        batch[name] = [_unknown(name, each) for each in pictures]
    return batch


def _unknown(name: str, picture: Picture) -> Tensor:
    height, width = picture.pixels.shape[:2]
    if name == "image":
        return _pixels(picture)
    if name in ("sides", "original_sides"):
        return torch.tensor([width, height])
    if name == "panoptic":
        return torch.zeros(height, width, dtype=torch.int32)
    if name == "masks":
        return torch.zeros(0, height, width, dtype=torch.bool)
    if name == "boxes":
        return torch.zeros(0, 4)
    return torch.zeros(0, dtype=torch.bool if name in FLAGS else torch.int64)


def _answer(
    row: Mapping[str, Tensor], picture: Picture, threshold: float, most: int | None
) -> Answer:
    """What is told of an image as it is stored, of the image as it came."""
    row = {name: column.cpu() for name, column in row.items() if isinstance(column, Tensor)}
    boxes = row.get("boxes", torch.zeros(0, 4)).float()
    labels = row.get("box_label", torch.zeros(0, dtype=torch.int64))
    scores = row.get("box_score", torch.zeros(len(labels))).float()
    # stable: of equal scores the network's order
    order = scores.argsort(descending=True, stable=True)
    order = order[scores[order] >= threshold][:most]
    (height, width), (whole, tall) = picture.pixels.shape[:2], picture.sides
    factor = torch.tensor([whole / width, tall / height] * 2)
    masks = None
    if "masks" in row:
        masks = [_run_lengths(row["masks"][place].numpy(), picture) for place in order.tolist()]
    segments = _scaled(row.get("panoptic"), picture)
    return Answer(
        boxes=(boxes[order] * factor).numpy(),
        labels=labels[order].numpy(),
        scores=scores[order].numpy(),
        masks=masks,
        classes=_scaled(row.get("semantic"), picture),
        segments=None if segments is None else segments.astype(np.int32),
        segment_labels=row["panoptic_label"].tolist() if "panoptic_label" in row else [],
        segment_things=row["panoptic_thing"].tolist() if "panoptic_thing" in row else [],
    )


def _scaled(found: Tensor | np.ndarray | None, picture: Picture) -> np.ndarray | None:
    """A map of the stored image (h, w) as one of the image as it came."""
    if found is None:
        return None
    found, (width, height) = np.asarray(found), picture.sides
    if found.shape == (height, width):
        return found
    taken = nearest(*found.shape, (height, width))
    return found[taken.rows][:, taken.columns]


def _run_lengths(mask: np.ndarray, picture: Picture) -> str:
    from pycocotools import mask as runs

    scaled = np.asfortranarray(_scaled(mask, picture).astype(np.uint8))
    return runs.encode(scaled)["counts"].decode("ascii")
