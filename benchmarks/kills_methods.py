"""Pretrainings without labels killed at random moments and resumed: do they end with the bytes of
an undisturbed one? And trainings of heads that find objects and classes of pixels.

    python -m benchmarks.kills_methods [METHOD ...] [--kills 10] [--seed 0] [--out]
    python -m benchmarks.kills_methods --heads [HEAD ...]   (to kills_heads.md)

Every objective that compares several views trains a small network with batch norm on random images,
every head one on drawn scenes, in a process of its own. For each kill a new training is killed -9
at a moment drawn uniformly over the undisturbed one's time, start-up included, started again by the
same command, and left alone.
Compared are the SHA-256 of its last state (network, queue, teacher, centre, prototypes) and of the
weights that it exports. Exits with 1 where any of them is another.
"""

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import torch

from benchmarks.kills import PATIENCE, ROOT
from corpus.reading.sampler import seeded
from engine.core import checkpoint
from engine.core.network import columns_read, network, save_network
from engine.training.loop import initialise, train
from engine.training.recipe import Recipe
from engine.training.schedule import Training
from models.blocks.augment.draws import Draws
from tests.support.methods import methods, section
from tests.support.networks import TINY
from tests.support.scenes import NAMES, Scenes, head_section, objective_of, scene_heads
from tests.support.scenes import SIDE as SCENE

RESULTS = ROOT / "benchmarks" / "results"
IMAGES, SIDE, EPOCHS = 128, 24, 12
RECIPE = Recipe(batch=16, rate=0.05, per=16, warmup=1)
SETTINGS = {"TAGDAG_CHECKPOINT_SECONDS": "0.1", "OMP_NUM_THREADS": "1"}
LEFT = "model.safetensors"
MODULE = "benchmarks.kills_methods"


class Noise:
    """Random images with random hashtags, as a data set."""

    def __init__(self) -> None:
        shape, generator = (IMAGES, SIDE, SIDE, 3), seeded(0)
        self.pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        self.tags = torch.randint(0, 2, (IMAGES, 2), generator=generator).float()

    def __len__(self) -> int:
        return IMAGES

    def read(self, indices: torch.Tensor, draws: Draws) -> dict[str, torch.Tensor]:
        return {"image": self.pixels[indices], "hashtags": self.tags[indices]}


def of_method(name: str) -> tuple[dict, list[str], Any, Training]:
    """Sections, names of classes, samples and training of a method without labels."""
    sections = {"backbone": TINY, "objective": section(name), "head": {"name": "linear"}}
    return sections, ["a", "b"], Noise(), Training(RECIPE, EPOCHS)


def of_head(name: str) -> tuple[dict, list[str], Any, Training]:
    """The same of a head that finds objects or classes of pixels."""
    objective = {"name": objective_of(name), "canvas": SCENE}
    sections = {"backbone": TINY, "objective": objective, "head": head_section(name)}
    samples = Scenes(16).reading(columns_read(objective))
    return sections, NAMES, samples, Training(replace(RECIPE, batch=4, clip=5.0), EPOCHS // 2)


def trained(name: str, folder: Path) -> None:
    """What the process does: train, from the last state on, and write the weights."""
    initialise(0)
    sections, names, samples, training = (of_head if name in scene_heads() else of_method)(name)
    module = network(**sections, classes=len(names), names=names)
    train(module, samples, replace(training, state=folder / "state"))
    save_network(folder / LEFT, module, sections, names)


def started(name: str, folder: Path, module: str = MODULE) -> subprocess.Popen:
    """The process on its way; module: what is run with `--train FOLDER NAME`."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", module, "--train", str(folder), name]
    env = {key: value for key, value in os.environ.items() if not key.startswith("TAGDAG_")}
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(command, cwd=ROOT, env=env | SETTINGS, stdout=log, stderr=log)


def ended(name: str, folder: Path, module: str = MODULE) -> float:
    """A training from its start, or from where it was killed, to its end; its seconds."""
    begun = time.monotonic()
    if started(name, folder, module).wait(PATIENCE):
        raise SystemExit(f"{name} failed:\n{(folder / 'log').read_text()[-3000:]}")
    return time.monotonic() - begun


def step_of(folder: Path) -> int | None:
    """The step that the newest state is of; None before there is one."""
    files = sorted((folder / "state").glob("*.safetensors"))
    return int(files[-1].stem) if files else None


def place_of(folder: Path) -> str:
    """How far a training was, as a table says it."""
    step = step_of(folder)
    return "start-up" if step is None else f"step {step}"


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of the last state, which has to be the finished one, and of the weights."""
    newest = max((folder / "state").glob("*.safetensors"))
    assert checkpoint.load_tensors(newest)[1]["finished"]
    files = {newest.name: newest, LEFT: folder / LEFT}
    return {key: hashlib.sha256(file.read_bytes()).hexdigest() for key, file in files.items()}


@dataclass
class Method:
    """Of one objective: the undisturbed seconds, each kill's moment and step, and what differs."""

    name: str
    seconds: float
    kills: list[str] = field(default_factory=list)
    exact: int = 0
    faults: list[str] = field(default_factory=list)


def killed(name: str, folder: Path, moment: float, module: str = MODULE) -> bool:
    """Start a training and kill it at a moment; False where it had ended by then."""
    process = started(name, folder, module)
    try:
        code = process.wait(moment)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE)
        return True
    if code:
        raise SystemExit(f"{name} failed:\n{(folder / 'log').read_text()[-3000:]}")
    return False


def struck(
    name: str,
    work: Path,
    kills: int,
    draws: random.Random,
    module: str = MODULE,
    compared: Callable[[Path], dict[str, str]] = hashes,
    reached: Callable[[Path], str] = place_of,
) -> Method:
    """So many trainings, each killed once and compared.

    compared: hashes of what is left, by name. reached: how far one was that was killed.
    """
    whole = work / name / "whole"
    found = Method(name, ended(name, whole, module))
    expected, attempt = compared(whole), 0
    while len(found.kills) < kills:
        attempt += 1
        folder = work / name / str(attempt)
        moment = draws.uniform(0, found.seconds)
        if not killed(name, folder, moment, module):
            # it did not live to see it: another moment
            continue
        found.kills.append(f"{moment:.1f} s, {reached(folder)}")
        ended(name, folder, module)
        left = compared(folder)
        other = sorted(key for key in left | expected if left.get(key) != expected.get(key))
        found.exact += not other
        print(f"{name}, killed at {found.kills[-1]}: {'differs' if other else 'exact'}", flush=True)
        found.faults += [f"{found.kills[-1]}: {key} differs" for key in other]
    return found


def line(found: Method) -> str:
    """A row of the table: what the kills of one objective came to."""
    exact, places = f"{found.exact} of {len(found.kills)}", "; ".join(found.kills + found.faults)
    row = found.name, len(found.kills), exact, f"{found.seconds:.1f}", places
    return "| " + " | ".join(map(str, row)) + " |"


def table(found: list[Method], command: str, heads: bool = False) -> str:
    """The result as Markdown."""
    head = f"{os.cpu_count()} cores; torch {torch.__version__}; {date.today()}; `{command}`"
    what = "trainings on drawn scenes" if heads else "pretrainings without labels"
    lines = [
        f"# Kills of {what}\n",
        f"{head}\n",
        "Exact: the last state, with queue, teacher, centre and prototypes where there are such, "
        "and the exported weights have the bytes of an undisturbed training.\n",
        "| method | kills | exact | undisturbed, s | killed at, and its newest state then |",
        "| --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*lines, *map(line, found)]) + "\n"


def main() -> None:
    """Kill, compare, write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("methods", nargs="*", help="default: all")
    parser.add_argument("--heads", action="store_true", help="the heads of scenes instead")
    parser.add_argument("--kills", type=int, default=10, help="of each method")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--out", action="store_true", help="write benchmarks/results too")
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    known = scene_heads() if given.heads else methods()
    unknown = sorted(set(given.methods) - {*scene_heads(), *methods()})
    if unknown:
        parser.error(f"no such method: {unknown[0]} (there are {', '.join(known)})")
    if given.train:
        trained(given.methods[0], given.train)
        return
    names = given.methods or known
    draws, found = random.Random(given.seed), []
    with tempfile.TemporaryDirectory() as work:
        for name in names:
            found.append(struck(name, Path(work), given.kills, draws))
            print(f"{name}: {found[-1].exact} of {given.kills} exact", flush=True)
    options = [*["--heads"] * given.heads, f"--kills {given.kills} --seed {given.seed}"]
    command = " ".join(["python -m benchmarks.kills_methods", *given.methods, *options])
    text = table(found, command, given.heads)
    print(text)
    if given.out:
        page = "kills_heads.md" if given.heads else "kills_methods.md"
        (RESULTS / page).write_text(text, encoding="utf-8")
    raise SystemExit(any(each.faults for each in found))


if __name__ == "__main__":
    main()
