"""Labelled sets whose images have several classes each: images per class, classes per image, and
which classes go together. Read from the index that was written of a set.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from corpus.pages.charts import Chart, Series, figure
from corpus.pages.markup import Markup, el, number, table, tag
from corpus.reading.columns import multi_hot
from corpus.reading.index import INDEX, Lists, described_index
from corpus.report.findings import Cooccurrence, Findings, TagSet
from corpus.report.heatmap import heat_key, heat_map

TOP, SHOWN = 40, 60  # classes of the map, and of the table
ROWS = 1 << 16  # images at a time
SPLITS = ("train", "val", "test")


def tag_set(name: str, folder: Path) -> TagSet:
    """What is told of the set whose shards are in this folder."""
    names = described_index(folder / INDEX)["names"]
    found = pq.read_table(folder / INDEX, columns=["split", "targets"], partitioning=None)
    lists = Lists(found["targets"].combine_chunks())
    sizes = np.diff(lists.offsets)
    split = np.repeat(found["split"].to_numpy(zero_copy_only=False), sizes)
    counts = [np.bincount(lists.flat[split == one], minlength=len(names)) for one in SPLITS]
    counts = np.stack(counts, 1).astype(np.int64)
    most = np.argsort(-counts.sum(1), kind="stable")[:TOP]
    together = sum(part[:, most].T @ part[:, most] for part in _multi_hots(lists, len(names)))
    pairs = Cooccurrence([names[i] for i in most], together.astype(np.int64), len(lists))
    return TagSet(name, names, counts, np.bincount(sizes), pairs)


def _multi_hots(lists: Lists, classes: int) -> Iterator[np.ndarray]:
    """float32 (up to ROWS, classes) of all images."""
    for first in range(0, len(lists), ROWS):
        yield multi_hot(lists, np.arange(first, min(first + ROWS, len(lists))), classes).numpy()


def tag_sets(findings: Findings) -> list[Markup]:
    """A part for each set."""
    return [el("div", *_told(one)) for one in findings.tag_sets]


def _told(one: TagSet) -> list[Markup]:
    images = one.classes_per_image.sum()
    mean = one.counts.sum() / max(images, 1)
    order = np.argsort(-one.counts.sum(1), kind="stable")[:SHOWN].tolist()
    rows = []
    for i in order:
        every = int(one.counts[i].sum())
        share = f"{every / max(images, 1):.1%}"
        rows.append([tag(one.names[i]), *map(number, one.counts[i].tolist()), number(every), share])
    largest = f", the largest {SHOWN}" if len(one.names) > SHOWN else ""
    caption = (
        f"{images:,} images have {mean:.2f} classes on average; {one.classes_per_image[0]:,} have "
        "none, and are negatives for all."
    )
    bars = [Series("images", np.arange(len(one.classes_per_image)), one.classes_per_image, "bars")]
    chart = Chart("classes", "classes of an image", "images", bars, caption, log=False)
    head = ["class", *SPLITS, "all", "of images"]
    parts = [
        el("h3", one.name, ": ", f"{len(one.names):,} classes{largest}"),
        el("div", table(head, rows, range(1, 6)), figure(chart), class_="beside"),
    ]
    return parts + _map(one.pairs)


def _map(pairs: Cooccurrence) -> list[Markup]:
    if len(pairs.names) < 2:
        return []
    caption = (
        f"Normalised pointwise mutual information of the {len(pairs.names)} largest classes: blue "
        "pairs go together, orange ones shun each other, blank ones never meet."
    )
    drawn = el("div", heat_map(pairs, "images"), class_="scroll heat")
    return [el("figure", heat_key(), drawn, el("figcaption", caption))]
