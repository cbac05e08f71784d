"""F1 at relative distances of generic event boundary detection (GEBD).

Shou, Lei, Wang, Ghadiyaram, Feiszli 2021, "Generic Event Boundary Detection: A Benchmark for Event
Segmentation", arXiv 2101.10511, section 4, to the letter of StanLei52/GEBD's eval.py: a boundary is
found where a detection is nearer than a share of the video's duration, each rater's matched by
metrics/blocks/events/boundaries.py; of a video the rater counts whose F1 is highest, the first of
equal ones; then boundaries and detections of all videos are counted together. Videos of whose
raters the agreement is below 0.3 are left out. Detections outside a video are, too; where none is
left, the first rater's boundaries are missed.

On files: python -m metrics.gebd_f1 DETECTIONS.pkl k400_mr345_val_min_change_duration0.3.pkl
"""

from typing import ClassVar

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from metrics.blocks.bootstrap import RESAMPLES, bootstrap, percentiles
from metrics.blocks.columns import found_name
from metrics.blocks.events.boundaries import counted
from metrics.blocks.events.kept import (
    Column,
    Kept,
    Rows,
    drawn_together,
    listed,
    plain,
    refuse_some,
)
from metrics.blocks.metric import Batch, Reads
from metrics.blocks.picture import Lines, Series
from metrics.blocks.ranges import Resamples
from metrics.blocks.refusing import refuse
from metrics.blocks.sums import share

__all__ = ["GebdF1"]

DISTANCES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
AGREED = 0.3


class GebdF1:
    """F1 of event boundaries within 5 % of a video's duration, in percent.

    resamples: Of the bootstrap over videos that gives the interval; 0: no interval.
    """

    headline = "gebd_f1"
    higher = True
    unit = "%"
    reads = Reads(("boundaries",), ("rater_boundaries", "duration"), ("agreement", "group"))
    files: ClassVar[str] = "gebd"

    def __init__(self, resamples: Resamples = RESAMPLES) -> None:
        self.resamples = resamples
        self._kept = Kept()
        self._found: tuple[int, ndarray, ndarray, ndarray | None] | None = None

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_found": None}

    def update(self, predictions: Batch, targets: Batch) -> None:
        """Take in boundaries of n videos, (k,) in seconds, rater_boundaries (raters, most),
        NaN-padded, duration (n,) in seconds; where they are there agreement (n,) and group (n,).
        """
        columns = {
            "boundaries": listed(predictions, "boundaries", "predictions"),
            **_raters(targets),
            "duration": plain(targets, "duration", "targets"),
        }
        for name in self.reads.more:
            if name in targets:
                columns[name] = plain(targets, name, "targets")
        self._kept.add(**columns)

    def merge(self, other: "GebdF1") -> None:
        """Add the videos that another one has seen, after the own."""
        self._kept.merge(other._kept)

    def compute(self) -> dict[str, float]:
        """{"gebd_f1" and its interval, "precision", "recall" at the distance 0.05, "gebd_f1_mean"
        over all distances} in percent, "samples" that count and "disagreed", those left out.
        """
        counts, kept, _ = self._counts()
        first = self.rows()[0]
        numbers = {self.headline: first["f1"]}
        found = self.resampled()
        if found is not None:
            numbers |= percentiles(self.headline, found)
        numbers |= {"precision": first["precision"], "recall": first["recall"]}
        numbers["gebd_f1_mean"] = float(np.mean([row["f1"] for row in self.rows()]))
        return numbers | {"samples": counts.shape[2], "disagreed": int((~kept).sum())}

    def each(self) -> None:
        """None: boundaries of all videos are counted together."""

    def resampled(self) -> Tensor | None:
        """Each is the F1 of as many videos; of as many groups where there is the column group."""
        if not self.resamples:
            return None
        counts, _, group = self._counts()
        drawn, spread = drawn_together(group, counts.shape[2])
        return bootstrap(drawn, self.resamples, lambda weights: _f1(counts[:, 0], spread(weights)))

    def rows(self) -> list[dict[str, float]]:
        """{"distance", "f1", "precision", "recall", "found", "given", "true"}, a row per distance,
        the second to fourth in percent.
        """
        counts, _, _ = self._counts()
        rows = []
        for place, distance in enumerate(DISTANCES):
            found, given, true = counts[:, place].sum(1).tolist()
            shares = {
                "f1": float(_f1(counts[:, place], np.ones((counts.shape[2], 1)))[0]),
                "precision": 100 * found / max(1, given),
                # as the reference does where there is nothing to be found
                "recall": 100 * found / true if true else 100.0,
            }
            rows.append(
                {"distance": distance, **shares, "found": found, "given": given, "true": true}
            )
        return rows

    def picture(self) -> Lines:
        """F1, precision and recall over the distance."""
        rows = self.rows()
        over = [row["distance"] for row in rows]
        lines = []
        for name in ("f1", "precision", "recall"):
            lines.append(Series(name, over, [row[name] for row in rows]))
        return Lines("Event boundaries", "distance, share of the duration", "%", lines)

    def _counts(self) -> tuple[ndarray, ndarray, ndarray | None]:
        """(found, given, true) at each distance of each video that counts, (3, distances, kept);
        which videos are kept, bool (n,); the group of each that is, or None.
        """
        if self._found is None or self._found[0] != len(self._kept):
            columns = self._kept.all()
            _check(columns)
            kept = np.ones(len(columns["duration"].values), bool)
            if "agreement" in columns:
                kept = ~(columns["agreement"].values < AGREED)
            if not kept.any():
                raise ValueError(
                    f"the raters of none of {len(kept)} videos agree by {AGREED} or more: give "
                    "others"
                )
            group = columns["group"].values[kept] if "group" in columns else None
            self._found = (len(self._kept), counted(columns, DISTANCES)[:, :, kept], kept, group)
        return self._found[1:]


def _raters(targets: Batch) -> dict[str, Column]:
    """How many boundaries each rater has room for, how many raters a video has, and all of them."""
    name = "rater_boundaries"
    rows = [torch.as_tensor(row) for row in targets[found_name(targets, name, "targets")]]
    for place, row in enumerate(rows):
        if row.ndim != 2 or not len(row):
            raise ValueError(
                f"{name} of the targets: row {place} has shape {tuple(row.shape)}, give (raters, "
                "most), of at least one rater"
            )
    flat = listed({**targets, name: [row.flatten() for row in rows]}, name, "targets")
    sizes = torch.tensor([len(row) for row in rows], dtype=torch.int64)
    return {name: flat, "raters": Column(sizes, [1] * len(rows))}


def _check(columns: dict[str, Rows]) -> None:
    """ValueError where a number is none, or a video has no duration."""
    refuse_some(
        columns["boundaries"],
        lambda values: ~np.isfinite(values),
        "have a boundary that is no number",
        "give seconds",
    )
    durations = columns["duration"].values
    refuse(
        ~(np.isfinite(durations) & (durations > 0)),
        "have no duration above 0",
        "give seconds, of which the distances are shares",
    )


def _f1(counts: ndarray, weights: ndarray) -> ndarray:
    """In percent, (m,): of counts (3, n) of found, given and true, in weightings (n, m)."""
    found, given, true = counts.astype(weights.dtype) @ weights
    return 100 * share(2 * found, given + true, empty=0)


if __name__ == "__main__":
    from metrics.cli.command import main

    main(GebdF1)
