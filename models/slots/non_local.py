"""The non-local block: each position adds values of all positions, weighted by their likeness.

Wang, Girshick, Gupta, He 2018, "Non-local Neural Networks", arXiv 1711.07971, sections 3.2 and 3.3.
"""

from typing import ClassVar

from models.blocks.expected import slot_row
from models.blocks.layers import nonlocality
from models.blocks.layers.video.nonlocal3d import NonLocal3d

__all__ = ["NonLocal", "expected"]


class NonLocal(nonlocality.NonLocal):
    """x (n, channels, h, w) -> x + norm(project(means)), of the same shape.

    The paper puts it after blocks 1 and 3 of the second, 1, 3 and 5 of the third stage (from 0).
    Of a clip (n, channels, t, h, w), each place of a frame sees those of all frames, and none is
    pooled away in time.

    kind: how alike two positions are.
    subsample: whether values are those of the map max-pooled by two.
    reduction: channels over those of the embeddings and values.
    """

    place: ClassVar[str] = "after"
    for_clips: ClassVar[type] = NonLocal3d
    identity_at_init: ClassVar[bool] = True


expected = [  # 2 of 512 and 3 of 1024 channels add 7,358,464 to ResNet-50 (the paper's table 2)
    slot_row(512, 526_592),
    slot_row(1024, 2_101_760),
    slot_row(512, 526_592, kind="dot_product"),
    slot_row(512, 526_592, subsample=True),
    slot_row(512, 263_936, kind="gaussian"),
    slot_row(512, 527_104, kind="concatenation", subsample=True),
]
