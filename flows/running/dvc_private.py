"""What is used of DVC beyond its documented Python API, which is `dvc.api`: all of it, and why.

tests/flows/running/test_dvc_private.py fails by name where another release of DVC has changed it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def repository() -> Iterator[Any]:
    """DVC's repository of the present folder, whose lock is waited for."""
    from dvc.repo import Repo

    # by itself DVC gives up at once where another of its commands holds the lock: so would a stage
    # that begins while somebody looks at `dvc status`
    with Repo(_wait_for_lock=True) as repo:
        yield repo


def run_in_process(run: Callable[[Any], bool]) -> None:
    """Have DVC ask `run(stage)` before it starts a stage's command: True where that has done it.

    `Repo.reproduce` removes outputs before a command and hashes, commits and records them after it,
    but starts commands in a shell only. It is so for the rest of the process.
    """
    import dvc.stage.run as runner

    # of a second pipeline in this process: a replacement must not call another
    original = getattr(runner.cmd_run, "original", runner.cmd_run)

    def cmd_run(stage: Any, dry: bool = False, run_env: dict[str, str] | None = None) -> None:
        if dry or not run(stage):
            original(stage, dry=dry, run_env=run_env)

    cmd_run.original = original
    # DVC looks the function up in its module at every call
    runner.cmd_run = cmd_run


def execution_order(targets: list[str]) -> list[str]:
    """Addresses of the targets and what they need, each after all that it needs.

    No targets: all stages of dvc.yaml. `reproduce` knows this order, and does not tell it.
    """
    from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro

    with repository() as repo, repo.lock:
        stages = collect_stages(repo, targets or ["dvc.yaml"])
        return [each.addressing for each in plan_repro(get_active_graph(repo.index.graph), stages)]


def would_run(name: str) -> bool:
    """Whether `reproduce` would start a stage's command.

    It does not where nothing has changed, nor where the run cache has the outputs: `dvc status`
    tells only the first.
    """
    from dvc.stage.cache import RunCacheNotFoundError

    with repository() as repo:
        if not repo.status(targets=[name]):
            return False
        with repo.lock:
            [stage] = repo.stage.collect(name)
            if not stage.deps_cached():
                # a dry restore goes by the hashes that the stage has: of its dependencies the
                # present ones, and of its outputs none, or it would take those of dvc.lock
                stage.save_deps()
                for out in stage.outs:
                    out.hash_info = type(out.hash_info)()
            try:
                repo.stage_cache.restore(stage, dry=True)
            except RunCacheNotFoundError:
                return True
            return False


def output_of(repo: Any, pointer: Path) -> Any | None:
    """The one output of a .dvc file; None where there is no such file."""
    return repo.stage.load_one(str(pointer)).outs[0] if pointer.exists() else None


def listing(output: Any) -> dict[str, str] | None:
    """Files of an output and their MD5 as its .dvc file names them.

    None where DVC's cache does not have the list.
    """
    tree = output.get_obj()
    if tree is None:
        return None
    return {"/".join(key): oid.value for key, _, oid in tree}


def differs(output: Any) -> bool:
    """Whether the files of an output are others than its .dvc file names, or are not there."""
    return bool(output.workspace_status())


def in_cache(output: Any) -> bool:
    """Whether DVC's cache has all files of an output."""
    return listing(output) is not None and not output.changed_cache()
