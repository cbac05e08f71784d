"""What one network says of images, in a file, with how much of it is right where that is known."""

from pathlib import Path
from typing import Any

import torch

from engine.core.build import build, options
from engine.core.checkpoint import load_tensors
from engine.core.digest import digest
from engine.core.materialised import materialised
from engine.core.network import load_network, pixels_read
from engine.core.samples import Rows, open_split
from engine.inference.materialising import Keep
from engine.inference.materialising import materialise as write_columns
from flows.running import settings
from flows.training.arms import few_labels


def label(weights: Path, section: dict[str, Any], file: Path) -> int:
    """Write the columns of a network's answers; their number. A file that is there stays.

    section: {of, policy, keep}, and where it matters `labelled`: {data, objective, labels, seed} of
    the samples that the network has learnt from. These are not labelled again. ValueError with
    cause and fix for any that is wrong.
    """
    if not file.exists():
        folder = settings.OUT / "corpus" / section["of"]
        # at the pixels that the network was trained with, where those are not the stored ones
        size = load_tensors(weights)[1].get("tested")
        module = load_network(weights)[0]
        images = Rows(open_split(folder, "train"), pixels_read(module.reads), size=size)
        keep = Keep(**options(Keep, section["keep"], "materialise.keep"))
        policy = build("policies", section["policy"], where="materialise.policy")
        about = {"weights": digest(weights), "index": digest(folder / "index.parquet")}
        average = 0.0
        if "labelled" in section:
            learnt = few_labels(section["labelled"], section["labelled"])
            if images.shards.folder == learnt.shards.folder:
                images = without(images, learnt)
            average = objects_per_image(learnt) if keep.instances else average
        told = about | section
        write_columns(module, images, policy, keep, file, told, average=average)
    return len(materialised(file)[0])


def without(images: Rows, others: Rows) -> Rows:
    """The images of a split but for others of it; ValueError where none is left."""
    left = torch.ones(len(images.shards), dtype=torch.bool)
    left[others.places] = False
    if not left.any():
        raise ValueError(
            f"materialise: the network has learnt from all images of {images.shards.folder}: name "
            "others (of), or a network of fewer labels (labels)"
        )
    return images.some(torch.nonzero(left).flatten())


def objects_per_image(samples: Rows) -> float:
    """Of labelled images, crowds and what is to be ignored not counted.

    ValueError where they have no boxes.
    """
    counted = ("box_crowd", "box_ignore")
    missing = [name for name in counted if name not in samples.shards.columns]
    if missing:
        raise ValueError(
            f"keep: instances: match counts the objects of {samples.shards.folder}, which has no "
            f"boxes: give least and the column box_score, or take a labelled set of boxes"
        )
    flagged = samples.reading({name: {} for name in counted})
    left_out = torch.stack([torch.cat(flagged.column(name)) for name in counted]).any(0)
    return int((~left_out).sum()) / len(samples)
