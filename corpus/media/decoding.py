"""The pixels of JPEGs that the corpus stage has checked and written itself: what training reads.

Whatever comes from outside goes through corpus.media.images first.
"""

import numpy as np
from simplejpeg import decode_jpeg


def decode(data: bytes, out: np.ndarray | None = None) -> np.ndarray:
    """uint8 pixels (h, w, 3) of a trusted RGB JPEG as stored, into `out` if given.

    ValueError for damaged bytes.
    """
    return decode_jpeg(data, buffer=out)
