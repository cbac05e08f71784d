"""Params, paths and the process environment, the same for every stage."""

import difflib
import os
import shutil
from pathlib import Path
from typing import Any

import yaml

from corpus.names import checked_name
from engine.core.digest import digest
from flows.running.paramsfile import parsed

PARAMS, OUT, STATE = Path("params.yaml"), Path("out"), Path(".tagdag")
SIZE = 32  # pixels of an image, where corpus.size does not say
STAGES = ("corpus", "search", "pretrain", "finetune", "evaluate", "register")

# Nothing phones home, and MLflow gives up on a dead server in seconds instead of minutes.
for _name, _value in {
    "DO_NOT_TRACK": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # its jobs judge answers of language models, by eight more processes of a server
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "DVC_NO_ANALYTICS": "1",
    "DVC_STUDIO_OFFLINE": "1",
    "ITERATIVE_DO_NOT_TRACK": "1",
    # a machine without git is told of by flows/tracking/origin.py, not by an import
    "GIT_PYTHON_REFRESH": "quiet",
    "KINETO_LOG_LEVEL": "99",  # the profiler's own notes
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # deterministic matrix products on a GPU
}.items():
    os.environ.setdefault(_name, _value)


def load_params() -> dict[str, Any]:
    """params.yaml as a dictionary of sections.

    ValueError when it is missing, broken or has an unknown section.
    """
    if not PARAMS.exists():
        raise ValueError(f"no {PARAMS} in {Path.cwd().name}/: run from the project's top folder")
    params = parsed(PARAMS)
    if not isinstance(params, dict):
        raise ValueError(
            f"{PARAMS} holds no sections: take the committed file back (git checkout {PARAMS})"
        )
    known = (*STAGES, "candidates")
    for name in params:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1) or known
            raise ValueError(
                f"{PARAMS}: unknown section {name!r}; did you mean {' or '.join(near)}?"
            )
    missing = [name for name in known if name not in params]
    if missing:
        raise ValueError(
            f"{PARAMS}: section {missing[0]!r} is missing; take it from the committed file "
            f"(git diff {PARAMS})"
        )
    return _derived(params)


def _derived(params: dict[str, Any]) -> dict[str, Any]:
    """With what follows from other numbers: networks are priced at the size they are trained at."""
    corpus, search = params["corpus"], params["search"]
    space = search.get("space") if isinstance(search, dict) else None
    if isinstance(corpus, dict) and isinstance(space, dict):
        # one that params.yaml has stays: flows/cli/validate_costs.py refuses it if it differs
        space.setdefault("resolution", corpus.get("size", SIZE))
    return params


def image_size() -> int:
    """Pixels of the images in all stages."""
    return load_params()["corpus"].get("size", SIZE)


def backbone_section(candidate: str) -> dict[str, Any]:
    """The section of the network that the search has handed on under this name."""
    return yaml.safe_load(
        (OUT / "search" / f"{checked_name(candidate, 'candidate')}.yaml").read_text()
    )


def state_path(name: str, *inputs: Any) -> Path:
    """Where a stage keeps what a kill must not lose, keyed by its inputs."""
    # not among the outputs, which DVC deletes before it runs a stage
    return STATE / "state" / f"{name}.{digest(*inputs)}"


def drop_states(name: str) -> None:
    """Drop the states of a stage that has ended well."""
    for kept in (STATE / "state").glob(f"{name}.*"):
        if kept.is_dir():
            shutil.rmtree(kept)
        else:
            kept.unlink(missing_ok=True)
