"""Images of strangers small enough for a page."""

from corpus.media.images import BadImage
from corpus.media.squares import square
from corpus.pages.films import Film
from corpus.pages.markup import Markup, el, image, short

BYTES, THUMB = 40_000, 192  # a larger picture is shown as a square of THUMB px


def thumbnail(data: bytes, name: str, most: int = BYTES, size: int = THUMB) -> Markup:
    """The picture within the page, or the reason why there is none.

    data: an encoded image. One of more than `most` bytes is shown as a square of `size` pixels.
    A film is shown as it is, in the width that there is.
    """
    if isinstance(data, Film):
        return image(data, f"frames of the video {short(name, 40)}", class_="film")
    try:
        shown = square(data, size) if len(data) > most else data
    except BadImage as error:
        return el("p", short(str(error), 120), class_="soft")
    return image(shown, f"image {short(name, 40)}")
