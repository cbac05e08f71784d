"""Among how many workers a training is split, and how many threads each of them has."""

import torch

from engine.core.environment import value
from engine.training.recipe import Recipe

PAYS = 1_000_000  # images of a training, minutes on a GPU; to start workers takes 10 to 20 seconds
# images whose statistics batch norm can live with: Wu, He 2018 (arXiv 1803.08494), figure 1
NORM = 16


def workers_that_pay(recipe: Recipe, images: int, epochs: float) -> int:
    """How many workers one of many trainings, of so many images and epochs, is split among.

    TAGDAG_WORKERS, or one for each GPU where the training has PAYS images or more: below that their
    start costs more than it saves, and trainings side by side are better. Fewer where batch norm
    would see other numbers of images: with recipe.micro as many as have whole micro-batches,
    without it as many as have NORM images of a batch each, with batch_norm `sync` or `frozen` as
    many as there are. Its running averages are the first worker's, unless recipe.precise_bn has
    them computed anew.
    """
    gpus = torch.cuda.device_count()
    pays = gpus > 1 and images * epochs >= PAYS
    most = value("TAGDAG_WORKERS") or (gpus if pays else 1)
    # a batch larger than the data becomes the data: schedule.py
    batch = min(recipe.batch, images)
    if recipe.batch_norm != "worker":
        return max(1, min(most, batch))
    # a worker's part then is one pass, and batch norm sees all of it
    if not recipe.micro:
        return max(1, min(most, batch // NORM))
    # else last micro-batches would be smaller, and batch norm see fewer images
    whole = [n for n in range(1, most + 1) if batch % (n * recipe.micro) == 0]
    return max(whole, default=1)


def threads_per_worker(workers: int) -> int:
    """Threads of each worker: what this process has, divided among them."""
    return max(1, torch.get_num_threads() // workers)
