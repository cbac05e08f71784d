"""What a network says of scenes, beside its metric: collected in the pass that tests it.

Of metrics of objects, of panoptic and of semantic maps; of any other there is nothing to collect.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flows.measuring import examples
from flows.measuring.mapdetails import PanopticDetails, SemanticDetails
from flows.measuring.objectdetails import ObjectDetails, shaped, with_runs
from metrics.blocks.metric import Batch, Metric

OBJECTS, PANOPTIC, SEMANTIC = "objects", "panoptic", "semantic"
SHOWN = {
    OBJECTS: ("boxes", "box_label", "box_score", "masks"),
    PANOPTIC: ("panoptic", "panoptic_label", "panoptic_id", "panoptic_crowd"),
    SEMANTIC: ("semantic",),
}
# what the number of one image is
QUALITIES = {
    OBJECTS: "F1 at an overlap of 0.5",
    PANOPTIC: "panoptic quality of the image alone",
    SEMANTIC: "mean IoU of the image alone",
}


def kind_of(metric: Metric) -> str | None:
    """What a metric compares: objects or a kind of maps; None for anything else."""
    given, true = (_flat(names) for names in metric.reads[:2])
    for kind in (PANOPTIC, SEMANTIC):
        if kind in given and kind in true:
            return kind
    shapes = {"boxes", "masks"}
    return OBJECTS if "box_score" in given and shapes & given and shapes & true else None


def _flat(names: Sequence[str | tuple[str, ...]]) -> set[str]:
    either = [(name,) if isinstance(name, str) else name for name in names]
    return {name for some in either for name in some}


def prepared(given: Batch, true: Batch) -> tuple[Batch, Batch]:
    """Both with masks as run lengths: these are encoded once for all that read them."""
    return with_runs(given), with_runs(true)


class SceneDetails:
    """Takes in what was predicted, batch by batch; what it tells is for a JSON file."""

    def __init__(self, metric: Metric, kind: str) -> None:
        self._metric, self.kind = metric, kind
        self._of: Any = None
        self._ids: list[str] = []
        self._kept: list[tuple[dict, dict]] = []

    def add(self, ids: Sequence[str], given: Batch, true: Batch) -> None:
        """Take in n images; masks as run lengths."""
        if self._of is None:
            self._of = self._made(given, true)
        self._of.add(ids, given, true)
        room = max(0, examples.CHOSEN_OF - len(self._ids))
        if room:
            names = SHOWN[self.kind]
            rows = zip(*(examples.kept_rows(each, names) for each in (given, true)), strict=True)
            self._kept += list(rows)[:room]
        self._ids += ids

    def _made(self, given: Batch, true: Batch) -> Any:
        if self.kind == OBJECTS:
            return ObjectDetails(shaped(self._metric, given, true))
        return PanopticDetails() if self.kind == PANOPTIC else SemanticDetails()

    def told(self, names: Sequence[str]) -> dict[str, Any]:
        """All of it; names: of the classes."""
        rows = getattr(self._metric, "rows", list)()
        found = {"kind": self.kind, "rows": rows, "picture": _picture(self._metric)}
        qualities = self._of.qualities()
        found |= self._of.told(len(names))
        spread = np.quantile(qualities, (0, 0.25, 0.5, 0.75, 1)) if len(qualities) else []
        found["quality"] = {"is": QUALITIES[self.kind], "quartiles": [*map(float, spread)]}
        return found | {"examples": self._examples(qualities)}

    def _examples(self, qualities: np.ndarray) -> list[dict[str, Any]]:
        held = len(self._kept)
        entries = []
        for rank, row in examples.chosen(qualities[:held], self._sizes()):
            about = {"id": self._ids[row], "rank": rank, "quality": float(qualities[row])}
            entries.append(about | self._entry(row))
        return entries

    def _sizes(self) -> np.ndarray:
        """How much there is to see in each image."""
        label = "panoptic_label" if self.kind == PANOPTIC else "box_label"
        return np.array([len(true.get(label, ())) for _, true in self._kept])

    def _entry(self, row: int) -> dict[str, Any]:
        given, true = self._kept[row]
        if self.kind == OBJECTS:
            return examples.objects_entry(given, true, self._of.images[row], self._of.least())
        entry = examples.panoptic_entry if self.kind == PANOPTIC else examples.semantic_entry
        return {"found": entry(given), "true": entry(true)}


def _picture(metric: Metric) -> dict[str, Any] | None:
    """The curves of a metric; None where its picture is none of lines."""
    if not hasattr(metric, "picture"):
        return None
    shown: Mapping[str, Any] = metric.picture()._asdict()
    if "series" not in shown:
        return None
    return {**shown, "series": [dict(each._asdict()) for each in shown["series"]]}
