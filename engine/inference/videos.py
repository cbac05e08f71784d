"""A trained network of clips as people use it: videos in, classes or hashtags out.

It gives the numbers that the stage evaluate measured: the same frames as the stage corpus stores,
of them the clips and crops that the policy of its task asks for, by the same kernels.
"""

import functools
from collections.abc import Mapping, Sequence
from itertools import product
from mmap import ACCESS_READ, mmap
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from corpus.media.decoding import decode_frames
from corpus.reading.clips import bytes_of, slots_of
from corpus.reading.index import Lists
from corpus.reading.sampler import READING, TEST_VIEWS, seeded
from engine.core.batch import moved
from engine.core.build import build
from engine.core.network import columns_read, tested_columns
from engine.core.numerics import numerics
from engine.core.resizing import with_short_side
from engine.inference.predictor import Predictor
from models.blocks.augment.draws import Draws

PLAIN = {"name": "plain"}
SECONDS = 3600.0  # of computing for a video, as the stage corpus takes
BYTES = 1 << 30  # of clips that the network is given at a time, as floats


class VideoPredictor(Predictor):
    """A network of clips out of its weight file, ready for videos as people have them.

    size: pixels of the short side that the stage corpus stored. tested: those that the network is
    given.
    """

    column: ClassVar[str] = "clip"
    media: ClassVar[str] = "video"

    def __init__(
        self,
        weights: Path,
        size: int,
        device: torch.device | str | None = None,
        tested: int | None = None,
        frame_rate: int = 30,
        policy: Mapping[str, Any] = PLAIN,
        seconds: float = SECONDS,
    ) -> None:
        """frame_rate: frames a second of what the network was trained on. policy: the section of
        the task's, which says how many clips and crops of a video are asked for. seconds: of
        computing for one video; BadVideo beyond.

        ValueError with cause and fix for a file that is none of such a network.
        """
        super().__init__(weights, size, device, tested)
        self.frame_rate, self.seconds = frame_rate, seconds
        self.policy = build("policies", dict(policy), where="policy")
        read = tested_columns(self.module, self.policy, self.module.reads)
        self.clips = read[self.column]

    @functools.cached_property
    def width(self) -> int:
        """Numbers of a video's features: asked of the network, for objectives differ in them."""
        shape = self.clips["clips"], self.clips["frames"], self.tested, self.tested, 3
        return self.features([torch.zeros(shape, dtype=torch.uint8)]).shape[1]

    @property
    def at_once(self) -> int:
        """Videos whose clips fit into memory beside each other."""
        # one in a frame of 16:9
        pixels = self.clips["clips"] * self.clips["frames"] * self.tested**2 * 16 / 9
        return max(1, int(BYTES / (4 * 3 * pixels)))

    def read(self, video: bytes) -> Tensor:
        """Clips uint8 (k, t, h, w, 3) of a video, by the corpus's own path.

        video: a file's bytes. Raises BadVideo with a reason.
        """
        from corpus.media.frames import stored_frames  # PyAV, which networks of images need not

        with TemporaryFile() as file:
            found = stored_frames(video, self.size, self.frame_rate, file, self.seconds)
            file.flush()
            starts, ends, shape = self._places(found.ends)
            with mmap(file.fileno(), 0, access=ACCESS_READ) as data, memoryview(data) as view:
                pixels = decode_frames(view, starts.tolist(), ends.tolist())
        clips = torch.from_numpy(pixels).view(*shape, *pixels.shape[1:])
        return with_short_side(clips, self.tested)

    def _places(self, ends: list[int]) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
        """Where the frames of all clips start and end, (k t,) each; k and t."""
        one = np.zeros(1, np.int64)
        draws = Draws(seeded(0, READING), 0, 1)  # of segments: the same for every video
        slots = slots_of(np.array([len(ends)]), draws, **self.clips)[0]
        listed = Lists(pa.array([ends], pa.list_(pa.int32())))
        starts, ends = bytes_of(listed, one, slots.reshape(1, -1))
        return starts[0], ends[0], slots.shape

    def together(self, read: Sequence[Tensor]) -> list[Tensor]:
        """A list: videos differ in their sides."""
        return list(read)

    def _answers(self, videos: list[Tensor]) -> tuple[Tensor, Tensor]:
        self._predicting()
        draws = Draws(seeded(0, TEST_VIEWS), 0, len(videos))
        batch = moved({self.column: videos}, self.device)
        found, _ = self.policy(self.module, batch, draws)
        if not {"scores", "probabilities"} <= found.keys():
            # one that tells something else of each sample, as its features
            found = self.module.predict(self.module.test_views(batch, draws))
        return found["scores"], found["probabilities"].float()

    @torch.no_grad()
    def features(self, videos: list[Tensor]) -> Tensor:
        """Clips of videos -> pooled features float32 (n, channels), on the CPU; the mean of all
        clips and crops.
        """
        cropped, side = self.module.augment.cropped, getattr(self.policy, "side", None)
        videos = moved({self.column: videos}, self.device)[self.column]
        places = getattr(self.policy, "places", (0.5,))
        views = list(product(range(len(videos[0])), places))
        with numerics():
            each = [self.module.features(cropped(videos, *view, side)).float() for view in views]
        return (sum(each) / len(views)).cpu()


def sees_clips(sections: Mapping[str, Any]) -> bool:
    """Whether a network of these sections is one of clips."""
    return VideoPredictor.column in columns_read(dict(sections["objective"]))
