"""A loss that is not finite: which step and images it was, and a file that repeats it.

`python -m engine.training.faults FILE` reads that file.
"""

from torch import Tensor

from engine.core import checkpoint
from engine.training.checkpoints import Checkpoints, Kept
from engine.training.loader import Dataset
from engine.training.meter import NonFinite
from engine.training.schedule import Schedule, Training
from engine.training.snapshot import learner_weights, load_learner
from engine.training.step import Learner, training_views

NAMED = 5  # images in the message; the file has all of them


def nonfinite_message(
    error: NonFinite,
    learner: Learner,
    schedule: Schedule,
    samples: Dataset,
    training: Training,
    checkpoints: Checkpoints,
) -> str:
    """What to say of a step whose loss is not finite.

    Where checkpoints are kept, a file that repeats the step is left beside their folder.
    """
    epoch, step = divmod(error.iteration, schedule.per_epoch)
    rows = schedule.sampler.indices(epoch, step)
    ids = getattr(samples, "ids", None)
    images = ids(rows) if ids else [str(row) for row in rows.tolist()]
    place = f"epoch {epoch}, batch {step}: {', '.join(images[:NAMED])}, ..."
    text = f"the loss of step {error.iteration + 1} is {error.loss} ({place})"
    kept = checkpoints.newest(learner.workers)
    if kept:
        # the weights that the step began with are gone: its loss is read some steps later
        views = _repeated(learner, schedule, samples, training, kept, error.iteration)
        tensors = learner_weights(learner, keep=True)
        tensors |= {f"batch.{name}": tensor for name, tensor in views.items()}
        about = {
            **training.about,
            "iteration": error.iteration,
            "learning_rate": schedule.rate(error.iteration),
            "images": images,
            # as text, for JSON has no nan
            "loss": str(error.loss),
        }
        # a file for each worker: it has the images of its own part
        folder, rank = checkpoints.folder, learner.workers.rank
        name = f"{folder.name}.nonfinite-{error.iteration}-{rank}.safetensors"
        file = folder.with_name(name)
        checkpoint.save_tensors(file, tensors, about)
        text += f"; `python -m engine.training.faults {file}` repeats that step"
    return f"{text}: lower recipe.rate, lengthen recipe.warmup or set recipe.clip"


def _repeated(
    learner: Learner,
    schedule: Schedule,
    samples: Dataset,
    training: Training,
    kept: Kept,
    until: int,
) -> dict[str, Tensor]:
    """The views of an iteration, after the steps from a checkpoint up to it were taken again."""
    load_learner(learner, *kept)
    span = range(kept[1]["iteration"], until + 1)
    for step in schedule.loader(samples, span, learner.where):
        views = training_views(learner.objective, step, training.seed)
        if step.iteration < until:
            learner.step(views, step, *schedule.pace(step.iteration, learner.phases))
    return views
