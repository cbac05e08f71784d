"""A sample with the truth and two answers side by side: on its image where there is one.

Boxes, masks, panoptic and semantic maps are drawn; events are bars over time; transcripts and
classes are text. All that people typed is escaped (corpus/pages/markup.py).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from corpus.media.images import BadImage, checked_image
from corpus.media.runs import decoded
from corpus.pages.markup import Markup, el, image, join, tag
from corpus.pages.overlays import COLOURS, OPACITY, boxed, colour_of, jpeg, overlaid, tinted
from metrics.blocks.metric import Batch

MOST = 30  # objects of an answer, the surest ones
TEXT = 600  # characters of a transcript
LARGEST = 4096  # px of a side, where no image says it
LONG = 300  # px of a time line
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


def _objects(columns: dict[str, Any], names: Sequence[str], pixels: np.ndarray) -> Markup:
    """Boxes as an SVG over the image, masks in it."""
    labels = np.asarray(columns["box_label"]).astype(int)
    scores = np.asarray(columns.get("box_score", np.ones(len(labels))), float)
    first = np.argsort(-scores, kind="stable")[:MOST].tolist()
    masks = []
    if "masks" in columns:
        masks = [(_mask(columns["masks"][place]), colour_of(labels[place])) for place in first]
    boxes = np.asarray(columns.get("boxes", np.zeros((len(labels), 4))), float)
    shapes: list[Markup] = []
    for place in first if "boxes" in columns else ():
        told = _named(int(labels[place]), names)
        if "box_score" in columns:
            told += f" {scores[place]:.2f}"
        colour = colour_of(labels[place])
        shapes += boxed(boxes[place].tolist(), colour, told, pixels.shape[:2])
    return overlaid(tinted(pixels, masks), *shapes)


def _mask(found: Any) -> np.ndarray:
    """bool (h, w), of run lengths or as it is."""
    if not isinstance(found, dict):
        return np.asarray(found, bool)
    counts = found["counts"]
    return decoded(counts.encode() if isinstance(counts, str) else counts, *found["size"])


def _map(found: np.ndarray, pixels: np.ndarray | None) -> Markup:
    """A colour for each number of a map, over the image where it is as large."""
    colours = np.array(COLOURS, np.uint8)[found % len(COLOURS)]
    # 0 of a panoptic map and 255 of a semantic one are no class; darker rounds tell numbers apart
    darker = 1 - 0.3 * ((found // len(COLOURS)) % 3)
    shown = (colours * darker[..., None]).astype(np.uint8)
    if pixels is not None and pixels.shape[:2] == found.shape:
        shown = (OPACITY * shown + (1 - OPACITY) * pixels).astype(np.uint8)
    return image(jpeg(shown), "the map")


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
