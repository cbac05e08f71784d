"""The size of an image that annotations are relative to, from its header alone."""

from io import BytesIO

from PIL import Image

from corpus.media.images import FORMATS, ORIENTATION


def upright_size(data: bytes) -> tuple[int, int]:
    """Width and height after the turn that EXIF asks for; ValueError for no image."""
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            turned = image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
    except Exception as error:  # Pillow's readers raise a dozen kinds
        raise ValueError(f"image whose size cannot be read: {str(error)[:80]}") from None
    return (height, width) if turned else (width, height)
