"""Records as the stage evaluate writes them, and the stage register run on them."""

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine.core import checkpoint
from engine.core.digest import digest
from engine.core.network import network, save_network
from flows import register
from flows.running import settings
from tests.support.shards import write_shards

TIMES = {"latency_p50_ms": 1.0, "latency_p95_ms": 2.0, "latency_p99_ms": 3.0}
COST = {
    "params": 1e6,
    "flops": 2e6,
    "acts": 3e5,
    "images_per_second": 900.0,
    "peak_memory_mib": 9.0,
}
COST |= TIMES | {
    "device": "x",
    "dtype": "float32",
    "batch": 64,
    "clock": "cpu wall clock",
    "costs": [],
}
SECTIONS = {
    "backbone": {
        "name": "regnet",
        "depth": 3,
        "w_0": 8,
        "w_a": 8,
        "w_m": 2,
        "group_width": 8,
        "stem_width": 8,
    },
    "objective": {"name": "supervised"},
    "head": {"name": "linear"},
}
NAMES = ["sea", "dog"]


def record(
    name: str, value: float, val: float, low: float, test: str = "t", seeds: int = 3, **more
) -> dict:
    """The evaluation record of one model, its weight file written; value, val, low: in percent."""
    weights = Path("out") / f"{name}.safetensors"
    checkpoint.save_tensors(
        weights, {"w": torch.full((2,), float(value))}, {"sections": SECTIONS, "names": NAMES}
    )
    measured = {"headline": "top1", "higher": True, "unit": "%", "metric": {"name": "accuracy"}}
    measured |= {"best": value, "val": val, "values": {"top5": 99.0, "top5_low": 98.0}}
    measured |= {"value": value, "low": low, "high": 2 * value - low}
    measured |= {"best_bound": value, "bound": value, "policy": {"name": "plain"}}
    what = {"candidate": name, "task": "scenes", "data": "targets/scenes", "size": 32}
    what |= {"init": f"{name}-hashtags", "head": {"name": "linear"}}
    what |= {"labels": 20, "samples": 100, "duplicates": 0, "weights": str(weights)}
    what |= {"chosen": {}, "scores": [], "network": f"{name}, head linear"}
    about = {"model": name, "test": test, "seeds": list(range(seeds))}
    return about | measured | what | COST | more


def written(*records: dict) -> dict:
    """Leave the records where the stage finds them; the section of these tasks."""
    tasks = dict.fromkeys(each["task"] for each in records)
    for task in tasks:
        folder = settings.OUT / "evaluate" / task
        folder.mkdir(parents=True, exist_ok=True)
        its = [each for each in records if each["task"] == task]
        (folder / "records.json").write_text(json.dumps(its))
        (folder / "gains.json").write_text("[]")
        tasks[task] = {"data": its[0]["data"], "metric": its[0]["metric"], "inits": ["scratch"]}
    return tasks


def registered(*records: dict, **settings_of_stage) -> str:
    """Run the stage on these records; returns the first decision, as the report tells it."""
    params = settings.load_params() | {"tasks": written(*records)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "load_params", lambda: params)
        register.register(**({"name": "models"} | settings_of_stage))
    return (settings.OUT / "register/report.md").read_text().split("**")[1].replace("\\", "")


def images(number: int, seed: int = 0, names: list[str] = NAMES) -> str:
    """A target `scenes` of so many test images of two classes; the digest of its splits."""
    rng, rows = np.random.default_rng(seed), []
    for i, key in enumerate([*(f"test-{n}" for n in range(number)), "val-0", "val-1", "train-0"]):
        image = BytesIO()
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(image, "JPEG")
        rows.append((key, key.partition("-")[0], image.getvalue(), [i % 2]))
    folder = settings.OUT / "corpus/targets/scenes"
    write_shards(folder, rows, names, size=32)
    return digest(folder / "index.parquet")


def trained(name: str, seed: int, **more) -> dict:
    """The record of a real network of two classes, with weights that restore() takes."""
    torch.manual_seed(seed)
    module = network(**SECTIONS, classes=2)
    torch.nn.init.normal_(module.head.fc.weight)
    made = record(name, value=50, val=50, low=40) | more
    save_network(Path(made["weights"]), module, SECTIONS, NAMES)
    return made


def seed(number: int, val: float, **other) -> dict:
    """What is tested of one seed of a model."""
    arm = {"candidate": "winner", "task": "scenes", "init": "winner-hashtags", "labels": 20}
    measured = {"headline": "top1", "higher": True, "unit": "%", "size": 32}
    measured |= {"best": 60.0, "best_bound": 50.0, "values": {"top5": 90.0}, "samples": 40}
    measured |= {"head": {"name": "linear"}}
    choice = {"chosen": {"rate": 0.4}, "scores": [], "fit": 40, "held_out": 0}
    return arm | measured | choice | {"seed": number, "val": val, "weights": "x"} | other
