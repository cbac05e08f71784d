"""Panoptic quality of classes, summed up over images: what `PQ` and `BoundaryPQ` share."""

from typing import ClassVar, NamedTuple

import numpy as np
from numpy import ndarray
from torch import Tensor

from metrics.blocks.bootstrap import percentiles
from metrics.blocks.columns import found_name
from metrics.blocks.decoded import called
from metrics.blocks.masks.mapruns import MapRuns
from metrics.blocks.metric import Batch, Reads
from metrics.blocks.panoptic.matching import Found, matched
from metrics.blocks.panoptic.segments import segments_of, shared
from metrics.blocks.picture import Bars
from metrics.blocks.ratios import resampled_ratios
from metrics.blocks.refusing import refuse_none

SHOWN = 40  # bars of a picture


class Classes(NamedTuple):
    """What became of the segments of c classes: (c,) each; iou is their sum over those found.

    tp found, fp made up, fn missed.
    """

    label: ndarray
    tp: ndarray
    fp: ndarray
    fn: ndarray
    iou: ndarray

    def qualities(self) -> tuple[ndarray, ndarray, ndarray]:
        """(pq, sq, rq) of each class, in percent: equations 1 and 2 of the paper."""
        whole = self.tp + (self.fp + self.fn) / 2
        shapes = np.divide(self.iou, self.tp, np.zeros_like(self.iou), where=self.tp > 0)
        return 100 * self.iou / whole, 100 * shapes, 100 * self.tp / whole


class Quality:
    """One says `headline`, and the width of boundary regions by `_ratio`, None without them."""

    headline: ClassVar[str]
    higher: ClassVar[bool] = True
    unit: ClassVar[str] = "%"
    files: ClassVar[str] = "panoptic"
    reads: ClassVar[Reads] = Reads(
        ("panoptic", "panoptic_label"),
        ("panoptic", "panoptic_label", "panoptic_crowd"),
        ("panoptic_things", "panoptic_id", "panoptic_area", "panoptic_known", "group"),
    )
    _ratio: float | None = None

    def __init__(self, resamples: int) -> None:
        """resamples: of the bootstrap over images that gives the interval; 0: no interval."""
        self.resamples = resamples
        self._images: list[Found] = []
        self._groups: list[int | None] = []
        # of the classes of things, once known
        self._things: set[int] | None = None

    def update(self, predictions: Batch, targets: Batch) -> None:
        """Take in n maps (h, w) and their segments; ValueError names a row that is none."""
        for batch, names, whose in (
            (predictions, self.reads.predictions, "predictions"),
            (targets, self.reads.targets, "targets"),
        ):
            for name in names:
                found_name(batch, name, whose)
        sizes = {len(predictions["panoptic"]), len(targets["panoptic"])}
        if len(sizes) > 1:
            raise ValueError(f"predictions and targets of {sizes} images: give the same images")
        work = MapRuns()
        pairs = zip(predictions["panoptic"], targets["panoptic"], strict=True)
        known = targets.get("panoptic_known", [True] * len(targets["panoptic"]))
        groups = targets.get("group", [None] * len(known))
        for row, maps in enumerate(pairs):
            if not known[row]:
                continue
            try:
                self._images.append(self._one(predictions, targets, row, maps, work))
            except ValueError as error:
                raise ValueError(f"{called(targets['panoptic'], row)}: {error}") from None
            self._groups.append(None if groups[row] is None else int(groups[row]))
        for classes in targets.get("panoptic_things", ()):
            self._things = (self._things or set()) | set(np.asarray(classes).tolist())

    def _one(
        self,
        predictions: Batch,
        targets: Batch,
        row: int,
        maps: tuple[Tensor, Tensor],
        work: MapRuns,
    ) -> Found:
        given, true = (each.cpu().numpy() for each in maps)
        if given.shape != true.shape:
            raise ValueError(
                f"the prediction is of {given.shape} pixels, the target of {true.shape} (height, "
                "width): give maps of one size, resized to the nearest id"
            )
        predicted, real = segments_of(predictions, row, given), segments_of(targets, row, true)
        return matched(predicted, real, shared(predicted, real, work, self._ratio))

    def merge(self, other: "Quality") -> None:
        """Add the images that another one has seen."""
        assert self._ratio == other._ratio, "metrics of two widths of boundaries do not add up"
        self._images += other._images
        self._groups += other._groups
        if other._things is not None:
            self._things = (self._things or set()) | other._things

    def compute(self) -> dict[str, float]:
        """The headline and its interval, "sq" and "rq" in percent, the same of things and of stuff
        where the classes that are things are known and some counts, segments found, made up and
        missed, "tp", "fp" and "fn", "classes" that count, and "samples", which are images.
        """
        classes = self._classes()
        numbers = self._means(classes, np.ones(len(classes.label), bool), "")
        found = self.resampled()
        if found is not None:
            numbers |= percentiles(self.headline, found)
        if self._things is not None:
            things = np.isin(classes.label, list(self._things))
            numbers |= self._means(classes, things, "_things")
            numbers |= self._means(classes, ~things, "_stuff")
        sums = {name: int(getattr(classes, name).sum()) for name in ("tp", "fp", "fn")}
        return numbers | sums | {"classes": len(classes.label), "samples": len(self._images)}

    def _means(self, classes: Classes, chosen: ndarray, ending: str) -> dict[str, float]:
        if not chosen.any():
            return {}
        names = (self.headline, "sq", "rq")
        values = [float(each[chosen].mean()) for each in classes.qualities()]
        return {f"{name}{ending}": value for name, value in zip(names, values, strict=True)}

    def each(self) -> None:
        """None: the mean is one over classes."""

    def rows(self) -> list[dict[str, float]]:
        """{"class", "pq", "sq", "rq", "tp", "fp", "fn"} of every class that counts, and
        "thing", 1 or 0, where that is known; in percent, and segments.
        """
        classes = self._classes()
        numbers = zip(*classes.qualities(), *classes[1:4], strict=True)
        names = ("pq", "sq", "rq", "tp", "fp", "fn")
        rows = []
        for label, values in zip(classes.label.tolist(), numbers, strict=True):
            thing = {} if self._things is None else {"thing": int(label in self._things)}
            counts = {name: int(value) for name, value in zip(names[3:], values[3:], strict=True)}
            shares = {name: float(value) for name, value in zip(names[:3], values, strict=False)}
            rows.append({"class": label} | thing | shares | counts)
        return rows

    def picture(self) -> Bars:
        """The quality of each class, of more than 40 the best and the worst."""
        rows = sorted(self.rows(), key=lambda row: -row["pq"])
        half = SHOWN // 2
        shown = rows if len(rows) <= SHOWN else [*rows[:half], *rows[-half:]]
        title = f"{len(rows)} classes" if shown is rows else f"the {half} best and worst classes"
        labels, values = [row["class"] for row in shown], [row["pq"] for row in shown]
        return Bars(title, f"{self.headline}, %", labels, values)

    def resampled(self) -> Tensor | None:
        """Each is the mean over those classes that the resample has segments of."""
        if not self.resamples:
            return None
        image, label, found = self._joined()
        below = found.tp + (found.fp + found.fn) / 2
        return resampled_ratios(found.iou, below, image, label, self._groups, self.resamples)

    def _joined(self) -> tuple[ndarray, ndarray, Found]:
        """(image (k,), label (k,), all segments); ValueError where there are none."""
        refuse_none(len(self._images))
        found = Found(*map(np.concatenate, zip(*self._images, strict=True)))
        if not len(found.label):
            raise ValueError(
                f"no segment counts in {len(self._images)} images: all is void or crowds"
            )
        image = np.repeat(np.arange(len(self._images)), [len(each.label) for each in self._images])
        return image, found.label, found

    def _classes(self) -> Classes:
        _, label, found = self._joined()
        labels, place = np.unique(label, return_inverse=True)
        sums = [np.bincount(place, values, len(labels)) for values in found[1:]]
        return Classes(labels, *sums)
