"""Several workers, real processes over gloo: the same training as one, whatever happens to them."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.core import checkpoint
from engine.core.allocator import OutOfMemory
from engine.training import faults
from engine.training.distributed import Workers, present_workers
from engine.training.launching import launch
from engine.training.loop import train
from engine.training.meter import Diverged
from engine.training.recipe import Recipe
from engine.training.schedule import Training
from tests.engine.training.toys import (
    RECIPE,
    SECTIONS,
    Recorder,
    Toy,
    accuracy,
    plain,
    tiny,
    twofold,
)
from tests.support.workers import two

# 57 images: batches of 18 leave three for two workers, batches of 14 one, which joins them
VARIANTS = {
    "as it comes": RECIPE,
    "clipped": replace(RECIPE, clip=0.5, weight_decay=0.01),
    "micro-batches": replace(RECIPE, micro=3),
    "adamw, averaged": replace(RECIPE, optimizer={"name": "adamw"}, rate=0.05, ema=0.9),
    "uneven last batch": replace(RECIPE, batch=18, last="keep"),
    "last batch of one image": replace(RECIPE, batch=14, last="keep"),
    "sharded": replace(RECIPE, sharded=True),
    "uneven micro-batches": replace(RECIPE, batch=18, last="keep", micro=1),
    "sharded, uneven micro-batches": replace(RECIPE, batch=18, last="keep", micro=1, sharded=True),
    "a part more than the other": replace(RECIPE, batch=15),
    "sharded, micro-batches, clipped, averaged": replace(
        RECIPE, sharded=True, micro=3, clip=0.5, ema=0.9
    ),
}


UNEVEN = replace(RECIPE, batch=18, last="keep")
TWOFOLD = {
    "two optimizers": UNEVEN,
    "two optimizers, in parts": replace(UNEVEN, micro=3),
    "two optimizers, sharded": replace(UNEVEN, sharded=True),
}


def trained(recipe: Recipe, folder: Path, epochs: int = 2) -> dict[str, torch.Tensor]:
    """The finished weights of an objective without batch norm."""
    train(plain(), Toy(57), Training(recipe, epochs, state=folder))
    return checkpoint.load_tensors(max(folder.glob("*.safetensors")))[0]


def every_variant(folder: Path) -> None:
    for name, recipe in VARIANTS.items():
        # not read here: the first worker may still be writing what the second would read
        train(plain(), Toy(57), Training(recipe, 2, state=folder / name))
    report = Recorder()
    for name, recipe in TWOFOLD.items():
        training = Training(recipe, 2, state=folder / name, report=report, per_report=1)
        train(twofold(), Toy(57), training)
        if present_workers().first:
            (folder / f"{name}.json").write_text(json.dumps(report.values))
    (folder / f"metric-{present_workers().rank}").write_text(str(accuracy(plain(), Toy(57))))


# what two workers made of every variant
pair = two(every_variant)


@pytest.mark.parametrize("name", VARIANTS)
def test_two_workers_are_one_with_twice_the_images(pair, tmp_path, one_thread, name):
    """Goyal et al. 2017, section 3: the same update, views and all, to rounding."""
    alone = trained(replace(VARIANTS[name], sharded=False, micro=None), tmp_path)
    together = checkpoint.load_tensors(max((pair / name).glob("*.safetensors")))[0]
    assert alone.keys() == together.keys()
    for key, tensor in alone.items():
        torch.testing.assert_close(
            together[key], tensor, atol=2e-5, rtol=2e-4, msg=lambda text, key=key: f"{key}: {text}"
        )


@pytest.mark.parametrize("name", TWOFOLD)
def test_two_workers_have_two_optimizers_and_the_losses_of_one(pair, tmp_path, one_thread, name):
    report = Recorder()
    training = Training(UNEVEN, 2, state=tmp_path, report=report, per_report=1)
    train(twofold(), Toy(57), training)
    alone, together = (
        checkpoint.load_tensors(max(folder.glob("*.safetensors")))[0]
        for folder in (tmp_path, pair / name)
    )
    for key, tensor in alone.items():
        torch.testing.assert_close(together[key], tensor, atol=1e-4, rtol=1e-3)
    heard = json.loads((pair / f"{name}.json").read_text())
    parts = [key for key in report.values[1] if key.startswith("loss")]
    assert parts == ["loss", "loss_trunk", "loss_trunk_size", "loss_top"]
    for step, values in report.values.items():
        for key in parts:
            assert heard[str(step)][key] == pytest.approx(values[key], rel=1e-3, abs=1e-4)


def test_metrics_are_reduced_exactly(pair):
    whole = accuracy(plain(), Toy(57))
    assert (
        whole["samples"] == 57
        and [(pair / f"metric-{rank}").read_text() for rank in (0, 1)] == [str(whole)] * 2
    )


def test_parts_cover_everything_once():
    for world in (1, 2, 3, 7):
        parts = [list(range(20))[Workers(rank, world).part(20)] for rank in range(world)]
        assert (
            list(itertools.chain(*parts)) == list(range(20)) and len(parts[0]) - len(parts[-1]) <= 1
        )


def stops_at(step: int, how: Callable[[], None]) -> Callable[[int, int, str], None]:
    """A progress that does `how` at a step of the first attempt, in the second worker."""

    def progress(done: int, total: int, text: str) -> None:
        if (
            done == step
            and present_workers().rank == 1
            and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
        ):
            how()

    return progress


def disturbed(folder: Path, how: Callable[[], None] | None) -> None:
    """Twelve steps of a network with batch norm; a state after each."""
    os.environ["TAGDAG_CHECKPOINT_SECONDS"] = "0"  # in a process of its own
    progress = stops_at(7, how) if how else lambda done, total, text: None
    train(tiny(), Toy(), Training(RECIPE, 4, state=folder, progress=progress, per_report=1))


def test_a_killed_worker_is_started_again_and_the_run_goes_on(tmp_path):
    launch(2, disturbed, tmp_path / "whole", None)
    handlers = [signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)]
    launch(2, disturbed, tmp_path / "killed", kill)
    assert [signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)] == handlers
    whole, killed = (max((tmp_path / name).glob("*.safetensors")) for name in ("whole", "killed"))
    assert whole.read_bytes() == killed.read_bytes() and whole.stem == f"{12:09d}"


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_fault_is_told_at_once_and_another_number_of_workers_goes_on(
    tmp_path, one_thread, caplog
):
    with pytest.raises(ValueError, match="this worker found something wrong"):
        launch(2, faulty, tmp_path / "two")
    assert 0 < int(max(tmp_path.glob("two/*.safetensors")).stem) <= 7
    ends = [
        trained(replace(RECIPE, schedule="constant"), tmp_path / name, 4)
        for name in ("two", "alone")
    ]
    assert (
        "going on with 1 workers from a state of 2" in caplog.text
        and "16 images at a time instead of 8" in caplog.text
    )
    for key, tensor in ends[0].items():
        torch.testing.assert_close(tensor, ends[1][key], atol=2e-5, rtol=2e-4)


def faulty(folder: Path) -> None:
    """Ends with a fault after a state was kept."""
    os.environ["TAGDAG_CHECKPOINT_SECONDS"] = "0"  # in a process of its own

    def fault() -> None:
        while not [file for file in folder.glob("*.safetensors") if int(file.stem)]:
            time.sleep(0.01)
        raise ValueError("this worker found something wrong")

    recipe = replace(RECIPE, schedule="constant")
    train(
        plain(),
        Toy(57),
        Training(recipe, 4, state=folder, progress=stops_at(7, fault), per_report=1),
    )


def wild(folder: Path) -> None:
    """Diverges at once."""
    about = {"sections": SECTIONS, "names": ["a", "b", "c"]}
    train(
        tiny(),
        Toy(),
        Training(Recipe(batch=16, rate=1e30, warmup=0), 4, state=folder / "state", about=about),
    )


def test_a_loss_that_is_not_finite_leaves_a_file_of_every_worker(tmp_path):
    with pytest.raises(Diverged, match=r"the loss of step \d+ is (nan|inf).*lower recipe.rate"):
        launch(2, wild, tmp_path)
    files = sorted(tmp_path.glob("state.nonfinite-*-[01].safetensors"))
    assert len(files) == 2 and all(faults.repeat(file)[0].startswith("iteration") for file in files)


def too_large() -> None:
    """One worker has no memory left, the other waits for it."""
    if present_workers().rank == 1:
        raise RuntimeError(
            "DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 byte"
        )
    present_workers().mean_(torch.ones(1))


def test_memory_that_runs_out_in_one_worker_is_told_as_such():
    with pytest.raises(OutOfMemory, match=r"can't allocate memory.*lower recipe.micro"):
        launch(2, too_large)


SCRIPT = """
import sys
from pathlib import Path
from engine.training.launching import launch
from engine.training.stopping import Stopped
from tests.engine.training.test_distributed import slow
if __name__ == "__main__":
    try:
        launch(2, slow, Path(sys.argv[1]))
    except Stopped as error:
        print(error)
        sys.exit(128 + error.signal)
"""


def slow(folder: Path) -> None:
    def progress(done: int, total: int, text: str) -> None:
        (folder / f"at-{present_workers().rank}").write_text(str(done))
        time.sleep(0.05)

    folder.mkdir(exist_ok=True)
    train(
        tiny(),
        Toy(),
        Training(RECIPE, 400, state=folder / "state", progress=progress, per_report=2),
    )


def test_sigterm_keeps_a_state_of_all_workers(tmp_path):
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    process = subprocess.Popen(
        command, cwd=Path(__file__).parents[3], stdout=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 120
    while not ((tmp_path / "at-0").exists() and int((tmp_path / "at-0").read_text() or 0) > 4):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM and "stopped by SIGTERM" in printed
    assert (
        checkpoint.load_tensors(max((tmp_path / "state").glob("*.safetensors")))[1]["iteration"]
        >= 4
    )
