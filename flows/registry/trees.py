"""The runs of this project's experiment as trees, and what of the registry hangs on them.

A tree is a pipeline run with its stages and their runs, or the single run of a command.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from flows.tracking import tracking
from flows.tracking.mlflow_private import deleted_models
from flows.tracking.outage import retry

PARENT, PRUNED = "mlflow.parentRunId", "tagdag.pruned"
PAGE = 1000


@dataclass
class Tree:
    """A root run and all below it; the versions and logged models that were made by them."""

    root: Any
    runs: list[Any]
    versions: list[Any] = field(default_factory=list)
    models: list[Any] = field(default_factory=list)

    @property
    def begun(self) -> bool:
        """Whether an earlier deletion of it was cut short."""
        return PRUNED in self.root.data.tags

    @property
    def time(self) -> int:
        """When its latest run began, in milliseconds."""
        return max(run.info.start_time or 0 for run in self.runs)

    def deepest_first(self) -> list[Any]:
        """Its runs, each before the one that it lies below; the root last."""
        above = {run.info.run_id: run.data.tags.get(PARENT, "") for run in self.runs}
        depth = {}
        for run_id in above:
            depth[run_id], at = 0, run_id
            while at != self.root.info.run_id and at in above and depth[run_id] < len(above):
                depth[run_id], at = depth[run_id] + 1, above[at]
        return sorted(self.runs, key=lambda run: -depth[run.info.run_id])

    @property
    def kind(self) -> str:
        """`pipeline`, or the command that it is of."""
        return self.root.data.tags.get("tagdag.command", "pipeline")


def paged(search: Callable[..., Any], **given: Any) -> list[Any]:
    """All that a search of MLflow's client finds, which gives a page at a time."""
    found, token = [], None
    while token != "":
        page = search(page_token=token, **given)
        found, token = [*found, *page], page.token or ""
    return found


def _root(run: Any, by_id: dict[str, Any]) -> str:
    """The id of the run that a run lies below; of one whose parent is gone its own."""
    seen = {run.info.run_id}
    above = run.data.tags.get(PARENT)
    while above in by_id and above not in seen:
        run = by_id[above]
        seen.add(above)
        above = run.data.tags.get(PARENT)
    return run.info.run_id


def _grouped(runs: Iterable[Any]) -> dict[str, Tree]:
    by_id = {run.info.run_id: run for run in runs}
    found: dict[str, list[Any]] = {}
    for run in by_id.values():
        found.setdefault(_root(run, by_id), []).append(run)
    return {root: Tree(by_id[root], below) for root, below in found.items()}


@retry
def read_trees() -> list[Tree]:
    """All trees, the newest first; those that a person deleted in MLflow are left to them."""
    from mlflow.entities import ViewType

    client = tracking.connect()
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT).experiment_id
    whole = {"experiment_ids": [experiment], "run_view_type": ViewType.ALL, "max_results": PAGE}
    trees = _grouped(paged(client.search_runs, **whole))
    of = {run.info.run_id: tree for tree in trees.values() for run in tree.runs}
    for version in paged(client.search_model_versions, max_results=PAGE):
        if version.run_id in of:
            of[version.run_id].versions.append(version)
    live = paged(client.search_logged_models, experiment_ids=[experiment])
    for model in [*live, *deleted_models()]:
        if model.source_run_id in of:
            of[model.source_run_id].models.append(model)
    mine = [tree for tree in trees.values() if tree.begun or _is_active(tree.root)]
    return sorted(mine, key=lambda tree: -tree.time)


def _is_active(run: Any) -> bool:
    return run.info.lifecycle_stage == "active"


def _local(address: str) -> Path | None:
    """The folder that an address of artifacts is, where it is one of this machine."""
    parts = urlsplit(address)
    if parts.scheme not in ("", "file"):
        return None
    return Path(unquote(parts.path) if parts.scheme else address)


def _listed(listing: Callable[..., list[Any]], key: str, folder: str | None = None) -> int:
    found = 0
    for item in listing(key, folder):
        found += _listed(listing, key, item.path) if item.is_dir else item.file_size or 0
    return found


def _bytes(address: str, listing: Callable[..., list[Any]], key: str) -> int:
    folder = _local(address)
    if folder is None:
        return _listed(listing, key)
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def size(tree: Tree) -> int:
    """Bytes of all its artifacts; elsewhere than on this machine MLflow is asked for them."""
    client, total = tracking.connect(), 0
    for run in tree.runs:
        total += _bytes(run.info.artifact_uri, client.list_artifacts, run.info.run_id)
    for model in tree.models:
        listing = client.list_logged_model_artifacts
        total += _bytes(model.artifact_location, listing, model.model_id)
    return total
