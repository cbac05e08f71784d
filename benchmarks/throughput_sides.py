"""One side of `benchmarks.throughput` in a process of its own: `python -m
benchmarks.throughput_sides '<JSON>'`.

The peers' scripts run unchanged, by runpy; they find our network under the name `peer` in timm's
and torchvision's own registries. A side is stopped after `steps` steps and writes when the forward
pass of each began and its update ended.
"""

import json
import runpy
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from corpus.reading.shards import Shards
from engine.core.build import build
from engine.core.numerics import numerics
from engine.core.samples import Rows
from engine.training.distributed import Workers
from engine.training.loader import Step
from engine.training.loop import initialise, train
from engine.training.recipe import Recipe
from engine.training.schedule import Training
from engine.training.step import Learner

SCALE = (0.08, 1.0)  # torchvision's script has no option for it
RATE, MOMENTUM, DECAY = 0.1, 0.9, 1e-4


class Clock:
    """Seconds at which forward passes began and updates ended.

    After `steps` updates, the process ends.
    """

    def __init__(self, steps: int, warm: int, out: Path) -> None:
        self.steps, self.warm, self.out = steps, warm, out
        self.begun: list[float] = []
        self.ended: list[float] = []
        self.hook = register_optimizer_step_post_hook(self.end)

    def begin(self, network: nn.Module, _: tuple[Any, ...]) -> None:
        """Forward hook of the network."""
        if network.training:
            self.begun.append(time.perf_counter())

    def end(self, *_: object) -> None:
        """Hook of the optimizer; a GPU is waited for at the two ends of what is measured, and
        only there.
        """
        done, on_gpu = len(self.ended) + 1, torch.cuda.is_initialized()
        if on_gpu and done in (self.warm, self.steps):
            torch.cuda.synchronize()
        self.ended.append(time.perf_counter())
        if done == self.steps:
            memory = torch.cuda.max_memory_allocated() if on_gpu else 0
            self.out.write_text(
                json.dumps({"begun": self.begun, "ended": self.ended, "memory": memory})
            )
            raise SystemExit


def trunk_and_head(
    backbone: dict[str, Any], classes: int, clock: Clock
) -> tuple[nn.Module, nn.Module]:
    """Our backbone, which tells the clock when it is called, and a linear head."""
    trunk = build("backbones", backbone)
    trunk.register_forward_pre_hook(clock.begin)
    return trunk, build("heads", {"name": "linear"}, channels=trunk.channels, classes=classes)


def objective(side: dict[str, Any], clock: Clock) -> nn.Module:
    """Supervised classification by that network."""
    trunk, head = trunk_and_head(side["backbone"], side["classes"], clock)
    return build("objectives", {"name": "supervised", "scale": SCALE}, backbone=trunk, head=head)


def recipe(side: dict[str, Any]) -> Recipe:
    """SGD with Nesterov's momentum, as the peers' flags say it."""
    precision = "bfloat16" if side["amp"] else "float32"
    return Recipe(
        batch=side["batch"],
        rate=RATE,
        scaling="none",
        warmup=0,
        weight_decay=DECAY,
        precision=precision,
    )


def tagdag(side: dict[str, Any], clock: Clock) -> None:
    """Our loop on shards, each image decoded anew in each epoch."""
    initialise(0)
    shards = Shards(Path(side["data"]) / "shards", "train", cache_mb=0)
    rows = Rows(shards, {"image": {}, "label": {}})
    train(objective(side, clock), rows, Training(recipe(side), epochs=1000))


def synthetic(side: dict[str, Any], clock: Clock) -> None:
    """Our step on one batch that lies on the device, again and again: nothing is read, nothing
    augmented.
    """
    initialise(0)
    chosen = recipe(side)
    with numerics(chosen.precision, chosen.exact):
        repeated(Learner(objective(side, clock), chosen, Workers()), side)


def repeated(learner: Learner, side: dict[str, Any]) -> None:
    """The learner's step on one random batch, until the clock ends the process."""
    inputs = torch.randn(side["batch"], 3, side["size"], side["size"]).contiguous(
        memory_format=torch.channels_last
    )
    targets = torch.randint(side["classes"], (side["batch"],))
    batch: dict[str, Tensor] = {
        "image": inputs.to(learner.where),
        "label": targets.to(learner.where),
    }
    step = Step(0, batch, 0, side["batch"], 1.0)
    while True:
        learner.step(batch, step, [RATE])


def run_script(path: Path, arguments: list[str]) -> None:
    """A peer's script as `python path arguments` runs it."""
    sys.argv = [str(path), *arguments]
    sys.path.insert(0, str(path.parent))
    runpy.run_path(str(path), run_name="__main__")


def peer_network(side: dict[str, Any], clock: Clock) -> nn.Module:
    """The same network, from images to logits."""
    return nn.Sequential(*trunk_and_head(side["backbone"], side["classes"], clock))


def timm(side: dict[str, Any], clock: Clock) -> None:
    """timm's train.py."""
    from timm.models import register_model

    def peer(pretrained: bool = False, **_: object) -> nn.Module:
        return peer_network(side, clock)

    register_model(peer)
    size, data = side["size"], Path(side["data"])
    flags = f"""--model peer --num-classes {side["classes"]} --input-size 3 {size} {size}
        --device {side["device"]} --batch-size {side["batch"]} --data-dir {data} --val-split=
        --eval-metric loss --output {data / "timm"} --opt sgd --momentum {MOMENTUM}
        --weight-decay {DECAY} --lr {RATE} --epochs 1000 --warmup-epochs 0 --smoothing 0
        --scale {SCALE[0]} {SCALE[1]} --train-interpolation bilinear
        --color-jitter 0 --color-jitter-prob 0 --channels-last --workers {side["workers"]}"""
    if side["amp"]:
        flags += " --amp --amp-dtype bfloat16"
    run_script(Path(side["script"]), flags.split() + side["flags"])


def torchvision(side: dict[str, Any], clock: Clock) -> None:
    """references/classification/train.py of torchvision."""
    from torchvision.models._api import register_model

    register_model("peer")(lambda weights=None, num_classes=0: peer_network(side, clock))
    size, data = side["size"], Path(side["data"])
    flags = f"""--model peer --device {side["device"]} --batch-size {side["batch"]}
        --data-path {data} --epochs 1000 --opt sgd_nesterov --momentum {MOMENTUM}
        --weight-decay {DECAY} --lr {RATE} --train-crop-size {size} --val-resize-size {size}
        --val-crop-size {size} --output-dir {data / "torchvision"} --workers {side["workers"]}"""
    if side["amp"]:
        flags += " --amp"
    run_script(Path(side["script"]), flags.split() + side["flags"])


SIDES = {side.__name__: side for side in (tagdag, synthetic, timm, torchvision)}


def main() -> None:
    """Run the side that the argument describes."""
    side = json.loads(sys.argv[1])
    clock = Clock(side["steps"], side["warm"], Path(side["out"]))
    SIDES[side["name"]](side, clock)


if __name__ == "__main__":
    main()
