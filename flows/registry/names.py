"""The registered models: one per task, the first of which has the name that params.yaml gives."""

from collections.abc import Iterable

from flows.running import settings

EXPERIMENTS = "experiments"  # what the model of those ends in


def task_model(name: str, task: str, tasks: Iterable[str]) -> str:
    """The registered model of a task: `name` of the first task, `<name>-<task>` of the others.

    ValueError for a task that would share one with experiments.
    """
    if task == EXPERIMENTS:
        fix = "call it something else"
        raise ValueError(f"tasks.{task}: {name}-{task} holds the models of `dvc exp run`: {fix}")
    return name if task == next(iter(tasks)) else f"{name}-{task}"


def model_names() -> list[str]:
    """The registered models of all tasks, in their order."""
    params = settings.load_params()
    name, tasks = str(params["register"].get("name", "tagdag")), params["tasks"]
    return [task_model(name, task, tasks) for task in tasks]


def model_name(given: str | None) -> str:
    """The name that was given, of a registered model or of a task; else that of the first task.

    A task is known by params.yaml; any other name is taken as it is.
    """
    params = settings.load_params()
    name, tasks = str(params["register"].get("name", "tagdag")), params.get("tasks", {})
    if given in tasks:
        return task_model(name, given, tasks)
    return given or name
