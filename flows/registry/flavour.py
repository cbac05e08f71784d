"""Versions that were registered before versions could be loaded as Python functions learn it.

Their weights and records stay as they are; MLmodel is written anew, with the code of today beside
it. Without this, a champion that nobody beats could not be served until somebody trains another.
"""

import tempfile
from pathlib import Path
from typing import Any

from corpus.names import printable
from flows.registry.fetched import fetched_version
from flows.registry.modelcard import LOADS, MODEL_ID
from flows.serving.flavour import write_flavour
from flows.tracking import tracking
from flows.tracking.outage import is_away, retry


@retry
def _lacking(name: str) -> list[Any]:
    """The versions of ours that cannot be loaded as Python functions, as their tags say."""
    found = tracking.connect().search_model_versions(f"name = '{name}'")
    return [one for one in found if MODEL_ID in one.tags and not LOADS.items() <= one.tags.items()]


def add_flavour(name: str) -> None:
    """Let all versions of a registered model be loaded by mlflow.pyfunc.

    One whose files are gone, or no longer fit the code, is named and left as it is.
    """
    from mlflow.exceptions import MlflowException

    for version in _lacking(name):
        try:
            _add(name, version)
        # KeyError, TypeError: of a record or weights that some other code has written
        except (MlflowException, OSError, ValueError, KeyError, TypeError) as error:
            if is_away(error):
                raise
            why = printable(str(error).partition("\n")[0])[:200]
            print(f"version {version.version} of {name} cannot be loaded by mlflow.pyfunc: {why}")


def _add(name: str, version: Any) -> None:
    """Write a version's files; ValueError when its network cannot be built of them."""
    from engine.core.checkpoint import load_tensors
    from engine.core.network import load_network

    with tempfile.TemporaryDirectory() as made:
        weights, record = fetched_version(version.tags, Path(made, "had"))
        load_network(weights)  # the code of today may have other plug-ins
        folder, model_id = Path(made, "new"), version.tags[MODEL_ID]
        folder.mkdir()
        about = load_tensors(weights)[1]
        write_flavour(folder, weights.name, record["size"], about, model_id=model_id)
        _log(name, version, folder)


@retry
def _log(name: str, version: Any, folder: Path) -> None:
    client, model_id = tracking.connect(), version.tags[MODEL_ID]
    client.log_model_artifacts(model_id, str(folder))
    # last: a version without it is done again
    for key, value in LOADS.items():
        client.set_model_version_tag(name, version.version, key, value)
