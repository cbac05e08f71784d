"""What the stage register did for a task: input of the report of models."""

from typing import Any, NamedTuple


class Outcome(NamedTuple):
    """A task with its registered models.

    name: of the registered model. records: the challenger's last. versions: numbers by model.
    decision: who is champion and why. leaders: versions of MLflow's registry by alias, or None.
    """

    task: str
    name: str
    records: list[dict[str, Any]]
    gains: list[dict[str, Any]]
    versions: dict[str, str]
    decision: str
    leaders: dict[str, Any]
