"""Images with something drawn over them: masks in colours, an SVG with boxes on top of it."""

import base64
from collections.abc import Sequence
from io import BytesIO

import numpy as np
from PIL import Image

from corpus.pages.markup import Markup, el, short

SIDE = 320  # px of the longer side of a drawn image
OPACITY = 0.55  # of what is drawn over an image
LETTERS, STROKE = 11, 2  # px on the page: of letters, of a line
LETTER, LONGEST = 0.56, 32  # the width of one, as a share of its height; letters of a text
# after Wong 2011, "Points of view: Color blindness"
COLOURS = (
    (0, 114, 178),
    (213, 94, 0),
    (0, 158, 115),
    (204, 121, 167),
    (230, 159, 0),
    (86, 180, 233),
)
Colour = tuple[int, int, int]


def colour_of(number: int) -> Colour:
    """One of COLOURS for each number."""
    return COLOURS[number % len(COLOURS)]


def jpeg(pixels: np.ndarray) -> bytes:
    """An encoded image of uint8 (h, w, 3), its longer side SIDE px or less."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((SIDE, SIDE))
    data = BytesIO()
    picture.save(data, "JPEG", quality=85)
    return data.getvalue()


def tinted(pixels: np.ndarray, masks: Sequence[tuple[np.ndarray, Colour]]) -> np.ndarray:
    """The image, uint8 (h, w, 3), with masks bool (h, w) over it; one of another size is left out.

    The first one is on top.
    """
    shown = pixels.copy()
    for found, colour in reversed(masks):
        if found.shape == shown.shape[:2]:
            mixed = (1 - OPACITY) * shown[found] + OPACITY * np.array(colour)
            shown[found] = mixed.astype(np.uint8)
    return shown


def overlaid(pixels: np.ndarray, *shapes: Markup) -> Markup:
    """An SVG of the image with shapes over it, whose places are px of the image."""
    height, width = pixels.shape[:2]
    source = base64.b64encode(jpeg(pixels)).decode()
    under = el("image", href=f"data:image/jpeg;base64,{source}", width=width, height=height)
    scale = SIDE / max(height, width)
    view = {"viewBox": f"0 0 {width} {height}", "width": round(width * scale)}
    return el("svg", under, *shapes, **view, height=round(height * scale), role="img")


def boxed(
    box: Sequence[float], colour: Colour, told: str, sides: tuple[int, int], dashes: str = ""
) -> list[Markup]:
    """A box x1 y1 x2 y2 and what it is, for an image of these sides (height, width).

    dashes: of its line, in px of the page, as "4 3"; else it is drawn through.
    """
    unit = max(sides) / SIDE
    x1, y1, x2, y2 = box
    place = {"x": round(x1, 2), "y": round(y1, 2)}
    place |= {"width": round(max(0.0, x2 - x1), 2), "height": round(max(0.0, y2 - y1), 2)}
    dash = " ".join(f"{float(each) * unit:.2f}" for each in dashes.split()) or None
    line = {"stroke": f"rgb{colour}", "stroke_width": f"{STROKE * unit:.2f}"}
    drawn = [el("rect", el("title", told), **place, fill="none", **line, stroke_dasharray=dash)]
    size = LETTERS * unit
    # within the image, whatever lies at its edge
    y = min(max(y1 + size, size), sides[0] - 0.2 * size)
    style = f"font-size:{size:.2f}px;fill:rgb{colour};stroke:#fff;stroke-width:{0.2 * size:.2f}px"
    said = short(told, LONGEST)
    start, end = x1 + 0.2 * size, sides[1] - 0.2 * size
    inside = start + LETTER * size * len(said) <= end
    text = {"x": round(max(0.0, start if inside else end), 2), "y": round(y, 2)}
    text["text_anchor"] = None if inside else "end"
    drawn.append(el("text", said, **text, style=f"{style};paint-order:stroke"))
    return drawn
