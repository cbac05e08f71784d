"""The driver of benchmarks/on_gpu.sh: steps in processes of their own, within limits of time.

A step that fails does not stop the others; the end of what it printed is shown. What needs a GPU is
skipped without one. The table of all steps comes last.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.on_gpu_report import Row, figure, table, versions
from benchmarks.on_gpu_steps import laid, numbered, placed
from engine.core.device import device
from engine.measure.profile import device_name

RESULT = Path(__file__).parent / "results" / "on_gpu.md"
# those with tests marked `gpu`
TESTS = (
    "tests/benchmarks/test_on_gpu.py",
    "tests/engine/measure/test_profile.py",
    "tests/metrics/test_on_device.py",
    "tests/models/detection/test_contract.py",
    "tests/models/selfsup/test_crops.py",
    "tests/models/test_clips.py",
    "tests/models/test_views.py",
)
RECIPES: dict[str, dict[str, Any]] = {
    "float32": {},
    "tf32": {"precision": "tf32", "exact": False},
    "bfloat16": {"precision": "bfloat16", "exact": False},
    "float16": {"precision": "float16", "exact": False},
    "compiled": {"precision": "bfloat16", "exact": False, "compile": "default"},
    "CUDA graphs": {"precision": "bfloat16", "exact": False, "compile": "reduce-overhead"},
}
NEED_ONE = ("tf32", "float16", "CUDA graphs")  # on a CPU they are float32, very slow, and nothing


@dataclass(frozen=True)
class Step:
    """`python -m command` within `limit` seconds, in the project's folder or in the small DAG's.

    recipe: laid over that of the DAG's pretraining before. reason: why it is skipped, if it is.
    """

    name: str
    command: tuple[str, ...]
    limit: int
    in_dag: bool = True
    recipe: dict[str, Any] | None = None
    reason: str = ""


def dag(*stages: str) -> tuple[str, ...]:
    """The command that runs stages in one process."""
    return ("benchmarks.on_gpu_steps", "dag", *stages)


def steps(options: argparse.Namespace, gpu: bool) -> Iterator[Step]:
    """All of them, in the order of what they are worth, as time may end before they do."""
    lacking = "" if gpu else "needs a GPU"
    brief = "left out of --small" if options.small else ""
    long = brief or ("left out on a CPU" if lacking else "")
    training = ("pretrain:baseline-hashtags", "finetune:scenes", "evaluate:scenes")
    yield Step("tests marked gpu", ("pytest", "-m", "gpu", *TESTS), 120, False, reason=lacking)
    if options.small:  # torch and MLflow take seconds to import
        yield Step("corpus to evaluate", dag("corpus", "search", *training), 120, recipe={})
    else:
        yield Step("corpus, search of 2", dag("corpus", "search"), 90)
        yield Step("fine-tune and evaluate", dag(*training), 120, recipe={})
    spent, killed = (("benchmarks.on_gpu_steps", name) for name in ("spent", "killed"))
    yield Step("search, memory for none", spent, 60, reason=lacking or brief)
    yield Step("kill -9 and go on", killed, 90, recipe={}, reason=long)
    for name, recipe in RECIPES.items():
        reason = (lacking if name in NEED_ONE else "") or long
        yield Step(f"pretrain, {name}", dag(training[0]), 75, recipe=recipe, reason=reason)
    yield Step("throughput", tuple(throughput(options)), 150, False, reason=long)
    runtime = ("benchmarks.runtime", "--device", device().type, "--rounds", "2")
    runtime += ("--batches", "1", "64")
    yield Step("runtime of networks", runtime, 90, False, reason=long)


def throughput(options: argparse.Namespace) -> Iterator[str]:
    """The command of the comparison, with the peers whose scripts are at hand."""
    yield from ("benchmarks.throughput", "--device", device().type, "--amp", "--batch", "256")
    yield from ("--count", "20480", "--steps", "60", "--tried", "20", "--rounds", "2")
    yield from ("--networks", "RegNetX-200MF")
    yield from ("--cores", str(len(os.sched_getaffinity(0))))
    for name in ("timm", "torchvision"):
        folder = getattr(options, name)
        if folder:
            yield from (f"--{name}", str(folder.resolve()))


def run(step: Step, folder: Path, limit: float) -> Row:
    """One step; its processes end with it."""
    if step.reason:
        return Row(step.name, "skipped", 0.0, step.reason)
    if limit < 5:
        return Row(step.name, "skipped", 0.0, "no time left")
    if step.recipe is not None:
        laid(folder, {"pretrain": {"*": {"recipe": step.recipe}}})
    began, log = time.monotonic(), folder / f"{re.sub(r'[^a-z0-9]+', '-', step.name.lower())}.log"
    path = os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH")]))
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *step.command],
            cwd=folder if step.in_dag else Path.cwd(),
            env=os.environ | {"PYTHONPATH": path},
            **{"stdin": subprocess.DEVNULL, "stdout": file, "stderr": subprocess.STDOUT},
            start_new_session=True,
        )
        try:
            code = process.wait(min(step.limit, limit))
            result = "passed" if code == 0 else f"failed ({code})"
        except subprocess.TimeoutExpired:
            result = "timed out"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    text = log.read_text(errors="replace")
    if result != "passed":
        print(f"-- {step.name}: {result}; the end of its output:\n{text[-3000:]}", flush=True)
    return Row(step.name, result, time.monotonic() - began, figure(text))


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="benchmarks/on_gpu.sh", description=__doc__)
    parser.add_argument("--small", action="store_true", help="tiny sizes, few steps")
    parser.add_argument("--timm", type=Path, help="checkout of pytorch-image-models")
    parser.add_argument("--torchvision", type=Path, help="checkout of vision")
    parser.add_argument("--minutes", type=float, default=7.5, help="after which no step goes on")
    parser.add_argument("--out", type=Path, default=RESULT, help="the table of a run on a GPU")
    parser.add_argument("--folder", type=Path, help="of the DAG and the logs")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> list[Row]:
    """Run all steps and print the table; it is written down only where a GPU ran them."""
    options, rows = parsed(arguments), []
    gpu, end = device().type == "cuda", time.monotonic() + 60 * options.minutes
    said = f"{device_name(device())}; {versions()}"
    print(said, flush=True)
    with tempfile.TemporaryDirectory(prefix="tagdag-gpu-") as temporary:
        folder = options.folder or Path(temporary)
        placed(folder, options.small)
        laid(folder, numbered(options.small))
        try:
            for step in steps(options, gpu):
                rows.append(run(step, folder, end - time.monotonic()))
                print(f"{rows[-1].name}: {rows[-1].result}, {rows[-1].seconds:.0f} s", flush=True)
        finally:
            text = table(rows, said)
            if gpu:
                options.out.parent.mkdir(parents=True, exist_ok=True)
                options.out.write_text(text, encoding="utf-8")
            print(f"\n{text}", flush=True)
    return rows


if __name__ == "__main__":
    sys.exit(any(row.result not in ("passed", "skipped") for row in main()))
