"""Sections of two versions side by side: numbers, the paired test, classes, confusions, images."""

from typing import Any

import numpy as np

from corpus.pages.markup import Markup, el, join, table, tag
from corpus.pages.thumbnails import thumbnail
from engine.measure.intervals import gain_interval
from engine.measure.paired import mcnemar
from flows.measuring.headline import USUAL
from flows.reports.models import confusion
from flows.reports.models.bars import Row, dots, spanning
from flows.reports.models.words import counted
from flows.reports.versions.findings import Findings, Shared, Version, paired_values
from flows.reports.versions.table import UNKNOWN, cost, number, title

OPEN, MOST = 20, 400  # classes shown at once, and at all
CONFUSED, SHOWN = 15, 12  # pairs of classes; images of each side
BYTES, THUMB = 12_000, 96  # as the registry keeps them: nobody else's file makes the page larger
CLEAR = 0.05
COSTS = {
    "latency of one image, p50 (ms)": ("latency_p50_ms", 1, 2),
    "images per second": ("images_per_second", 1, 0),
    "multiply-adds (millions)": ("flops", 1e6, 2),
    "params (millions)": ("params", 1e6, 2),
    "peak memory (MiB)": ("peak_memory_mib", 1, 1),
}
SOURCE = (
    "McNemar's exact test (Dietterich 1998, section 3.1): how likely so uneven a number of images "
    "that only one of the two knows is, if both err equally often. It is about these two networks, "
    "not about other seeds of their trainings, which the intervals above are about."
)


def _difference(one: Version, other: Version, key: str, unit: float, digits: int) -> str:
    values = one.cost(key), other.cost(key)
    if None in values:
        return UNKNOWN
    return f"{(values[1] - values[0]) / unit:+.{digits}f}"


def numbers(findings: Findings) -> list[Markup]:
    """The headline and costs of both, and the difference; who and when."""
    one, other = findings.pair
    points, same = UNKNOWN, one.headline == other.headline
    if same and one.value is not None and other.value is not None:
        points = one.headline.number(other.value - one.value, "+")
    named = f"{title(findings.pair)} (95 % interval)"
    rows: list[list[Any]] = [[named, *(number(each, not same) for each in (one, other)), points]]
    for name, (key, unit, digits) in COSTS.items():
        both = [cost(each, key, unit, digits) for each in (one, other)]
        rows.append([name, *both, _difference(one, other, key, unit, digits)])
    for name, key in (("model", "model"), ("registered by", "by"), ("seeds", "seeds")):
        rows.append([name, *(tag(each.tag(key) or UNKNOWN, 60) for each in (one, other)), ""])
    rows.append(["registered (UTC)", one.when or UNKNOWN, other.when or UNKNOWN, ""])
    head = ["", one.title, other.title, "difference"]
    parts = [table(head, rows, (3,))]
    if one.tested_on != other.tested_on:
        told = "They were tested on other images: their numbers cannot be compared as they are."
        parts.append(el("p", el("b", told)))
    return parts


def verdict(one: Version, other: Version, of: Shared) -> str:
    """The outcome of the paired test in words."""
    hits = [of.registered(side) == of.labels for side in (0, 1)]
    found = mcnemar(*hits)
    told = f"p = {found.p:.3g}" if found.p >= 0.0001 else "p < 0.0001"
    apart = found.only_first + found.only_second
    if found.p >= CLEAR:
        return f"These images do not tell the two apart ({told}, {counted(apart, 'image')} differ)."
    better = one if found.only_first > found.only_second else other
    return f"Version {better.number} is better on these images ({told})."


def gained(one: Version, other: Version) -> str:
    """What the second is better by than the first, sample by sample, in words."""
    from flows.measuring import intervals

    both = paired_values(one.kept, other.kept)
    if both is None or one.headline != other.headline:
        missing = "the registry does not keep what both answered to the same test images"
        return f"No paired test: {missing}."
    headline = one.headline
    gain, low, high = intervals.gain_of_values(both[1], both[0], headline)
    told = f"{headline.difference(gain)} (95 % interval {headline.interval(low, high, '+')})"
    return (
        f"On {counted(both[0].shape[1], 'sample')} and {counted(len(both[0]), 'seed')}, paired, "
        f"version {other.number} is better by {told}; negative: worse."
    )


def outcome(findings: Findings) -> str:
    """What the pair's answers to the same samples say, in a sentence or two."""
    one, other = findings.pair
    if findings.shared is None or one.headline != USUAL:
        return gained(one, other)
    return verdict(one, other, findings.shared)


def paired(findings: Findings) -> list[Markup]:
    """The fourfold table of the registered weights, and the test."""
    of = findings.shared
    one, other = findings.pair
    if of is None or one.headline != USUAL:
        return [el("p", outcome(findings))]
    found = mcnemar(*(of.registered(side) == of.labels for side in (0, 1)))
    head = ["", f"version {other.number} right", f"version {other.number} wrong"]
    rows = [
        [f"version {one.number} right", f"{found.both:,}", f"{found.only_first:,}"],
        [f"version {one.number} wrong", f"{found.only_second:,}", f"{found.neither:,}"],
    ]
    told = el("b", outcome(findings))
    images = counted(len(of.ids), "test image")
    return [el("p", told, f" {images}."), table(head, rows, (1, 2)), el("p", SOURCE, class_="soft")]


def _hits(of: Shared) -> tuple[np.ndarray, np.ndarray]:
    """bool (seeds, images) of both; of the registered weights where seeds cannot be paired."""
    hits = of.hits(0), of.hits(1)
    if len(hits[0]) == len(hits[1]):
        return hits
    return hits[0][[of.own[0]]], hits[1][[of.own[1]]]


def class_rows(of: Shared) -> list[Row]:
    """Points that the second is above the first on each class, the largest difference first."""
    first, second = _hits(of)
    rows = []
    for index in np.unique(of.labels).tolist():
        its = of.labels == index
        found = gain_interval(second[:, its], first[:, its])
        shares = 100 * first[:, its].mean(), 100 * second[:, its].mean()
        told = f"{found.mean:+.1f} ({shares[0]:.1f} to {shares[1]:.1f} %), n = {its.sum():,}"
        name = tag(of.classes[index], 60)
        rows.append(Row(name, found.mean, found.low, found.high, told))
    return sorted(rows, key=lambda row: (-abs(row.value), str(row.name)))


def by_class(findings: Findings) -> list[Markup]:
    """A dot with its interval for each class."""
    of = findings.shared
    if of is None:
        return []
    rows, (one, other) = class_rows(of), findings.pair
    over = spanning(rows[:MOST])
    note = (
        f"Points that version {other.number} is above version {one.number}, with the 95 % interval "
        "of each class alone: of twenty equal classes one lies off zero by chance."
    )
    parts = [el("p", note), dots(rows[:OPEN], over)]
    if len(rows) > OPEN:
        left = f", {len(rows) - MOST:,} more are not shown" if len(rows) > MOST else ""
        more = f"{len(rows[OPEN:MOST]):,} classes that differ less{left}"
        parts.append(el("details", el("summary", more), dots(rows[OPEN:MOST], over)))
    return parts


def _shares(of: Shared, side: int) -> np.ndarray:
    """Share of the answers to each true class that went to each class, (classes, classes)."""
    classes, guesses = len(of.classes), of.guesses[side]
    flat = np.tile(of.labels, len(guesses)) * classes + guesses.ravel()
    counts = np.bincount(flat, minlength=classes**2).reshape(classes, classes)
    return counts / np.maximum(counts.sum(1, keepdims=True), 1)


def confusions(findings: Findings) -> list[Markup]:
    """The pairs of classes that are confused more, or less, and both matrices."""
    of = findings.shared
    if of is None:
        return []
    shares = _shares(of, 0), _shares(of, 1)
    change = shares[1] - shares[0]
    np.fill_diagonal(change, 0)
    order = np.argsort(-abs(change), axis=None, kind="stable")[:CONFUSED]
    rows = []
    for true, guess in zip(*np.unravel_index(order, change.shape), strict=True):
        if change[true, guess]:
            both = [f"{share[true, guess]:.0%}" for share in shares]
            named = [tag(of.classes[true]), tag(of.classes[guess])]
            rows.append([*named, *both, f"{100 * change[true, guess]:+.1f}"])
    one, other = findings.pair
    heads = ["class", "taken for", f"version {one.number}", f"version {other.number}", "points"]
    parts = [table(heads, rows, (2, 3, 4))] if rows else [el("p", "They confuse the same classes.")]
    return [*parts, _matrices(findings)]


def _matrices(findings: Findings) -> Markup:
    maps = []
    for version in findings.pair:
        drawn = el("div", confusion.heat_map(version.kept.answers), class_="scroll heat")
        maps.append(el("figure", drawn, el("figcaption", version.title)))
    both = el("div", *maps, class_="beside")
    return el("details", el("summary", "Both confusion matrices"), el("p", confusion.NOTE), both)


def disagreements(findings: Findings) -> list[Markup]:
    """Test images that one of the two knows and the other does not, with their pictures."""
    of = findings.shared
    if of is None:
        return []
    right = [of.registered(side) == of.labels for side in (0, 1)]
    parts = []
    for side, version in enumerate(findings.pair):
        places = np.flatnonzero(right[side] & ~right[1 - side]).tolist()
        heading = f"Only version {version.number} is right: {counted(len(places), 'image')}"
        parts.append(el("h3", heading))
        pictured = [place for place in places if _picture(findings, of.ids[place])]
        figures = [_figure(findings, of, place, 1 - side) for place in pictured[:SHOWN]]
        if figures:
            parts.append(el("div", *figures, class_="sheet small"))
    return parts


def _picture(findings: Findings, key: str) -> bytes | None:
    return next((v.kept.pictures[key] for v in findings.pair if key in v.kept.pictures), None)


def _figure(findings: Findings, of: Shared, place: int, wrong: int) -> Markup:
    key, guess = of.ids[place], int(of.registered(wrong)[place])
    picture = thumbnail(_picture(findings, key) or b"", key, BYTES, THUMB)
    version = findings.pair[wrong].number
    told = [el("b", tag(of.classes[of.labels[place]])), el("br")]
    told += [f"version {version}: ", tag(of.classes[guess]), el("br"), tag(key, 30)]
    return el("figure", picture, el("figcaption", join(told)))
