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

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import pointrend
from benchmarks.pointrend import BACKBONE, DETECTOR, RECIPE, RESULTS, SIDE, drawn, masks_of
from benchmarks.study import Run, cell, preamble, pursue, verdict
from corpus.drawn.concepts import SHAPES
from corpus.progress import Progress
from engine.core.build import build, options
from engine.core.digest import digest
from engine.core.network import columns_read, network
from engine.core.samples import Rows, open_split
from engine.training.loop import initialise, train
from engine.training.predicting import scored
from engine.training.recipe import Recipe
from engine.training.schedule import Training
from flows.cli.command import user_errors
from flows.running import settings
from models.blocks.detection.pasting import pasted

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


class All:
    """Several metrics of one pass over the images."""

    def __init__(self, metrics: dict[str, Any]) -> None:
        self.metrics = metrics

    def update(self, predictions: dict[str, Any], targets: dict[str, Any]) -> None:
        for metric in self.metrics.values():
            metric.update(predictions, targets)


def shown_of(seed: int) -> list[str]:
    """The classes that have masks: five of nine, another draw for each seed."""
    names = sorted(SHAPES)
    order = np.random.default_rng([seed, 14]).permutation(len(names))
    return sorted(names[place] for place in order[: (len(names) + 1) // 2])


def run(folder: Path, one: Run, show: Progress) -> Run:
    """What is measured of one training, in percent, and the parameters of its masks."""
    initialise(one["seed"])
    parts = {split: open_split(folder, split) for split in ("train", "test")}
    names = parts["train"].names
    module = network(BACKBONE, OBJECTIVE, one["head"], classes=len(names), names=names)
    columns = columns_read(OBJECTIVE)
    samples = {split: Rows(shards, columns) for split, shards in parts.items()}
    recipe = Recipe(**options(Recipe, one["recipe"], "recipe"))
    train(
        module, samples["train"], Training(recipe, one["epochs"], one["seed"], None, progress=show)
    )
    found = measured(module, samples["test"], names, shown_of(one["seed"]))
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


@torch.no_grad()
def in_true_boxes(module: nn.Module, samples: Rows) -> tuple[Tensor, Tensor]:
    """IoU (m,) of the masks that are found in the true boxes of all objects, and their classes."""
    module.eval()
    ious, classes = [], []
    for row in range(len(samples)):
        batch = samples.read(torch.tensor([row]))
        (image,), (truth,) = module.plain(batch["image"]), batch["masks"]
        good = ~batch["box_crowd"][0]
        boxes, labels = batch["boxes"][0][good].float(), batch["box_label"][0][good]
        told = masks_of(module, image, boxes, labels)
        ours, truth = pasted(told, boxes, tuple(truth.shape[1:])), truth[good]
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
    by_name: dict[str, list[Run]] = {}
    for row in rows:
        by_name.setdefault(row["name"], []).append(row)
    shown = list(rows[0]["found"])
    lines = [f"| masks by | parameters of masks | {' | '.join(shown)} |"]
    lines.append("| --- " * (2 + len(shown)) + "|")
    for name, runs in by_name.items():
        values = zip(*[one["found"].values() for one in runs], strict=True)
        cells = map(cell, values)
        lines.append(f"| {name} | {runs[0]['weights']:,} | {' | '.join(cells)} |")
    for name, control in CONTROLS.items():
        told = [pointrend.gain(by_name[name], by_name[control], key) for key in shown]
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


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.mask_x", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="one seed, few images; kept apart")
    given = parser.parse_args()
    sizes = QUICK if given.quick else Sizes()
    work = settings.STATE / f"mask_x{'-quick' * given.quick}"
    command = f"python -m benchmarks.mask_x{' --quick' * given.quick}"
    folders: dict[str, Path] = {}

    def result(one: Run, show: Progress) -> Run:
        if not folders:
            folders.update(drawn(work, sizes))
        return run(folders["boxes"], one, show)

    with user_errors():
        rows = pursue("mask_x", work, dict(wanted(sizes)), result)
        write(rows, sizes, command, work if given.quick else RESULTS)


if __name__ == "__main__":
    main()
