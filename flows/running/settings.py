"""Params, paths and the process environment, the same for every stage."""

import difflib
import os
import shutil
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from corpus.names import checked_name
from engine.core.digest import digest
from engine.core.refusals import nearest_text
from flows.running.oldparams import refuse_old_shape
from flows.running.paramsfile import parsed

PARAMS, OUT, STATE = Path("params.yaml"), Path("out"), Path(".tagdag")
SIZE = 32  # pixels of an image, where corpus.size does not say
STAGES = ("corpus", "search", "pretrain", "finetune", "materialise", "evaluate", "register")
SECTIONS = ("candidates", "corpus", "search", "pretrain", "tasks", "materialise")
SECTIONS += ("evaluate", "register")
# stages that have a section for each name of one in params.yaml
NAMED = {"pretrain": "pretrain", "finetune": "tasks", "materialise": "materialise"}
# stages that run once for each name; what the evaluation measures of costs is alike for all tasks
EACH = NAMED | {"evaluate": "tasks"}
OPTIONAL = ("materialise",)  # sections without which a run has all it needs
SCRATCH = "scratch"  # in the place of a pretraining's name: new weights

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

    ValueError when it is missing, broken, of the shape before tasks, or has an unknown section.
    """
    if not PARAMS.exists():
        raise ValueError(f"no {PARAMS} in {Path.cwd().name}/: run from the project's top folder")
    params = parsed(PARAMS)
    if not isinstance(params, dict):
        raise ValueError(
            f"{PARAMS} holds no sections: take the committed file back (git checkout {PARAMS})"
        )
    refuse_old_shape(params)
    for name in params:
        if name not in SECTIONS:
            near = difflib.get_close_matches(name, SECTIONS, 1) or SECTIONS
            raise ValueError(
                f"{PARAMS}: unknown section {name!r}; did you mean {' or '.join(near)}?"
            )
    params |= {name: {} for name in OPTIONAL if name not in params}
    missing = [name for name in SECTIONS if name not in params]
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


def named(section: str, name: Any) -> dict[str, Any]:
    """What stands under a name in `candidates`, `pretrain` or `tasks`.

    ValueError with the names that there are.
    """
    found = load_params()[section]
    if not isinstance(found, dict):
        raise ValueError(f"{PARAMS}: {section}: found {found!r}, expected names, each a section")
    check_known(name, found, section)
    return found[name]


def check_known(name: Any, known: Iterable[Any], where: str) -> None:
    """ValueError with the nearest name, and all of them, for one that is not among these."""
    names = list(map(str, known))
    if name not in names:
        listed = f"(names: {', '.join(names) or 'none'})"
        raise ValueError(f"{where}: unknown name {name!r}{nearest_text(str(name), names)} {listed}")


def section_place(stage: str, name: str | None = None) -> str:
    """Where in params.yaml the section of a stage stands; name: of the training or the task."""
    return stage if name is None or stage not in NAMED else f"{NAMED[stage]}.{name}"


def stage_section(stage: str, name: str | None = None) -> dict[str, Any]:
    """The section that a stage is called with; name: of the training or the task."""
    if name is None or stage not in NAMED:
        return load_params()[stage]
    return named(NAMED[stage], name)


def stage_inputs(stage: str, *names: str) -> list[Any]:
    """All sections that a stage reads: its own, and those that name the plug-ins of its networks.

    names: of its training or its task.
    """
    params = load_params()
    if stage == "search":
        return [params[stage], {"reference": read_backbone(params[stage]["reference"])}]
    if not names or stage not in EACH:
        return [params[stage]]
    own = named(EACH[stage], *names)
    found = [own] if stage in NAMED else [own, params[stage]]
    used = own.get("inits", [])
    candidates = task_candidates(own) if used else []
    return found + [{"backbone": params["candidates"][name]["backbone"]} for name in candidates]


def task_candidates(task: dict[str, Any]) -> list[str]:
    """The candidates of a task, in the order of `candidates`: those of its pretrainings, and those
    that it names itself; all where it has neither.
    """
    params = load_params()
    released = task.get("released") or {}
    inits = [init for init in task["inits"] if init != SCRATCH and init not in released]
    named_here = {named("pretrain", init)["candidate"] for init in inits}
    named_here |= {released[init].get("candidate") for init in task["inits"] if init in released}
    wanted = named_here | set(task.get("candidates") or ())
    return [name for name in params["candidates"] if name in wanted or not wanted]


def backbone_section(candidate: str) -> dict[str, Any]:
    """The section of a candidate's network, from the file that `candidates` names.

    ValueError where it is of another kind than params.yaml says, by which DVC goes.
    """
    about = named("candidates", checked_name(candidate, "candidate"))
    section = read_backbone(about["section"])
    if section["name"] != about["backbone"]:
        raise ValueError(
            f"candidates.{candidate}.backbone is {about['backbone']}, and {about['section']} a "
            f"{section['name']}: write that"
        )
    return section


def read_backbone(file: str) -> dict[str, Any]:
    """The section of a backbone from its own file."""
    section = parsed(Path(file))
    if not isinstance(section, dict) or "name" not in section:
        wanted = "{name: <backbone>, ...}, such as candidates/resnext.yaml"
        raise ValueError(f"{file}: found {section!r}, expected a backbone's section: {wanted}")
    return section


def state_path(name: str, *inputs: Any) -> Path:
    """Where a stage keeps what a kill must not lose, keyed by its inputs."""
    # not among the outputs, which DVC deletes before it runs a stage
    return STATE / "state" / f"{name}.{digest(*inputs)}"


def drop_states(name: str, but: Collection[Path] = ()) -> None:
    """Drop the states of a stage that has ended well; but: those that the next run may take."""
    for kept in (STATE / "state").glob(f"{name}.*"):
        if kept in but:
            continue
        if kept.is_dir():
            shutil.rmtree(kept)
        else:
            kept.unlink(missing_ok=True)
