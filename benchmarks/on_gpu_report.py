"""What benchmarks/on_gpu.py tells: the figures of each step, on what it ran, the table of all."""

import platform
import re
import subprocess
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version

import torch

PACKAGES = ("torch", "torchvision", "triton", "numpy", "timm", "mlflow", "optuna", "pydantic")
PACKAGES += ("pyarrow", "simplejpeg")
# a row of benchmarks.throughput: side, images/s, ratio to it, share of the bare step's rate
SHARE = r"^\| (tagdag|timm|torchvision) \|[^|]*\| *(\d+) \| ([\d.]+)[^|]*\| ([\d.]+) "


@dataclass(frozen=True)
class Row:
    """What came of a step."""

    name: str
    result: str
    seconds: float
    figure: str


def figure(text: str) -> str:
    """What a step's output tells: its own figures, pytest's summary, a comparison's rows."""
    told = re.findall(r"^figure: (.*)$", text, re.MULTILINE)
    told += re.findall(r"^=*\s*(\d+ (?:passed|failed|skipped)[^=\n]*)", text, re.MULTILINE)[-1:]
    told += re.findall(r"loss [\d.]+, ([\d,]+ images/s)", text)[-1:]
    shares = re.findall(SHARE, text, re.MULTILINE)
    told += [f"{side} {rate} images/s, {own} of the bare step's" for side, rate, _, own in shares]
    told += [f"tagdag {ratio} x {side}" for side, _, ratio, _ in shares if side != "tagdag"]
    told += re.findall(r"^tagdag: (model-flops utilisation [\d.]+%)", text, re.MULTILINE)
    told += re.findall(r"^(Over all networks .*)\.$", text, re.MULTILINE)[-1:]
    return "; ".join(words.strip() for words in told)


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
        done = subprocess.run(smi, capture_output=True, text=True, check=True)
        found.append(f"driver {done.stdout.strip()}")
    except (OSError, subprocess.CalledProcessError):
        found.append("no driver")
    return ", ".join(found)


def table(rows: list[Row], said: str) -> str:
    """Markdown: on what it ran, then a line per step."""
    when = f"{datetime.now():%Y-%m-%d %H:%M}"
    lines = ["# What ran on a GPU", "", f"`benchmarks/on_gpu.sh`, {when}, {said}.", ""]
    lines += ["| step | result | seconds | figure |", "| --- | --- | --- | --- |"]
    for row in rows:
        told = row.figure.replace("|", "/")  # which would end a cell
        lines.append(f"| {row.name} | {row.result} | {row.seconds:.0f} | {told} |")
    return "\n".join(lines) + "\n"
