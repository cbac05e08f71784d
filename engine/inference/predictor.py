"""A trained network as people use it: photographs in, classes or hashtags with probabilities out.

It gives the numbers that the stage evaluate measured: the same squares as the stage corpus stores,
the same views as a test, the same kernels.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from corpus.media.containers import container_of
from corpus.media.decoding import decode
from corpus.media.images import BadImage, opened_image
from corpus.media.squares import squared, stored_square
from engine.core.device import device as default_device
from engine.core.layout import placed
from engine.core.network import load_network
from engine.core.numerics import numerics
from engine.core.resizing import resized

# scores that the stage evaluate ranks: which of several equal ones comes first may depend on it
RANKED = 5
HASHTAGS, TAGS = "hashtags", "tags"
SEVERAL = (HASHTAGS, TAGS)  # columns of targets that hold several right answers


class Predictor:
    """A network out of its weight file, ready for images as people have them.

    names: of the classes, or of the hashtags of a pretrained network.
    several: `hashtags` or `tags`, where several of them may be right; empty where one is.
    size: pixels of the squares that `square` makes, those that the stage corpus stored.
    tested: pixels that the network is given; it resizes the squares itself.
    column: what of a data set its network sees. media: what people give it.
    finds: whether its network finds objects, or classes of pixels, in the place of names.
    """

    column: ClassVar[str] = "image"
    media: ClassVar[str] = "image"
    finds: ClassVar[bool] = False

    def __init__(
        self,
        weights: Path,
        size: int,
        device: torch.device | str | None = None,
        tested: int | None = None,
    ) -> None:
        """tested: pixels that the images are resized to, where not the squares' own.

        ValueError with cause and fix for a file that is none of a network.
        """
        if min(size, tested or size) < 1:
            raise ValueError(f"images of {size} x {size} pixels: give 1 or more")
        self.module, self.names = load_network(Path(weights))
        if self.module.column != self.column:
            raise ValueError(
                f"{weights} is a network of the column {self.module.column!r}, and these are of "
                f"the column {self.column!r}: give it what it was trained on"
            )
        self.size, self.tested = size, tested or size
        self.device = torch.device(device) if device else default_device()
        placed(self.module, self.device).eval()
        # of a network trained on puzzles, the names are those of data that it never looked at
        self.predicts = self.module.classifies
        target = self.module.target
        self.several = target if target in SEVERAL else ""

    @functools.cached_property
    def width(self) -> int:
        """Numbers of an image's features: asked of the network, for objectives differ in them."""
        black = torch.zeros(1, self.size, self.size, 3, dtype=torch.uint8)
        return self.features(black).shape[1]

    def square(self, image: bytes | Image.Image | np.ndarray) -> np.ndarray:
        """Pixels uint8 (size, size, 3) of an image: the centre square, by the corpus's own path.

        image: a file's bytes; or an image of Pillow's or an array, uint8 (h, w), (h, w, 3) or
        (h, w, 4), which give what a PNG of the same pixels would. Raises BadImage with a reason.
        """
        if isinstance(image, bytes | bytearray | memoryview):
            jpeg, _ = stored_square(bytes(image), self.size)
            return decode(jpeg)
        if isinstance(image, np.ndarray):
            image = from_array(image)
        if not isinstance(image, Image.Image):
            raise BadImage("unknown format", f"{type(image).__name__} is no image: give its bytes")
        return decode(squared(opened_image(image).pixels, self.size))

    def read(self, image: bytes | Image.Image | np.ndarray) -> np.ndarray:
        """`square`, which says so where the file is a video. Raises BadImage with a reason."""
        try:
            return self.square(image)
        except BadImage as error:
            video = container_of(image) if isinstance(image, bytes) else None
            if video is None or error.kind != "unknown format":
                raise
            why = f"a video ({video.ending}), and this is a network of images"
            raise BadImage(error.kind, f"{why}: take one that was trained on clips") from None

    def together(self, read: Sequence[np.ndarray]) -> Tensor:
        """What was read of several images, as `scores`, `ranked` and `features` take them."""
        shape = (0, self.size, self.size, 3)
        return torch.from_numpy(np.stack(read) if read else np.empty(shape, np.uint8))

    def _views(self, images: Tensor) -> Tensor:
        return self.module.plain(resized(images, self.tested).to(self.device))

    def _answers(self, images: Any) -> tuple[Tensor, Tensor]:
        """Scores that are ranked, and probabilities; both (n, names)."""
        self._predicting()
        logits = self.module.logits(self._views(images))
        return logits, self._probabilities(logits)

    def _predicting(self) -> None:
        """ValueError where the network answers another question than its names."""
        if not self.predicts:
            task = type(self.module).__name__.lower()
            raise ValueError(
                f"a network trained on the pretext task {task!r} predicts none of its {HASHTAGS}: "
                "take a fine-tuned one, or its features"
            )

    @torch.no_grad()
    def scores(self, images: Tensor) -> Tensor:
        """Squares uint8 (n, size, size, 3) -> probabilities float32 (n, names), on the CPU."""
        with numerics():
            return self._answers(images)[1].cpu()

    @torch.no_grad()
    def ranked(self, images: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The best `count` names of each image, or all of them where there are fewer.

        Squares uint8 (n, size, size, 3) -> probabilities float32 (n, count), falling, and places
        in `names`, int64 (n, count); on the CPU.
        """
        with numerics():
            logits, probabilities = self._answers(images)
            # by logits, not by probabilities, of which more are equal: the stage evaluate's choice
            most = min(max(RANKED, count), logits.shape[1])
            best = logits.topk(most).indices[:, :count]
            return probabilities.gather(1, best).cpu(), best.cpu()

    def _probabilities(self, logits: Tensor) -> Tensor:
        """Of sum 1; of tags each by itself."""
        if self.several == TAGS:
            return self.module.head.decode(logits.float())
        return logits.float().softmax(1)

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Squares uint8 (n, size, size, 3) -> pooled features float32 (n, channels), on the CPU."""
        with numerics():
            return self.module.features(self._views(images)).float().cpu()


def from_array(pixels: np.ndarray) -> Image.Image:
    """Pillow's image of an array; BadImage where it is none."""
    grey = pixels.ndim == 2
    if pixels.dtype != np.uint8 or not (grey or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))):
        found = f"an array of {pixels.dtype} {pixels.shape}"
        fix = "give uint8 of 0 to 255, (h, w), (h, w, 3) or (h, w, 4)"
        raise BadImage("unsupported pixels", f"{found}; {fix}")
    if not pixels.size:
        raise BadImage("empty", f"an array of shape {pixels.shape}")
    return Image.fromarray(pixels)
