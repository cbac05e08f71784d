"""What is looked at of an image or a video before its bytes are stored, by the kind of its set."""

from corpus.media.containers import container_of
from corpus.media.images import BadImage, checked_image
from corpus.media.squares import square, squared
from corpus.records.kind import BaseKind
from corpus.sources.formats import VIDEO_KINDS

LEAST = 64  # pixels: a larger JPEG is decoded reduced, enough to know that it is whole
ENDINGS = {"JPEG": "jpg", "TIFF": "tif"}


def checked_bytes(kind: BaseKind, data: bytes) -> tuple[str, int, int]:
    """(usual ending of the format, upright width, height) of what a kind stores.

    ValueError (BadImage, BadVideo) where it cannot be used. Of a video the first frame is decoded.
    """
    if kind.media == "video":
        from corpus.media.video import checked_video

        facts = checked_video(data)
        return facts.ending, facts.width, facts.height
    try:
        image = checked_image(data, LEAST)
    except BadImage as error:
        if error.kind == "unknown format" and container_of(data):
            raise BadImage(error.kind, f"{error.args[1]}; {VIDEO_KINDS}") from None
        raise
    return ENDINGS.get(image.format, image.format.lower()), image.width, image.height


def thumbnail(kind: BaseKind, data: bytes, side: int) -> bytes:
    """A square JPEG of an image, or of the first frame of a video. ValueError as above."""
    if kind.media != "video":
        return square(data, side)
    from corpus.media.frames import first_frame

    return squared(first_frame(data, side), side)
