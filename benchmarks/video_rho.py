"""How far apart in time should the clips be that a network learns to know each other by?

    python -m benchmarks.video_rho [--seeds 3] [--epochs 6] [--videos 1000] [--out]

Feichtenhofer, Fan, Xiong, Girshick, He 2021 (arXiv 2104.14558) find that more clips of a video, and
clips from anywhere in it, teach more than two views of one clip. Here BYOL and MoCo learn on drawn
videos of shapes that move (corpus/drawn/motions.py), without labels; then a linear probe on the
frozen features of the same videos, with their labels, tells the motion of others, and so do nearest
neighbours. New weights are the row below, supervision on the same videos the one above.
"""

import argparse
import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from corpus.drawn.concepts import SHAPES
from corpus.drawn.motions import MOTIONS, Film, shot
from corpus.reading.clips import slots_of
from corpus.sources.users import stream
from engine.core.batch import Batch
from engine.core.build import build
from engine.core.cores import processor
from engine.core.network import network
from engine.measure.representation import effective_rank, knn_accuracy
from engine.training.loop import initialise, train
from engine.training.recipe import Recipe
from engine.training.schedule import Training
from models.blocks.augment.draws import Draws

RESULTS = Path(__file__).parent / "results/video_rho.md"
FILM = Film(32, 32, 15)
FRAMES, EVERY, TESTED = 8, 2, 2  # of a clip; clips of a video whose features are averaged
BATCH, TEST = 32, 500
BACKBONE = {"name": "videoresnet", "depths": [1, 1, 1], "convolutions": "3d", "stem": "3d"}
BACKBONE |= {"width": 8, "stem_width": 8, "stem_kernel": 3, "time_strides": [1, 1, 2]}
VIEWS = {"name": "clips", "frames": FRAMES, "every": EVERY, "flip": 0, "scale": [0.5, 1.0]}
VIEWS |= {"jitter": [0.4, 0.4, 0.4, 0.1], "grey": 0.2}
# the paper's rho = 1: two crops of one clip
SPANS: dict[str, dict[str, Any]] = {
    "1": {"clips": 1, "views": 2},
    "2, within 4 frames": {"clips": 2, "within": 4},
    "2": {"clips": 2},
    "4": {"clips": 4},
}
# the paper's, of small networks and few steps
METHODS: dict[str, dict[str, Any]] = {
    "byol": {"hidden": 128, "width": 64, "momentum": 0.98}
    | {"sequential": True, "temperature": 0.5},
    "moco": {"hidden": 128, "width": 64, "momentum": 0.98, "anneal": True}
    | {"layers": 3, "queue": 512, "temperature": 0.1, "splits": 1},
}
RECIPE = {"batch": BATCH, "per": BATCH, "start": 0, "schedule": "cosine", "weight_decay": 0.01}
RECIPE |= {"optimizer": {"name": "adamw"}, "rate": 0.003}
COLUMNS = ("motion, probe %", "motion, neighbours %", "shape, probe %", "rank", "minutes")


@dataclass
class Films:
    """Drawn videos in memory, their motion, and the first of their two shapes.

    reads: what of them is read, as an objective has it.
    """

    count: int
    part: int
    reads: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @cached_property
    def drawn(self) -> tuple[Tensor, Tensor, Tensor]:
        """uint8 (n, t, h, w, 3), and both classes (n,)."""
        names, pixels, shapes = list(SHAPES), [], []
        for index in range(self.count):
            rng = stream(0, 98, self.part, index)
            made = shot(rng, MOTIONS[index % len(MOTIONS)], FILM)
            pixels.append(made.pixels())
            shapes.append(names.index(made.pair.shapes[0]))
        motions = torch.arange(self.count) % len(MOTIONS)
        return torch.from_numpy(np.stack(pixels)), motions, torch.tensor(shapes)

    def __len__(self) -> int:
        return self.count

    def reading(self, reads: Mapping[str, Mapping[str, Any]]) -> "Films":
        """The same videos, drawn once, of which other clips are read."""
        other = replace(self, reads=reads)
        other.__dict__["drawn"] = self.drawn
        return other

    def read(self, indices: Tensor, draws: Draws | None = None) -> Batch:
        pixels, motions, _ = self.drawn
        slots = slots_of(np.full(len(indices), FILM.frames), draws, **self.reads["clip"])
        rows = zip(indices.tolist(), torch.from_numpy(slots.copy()), strict=True)
        return {"clip": [pixels[row][own] for row, own in rows], "label": motions[indices]}


class Row(NamedTuple):
    """What was found of a network: the columns of the table."""

    probe: float
    neighbours: float
    shape: float
    rank: float
    minutes: float


@torch.no_grad()
def features(module: nn.Module, films: Films) -> Tensor:
    """Of each video the mean feature (n, d) of TESTED clips, from its start to its end."""
    read = {"frames": FRAMES, "every": EVERY, "clips": TESTED, "place": "even"}
    module, films, found = module.eval(), films.reading({"clip": read}), []
    for rows in torch.arange(len(films)).split(100):
        clips = films.read(rows)["clip"]
        each = [module.features(module.augment.cropped(clips, clip)) for clip in range(TESTED)]
        found.append(torch.stack(each).mean(0))
    return torch.cat(found)


def probed(known: Tensor, truth: Tensor, asked: Tensor, answers: Tensor) -> float:
    """Percent that a linear probe on known features (n, d) answers rightly of others."""
    facts = {"channels": [known.shape[1]], "classes": int(truth.max()) + 1}
    head = build("heads", {"name": "logistic", "l2": 0.03}, **facts)
    head.fit(known, truth)
    return 100 * float((head.classify(asked).argmax(1) == answers).float().mean())


def measured(module: nn.Module, bank: Films, test: Films, minutes: float) -> Row:
    """What features tell of videos, by those of a bank whose labels are known."""
    (_, motions, shapes), (_, asked, others) = bank.drawn, test.drawn
    known, told = features(module, bank), features(module, test)
    neighbours = knn_accuracy(known, motions, told, asked)
    ranks = effective_rank(told - told.mean(0))
    motion, shape = itertools.starmap(
        probed, ((known, motions, told, asked), (known, shapes, told, others))
    )
    return Row(motion, neighbours, shape, ranks, minutes)


def made(objective: dict[str, Any], seed: int) -> nn.Module:
    """The tiny network under an objective."""
    initialise(seed)
    return network(BACKBONE, objective, {"name": "linear"}, classes=len(MOTIONS))


def trained(objective: dict[str, Any], films: Films, epochs: float, seed: int) -> nn.Module:
    """It after so many epochs; one that is not trained where there are none."""
    module = made(objective, seed)
    if epochs:
        recipe = Recipe(**RECIPE, warmup=0.1 * epochs)
        train(module, films.reading(module.reads), Training(recipe, epochs, seed))
    return module


def cases(epochs: float) -> dict[str, tuple[dict[str, Any], float]]:
    """By the title of a row: its objective, and for how many epochs it learns."""
    untrained = METHODS["byol"] | {"name": "byol", "views": VIEWS}
    found = {"new weights": (untrained, 0.0)}
    for name, settings in METHODS.items():
        for span, clips in SPANS.items():
            section = {"name": name, "views": VIEWS | clips, **settings}
            found[f"{name}, rho {span}"] = (section, epochs)
    found["supervised"] = ({"name": "supervised", "views": VIEWS}, epochs)
    return found


def passes(objective: dict[str, Any]) -> str:
    """Clips of a video that pass the network with a gradient, and without."""
    views = objective["views"]
    count = views.get("clips", 1) * views.get("views", 1)
    taught = {"byol": count, "moco": count - 1}.get(objective["name"], 0)
    return f"1 + {taught}"


def cell(values: Sequence[float], digits: int = 1) -> str:
    """Mean and deviation over seeds."""
    spread = stdev(values) if len(values) > 1 else 0.0
    return f"{mean(values):.{digits}f} ± {spread:.{digits}f}"


def table(
    rows: Mapping[str, tuple[dict[str, Any], float]], found: Mapping[str, list[Row]]
) -> list[str]:
    """Lines of the table, a row for each pretraining."""
    lines = ["| pretraining | passes | " + " | ".join(COLUMNS) + " |"]
    lines.append("|" + " --- |" * (2 + len(COLUMNS)))
    for title, each in found.items():
        objective, epochs = rows[title]
        columns = dict(zip(COLUMNS, zip(*each, strict=True), strict=True))
        cells = [cell(values, 2 if name == "minutes" else 1) for name, values in columns.items()]
        line = [title, passes(objective) if epochs else "0", *cells]
        lines.append("| " + " | ".join(line) + " |")
    return lines


def against_one(found: dict[str, list[Row]]) -> list[str]:
    """What the data say of each span against two views of one clip, seed by seed."""
    probes = {title: np.array(rows)[:, 0] for title, rows in found.items()}
    lines = []
    for name, span in itertools.product(METHODS, SPANS):
        one, other = f"{name}, rho 1", f"{name}, rho {span}"
        if one != other and {one, other} <= probes.keys():
            apart = probes[other] - probes[one]
            gain = f"{apart.mean():+.1f} points of the probe of motions"
            better = f"{(apart > 0).sum()} of {len(apart)} seeds"
            lines.append(f"- {name}, rho {span} over rho 1: {gain}, above it in {better}")
    return lines


def page(given: argparse.Namespace, took: float, lines: list[str]) -> str:
    """The text of the result."""
    options = f"--seeds {given.seeds} --epochs {given.epochs:g} --videos {given.videos}"
    steps = round(given.epochs * (given.videos // BATCH))
    about = (
        f"`python -m benchmarks.video_rho {options} --out`. {datetime.now(UTC):%Y-%m-%d}, "
        f"{processor()}, one thread, {took:.1f} minutes of it; torch {torch.__version__}. "
        f"{steps} steps of {BATCH} of {given.videos} drawn videos of {FILM.size} px and "
        f"{FILM.frames} frames; clips of {FRAMES} frames, one in {EVERY}; {TEST} others to measure "
        f"on. Mean ± deviation over {given.seeds} seeds of weights and order, of the same videos. "
        f"Chance is {100 / len(MOTIONS):.0f} % of the motion and {100 / len(SHAPES):.0f} % of the "
        "shape. Passes are of clips of a video through the network, with a gradient + without: "
        "steps are equal, compute is not."
    )
    return "\n".join(["# Larger spans in time (rho) on drawn motions", "", about, "", *lines, ""])


def plot(found: dict[str, list[Row]], file: Path) -> None:
    """Points of each seed and their means, a row for each pretraining."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 0.35 * len(found) + 1), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, column, title in zip(axes, ("probe", "shape"), ("motion", "shape"), strict=True):
        for place, rows in enumerate(found.values()):
            values = [getattr(row, column) for row in rows]
            axis.plot(values, [place] * len(values), "o", color="0.6", ms=4)
            axis.plot(mean(values), place, "|", color="k", ms=14)
        axis.set_xlabel(f"linear probe of the {title}, %")
    axes[0].set_yticks(range(len(found)), list(found))
    axes[0].invert_yaxis()
    figure.savefig(file, dpi=110)


def main() -> None:
    """Pretrain, measure, write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--seeds", type=int, default=3)
    add("--epochs", type=float, default=6, help="of the pretrainings")
    add("--videos", type=int, default=1000, help="that they learn from")
    add("--only", default="", help="rows whose title has it")
    add("--out", action="store_true", help=f"write {RESULTS.name} and its plot")
    given = parser.parse_args()
    torch.set_num_threads(1)
    begun = time.process_time()
    posts, test = Films(given.videos, 0), Films(TEST, 2)
    rows = {title: row for title, row in cases(given.epochs).items() if given.only in title}
    found: dict[str, list[Row]] = {title: [] for title in rows}
    for seed in range(given.seeds):
        for title, (objective, epochs) in rows.items():
            started = time.process_time()
            module = trained(objective, posts, epochs, seed)
            minutes = (time.process_time() - started) / 60
            found[title].append(measured(module, posts, test, minutes))
            told = zip(COLUMNS, found[title][-1], strict=True)
            numbers = (f"{name} {value:.2f}" for name, value in told)
            print(seed, title, *numbers, sep=" | ", flush=True)
    took = (time.process_time() - begun) / 60
    text = page(given, took, [*table(rows, found), "", *against_one(found)])
    print(text)
    if given.out:
        RESULTS.write_text(text, encoding="utf-8")
        plot(found, RESULTS.with_suffix(".png"))


if __name__ == "__main__":
    main()
