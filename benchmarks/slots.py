"""Do slots pay? Group norm at two images, blocks after a small ResNet's, and a space of slots.

    python -m benchmarks.slots [--packs ../shared/data] [--quick]    (minutes on a CPU core)

Three studies on CIFAR-10 at 32 pixels, each with its control beside it and paired by seed:

- Group norm against batch norm, of minibatches of 2 images and of 32 (Wu & He 2018, "Group
  Normalization", arXiv 1803.08494, section 4.1), the rate scaled with the minibatch.
- A global context or a non-local block in a small ResNet, against one without, of the width that
  has as many multiply-adds.
- Networks of the space `slots`, drawn at equal multiply-adds, with one slot each: against those
  without.

Multiply-adds are those of the rule pycls, attention's products among them. A seed draws networks,
weights, order and views. Each run is kept in .tagdag/slots/results.jsonl by its settings: a killed
study goes on.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.minibatch import Pictures, pictures
from benchmarks.minibatch import Sizes as Images
from benchmarks.packs import CIFAR, FOLDER, check
from benchmarks.study import Run, cell, preamble, pursue, verdict
from corpus.progress import Progress
from engine.core.build import build, options
from engine.core.digest import digest
from engine.core.network import network
from engine.measure.complexity import measure
from engine.training.loop import initialise, train
from engine.training.predicting import scored
from engine.training.recipe import Recipe
from engine.training.schedule import Training
from flows.cli.command import user_errors
from flows.running import settings
from metrics.accuracy import Accuracy

RESULTS = Path(__file__).resolve().parent / "results"
SIDE = 32  # pixels
RESNET = {
    "name": "resnet",
    "depths": [1, 1, 1],
    "block": "basic",
    "width": 16,
    "stem": "simple",
    "stem_width": 16,
}
GROUPED = {"name": "group_norm", "group_width": 8}
AFTER = {  # in the last block of the last two stages
    "global context": {"name": "global_context", "reduction": 4},
    "non-local": {"name": "non_local"},
}
CHOICES = {  # what the networks of the space may have
    "norms": {"group norm": GROUPED},
    "spatials": {
        "gnConv": {"name": "gnconv"},
        "bottleneck attention": {"name": "bot_attention"},
        "halo attention": {"name": "halo_attention", "block": 4, "halo": 1},
    },
    "afters": {
        "global context": {"name": "global_context", "reduction": 4},
        "non-local": {"name": "non_local", "subsample": True},
        "denoising": {"name": "denoise", "kind": "dot"},
    },
}
SPACE = {
    "name": "slots",
    "resolution": SIDE,
    "depth": [4, 8],
    "w_0": [16, 48],
    "w_a": [8, 48],
    "group_width": [8, 16],
    "stages": 3,
    "slot_stages": [1, 2],
    "stem_width": 16,
    "flops": [1.6e6, 1.8e6],
}
STUDIES = {
    "norms": "Group norm against batch norm, by minibatch",
    "blocks": "A block in a small ResNet, at equal multiply-adds",
    "space": "Networks of the space `slots`, drawn at equal multiply-adds",
}
BATCH = 16  # of the second and third study: steps count more than images in so short a training
RECIPE = {"per": 64, "rate": 0.1, "warmup": 0.5, "exact": False}


class Sizes(NamedTuple):
    """Seeds; networks that each draws with a slot; images and epochs of each study."""

    seeds: int = 3
    drawn: int = 2
    norms: tuple[int, int] = (1536, 3)
    blocks: tuple[int, int] = (1024, 4)
    space: tuple[int, int] = (768, 3)
    tested: int = 2000


QUICK = Sizes(1, 1, (64, 1), (256, 1), (256, 1), 100)


def flops(backbone: dict[str, Any]) -> int:
    """Multiply-adds of a backbone for one image."""
    with torch.device("meta"):
        return measure(build("backbones", backbone), (3, SIDE, SIDE))["flops"]


def plain(backbone: dict[str, Any]) -> dict[str, Any]:
    """The small ResNet without slots, of the width with about as many multiply-adds."""
    cost = flops(backbone)
    widths = range(RESNET["width"], 2 * RESNET["width"])
    found = [{**RESNET, "width": width} for width in widths]
    return min(found, key=lambda section: abs(flops(section) - cost))


def norms() -> Iterator[tuple[str, dict[str, Any], int]]:
    """(name, backbone, images of a minibatch): the first study."""
    for batch in (2, 32):
        yield f"batch norm, {batch} images", RESNET, batch
        yield f"group norm, {batch} images", {**RESNET, "norm": GROUPED}, batch


def blocks() -> Iterator[tuple[str, dict[str, Any], int]]:
    """The second study: each block, and a network without it that costs as much."""
    for name, slot in AFTER.items():
        slotted = {**RESNET, "after": slot, "after_at": [[], "last", "last"]}
        yield name, slotted, BATCH
        yield f"without {name}", plain(slotted), BATCH


def space(seed: int, drawn: int) -> Iterator[tuple[str, dict[str, Any], int]]:
    """The third: networks without slots, and for each slot networks that have it."""
    kinds = [("no slot", {})]
    for key, choices in CHOICES.items():
        kinds += [(name, {key: [slot]}) for name, slot in choices.items()]
    for name, more in kinds:
        made = build("spaces", SPACE | more)
        generator = torch.Generator().manual_seed(seed)
        found: dict[str, dict[str, Any]] = {}
        for values in made.draw(64 * drawn, generator):
            # of the draws, those that have the slot, and of equal networks one
            section = made.section(values)
            if not more or section.keys() & {"norm", "spatial", "after"}:
                found.setdefault(json.dumps(made.as_anynet(section)), section)
        for number, section in enumerate(list(found.values())[:drawn]):
            yield f"{name} #{number}", section, BATCH


def run(parts: dict[str, Pictures], one: Run, tested: int, show: Progress) -> Run:
    """Training loss of every epoch, and the top-1 error in % on images of the test."""
    initialise(one["seed"])
    objective = {"name": "supervised", "scale": [0.5, 1.0]}
    module = network(one["backbone"], objective, {"name": "linear"}, classes=10)
    recipe = Recipe(**options(Recipe, one["recipe"], "recipe"))
    images, epochs = one["trained"]
    losses: list[float] = []
    train(
        module,
        parts["train"].some(torch.arange(images)),
        Training(
            recipe,
            epochs,
            one["seed"],
            None,
            lambda values, _: losses.append(values["loss"]),
            show,
            images // recipe.batch,
        ),
    )
    # they lie class by class
    spread = torch.arange(0, len(parts["test"]), len(parts["test"]) // tested)[:tested]
    found = scored(module, parts["test"].some(spread), Accuracy()).compute()
    return {"losses": losses, "error": 100 - found["top1"]}


def wanted(sizes: Sizes) -> Iterator[tuple[str, Run]]:
    """All runs, by what makes them: their settings, and the name of their study."""
    for seed in range(sizes.seeds):
        studies = {"norms": norms(), "blocks": blocks(), "space": space(seed, sizes.drawn)}
        for study, networks in studies.items():
            for name, backbone, batch in networks:
                recipe = {**RECIPE, "batch": batch, "micro": batch}
                settled = {"backbone": backbone, "recipe": recipe, "seed": seed}
                settled["trained"] = getattr(sizes, study)
                about = {"name": name, "study": study, "flops": flops(backbone)}
                yield digest(settled, sizes.tested), settled | about


def table(rows: list[Run], controls: dict[str, str]) -> list[str]:
    """Markdown: error, loss and cost of each kind of network, and the difference to its control."""
    by_name: dict[str, dict[tuple[int, str], Run]] = {}
    for row in rows:
        name, _, number = row["name"].partition(" #")
        by_name.setdefault(name, {})[row["seed"], number] = row
    lines = [
        "| network | multiply-adds (M) | test error (%) | training loss | control errs more by |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, runs in by_name.items():
        cost = sum(one["flops"] for one in runs.values()) / len(runs) / 1e6
        errors = _by_seed(runs, lambda one: one["error"])
        losses = _by_seed(runs, lambda one: one["losses"][-1])
        control, told = controls.get(name), ""
        if control:
            theirs = _by_seed(by_name[control], lambda one: one["error"])
            gained = [b - a for a, b in zip(errors, theirs, strict=True)]
            told = f"{cell(gained, '+')} ({control}): {verdict(gained)}"
        shown = [name, f"{cost:.2f}", cell(errors), f"{sum(losses) / len(losses):.2f}", told]
        lines.append("| " + " | ".join(shown) + " |")
    return lines


def _by_seed(runs: dict[tuple[int, str], Run], number: Any) -> list[float]:
    """The mean over the networks of a seed, seed by seed."""
    found: dict[int, list[float]] = {}
    for (seed, _), one in sorted(runs.items()):
        found.setdefault(seed, []).append(number(one))
    return [sum(values) / len(values) for values in found.values()]


ABOUT = """Errors are those of {tested:,} test images; means over {seeds} seeds and half of their
95 % intervals, differences paired by seed. `shows` where the interval of a difference lies above 0;
one in twenty misses by chance, and there are {number} of them. Trainings are short
({norms} images x epochs of the first study, {blocks} and {space} of the others), on purpose: the
directions are of small networks that are far from trained, and nothing was tuned for any of them;
the rate is 0.1 for 64 images, scaled with the minibatch, which is 16 where it is not named.

The first study was run at 512 x 2 before: all four erred 80 to 83 %, and nothing showed. The others
were run once."""


def write(rows: list[Run], sizes: Sizes, command: str, path: Path) -> None:
    """The page of results."""
    controls = {f"group norm, {batch} images": f"batch norm, {batch} images" for batch in (2, 32)}
    controls |= {name: f"without {name}" for name in AFTER}
    in_space = {name: "no slot" for choices in CHOICES.values() for name in choices}
    shown = {key: " x ".join(map(str, getattr(sizes, key))) for key in STUDIES}
    number = len(controls) + len(in_space)
    facts = {"tested": sizes.tested, "seeds": sizes.seeds, "number": number, **shown}
    lines = [*preamble("Do slots pay?", command, rows), "", ABOUT.format(**facts)]
    for study, title in STUDIES.items():
        own = [row for row in rows if row["study"] == study]
        lines += ["", f"## {title}", "", *table(own, in_space if study == "space" else controls)]
    path.mkdir(parents=True, exist_ok=True)
    (path / "slots.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.slots", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("--packs", type=Path, default=FOLDER, help="folder of the packs (*.tar.xz)")
    parser.add_argument("--quick", action="store_true", help="one seed, few images; kept apart")
    given = parser.parse_args()
    sizes = QUICK if given.quick else Sizes()
    work = settings.STATE / f"slots{'-quick' * given.quick}"
    command = f"python -m benchmarks.slots{' --quick' * given.quick}"
    parts: dict[str, Pictures] = {}

    def result(one: Run, show: Progress) -> Run:
        if not parts:
            parts.update(pictures(given.packs, Images(images=4096, held=1)))
        return run(parts, one, sizes.tested, show)

    with user_errors():
        check(given.packs, [CIFAR])
        rows = pursue("slots", work, dict(wanted(sizes)), result)
        write(rows, sizes, command, work if given.quick else RESULTS)


if __name__ == "__main__":
    main()
