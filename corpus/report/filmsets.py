"""Sets of videos: how long they are, how many frames a second they have, what was refused and why,
and some of them as frames side by side.
"""

from collections import Counter

import numpy as np

from corpus.pages.charts import Chart, Series, figure
from corpus.pages.films import film
from corpus.pages.markup import Markup, el, number, table, tag
from corpus.pages.thumbnails import thumbnail
from corpus.report.findings import FilmSet, Findings
from corpus.store.squares import Store

SHOWN = 12  # videos of a set
COLUMNS = ["size", "reason", "width", "height", "frame_ends"]
BARS = 40  # of the histogram of lengths at most


def film_set(store: Store) -> FilmSet:
    """What is told of the videos of a store."""
    seconds, rates, sides, total = [], [], [], 0
    refused: Counter[str] = Counter()
    for one in store.squares:
        found = one.table(COLUMNS)
        refused.update(reason.partition(":")[0] for reason in found["reason"].to_pylist() if reason)
        total += int(found["size"].to_numpy().sum())
        for ends in found["frame_ends"]:
            slots = ends.values.to_numpy()
            if len(slots):
                seconds.append(len(slots) / store.frame_rate)
                rates.append(len(np.unique(slots)) / seconds[-1])
        good = found["size"].to_numpy() > 0
        there = [found[name].to_numpy()[good] for name in ("width", "height")]
        sides.append(np.stack(there, 1))
    rows = store.side.usable
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(SHOWN, len(rows))).astype(np.int64))]
    pictured = [(store.ids[row].as_py(), film(*store.side.film(row))) for row in rows.tolist()]
    every = np.concatenate(sides) if sides else np.empty((0, 2), np.int64)
    given = np.array(seconds), np.array(rates), every, total, store.frame_rate
    return FilmSet(store.name, *given, dict(refused.most_common()), pictured)


def film_sets(findings: Findings) -> list[Markup]:
    """A part for each set."""
    return [el("div", *_told(one)) for one in findings.film_sets]


def _told(one: FilmSet) -> list[Markup]:
    parts = [el("h3", one.name, ": ", f"{len(one.seconds):,} videos")]
    if len(one.seconds):
        parts.append(el("div", _numbers(one), figure(_lengths(one)), class_="beside"))
    if one.refused:
        words = f"{sum(one.refused.values()):,} could not be used: quarantine.jsonl names each."
        rows = [[tag(reason), number(count)] for reason, count in one.refused.items()]
        parts += [el("p", words), table(["reason", "videos"], rows, range(1, 2))]
    shown = [_shown(key, data) for key, data in one.pictured]
    return parts + ([el("div", *shown, class_="sheet films")] if shown else [])


def _numbers(one: FilmSet) -> Markup:
    minutes = one.seconds.sum() / 60
    short, shape = one.sides.min(1), one.sides[:, 0] / one.sides[:, 1]
    rows = [
        ["seconds", *_spread(one.seconds)],
        [f"frames a second, of {one.frame_rate} stored", *_spread(one.rates)],
        ["pixels of the shorter side", *_spread(short)],
        ["width by height", *_spread(shape)],
    ]
    head = ["", "least", "middle", "most"]
    per = one.size / max(minutes, 1e-9) / 1e6
    words = f"{minutes / 60:,.2f} hours, {per:,.1f} MB of JPEG frames a minute."
    return el("div", table(head, rows, range(1, 4)), el("p", words))


def _spread(values: np.ndarray) -> list[str]:
    return [f"{value:,.3g}" for value in (values.min(), np.median(values), values.max())]


def _lengths(one: FilmSet) -> Chart:
    longest = int(np.ceil(one.seconds.max()))
    wide = max(1, -(-longest // BARS))
    counts = np.bincount((one.seconds // wide).astype(np.int64))
    bars = [Series("videos", np.arange(len(counts)), counts, "bars")]
    unit = "seconds" if wide == 1 else f"times {wide} seconds"
    caption = f"How long the videos are: a bar is {wide} s wide, and begins at its number."
    return Chart("lengths", unit, "videos", bars, caption, log=False)


def _shown(key: str, data: bytes) -> Markup:
    return el("figure", thumbnail(data, key), el("figcaption", tag(key, 60)))
