"""Trees of runs deleted with their versions, logged models and files.

A kill leaves a state that a repeat finishes: the root is marked first and goes last, versions go
before what they rest on. A server lets nobody delete for good but `mlflow gc` beside its data base:
there all is marked as deleted, which its pages no longer show.
"""

import time

from flows.registry.sourcerun import has_logged_model, is_active
from flows.registry.trees import PRUNED, Tree
from flows.tracking import tracking
from flows.tracking.mlflow_private import can_purge, purge_model, purge_run
from flows.tracking.outage import retry


@retry
def _mark(tree: Tree) -> None:
    run_id = tree.root.info.run_id
    if not tree.begun:  # MLflow takes no tag of a deleted run
        tracking.connect().set_tag(
            run_id, PRUNED, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        )


@retry
def _versions(tree: Tree) -> None:
    client = tracking.connect()
    for version in tree.versions:
        # those that are gone already are not among the tree's
        client.delete_model_version(version.name, str(version.version))


@retry
def _models(tree: Tree) -> None:
    for model in tree.models:
        if has_logged_model(model.model_id):
            tracking.connect().delete_logged_model(model.model_id)
        if can_purge():
            purge_model(model.model_id)


@retry
def _runs(tree: Tree) -> None:
    """The deepest first: what is left after a kill still hangs on its root."""
    client = tracking.connect()
    for run in tree.deepest_first():
        if is_active(run.info.run_id):
            client.delete_run(run.info.run_id)
        if can_purge():
            purge_run(run.info.run_id)


def delete(tree: Tree) -> None:
    """Delete a tree; one that was begun is finished."""
    _mark(tree)
    _versions(tree)
    _models(tree)
    _runs(tree)
