"""Params, the process environment, and how a stage is run from the command line."""

import difflib
import importlib
import inspect
import os
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from engine.build import build, options, plugin
from engine.digest import digest

PARAMS, OUT, STATE = Path("params.yaml"), Path("out"), Path(".tagdag")
STAGES = ("corpus", "search", "pretrain", "finetune", "evaluate", "register")

# Nothing phones home, and MLflow gives up on a dead server in seconds instead of minutes.
for _name, _value in {
    "DO_NOT_TRACK": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "DVC_NO_ANALYTICS": "1",
    "DVC_STUDIO_OFFLINE": "1",
    "ITERATIVE_DO_NOT_TRACK": "1",
    "GIT_PYTHON_REFRESH": "quiet",
    "KINETO_LOG_LEVEL": "99",  # the profiler's own notes
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # deterministic matrix products on a GPU
}.items():
    os.environ.setdefault(_name, _value)


def load() -> dict[str, Any]:
    """params.yaml as a dictionary of sections; ValueError when it is missing, broken or has an unknown section."""
    if not PARAMS.exists():
        raise ValueError(f"no {PARAMS} in {Path.cwd().name}/: run from the project's top folder")
    try:
        params = yaml.safe_load(PARAMS.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"{PARAMS} is not YAML: {error}") from error
    if not isinstance(params, dict):
        raise ValueError(f"{PARAMS} holds no sections: take the committed file back (git checkout {PARAMS})")
    known = (*STAGES, "candidates")
    for name in params:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1) or known
            raise ValueError(f"{PARAMS}: unknown section {name!r}; did you mean {' or '.join(near)}?")
    missing = [name for name in known if name not in params]
    if missing:
        raise ValueError(
            f"{PARAMS}: section {missing[0]!r} is missing; take it from the committed file (git diff {PARAMS})"
        )
    return params


def check_once() -> None:
    """`check`, unless these params and this code have passed it before: it imports torch, which a no-op need not."""
    passed, key = (
        STATE / "checked",
        digest(PARAMS, *map(Path, ("flows", "engine", "models"))) if PARAMS.exists() else "",
    )
    if not passed.exists() or passed.read_text() != key:
        check()
        STATE.mkdir(exist_ok=True)
        passed.write_text(key)


def check() -> None:
    """Check every section of params.yaml, nested ones and plug-ins too, before anything runs or is deleted."""
    import torch

    from corpus.resampling import POWERS
    from engine.network import network
    from engine.recipe import Recipe

    params = load()
    if not isinstance(params["candidates"], dict):
        raise ValueError(f"{PARAMS}: candidates: write {{baseline: <backbone>, winner: <backbone>}}")
    for stage in STAGES:
        function = inspect.unwrap(getattr(importlib.import_module(f"flows.{stage}"), stage))
        options(function, params[stage], stage, given=("candidate",))
    for key, name in params["candidates"].items():
        plugin("backbones", name, f"candidates.{key}")
    build("spaces", params["search"]["space"], where="search.space")
    with torch.device("meta"):
        build("backbones", params["search"]["reference"], where="search.reference")
    for stage in ("search", "pretrain", "finetune"):
        section = params[stage]
        with torch.device("meta"):
            network(params["search"]["reference"], section["objective"], section["head"], 2, where=stage)
        for rates in section.get("rates", {"": {}}).values():
            Recipe(**options(Recipe, section["recipe"] | rates, f"{stage}.recipe"))
        rule = section.get("resampling", {"rule": "natural"})["rule"]
        if rule not in POWERS:
            raise ValueError(f"{stage}.resampling.rule: unknown {rule!r}; choose one of {', '.join(POWERS)}")
    missing = set(params["finetune"].get("inits", [])) - params["finetune"]["rates"].keys()
    if missing:
        raise ValueError(
            f"finetune.rates has no entry for {missing.pop()!r}: add one, {{}} to take the recipe as it is"
        )


def state(name: str, *inputs: Any) -> Path:
    """Where a stage keeps what a kill must not lose: outside outs, which DVC deletes, keyed by its inputs."""
    return STATE / "state" / f"{name}.{digest(*inputs)}.safetensors"


def forget(name: str) -> None:
    """Drop the states of a stage that has ended well."""
    for file in (STATE / "state").glob(f"{name}.*.safetensors"):
        file.unlink(missing_ok=True)


def explained(error: Exception) -> str:
    """Cause and fix in one line."""
    if isinstance(error, FileExistsError | NotADirectoryError):
        return f"{error.filename}: there is a file where a folder must be: move it away"
    if isinstance(error, OSError) and error.strerror:
        where = error.filename or "the disk"
        return f"{error.strerror}: {where}: make it readable and writable, or free space, then run the command again"
    if type(error).__module__.startswith(("mlflow.", "requests.")):
        return f"MLflow did not do its part ({str(error)[:300]}): see that its server runs, then repeat the command"
    return str(error)


@contextmanager
def user_errors():
    """End the process with cause and fix and exit code 2 where the fault lies in the input or the surroundings."""
    try:
        yield
    except Exception as error:
        ours = isinstance(error, ValueError | OSError) or type(error).__module__.startswith(
            ("mlflow.", "requests.", "dvc.")
        )
        if not ours or os.environ.get("TAGDAG_TRACEBACK"):
            raise
        print(f"error: {explained(error)}\n(TAGDAG_TRACEBACK=1 shows where)", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        raise SystemExit(130) from None


def call(flow: Callable[..., Any], *arguments: str) -> Any:
    """Run a stage's flow with its section of params.yaml as keyword arguments."""
    function = inspect.unwrap(flow)
    given = dict(zip(inspect.signature(function).parameters, arguments, strict=False))
    if len(arguments) > len(given):
        raise ValueError(f"{flow.__name__} takes no argument {arguments[-1]!r}")
    return flow(**given, **options(function, load()[flow.__name__], flow.__name__, given))


def main(flow: Callable[..., Any], argument: str | None = None) -> None:
    """Command line of a stage: `python -m flows.<stage> [argument]`, numbers from params.yaml, `--help` says which."""
    import argparse

    signature = inspect.signature(inspect.unwrap(flow))
    numbers = [str(p.replace(annotation=p.empty)) for p in signature.parameters.values() if p.name != argument]
    parser = argparse.ArgumentParser(
        prog=f"python -m flows.{flow.__name__}",
        description=inspect.getdoc(flow),
        epilog=f"settings, section {flow.__name__!r} of params.yaml:\n  " + "\n  ".join(numbers),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if argument:
        parser.add_argument(argument)
    values = vars(parser.parse_args()).values()
    with user_errors():
        call(flow, *values)
