"""Data sets that the stage materialise makes, in the place of a folder of the corpus.

A task names one as `../materialised/<name>`: beside out/corpus, so that dvc.yaml has one template
for all data. Its samples are those of a labelled set, and others with the pseudo-labels of a
network, a file of them for each seed.
"""

import json
from pathlib import Path
from typing import Any

from corpus.names import checked_name, checked_set
from flows.running import settings

BESIDE = "../materialised/"
SET = "set.json"  # what the data set is made of


def is_made(data: str) -> bool:
    """Whether a name is that of a data set that a stage makes of predictions."""
    return isinstance(data, str) and data.startswith(BESIDE)


def checked_data(data: Any, what: str) -> str:
    """`hashtags`, `targets/<name>` or `../materialised/<name>`; ValueError otherwise."""
    if is_made(data):
        checked_name(data.removeprefix(BESIDE), f"{what}: {BESIDE}")
        return data
    return checked_set(data, what)


def made_folder(data: str) -> Path:
    """Where a made data set lies."""
    return settings.OUT / "materialised" / data.removeprefix(BESIDE)


def made_set(data: str) -> dict[str, Any]:
    """What a made data set is made of; ValueError where it is not there."""
    file = made_folder(data) / SET
    if not file.is_file():
        stage = f"materialise@{data.removeprefix(BESIDE)}"
        raise ValueError(f"{file} is missing: run the stage {stage} first (dvc repro {stage})")
    return json.loads(file.read_text())


def labelled_set(data: str) -> str:
    """The labelled set whose validation and test images belong to a data set: itself, mostly."""
    return made_set(data)["labelled"] if is_made(data) else data


def data_files(data: str) -> list[Path]:
    """What tells one version of a data set from another."""
    corpus = settings.OUT / "corpus"
    if not is_made(data):
        return [corpus / data / "index.parquet"]
    about = made_set(data)
    indices = [corpus / about[key] / "index.parquet" for key in ("labelled", "of")]
    return [*indices, *sorted(made_folder(data).iterdir())]
