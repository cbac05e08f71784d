"""A sample with the truth and two answers side by side: on its image where there is one.

Boxes, masks, panoptic and semantic maps are drawn; events are bars over time; transcripts and
classes are text. All that people typed is escaped (corpus/pages/markup.py).
"""

import base64
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from corpus.media.images import BadImage, checked_image
from corpus.pages.markup import Markup, el, image, join, tag
from metrics.blocks.metric import Batch

SIDE = 320  # px of the longer side of a drawn image
MOST = 30  # objects of an answer, the surest ones
TEXT = 600  # characters of a transcript
LARGEST = 4096  # px of a side, where no image says it
LONG = 300  # px of a time line
OPACITY = 0.55  # of what is drawn over an image
# after Wong 2011, "Points of view: Color blindness"
COLOURS = (
    (0, 114, 178),
    (213, 94, 0),
    (0, 158, 115),
    (204, 121, 167),
    (230, 159, 0),
    (86, 180, 233),
)
Shown = Sequence[tuple[str, Batch]]  # what it is called, and its columns


def drawn_sample(shown: Shown, row: int, names: Sequence[str], file: Path | None) -> Markup:
    """The columns of one row, side by side; names: of classes; file: of the image."""
    pixels = _pixels(file)
    answers = [_of(batch, row) for _, batch in shown]
    if pixels is None:
        pixels = _canvas(answers)
    parts = []
    for (called, _), columns in zip(shown, answers, strict=True):
        parts.append(el("figure", _drawn(columns, names, pixels), el("figcaption", tag(called))))
    return el("div", *parts, class_="answers")


def _of(batch: Batch, row: int) -> dict[str, Any]:
    return {name: column[row] for name, column in batch.items()}


def _pixels(file: Path | None) -> np.ndarray | None:
    """The image, uint8 (h, w, 3); None where there is none that can be read."""
    if file is None:
        return None
    try:
        return checked_image(file.read_bytes()).pixels
    except (BadImage, OSError):
        return None


def _canvas(answers: Sequence[dict[str, Any]]) -> np.ndarray | None:
    """White, in the place of an image: as large as the masks, or as all boxes reach."""
    for columns in answers:
        for found in columns.get("masks", ()):
            return np.full((*_mask(found).shape, 3), 255, np.uint8)
    boxes = [np.asarray(columns["boxes"], float) for columns in answers if "boxes" in columns]
    if not boxes:
        return None
    right, low = np.concatenate(boxes)[:, 2:].max(0, initial=1).tolist()
    # of what a file says, not of an image: no more than can be drawn
    return np.full((min(int(low) + 2, LARGEST), min(int(right) + 2, LARGEST), 3), 255, np.uint8)


def _drawn(columns: dict[str, Any], names: Sequence[str], pixels: np.ndarray | None) -> Markup:
    if "boxes" in columns or "masks" in columns:
        return _objects(columns, names, pixels)
    for name in ("panoptic", "semantic"):
        if name in columns:
            # ids of segments are of 24 bits: what lies above them is a decoder's
            return _map(np.asarray(columns[name]) & 0xFFFFFF, pixels)
    if "segments" in columns:
        return _segments(columns, names)
    for name in ("boundaries", "rater_boundaries"):
        if name in columns:
            return _instants(np.atleast_2d(np.asarray(columns[name], float)))
    if "transcript" in columns:
        said = bytes(np.asarray(columns["transcript"])).decode("utf-8", "replace")
        return el("p", tag(said, TEXT))
    return _classes(columns, names)


def _colour(number: int) -> tuple[int, int, int]:
    return COLOURS[number % len(COLOURS)]


def _objects(columns: dict[str, Any], names: Sequence[str], pixels: np.ndarray) -> Markup:
    """Boxes as an SVG over the image, masks in it."""
    labels = np.asarray(columns["box_label"])
    scores = np.asarray(columns.get("box_score", np.ones(len(labels))), float)
    first = np.argsort(-scores, kind="stable")[:MOST].tolist()
    masks = []
    if "masks" in columns:
        masks = [(_mask(columns["masks"][place]), labels[place]) for place in first]
    boxes = np.asarray(columns.get("boxes", np.zeros((len(labels), 4))), float)
    height, width = pixels.shape[:2]
    shown = [_under(pixels, masks)]
    for place in first if "boxes" in columns else ():
        x1, y1, x2, y2 = boxes[place].tolist()
        colour = f"rgb{_colour(int(labels[place]))}"
        told = _named(int(labels[place]), names)
        if "box_score" in columns:
            told += f" {scores[place]:.2f}"
        place_of = {"x": x1, "y": y1, "width": max(0, x2 - x1), "height": max(0, y2 - y1)}
        title = el("title", told)
        line = max(1, width / 160)
        shown.append(el("rect", title, **place_of, fill="none", stroke=colour, stroke_width=line))
        size = max(8, width / 28)
        text = {"x": x1, "y": y1 + size, "font_size": size, "fill": colour}
        shown.append(el("text", told[:24], **text))
    scale = SIDE / max(height, width)
    view = {"viewBox": f"0 0 {width} {height}", "width": round(width * scale)}
    return el("svg", *shown, **view, height=round(height * scale), role="img")


def _mask(found: Any) -> np.ndarray:
    """bool (h, w), of run lengths or as it is."""
    if not isinstance(found, dict):
        return np.asarray(found, bool)
    from pycocotools import mask

    return mask.decode(found).astype(bool)


def _under(pixels: np.ndarray, masks: Sequence) -> Markup:
    """The image with masks over it."""
    shown = pixels.copy()
    for found, label in reversed(masks):
        if found.shape == shown.shape[:2]:
            mixed = (1 - OPACITY) * shown[found] + OPACITY * np.array(_colour(int(label)))
            shown[found] = mixed.astype(np.uint8)
    source = base64.b64encode(_jpeg(shown)).decode()
    height, width = shown.shape[:2]
    return el("image", href=f"data:image/jpeg;base64,{source}", width=width, height=height)


def _jpeg(pixels: np.ndarray) -> bytes:
    """An encoded image, its longer side SIDE px or less."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((SIDE, SIDE))
    data = BytesIO()
    picture.save(data, "JPEG", quality=85)
    return data.getvalue()


def _map(found: np.ndarray, pixels: np.ndarray | None) -> Markup:
    """A colour for each number of a map, over the image where it is as large."""
    colours = np.array(COLOURS, np.uint8)[found % len(COLOURS)]
    # 0 of a panoptic map and 255 of a semantic one are no class; darker rounds tell numbers apart
    darker = 1 - 0.3 * ((found // len(COLOURS)) % 3)
    shown = (colours * darker[..., None]).astype(np.uint8)
    if pixels is not None and pixels.shape[:2] == found.shape:
        shown = (OPACITY * shown + (1 - OPACITY) * pixels).astype(np.uint8)
    return image(_jpeg(shown), "the map")


def _segments(columns: dict[str, Any], names: Sequence[str]) -> Markup:
    """Lines of text: start, end, class, score."""
    segments = np.asarray(columns["segments"], float)
    labels = np.asarray(columns.get("segment_label", np.zeros(len(segments)))).astype(int)
    scores = np.asarray(columns.get("segment_score", np.ones(len(segments))), float)
    items = []
    for place in np.argsort(-scores, kind="stable")[:MOST].tolist():
        start, end = segments[place].tolist()
        told = f"{start:.1f} to {end:.1f} s {_named(int(labels[place]), names)}"
        if "segment_score" in columns:
            told += f" {scores[place]:.2f}"
        items.append(el("li", told))
    return el("ul", *items) if items else el("p", "none", class_="soft")


def _instants(times: np.ndarray) -> Markup:
    """A time line per row (rater), a stroke at each of its seconds; NaN is none."""
    last = np.nanmax(times, initial=1) if times.size else 1.0
    lines = []
    for row, seconds in enumerate(times):
        y = 6 + 12 * row
        lines.append(el("line", x1=0, x2=LONG, y1=y, y2=y, stroke="#999"))
        for second in seconds[~np.isnan(seconds)].tolist():
            x = LONG * second / last
            title = el("title", f"{second:.2f} s")
            lines.append(el("line", title, x1=x, x2=x, y1=y - 5, y2=y + 5, stroke="#0072b2"))
    return el("svg", *lines, width=LONG, height=12 * max(1, len(times)), role="img")


def _classes(columns: dict[str, Any], names: Sequence[str]) -> Markup:
    """The classes of a sample, or the three of the highest scores."""
    for name in ("scores", "probabilities"):
        if name in columns:
            scores = np.asarray(columns[name], float)
            best = np.argsort(-scores, kind="stable")[:3].tolist()
            return el("p", join((f"{_named(at, names)} {scores[at]:.2f}" for at in best), ", "))
    for name in ("label", "tags", "hashtags"):
        if name in columns:
            value = np.asarray(columns[name])
            true = np.flatnonzero(value) if value.ndim else [value]
            return el("p", join((_named(int(at), names) for at in true), ", "))
    return el("p", ", ".join(columns), class_="soft")


def _named(number: int, names: Sequence[str]) -> str:
    return names[number] if 0 <= number < len(names) else str(number)
