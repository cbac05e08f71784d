"""Which network predicts: a registered version, a weight file, or a pretrained candidate.

MLflow is asked only where the name is one of its addresses.
"""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from flows.measuring.alike import usual_size
from flows.measuring.headline import of_record
from flows.running import settings

ADDRESS = re.compile(r"(models|runs):/")
FORMS = "models:/NAME@ALIAS, models:/NAME/VERSION, runs:/RUN, a .safetensors file or its folder"


class Chosen(NamedTuple):
    """A network to predict with: its weight file, and what is known of it.

    size: pixels of the squares that the stage corpus stored, or of the short side of videos.
    tested: those that it is given. frame_rate: frames a second of videos, policy: the section of
    the one by which it was tested, where it is one of clips or of objects; else None. finds:
    whether it finds objects, or classes of pixels.
    """

    weights: Path
    size: int
    tested: int
    title: str
    frame_rate: int | None = None
    policy: dict[str, Any] | None = None
    finds: bool = False


def champion_address() -> str:
    """The address of the champion that the stage register names."""
    from flows.registry.names import model_name

    return f"models:/{model_name(None)}@champion"


def chosen_weights(model: str | None, size: int | None, folder: Path) -> Chosen:
    """The network of a name; the champion where there is none.

    size: of the stored squares, where it is said. What MLflow keeps is put into `folder`.
    ValueError with cause and fix.
    """
    model = model or champion_address()
    if ADDRESS.match(model):
        weights, record = _fetched(model, folder)
    else:
        weights, record = _local(Path(model))
    stored = size or _stored_size(weights, record, model)
    about = _about(weights)
    # of objects: what the section of the objective says
    usual = usual_size(about.get("sections", {}), stored)
    tested = record.get("size") or about.get("tested") or usual
    # a network of images is asked plainly
    own = {key: about.get(key) for key in ("frame_rate", "policy")}
    return Chosen(weights, stored, tested, model, **own, finds=_finds(about))


def _finds(about: dict[str, Any]) -> bool:
    from engine.inference.scenes import finds

    # a file of no network is told where it is loaded
    return "sections" in about and finds(about["sections"])


def _fetched(address: str, folder: Path) -> tuple[Path, dict[str, Any]]:
    """Weights and record out of MLflow."""
    from mlflow.exceptions import MlflowException

    from flows.tracking.outage import is_away

    try:
        return _of_address(address, folder)
    except (MlflowException, OSError) as error:
        # an outage has a message of its own
        if is_away(error):
            raise
        why = str(error).splitlines()[0][:200]
        raise ValueError(f"MLflow has no {address} ({why}): name one of {FORMS}") from error


def _of_address(address: str, folder: Path) -> tuple[Path, dict[str, Any]]:
    from flows.registry.aliases import find_version
    from flows.registry.fetched import fetched_files, fetched_version
    from flows.registry.loading import URI

    named = URI.fullmatch(address)
    if named is None:  # of a run, or of a logged model
        return fetched_files(_of_run(address), folder)
    found = find_version(named[1], named[2])
    try:
        return fetched_version(found.tags, folder)
    except ValueError as error:
        raise ValueError(f"{address} cannot be used: {error}; name another version") from None


def _of_run(address: str) -> str:
    """The address of the files: of a run that has a logged model, that one's."""
    from flows.tracking import tracking

    run = re.fullmatch(r"runs:/([0-9a-f]{32})/?", address)
    if run is None:
        return address
    client = tracking.connect()
    experiment = client.get_run(run[1]).info.experiment_id
    models = client.search_logged_models([experiment], f"source_run_id = '{run[1]}'")
    return f"models:/{models[0].model_id}" if models else address


def _local(path: Path) -> tuple[Path, dict[str, Any]]:
    """A weight file, or the one of a folder, with its record where there is one."""
    if path.is_dir():
        found = sorted(path.glob("*.safetensors"))
        # a pretraining with several seeds has model.safetensors, model-1.safetensors, ...
        first = [file for file in found if file.name == "model.safetensors"]
        if len(first or found) != 1:
            names = ", ".join(file.name for file in found[:9]) or "none"
            raise ValueError(f"{path} holds no one weight file ({names}): name the file itself")
        [path] = first or found
    if not path.is_file():
        raise ValueError(f"there is no {path}: name {FORMS}")
    return path, _local_record(path)


def _local_record(weights: Path) -> dict[str, Any]:
    """What the stage evaluate, or the registry, wrote down of a weight file; else nothing."""
    beside = weights.with_name("record.json")
    if beside.is_file():
        return json.loads(beside.read_text())
    files = sorted(settings.OUT.glob("evaluate/*/records.json"))
    listed = [record for file in files for record in json.loads(file.read_text())]
    ours = [each for each in listed if Path(each["weights"]).resolve() == weights.resolve()]
    # tested at several sizes: as the registry chooses
    return max(ours, key=lambda record: of_record(record).merit(record["val"]), default={})


def _stored_size(weights: Path, record: dict[str, Any], model: str) -> int:
    """Pixels of the squares, or of the short side of the videos, that a network was trained on."""
    corpus = settings.OUT / "corpus" / "hashtags"
    # files written before their size was kept in them
    known = _about(weights).get("size") or record.get("size")
    if known is None and weights.resolve().is_relative_to(settings.OUT.resolve()):
        known = _corpus_size(corpus)
    if known is None:
        raise ValueError(
            f"{model} does not say for which images it was trained: give their pixels with --size"
        )
    return known


def _about(weights: Path) -> dict[str, Any]:
    """What a weight file says of itself."""
    from engine.core import checkpoint

    return checkpoint.load_tensors(weights)[1]


def _corpus_size(folder: Path) -> int | None:
    from corpus.reading.index import INDEX, read_index

    if not (folder / INDEX).is_file():
        return None
    return read_index(folder / INDEX, "train", ["shard"])[0]["size"]
