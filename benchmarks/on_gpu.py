"""The driver of benchmarks/on_gpu.sh: steps in processes of their own, each with a time limit, and one table of them.

A step that fails does not stop the others; the end of what it printed is shown. What needs a GPU is skipped without.
"""

import argparse
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from benchmarks.on_gpu_steps import laid, numbered, placed
from engine.profile import device_name
from engine.training.distributed import device

RESULT = Path(__file__).parent / "results" / "on_gpu.md"
PACKAGES = ("torch", "torchvision", "triton", "numpy", "timm", "mlflow", "optuna", "pydantic", "pyarrow", "simplejpeg")
TESTS = ("tests/test_on_gpu.py", "tests/test_profile.py", "tests/test_views.py")  # files with tests marked `gpu`
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
    """`python -m command` within `limit` seconds, in the project's folder, or in the small DAG's own.

    recipe: laid over that of the DAG's pretraining before. reason: why it is skipped, if it is.
    """

    name: str
    command: tuple[str, ...]
    limit: int
    in_dag: bool = True
    recipe: dict[str, Any] | None = None
    reason: str = ""


@dataclass(frozen=True)
class Row:
    """What came of a step."""

    name: str
    result: str
    seconds: float
    figure: str


def dag(*stages: str) -> tuple[str, ...]:
    """The command that runs stages in one process."""
    return ("benchmarks.on_gpu_steps", "dag", *stages)


def steps(options: argparse.Namespace, gpu: bool) -> Iterator[Step]:
    """All of them, in the order of what they are worth, as time may end before they do."""
    lacking = "" if gpu else "needs a GPU"
    brief = "left out of --small" if options.small else ""
    long = brief or ("left out on a CPU" if lacking else "")
    training = ("pretrain:baseline", "finetune:baseline", "evaluate")
    yield Step("tests marked gpu", ("pytest", "-m", "gpu", *TESTS), 120, False, reason=lacking)
    if options.small:  # torch and MLflow take seconds to import
        yield Step("corpus to evaluate", dag("corpus", "search", *training), 120, recipe={})
    else:
        yield Step("corpus, search of 2", dag("corpus", "search"), 90)
        yield Step("fine-tune and evaluate", dag(*training), 120, recipe={})
    yield Step("search, memory for none", ("benchmarks.on_gpu_steps", "spent"), 60, reason=lacking or brief)
    yield Step("kill -9 and go on", ("benchmarks.on_gpu_steps", "killed"), 90, recipe={}, reason=long)
    for name, recipe in RECIPES.items():
        reason = lacking if name in NEED_ONE else ""
        yield Step(f"pretrain, {name}", dag("pretrain:baseline"), 75, recipe=recipe, reason=reason or long)
    yield Step("throughput", tuple(throughput(options)), 150, False, reason=long)
    runtime = ("benchmarks.runtime", "--device", device().type, "--rounds", "2", "--batches", "1", "64")
    yield Step("runtime of networks", runtime, 90, False, reason=long)


def throughput(options: argparse.Namespace) -> Iterator[str]:
    """The command of the comparison, with the peers whose scripts are at hand."""
    yield from ("benchmarks.throughput", "--device", device().type, "--amp", "--batch", "256", "--count", "20480")
    yield from ("--steps", "60", "--tried", "20", "--rounds", "2", "--networks", "RegNetX-200MF")
    yield from ("--cores", str(len(os.sched_getaffinity(0))))
    for name in ("timm", "torchvision"):
        if folder := getattr(options, name):
            yield from (f"--{name}", str(folder.resolve()))


def figure(text: str) -> str:
    """What is to be told of a step's output: its own figures, pytest's summary, a comparison's rows."""
    told = re.findall(r"^figure: (.*)$", text, re.MULTILINE)
    told += re.findall(r"^=*\s*(\d+ (?:passed|failed|skipped)[^=\n]*)", text, re.MULTILINE)[-1:]
    told += [f"{speed} images/s" for speed in re.findall(r"loss [\d.]+, ([\d,]+) images/s", text)[-1:]]
    shares = re.findall(r"^\| (tagdag|timm|torchvision) \|[^|]*\| *(\d+) \| ([\d.]+)[^|]*\| ([\d.]+) ", text, re.M)
    told += [f"{side} {rate} images/s, {share} of the bare step's" for side, rate, _, share in shares]
    told += [f"tagdag {ratio} x {side}" for side, _, ratio, _ in shares if side != "tagdag"]
    told += re.findall(r"^tagdag: (model-flops utilisation [\d.]+%)", text, re.MULTILINE)
    told += re.findall(r"^(Over all networks .*)\.$", text, re.MULTILINE)[-1:]
    return "; ".join(words.strip() for words in told)


def run(step: Step, folder: Path, limit: float) -> Row:
    """One step; its processes end with it."""
    if step.reason:
        return Row(step.name, "skipped", 0.0, step.reason)
    if limit < 5:
        return Row(step.name, "skipped", 0.0, "no time left")
    if step.recipe is not None:
        laid(folder, {"pretrain": {"recipe": step.recipe}})
    began, log = time.monotonic(), folder / f"{re.sub(r'[^a-z0-9]+', '-', step.name.lower())}.log"
    path = os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH")]))
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *step.command],
            **{"cwd": folder if step.in_dag else Path.cwd(), "env": os.environ | {"PYTHONPATH": path}},
            **{"stdin": subprocess.DEVNULL, "stdout": file, "stderr": subprocess.STDOUT, "start_new_session": True},
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


def versions() -> str:
    """Of Python, the driver and what is computed with."""
    found = [f"Python {platform.python_version()}", f"CUDA {torch.version.cuda}"]
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"no {name}")
    smi = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        found.append(f"driver {subprocess.run(smi, capture_output=True, text=True, check=True).stdout.strip()}")
    except (OSError, subprocess.CalledProcessError):
        found.append("no driver")
    return ", ".join(found)


def table(rows: list[Row], said: str) -> str:
    """Markdown: on what it ran, then a line per step."""
    lines = ["# What ran on a GPU", "", f"`benchmarks/on_gpu.sh`, {datetime.now():%Y-%m-%d %H:%M}, {said}.", ""]
    lines += ["| step | result | seconds | figure |", "| --- | --- | --- | --- |"]
    lines += [f"| {row.name} | {row.result} | {row.seconds:.0f} | {row.figure.replace('|', '/')} |" for row in rows]
    return "\n".join(lines) + "\n"


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="benchmarks/on_gpu.sh", description=__doc__)
    parser.add_argument("--small", action="store_true", help="tiny sizes and few steps: also on a CPU")
    parser.add_argument("--timm", type=Path, help="checkout of pytorch-image-models, to compare with its train.py")
    parser.add_argument("--torchvision", type=Path, help="checkout of vision, likewise")
    parser.add_argument("--minutes", type=float, default=7.5, help="after which no step goes on")
    parser.add_argument("--out", type=Path, default=RESULT, help="the table of a run on a GPU")
    parser.add_argument("--folder", type=Path, help="for the small DAG and the logs; a temporary one by default")
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
