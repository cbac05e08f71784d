"""How fast detectors are beside torchvision's own, with the same weights, in one run.

`python -m benchmarks.detection_speed [--sides 128 224] [--turns 3] [--only NAME ...]
[--memory FORMAT ...] [--out]`. A training step (forward, losses, backward, SGD) and inference up to
boxes and masks of the images' size, of R-50-FPN for 90 classes, all layers trained, batch norms
frozen. Both get the same two images, normalised and on their canvas, with seven objects each, in
the same memory format (trainings here have channels last), and take turns; about 2,000 boxes of an
image are above the threshold, and 100 are found. One thread; seconds are the processor's. The ratio
is the median over turns of theirs over ours, above 1 where ours is faster, with its range.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from torch import nn

from benchmarks.detection_pairs import PAIRS, Ours, Task, Theirs, pair, task
from engine.core.cores import cores, processor

RESULTS = Path(__file__).parent / "results/detection_speed.md"
IMAGES = 2
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
STEP = ("backbone", "pyramid", "heads", "losses", "backward", "optimizer")
TEST = ("backbone", "pyramid", "heads", "post-processing")


class Clock:
    """Seconds of the processor by part: modules, by hooks, and what is timed by name."""

    def __init__(self, parts: dict[str, list[nn.Module | None]]) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(parts, 0.0)
        for part, modules in parts.items():
            for module in filter(None, modules):
                module.register_forward_pre_hook(lambda *_, part=part: self._add(part, -1))
                module.register_forward_hook(lambda *_, part=part: self._add(part, 1))

    def _add(self, part: str, sign: int) -> None:
        self.seconds[part] += sign * time.process_time()

    @contextmanager
    def timed(self, part: str) -> Any:
        """What of the part is in none of the modules."""
        begun, within = time.process_time(), sum(self.seconds.values())
        yield
        own = time.process_time() - begun - (sum(self.seconds.values()) - within)
        self.seconds[part] = self.seconds.get(part, 0.0) + own

    def read(self) -> dict[str, float]:
        """Seconds since the last reading."""
        found = dict(self.seconds)
        self.seconds = dict.fromkeys(self.seconds, 0.0)
        return found


def clock_of(detector: Ours | Theirs) -> Clock:
    """Heads: what has weights behind the pyramid, and the pooling of regions."""
    if isinstance(detector, Ours):
        head = detector.head
        parts = {"backbone": [detector.backbone], "pyramid": [head.pyramid]}
        if hasattr(head, "class_tower"):
            return Clock(parts | {"heads": [head.class_tower, head.box_tower]})
        heads = [head.rpn, head.box]
        if head.mask is not None:
            heads += [head.mask.align, head.mask.trunk, head.mask.predictor]
        return Clock(parts | {"heads": heads})
    model = detector.model
    parts = {"backbone": [model.backbone.body], "pyramid": [model.backbone.fpn]}
    if hasattr(model, "head"):
        return Clock(parts | {"heads": [model.head]})
    roi = model.roi_heads
    heads = [model.rpn.head, roi.box_roi_pool, roi.box_head, roi.box_predictor]
    if roi.has_mask():
        heads += [roi.mask_roi_pool, roi.mask_head, roi.mask_predictor]
    return Clock(parts | {"heads": heads})


def step(detector: Ours | Theirs, clock: Clock, task: Task) -> Callable[[], dict[str, float]]:
    optimizer = torch.optim.SGD([p for p in detector.parameters() if p.requires_grad], 1e-6, 0.9)

    def call() -> dict[str, float]:
        detector.train()
        with clock.timed("losses"):
            loss = detector.losses(task)
        with clock.timed("backward"):
            loss.backward()
        with clock.timed("optimizer"):
            optimizer.step()
            optimizer.zero_grad()
        return clock.read()

    return call


def test(detector: Ours | Theirs, clock: Clock, task: Task) -> Callable[[], dict[str, float]]:
    def call() -> dict[str, float]:
        detector.eval()
        with clock.timed("post-processing"):
            detector.found(task)
        return clock.read()

    return call


def taken(
    ours: Callable[[], dict[str, float]], theirs: Callable[[], dict[str, float]], turns: int
) -> list[tuple[dict[str, float], dict[str, float]]]:
    """Seconds of ours and theirs by part, turn by turn; which is first changes."""
    for call in (ours, theirs):  # memory and kernels are chosen in the first
        call()
    found = []
    for turn in range(turns):
        if turn % 2:
            second = theirs()
            found.append((ours(), second))
        else:
            found.append((ours(), theirs()))
    return found


def told(cells: list[str]) -> str:
    """A line of the table, printed."""
    line = "| " + " | ".join(cells) + " |"
    print(line, flush=True)
    return line


def total(parts: dict[str, float]) -> float:
    return sum(parts.values())


def rows(kind: str, side: int, memory: str, turns: int) -> tuple[str, list[str]]:
    """The line of speeds, and those of where the time goes."""
    images = task(IMAGES, side)
    ours, theirs = [each.to(memory_format=FORMATS[memory]) for each in pair(kind, images)]
    images.images = images.images.contiguous(memory_format=FORMATS[memory])
    clocks = clock_of(ours), clock_of(theirs)
    named = [kind, str(side), memory.replace("_", " ")]
    cells, parts = list(named), []
    for name, make, columns in (("training", step, STEP), ("inference", test, TEST)):
        found = taken(make(ours, clocks[0], images), make(theirs, clocks[1], images), turns)
        whole = np.array([(total(own), total(other)) for own, other in found])
        ratios, middle = whole[:, 1] / whole[:, 0], np.median(whole, 0)
        unit = IMAGES / middle if name == "training" else 1e3 * middle / IMAGES
        cells += [f"{each:.3g}" for each in unit]
        cells.append(f"{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})")
        line = [*named, name]
        for part in columns:
            pairs = [(own.get(part, 0.0), other.get(part, 0.0)) for own, other in found]
            line.append(" / ".join(f"{1e3 * each:.0f}" for each in np.median(pairs, 0)))
        parts.append(told(line))
    return told(cells), parts


def main() -> None:
    command = argparse.ArgumentParser(description=__doc__)
    command.add_argument("--sides", type=int, nargs="+", default=[128, 224], help="px")
    command.add_argument("--turns", type=int, default=3, help="of either")
    command.add_argument("--only", nargs="+", choices=PAIRS, default=list(PAIRS))
    command.add_argument("--memory", nargs="+", choices=FORMATS, default=list(FORMATS))
    command.add_argument("--out", action="store_true", help=f"write {RESULTS.name}")
    given = command.parse_args()
    torch.set_num_threads(1)
    speeds, parts = [], []
    for side, kind, memory in product(given.sides, given.only, given.memory):
        speed, own = rows(kind, side, memory, given.turns)
        speeds.append(speed)
        parts += own
    if given.out:
        RESULTS.write_text(page(speeds, parts), encoding="utf-8")


def page(speeds: list[str], parts: list[str]) -> str:
    what = " ".join((__doc__ or "").split("`.")[1].split())
    versions = f"torch {torch.__version__}, torchvision {torchvision.__version__}"
    return "\n".join(
        [
            "# Detectors beside torchvision's",
            "",
            f"`python -m benchmarks.detection_speed {' '.join(sys.argv[1:])}`. " + what,
            "",
            f"{datetime.now(UTC):%Y-%m-%d}, {processor()}, one thread, {versions}; "
            f"{os.getloadavg()[2]:.0f} processes at a time on {cores()} cores.",
            "",
            "| detector | px | memory | training, images/s | torchvision's | ratio "
            "| inference, ms an image | torchvision's | ratio |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
            *speeds,
            "",
            "Where the time goes, ms of two images, ours / torchvision's; losses are with matching "
            "and sampling.",
            "",
            *table(parts, "training", STEP),
            *table(parts, "inference", TEST),
        ]
    )


def table(parts: list[str], name: str, columns: tuple[str, ...]) -> list[str]:
    own = [line for line in parts if f"| {name} |" in line]
    head = ["detector", "px", "memory", "", *columns]
    return ["| " + " | ".join(head) + " |", "| --- " * len(head) + "|", *own, ""]


if __name__ == "__main__":
    main()
