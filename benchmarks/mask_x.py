"""Do classes that never had a mask get better ones by Mask^X than by a mask that knows no class?

    python -m benchmarks.mask_x [--quick]    (a quarter of an hour on a CPU core)

Hu, Dollar, He, Darrell, Girshick 2018, "Learning to Segment Every Thing", arXiv 1711.10370, tables
1 and 2: of half of the classes no mask is ever shown, boxes of all. Mask^X, whose masks follow from
the box weights of a class, against its control, the same network with one mask whatever the class;
and Mask^X that was shown all masks, as far as one could come.

The scenes of corpus/drawn/objects.py, of nine shapes, whose masks are exact; networks from scratch.
A seed draws which classes have masks, weights, order and views; arms are paired by it. Masks in the
true boxes are measured as well, which says of masks what the errors of boxes hide. Each run is kept
in .tagdag/mask_x/results.jsonl by its settings: a killed study goes on.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.mask_studies import (
    DETECTOR,
    RECIPE,
    SIDE,
    All,
    arms,
    gain,
    heading,
    line,
    masks_in_true_boxes,
    study,
    trained,
)
from benchmarks.study import Run, cell, preamble, verdict
from corpus.drawn.concepts import SHAPES
from corpus.progress import Progress
from engine.core.build import build
from engine.core.digest import digest
from engine.core.samples import Rows
from engine.training.predicting import scored

HEAD = {"name": "mask_x", "mask_convs": 2, "mask_bins": 7, **DETECTOR}
ARMS: dict[str, dict[str, Any]] = {
    "one mask for all classes": {"agnostic": True},
    "Mask^X": {},
    "Mask^X, shown all masks": {"all": True},
}
CONTROLS = {"Mask^X": "one mask for all classes"}
OBJECTIVE = {"name": "instances"}
AP = {"name": "coco_ap", "of": "masks", "resamples": 0}
NEVER, SHOWN = "never shown", "shown"


class Sizes(NamedTuple):
    """Seeds; images trained on and tested; epochs."""

    seeds: int = 3
    images: int = 300
    tested: int = 200
    epochs: int = 10


QUICK = Sizes(seeds=1, images=24, tested=12, epochs=1)


class Of:
    """A metric of the objects of some classes.

    classes: int64 (any,).
    """

    def __init__(self, metric: Any, classes: Tensor) -> None:
        self.metric, self.classes = metric, classes

    def update(self, predictions: dict[str, Any], targets: dict[str, Any]) -> None:
        self.metric.update(self._some(predictions), self._some(targets))

    def _some(self, columns: dict[str, Any]) -> dict[str, Any]:
        kept = [torch.isin(labels, self.classes) for labels in columns["box_label"]]
        found = dict(columns)
        for name in columns:
            if name == "masks" or name.startswith("box"):
                rows = zip(columns[name], kept, strict=True)
                found[name] = [values[mine] for values, mine in rows]
        return found


def shown_of(seed: int) -> list[str]:
    """The classes that have masks: five of nine, another draw for each seed."""
    names = sorted(SHAPES)
    order = np.random.default_rng([seed, 14]).permutation(len(names))
    return sorted(names[place] for place in order[: (len(names) + 1) // 2])


def run(folders: dict[str, Path], one: Run, show: Progress) -> Run:
    """What is measured of one training, in percent, and the parameters of its masks."""
    module, names, test = trained(folders["boxes"], OBJECTIVE, one, show)
    found = measured(module, test, names, shown_of(one["seed"]))
    weights = sum(weight.numel() for weight in module.head.mask.parameters())
    return {"found": found, "weights": weights}


def measured(
    module: nn.Module, samples: Rows, names: Sequence[str], shown: Sequence[str]
) -> dict[str, float]:
    """Mask AP, and IoU in true boxes, of classes whose masks were and were never shown; box AP."""
    groups = {NEVER: [], SHOWN: []}
    for place, name in enumerate(names):
        groups[SHOWN if name in shown else NEVER].append(place)
    classes = {key: torch.tensor(places) for key, places in groups.items()}
    metrics = {key: Of(build("metrics", AP), own) for key, own in classes.items()}
    boxes = build("metrics", AP | {"of": "boxes"})
    scored(module, samples, All({**metrics, "boxes": boxes}))
    ious, labels = in_true_boxes(module, samples)
    found = {}
    for key, own in classes.items():
        metric = metrics[key].metric
        found[f"mask AP, {key}"] = metric.compute()[metric.headline]
        found[f"IoU in true boxes, {key}"] = 100 * float(ious[torch.isin(labels, own)].mean())
    return found | {"box AP": boxes.compute()[boxes.headline]}


def in_true_boxes(module: nn.Module, samples: Rows) -> tuple[Tensor, Tensor]:
    """IoU (m,) of the masks that are found in the true boxes of all objects, and their classes."""
    ious, classes = [], []
    for ours, truth, labels in masks_in_true_boxes(module, samples):
        both, either = (kind.flatten(1).sum(1) for kind in (ours & truth, ours | truth))
        ious.append(both / either)
        classes.append(labels)
    return torch.cat(ious), torch.cat(classes)


def wanted(sizes: Sizes) -> Iterator[tuple[str, Run]]:
    """All runs, by what makes them: their settings and sizes."""
    for seed in range(sizes.seeds):
        for name, arm in ARMS.items():
            own = {key: value for key, value in arm.items() if key != "all"}
            shown = None if arm.get("all") else shown_of(seed)
            head = HEAD | own | {"masks_of": shown}
            settled = {"head": head, "recipe": RECIPE, "seed": seed, "epochs": sizes.epochs}
            yield digest(settled, [sizes.images, sizes.tested, SIDE]), settled | {"name": name}


def table(rows: Sequence[Run]) -> list[str]:
    """Markdown: what is measured of each arm, and by how much Mask^X is better than its control."""
    by_name, shown = arms(rows), list(rows[0]["found"])
    lines = heading("masks by", "parameters of masks", shown)
    for name, runs in by_name.items():
        lines.append(line(name, f"{runs[0]['weights']:,}", runs))
    for name, control in CONTROLS.items():
        told = [gain(by_name[name], by_name[control], key) for key in shown]
        lines.append(f"| {name}, gain | | {' | '.join(told)} |")
    return lines


def answer(rows: Sequence[Run]) -> str:
    """What the study says, in a sentence."""
    key = f"mask AP, {NEVER}"
    by_seed = {(row["name"], row["seed"]): row["found"][key] for row in rows}
    seeds = sorted({row["seed"] for row in rows})
    gained = [by_seed["Mask^X", seed] - by_seed[CONTROLS["Mask^X"], seed] for seed in seeds]
    return (
        f"That Mask^X gives classes without masks better ones than its control: {verdict(gained)} "
        f"({cell(gained, '+')} points of mask AP)."
    )


ABOUT = """Percent, of {tested} test images; means over {seeds} seeds and half of their 95 %
intervals, gains paired by seed. `shows` where the interval of a gain lies above 0. Trained from
scratch on {images} images of {side} px, {epochs} epochs: networks are small, five classes teach
where the paper has 20 or 60, and nothing was tuned for any arm."""


def write(rows: list[Run], sizes: Sizes, command: str, path: Path) -> None:
    """The page of results."""
    about = ABOUT.format(**sizes._asdict(), side=SIDE)
    title = "Masks of classes that never had one"
    lines = [*preamble(title, command, rows), "", about, "", answer(rows), "", *table(rows)]
    path.mkdir(parents=True, exist_ok=True)
    (path / "mask_x.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    study("mask_x", __doc__, (QUICK, Sizes()), wanted, ["boxes"], run, write)
