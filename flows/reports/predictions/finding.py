"""The image files of samples that a file of predictions names."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ENDINGS = (".jpg", ".jpeg", ".png", ".webp")


def image_files(folder: Path | None, truth: Path | None, samples: Sequence[str]) -> dict[str, Path]:
    """The files below `folder` by sample: as the truth's JSON names them, else by the sample's own
    name. Samples without a file are left out; empty without a folder.
    """
    if folder is None:
        return {}
    named = _named(truth)
    inside, found = folder.resolve(), {}
    for sample in samples:
        name = named.get(sample, sample)
        tried = [folder / name, *((folder / f"{name}{ending}") for ending in ENDINGS)]
        for file in tried:
            # a name of a stranger's file leads nowhere else
            if file.is_file() and file.resolve().is_relative_to(inside):
                found[sample] = file
                break
    return found


def _named(truth: Path | None) -> dict[str, str]:
    """File names by id, of a COCO JSON; empty of any other file."""
    if truth is None or truth.suffix != ".json":
        return {}
    try:
        whole: Any = json.loads(truth.read_bytes())
        return {str(image["id"]): str(image["file_name"]) for image in whole["images"]}
    except (ValueError, KeyError, TypeError):
        return {}
