"""Labelled sets whose images have objects or segments: how many, how large, and some images with
what was annotated drawn on them. Read from the shards that were written of a set.
"""

import base64
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from corpus.pages.charts import Chart, Series, figure
from corpus.pages.markup import Markup, el, number, short, table, tag
from corpus.reading.index import INDEX, Lists, described_index
from corpus.reading.shards import Shards
from corpus.report.findings import Findings, ObjectSet, Pictured

SPLITS = ("train", "val", "test")
SHOWN, CLASSES, DRAWN = 6, 60, 60  # images, rows of the table, objects of one image
MASKS = (
    100_000_000  # px of all masks of one image, a byte each: where there are more, none is drawn
)
SIZES = (("small", 32**2), ("medium", 96**2), ("large", None))  # COCO's: px of the original below
OPACITY = 0.5  # of what is drawn over an image
# after Wong 2011, "Points of view: Color blindness", and darker ones of them
COLOURS = np.array(
    [
        (230, 159, 0),
        (86, 180, 233),
        (0, 158, 115),
        (240, 228, 66),
        (0, 114, 178),
        (213, 94, 0),
        (204, 121, 167),
        (150, 90, 0),
        (30, 90, 130),
        (110, 50, 90),
    ],
    np.float32,
)


def object_set(name: str, folder: Path) -> ObjectSet:
    """What is told of the set whose shards are in this folder."""
    about = described_index(folder / INDEX)
    what = "panoptic" if "panoptic" in about["columns"] else "box"
    wanted = [f"{what}_{column}" for column in ("label", "crowd", "area")]
    wanted += ["split", "sides", "original_sides"]
    found = pq.read_table(folder / INDEX, columns=wanted, partitioning=None)
    label, crowd, area, sides, original = (
        Lists(found[column].combine_chunks()) for column in (*wanted[:3], *wanted[4:])
    )
    split = np.array([SPLITS.index(one) for one in found["split"].to_pylist()], np.int64)
    each = np.diff(label.offsets)
    of = np.repeat(split, each)
    names = about["names"]
    counts = np.zeros((len(names), 3), np.int64)
    np.add.at(counts, (label.flat, of), 1)
    # areas are of the stored image, sizes are those of the original
    factor = sides.flat.reshape(-1, 2).prod(1) / original.flat.reshape(-1, 2).prod(1)
    areas = area.flat / np.repeat(factor, each)
    ends = [end for _, end in SIZES if end]
    present = [one for place, one in enumerate(SPLITS) if place in split]
    return ObjectSet(
        name,
        "segments" if what == "panoptic" else "objects",
        names,
        np.bincount(split, minlength=3),
        np.bincount(split[each == 0], minlength=3),
        np.bincount(of[crowd.flat], minlength=3),
        counts,
        np.bincount(each),
        np.bincount(np.digitize(areas, ends), minlength=len(SIZES)),
        _pictured(Shards(folder, present[0])) if present else [],
    )


def _pictured(shards: Shards) -> list[Pictured]:
    """Some images of a split with what lies in them, evenly over those that have something."""
    what = "panoptic" if "panoptic" in shards.columns else "box"
    labels = shards.lists(f"{what}_label")
    rows = np.flatnonzero(np.diff(labels.offsets))
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(SHOWN, len(rows))).astype(np.int64))]
    found = []
    for row, pixels in zip(rows.tolist(), shards.read(rows, "image"), strict=True):
        [crowd] = shards.read([row], f"{what}_crowd")
        named = tuple(shards.names[i] for i in labels[row].tolist())
        boxes = None
        if what == "panoptic":
            [numbers] = shards.read([row], "panoptic")
            shown = np.arange(1, min(len(named), DRAWN) + 1)
            masks = numbers.numpy() == shown[:, None, None]
        else:
            boxes = shards.read([row], "boxes")[0].numpy()
            few = len(named) * pixels.numel() // 3 <= MASKS
            drawn = few and all(shards.lists("masks")[row])
            masks = shards.read([row], "masks")[0].numpy() if drawn else None
        key = shards.ids[row]
        found.append(Pictured(key, pixels.numpy(), masks, boxes, named, crowd.numpy()))
    return found


def object_sets(findings: Findings) -> list[Markup]:
    """A part for each set."""
    return [el("div", *_told(one)) for one in findings.object_sets]


def _told(one: ObjectSet) -> list[Markup]:
    images, objects = int(one.images.sum()), int(one.counts.sum())
    if not images:
        return [el("h3", one.name), el("p", "No image can be used.")]
    mean = objects / images
    by_split = one.counts.sum(0)
    rows = []
    for name, values in (
        ("images", one.images),
        (f"images of no {one.what[:-1]}", one.bare),
        (one.what, by_split),
        ("crowds among them", one.crowd),
    ):
        rows.append([name, *map(number, values.tolist()), number(int(values.sum()))])
    per = [f"{part / max(all_, 1):.2f}" for part, all_ in zip(by_split, one.images, strict=True)]
    rows.append([f"{one.what} per image", *per, f"{mean:.2f}"])
    for (size, end), count in zip(SIZES, one.sizes.tolist(), strict=True):
        below = f", below {round(end**0.5)} x {round(end**0.5)} px" if end else ""
        share = f"{count:,} ({count / max(objects, 1):.1%})"
        rows.append([f"{size}{below}", "", "", "", share])
    bars = [Series("images", np.arange(len(one.per_image)), one.per_image, "bars")]
    caption = f"{images:,} images have {mean:.2f} {one.what} on average."
    chart = Chart("objects", f"{one.what} of an image", "images", bars, caption, log=False)
    left = el("div", table(["", *SPLITS, "all"], rows, range(1, 5)), _classes(one))
    parts = [
        el("h3", one.name, ": ", f"{len(one.names):,} classes"),
        el("div", left, figure(chart), class_="beside"),
    ]
    if one.pictured:
        parts.append(el("div", *map(_picture, one.pictured), class_="sheet drawn"))
    return parts


def _classes(one: ObjectSet) -> Markup:
    order = np.argsort(-one.counts.sum(1), kind="stable")[:CLASSES].tolist()
    rows = []
    for place in order:
        counts = one.counts[place]
        rows.append(
            [tag(one.names[place]), *map(number, counts.tolist()), number(int(counts.sum()))]
        )
    largest = f", the largest {CLASSES}" if len(one.names) > CLASSES else ""
    return table([f"class{largest}", *SPLITS, "all"], rows, range(1, 5))


def _picture(one: Pictured) -> Markup:
    """The image with its masks in colours, as an SVG with the boxes and names over it."""
    height, width, _ = one.pixels.shape
    pen, count = max(height, width) / 220, min(DRAWN, len(one.labels))
    source = base64.b64encode(_coloured(one)).decode()
    parts = [el("image", href=f"data:image/jpeg;base64,{source}", width=width, height=height)]
    for place in range(count):
        parts += _marked(one, place, pen)
    drawn = el(
        "svg", *parts, viewBox=f"0 0 {width} {height}", role="img", aria_label=short(one.id, 80)
    )
    more = f" and {len(one.labels) - DRAWN:,} more" if len(one.labels) > DRAWN else ""
    names = sorted({*one.labels})
    told = [
        f"{len(one.labels):,}: ",
        *(el("span", tag(name, 24), " ") for name in names[:12]),
        more,
    ]
    return el("figure", drawn, el("figcaption", tag(one.id), el("br"), *told))


def _marked(one: Pictured, place: int, pen: float) -> list[Markup]:
    """The box of an object and its name; of a segment the name alone."""
    if one.boxes is None:
        y, x = np.nonzero(one.masks[place])
        if not len(x):
            return []
        # the pixel that is nearest to the middle: a segment need not have its own middle
        middle = np.argmin((x - x.mean()) ** 2 + (y - y.mean()) ** 2)
        return [_name(one.labels[place], float(x[middle]), float(y[middle]), pen)]
    left, top, right, bottom = one.boxes[place].tolist()
    colour = "rgb({:.0f},{:.0f},{:.0f})".format(*COLOURS[place % len(COLOURS)])
    dashes = f"{4 * pen:.2f}" if one.crowd[place] else None
    box = el(
        "rect",
        x=f"{left:.2f}",
        y=f"{top:.2f}",
        width=f"{max(0, right - left):.2f}",
        height=f"{max(0, bottom - top):.2f}",
        style=f"fill:none;stroke:{colour};stroke-width:{pen:.2f}",
        stroke_dasharray=dashes,
    )
    return [box, _name(one.labels[place], left + 2 * pen, top + 10 * pen, pen)]


def _name(label: str, x: float, y: float, pen: float) -> Markup:
    look = f"font-size:{9 * pen:.2f}px;fill:#fff;stroke:#000;stroke-width:{2 * pen:.2f}"
    return el(
        "text", short(label, 24), x=f"{x:.2f}", y=f"{y:.2f}", style=f"{look};paint-order:stroke"
    )


def _coloured(one: Pictured) -> bytes:
    """The image as JPEG, each mask in a colour of its own, half transparent."""
    pixels = one.pixels.astype(np.float32)
    masks: Sequence[np.ndarray] = () if one.masks is None else one.masks
    for place, mask in enumerate(masks):
        colour = COLOURS[place % len(COLOURS)]
        pixels[mask] = (1 - OPACITY) * pixels[mask] + OPACITY * colour
    out = BytesIO()
    Image.fromarray(pixels.round().astype(np.uint8)).save(out, "JPEG", quality=88)
    return out.getvalue()
