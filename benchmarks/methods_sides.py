"""One side of `benchmarks.methods` in a process of its own: `python -m benchmarks.methods_sides
'<JSON>'`.

It takes its turns, and tells what the steps after the first few of each took: seconds, those of the
processor, those in which views were made, and memory.
"""

import json
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import psutil
import torch
from PIL import Image
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.data import DataLoader, Dataset

from engine.core.network import network
from engine.training.loop import initialise, train
from engine.training.recipe import Recipe
from engine.training.schedule import Training
from models.blocks.augment.draws import Draws

RATE, MOMENTUM, DECAY = 0.06, 0.9, 1e-4
CLASSES = 10
MIB = 2**20


class Clock:
    """Times the steps after the first `warm` of every turn; each begins with a line of stdin."""

    def __init__(self, steps: int, warm: int) -> None:
        self.steps, self.warm = steps, warm
        # the first step of all, which sets things up, is of no turn
        self.done, self.views = warm + steps - 1, 0.0
        self.begun: tuple[float, ...] | None = None
        self.hook = register_optimizer_step_post_hook(self.end)

    @contextmanager
    def making_views(self) -> Iterator[None]:
        """What is done inside counts as making views."""
        start = time.perf_counter()
        yield
        self.views += time.perf_counter() - start

    def now(self) -> tuple[float, ...]:
        """Seconds, of the processor, and of views."""
        return time.perf_counter(), time.process_time(), self.views

    def end(self, *_: object) -> None:
        """Hook of the optimizer: the process ends in it when no further turn is asked for."""
        self.done += 1
        if self.done == self.warm:
            self.begun = self.now()
        if self.done == self.warm + self.steps:
            if self.begun:
                self.tell(end - start for start, end in zip(self.begun, self.now(), strict=True))
            if not sys.stdin.readline():
                raise SystemExit
            self.done = 0

    def tell(self, spent: Iterable[float]) -> None:
        """What the turn took, as a line."""
        found = dict(zip(("seconds", "processor", "views"), spent, strict=True))
        found["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        # processes of a loader
        for child in psutil.Process().children(recursive=True):
            found["memory"] += child.memory_info().rss / MIB
        print(json.dumps(found), flush=True)


class Images:
    """Images in memory, for tagdag's loop."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = torch.from_numpy(pixels)

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, indices: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Columns of some images; their classes mean nothing."""
        return {"image": self.pixels[indices], "label": indices % CLASSES}


class Pictures(Dataset):
    """The same images with a transform, each as torchvision's CIFAR10 hands it out."""

    def __init__(self, pixels: np.ndarray, transform: Callable[[Image.Image], Any]) -> None:
        self.pixels, self.transform = pixels, transform

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(Image.fromarray(self.pixels[index])), index % CLASSES


class Trunk(nn.Module):
    """Our backbone, images -> pooled features of its last map."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> Tensor:
        return self.backbone(images)[-1].mean((2, 3))


def objective(side: dict[str, Any]) -> nn.Module:
    """The method by its name and sizes of heads."""
    section = {"name": side["method"], **side["options"]}
    return network(side["backbone"], section, {"name": "linear"}, classes=CLASSES)


def tagdag(side: dict[str, Any]) -> None:
    """Our loop."""
    initialise(0)
    method, images = objective(side), Images(np.load(side["images"]))
    recipe = Recipe(batch=side["batch"], rate=RATE, scaling="none", warmup=0, weight_decay=DECAY)
    clock = Clock(side["steps"], side["warm"])
    make = method.views

    def views(batch: dict[str, Tensor], draws: Draws) -> dict[str, Tensor]:
        with clock.making_views():
            return make(batch, draws)

    method.views = views
    train(method, images, Training(recipe, epochs=side["epochs"]))


def lightly(side: dict[str, Any]) -> None:
    """A plain loop as in lightly's examples; our backbone, and the optimizer of our recipe."""
    from benchmarks.methods_lightly import PEERS

    torch.manual_seed(0)
    backbone = objective(side | {"method": "supervised", "options": {}}).backbone
    peer = PEERS[side["method"]](Trunk(backbone), backbone.channels[-1], side["options"])
    pixels = np.load(side["images"])
    data = Pictures(pixels, peer.transform(side["size"]))
    loader = DataLoader(
        data, side["batch"], shuffle=True, drop_last=True, num_workers=side["workers"]
    )
    settings = {"momentum": MOMENTUM, "nesterov": True, "weight_decay": DECAY}
    solver = torch.optim.SGD(peer.parameters(), lr=RATE, **settings)
    clock = Clock(side["steps"], side["warm"])
    for epoch in range(side["epochs"]):
        batches = iter(loader)
        for step in range(len(loader)):
            with clock.making_views():
                views, _ = next(batches)
            peer.follow(step + epoch * len(loader), side["epochs"] * len(loader))
            peer.loss(views).backward()
            peer.before_update(epoch)
            solver.step()
            solver.zero_grad()


SIDES = {side.__name__: side for side in (tagdag, lightly)}


def main() -> None:
    """Run the side that the argument describes."""
    side = json.loads(sys.argv[1])
    torch.set_num_threads(side["threads"])
    SIDES[side["side"]](side)


if __name__ == "__main__":
    main()
