"""A loss that is not finite: which step it was, and a file that repeats it.

python -m engine.training.faults FILE        tells which images and which layer
"""

import sys
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from corpus.names import printable
from engine.core import checkpoint
from engine.core.network import network
from engine.training.checkpoints import Checkpoints
from engine.training.loader import Dataset
from engine.training.meter import NonFinite
from engine.training.schedule import Schedule, Training, training_views
from engine.training.step import Learner

WORST = 5  # images


def nonfinite_message(
    error: NonFinite,
    learner: Learner,
    plan: Schedule,
    samples: Dataset,
    training: Training,
    states: Checkpoints,
) -> str:
    """The message on a step whose loss is not finite.

    Where states are kept, a file that repeats the step.
    """
    epoch, step = divmod(error.iteration, plan.per_epoch)
    rows, ids = plan.sampler.indices(epoch, step), getattr(samples, "ids", None)
    images = ids(rows) if ids else [str(row) for row in rows.tolist()]
    place = f"epoch {epoch}, batch {step}: {', '.join(images[:5])}, ..."
    text = f"the loss of step {error.iteration + 1} is {error.loss} ({place})"
    if kept := states.newest(learner.team):
        batch = _replayed(learner, plan, samples, training, kept, error.iteration)
        name = f"{states.folder.name}.nonfinite-{error.iteration}-{learner.team.rank}.safetensors"
        tensors, file = learner.weights(keep=True), states.folder.with_name(name)
        about = {
            "iteration": error.iteration,
            "learning_rate": plan.rate(error.iteration),
            "images": images,
        }
        about |= {"loss": str(error.loss)}
        checkpoint.save_tensors(
            file, tensors | {f"batch.{key}": t for key, t in batch.items()}, training.about | about
        )
        text += f"; `python -m engine.training.faults {file}` repeats that step"
    return f"{text}: lower recipe.rate, lengthen recipe.warmup or set recipe.clip"


def _replayed(
    learner: Learner, plan: Schedule, samples: Dataset, training: Training, kept: tuple, until: int
) -> dict[str, Tensor]:
    """The batch of an iteration, after the steps from a kept state up to it were taken again."""
    learner.load(*kept)
    for step in plan.reader(samples, range(kept[1]["iteration"], until + 1), learner.where):
        batch = training_views(learner.objective, step, training.seed)
        if step.iteration < until:
            learner.step(batch, plan.rate(step.iteration), step)
    return batch


def repeat(path: Path) -> list[str]:
    """What is not finite in a kept step: weights, inputs, the first layer's outputs, images.

    One line for each.
    """
    tensors, about = checkpoint.load_tensors(path)
    module = network(**about["sections"], classes=len(about["names"]))
    checkpoint.load_weights(module, tensors, "module.")
    batch = {
        name.removeprefix("batch."): tensor
        for name, tensor in tensors.items()
        if name.startswith("batch.")
    }
    lines = [
        f"iteration {about['iteration']}, learning rate {about['learning_rate']:g}, loss {about['loss']}"
    ]
    lines += [
        f"not finite: {name}" for name, tensor in tensors.items() if not tensor.isfinite().all()
    ]
    seen: list[str] = []

    def look(name: str, output: Any) -> None:
        outputs = output if isinstance(output, list | tuple) else [output]
        if any(isinstance(o, Tensor) and not o.isfinite().all() for o in outputs):
            seen.append(name)

    for name, layer in module.named_modules():
        layer.register_forward_hook(lambda layer, inputs, output, name=name: look(name, output))
    module.train()
    with torch.no_grad():
        losses = {"the batch": module(batch)["loss"].item()}
        lines += (
            [f"first layer with such an output: {seen[0]}"]
            if seen
            else ["every layer's output is finite"]
        )
        for i, name in enumerate(about["images"][: len(batch["inputs"])]):
            losses[name] = module({key: tensor[i : i + 2] for key, tensor in batch.items()})[
                "loss"
            ].item()
    worst = sorted(losses, key=lambda name: (isfinite(losses[name]), -losses[name]))[:WORST]
    return lines + [f"loss of {printable(name)}: {losses[name]:.4g}" for name in worst]


if __name__ == "__main__":
    print("\n".join(repeat(Path(sys.argv[1]))))
