"""What only a GPU can show, and that the command which runs it all there does so on a CPU in small.

benchmarks/on_gpu.sh runs those marked `gpu` on a bare machine, which has no orchestrators.
"""

import re
import shutil
from dataclasses import replace

import pytest
import torch

from benchmarks import on_gpu
from engine.core import checkpoint
from engine.core.allocator import out_of_memory
from engine.core.batch import moved
from engine.core.device import device
from engine.core.network import network
from engine.core.numerics import flags, numerics
from engine.training.distributed import Workers
from engine.training.launching import launch
from engine.training.loader import Step
from engine.training.loop import initialise, train
from engine.training.schedule import Schedule, Training
from engine.training.step import Learner
from engine.twins.features import rmac_features
from tests.engine.training.toys import (
    RECIPE,
    SECTIONS,
    Recorder,
    Toy,
    accuracy,
    answers,
    plain,
    tiny,
)


def gpu(test):
    """Mark a test that needs a GPU."""
    skip = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    return pytest.mark.gpu(skip(test))


def weights(recipe, folder, epochs: int = 2, make=tiny) -> dict[str, torch.Tensor]:
    """What a training ends with."""
    train(make(), Toy(), Training(recipe, epochs, state=folder, keep=99))
    return checkpoint.load_tensors(max(folder.glob("*.safetensors")))[0]


@gpu
def test_the_reader_copies_every_batch_as_it_is():
    """On a stream of its own, ahead of the steps: what they see is whole, and in their order."""
    data = Toy(480)
    training = Training(replace(RECIPE, batch=48), 4)
    plan = Schedule.of(training, lambda g: torch.randperm(len(data), generator=g), Workers())
    for step in plan.loader(data, range(plan.total), device()):
        busy = torch.rand(2000, 2000, device=device())
        for _ in range(5):
            busy = busy @ busy / 1000  # keeps the stream of the steps behind that of the copies
        rows = plan.sampler.indices(*divmod(step.iteration, plan.per_epoch))
        assert torch.equal(step.batch["image"].cpu(), data.pixels[rows])
        assert torch.equal(step.batch["label"].cpu(), data.classes[rows])


@gpu
def test_exact_trainings_give_the_same_bits_also_after_a_stop(tmp_path):
    whole, again = (weights(RECIPE, tmp_path / name, 3) for name in ("whole", "again"))
    assert all(torch.equal(tensor, again[key]) for key, tensor in whole.items())
    for file in sorted((tmp_path / "again").glob("*.safetensors"))[1:]:  # back to the first step
        file.unlink()
    resumed = weights(RECIPE, tmp_path / "again", 3)
    assert all(torch.equal(tensor, resumed[key]) for key, tensor in whole.items())


@gpu
def test_exact_trainings_with_a_max_pool_give_the_same_bits(tmp_path):
    """Whose backward pass adds where windows overlap."""

    def pooled():
        initialise(0)
        small = {"depths": [1, 1], "cardinality": 4, "group_width": 4, "width": 12, "stem_width": 8}
        backbone = {"name": "resnext", "stem": "imagenet", "stem_stride": 1} | small
        return network(**SECTIONS | {"backbone": backbone}, classes=3)

    first, second = (weights(RECIPE, tmp_path / name, 3, pooled) for name in ("first", "second"))
    assert all(torch.equal(tensor, second[key]) for key, tensor in first.items())


@gpu
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_half_way_states_go_on_to_the_same_bits(tmp_path, optimizer, monkeypatch):
    """States of the middle hold the optimizer's tensors and the scale of float16 too."""
    monkeypatch.setenv("TAGDAG_CHECKPOINT_SECONDS", "0")
    recipe = replace(RECIPE, optimizer={"name": optimizer}, rate=0.02, precision="float16", ema=0.9)
    whole = weights(recipe, tmp_path, 4)
    files = sorted(tmp_path.glob("*.safetensors"))
    assert len(files) > 2
    for file in files[len(files) // 2 :]:
        file.unlink()
    resumed = weights(recipe, tmp_path, 4)
    assert all(torch.equal(tensor, resumed[key]) for key, tensor in whole.items())


@gpu
@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16", "float16"])
@pytest.mark.parametrize("mode", ["off", "default", "reduce-overhead"])
def test_every_precision_learns_compiled_or_not(precision, mode):
    report, module, data = Recorder(), tiny(), Toy(96)
    recipe = replace(RECIPE, precision=precision, compile=mode, exact=precision == "float32")
    train(module, data, Training(recipe, 8, report=report, per_report=6))
    losses = report.series("loss")
    assert losses[-1] < 0.6 * losses[0]
    assert accuracy(module, data)["top1"] > 80


@gpu
def test_graphs_keep_what_micro_batches_have_added_up(tmp_path):
    """A replay writes where the one before wrote: a step's gradients must not lie there."""
    graphs = replace(RECIPE, compile="reduce-overhead", micro=4)
    eager, found = (weights(one, tmp_path / one.compile, 1, plain) for one in (RECIPE, graphs))
    for key, tensor in eager.items():
        torch.testing.assert_close(found[key], tensor, atol=1e-3, rtol=1e-2)


@gpu
def test_a_gpu_learns_what_a_cpu_does(tmp_path, monkeypatch):
    found = weights(RECIPE, tmp_path / "gpu", 1, plain)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    on_cpu = weights(RECIPE, tmp_path / "cpu", 1, plain)
    for key, tensor in on_cpu.items():
        torch.testing.assert_close(found[key], tensor, atol=1e-3, rtol=1e-2)


@gpu
def test_float16_skips_a_step_that_overflows():
    recipe = replace(RECIPE, precision="float16")
    with numerics(recipe.precision, recipe.exact):
        learner = Learner(plain(), recipe, Workers())
        batch = {"image": torch.randn(4, 3, 16, 16), "label": torch.tensor([0, 1, 2, 0])}
        batch = moved(batch, device())
        before = learner.objective.head.fc.weight.clone()
        learner.scaler.scale(torch.ones((), device=device()))  # makes its scale
        learner.scaler._scale.fill_(1e38)
        learner.step(batch, Step(0, batch, 0, 4, 1.0), [0.1])
        assert torch.equal(before, learner.objective.head.fc.weight)
        assert learner.scaler.get_scale() < 1e38


@gpu
def test_memory_that_runs_out_is_told_from_other_errors_and_comes_back():
    free = torch.cuda.memory_allocated() + (64 << 20)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(free / total)
    try:
        with pytest.raises(RuntimeError) as error:
            torch.empty(1 << 30, device=device())
        assert out_of_memory(error.value)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    train(tiny(), Toy(), Training(RECIPE, 1))


@gpu
def test_tf32_is_where_it_is_asked_for_and_nowhere_else():
    a, before = torch.randn(512, 512, device=device()), flags()
    exact = a.double() @ a.double()

    def error(precision: str) -> float:
        with numerics(precision):
            return (a @ a - exact).abs().max().item()

    whole, fast = error("float32"), error("tf32")
    assert fast > 20 * whole and error("float32") == whole and flags() == before


@gpu
def test_features_and_predictions_are_those_of_the_cpu(monkeypatch):
    data, images = Toy(), torch.rand(6, 3, 32, 32)

    def computed() -> tuple[torch.Tensor, torch.Tensor]:
        scores, _ = answers(tiny(), data)
        return scores.cpu(), rmac_features(tiny().backbone, [images])

    found = computed()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for ours, theirs in zip(found, computed(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-3)


def sharded(folder) -> None:
    """What each of two workers does."""
    weights(replace(RECIPE, sharded=True), folder, 1, plain)


@gpu
def test_weights_split_over_two_gpus_are_those_of_one(tmp_path):
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    launch(2, sharded, tmp_path / "two")
    together = checkpoint.load_tensors(max((tmp_path / "two").glob("*.safetensors")))[0]
    for key, tensor in weights(RECIPE, tmp_path / "one", 1, plain).items():
        torch.testing.assert_close(together[key], tensor, atol=1e-3, rtol=1e-2)


def test_the_command_runs_in_small_and_its_table_is_last(tmp_path, empty_store, monkeypatch, capfd):
    """The real stages up to tested models; what needs a GPU is skipped, not passed."""
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    shutil.copyfile(empty_store, tmp_path / "mlflow.db")
    found = on_gpu.main(["--small", "--folder", str(tmp_path), "--out", str(tmp_path / "x")])
    rows = {row.name: row for row in found}
    printed = capfd.readouterr().out
    assert rows["corpus to evaluate"].result == "passed", printed
    assert re.search(r"evaluate: 3 models, best top-1 [\d.]+ %", rows["corpus to evaluate"].figure)
    lines = printed.strip().splitlines()
    last = zip(rows, lines[-len(rows) :], strict=True)
    assert len(lines) > len(rows) and all(name in line for name, line in last)
    if not torch.cuda.is_available():
        skipped = {name for name, row in rows.items() if row.result == "skipped"}
        needing = {name for name in skipped if rows[name].figure == "needs a GPU"}
        trained = {f"pretrain, {name}" for name in on_gpu.NEED_ONE}
        assert needing == {"tests marked gpu", "search, memory for none"} | trained
        assert skipped == rows.keys() - {"corpus to evaluate"}
        assert not (tmp_path / "x").exists()


def test_a_step_that_fails_or_hangs_is_told_and_does_not_stop_the_others(tmp_path, capfd):
    bad = on_gpu.Step("bad", ("engine.training.faults", "no such file"), 60, in_dag=False)
    late = on_gpu.Step("late", ("http.server", "--bind", "127.0.0.1", "0"), 1, in_dag=False)
    assert on_gpu.run(bad, tmp_path, 60).result == "failed (1)"
    assert "No such file" in capfd.readouterr().out
    row = on_gpu.run(late, tmp_path, 60)
    assert row.result == "timed out" and row.seconds < 10
    assert on_gpu.run(late, tmp_path, 2).figure == "no time left"


def test_figures_are_found_in_what_benchmarks_print():
    text = """
figure: search: complete, complete in 3 s
pretrain 9/9, 3 s: loss 2.345, 12,345 images/s, loader wait 1 %
| tagdag | 16 threads | 9000 | 1.00 (1.00 to 1.00) | 0.93 | 4% |
| timm | 1 threads, 8 workers | 4500 | 2.00 (1.90 to 2.10) | 0.46 | 9% |
tagdag: model-flops utilisation 3.2%, peak memory 900 MiB
"""
    found = on_gpu.figure(text).split("; ")
    assert found[:2] == ["search: complete, complete in 3 s", "12,345 images/s"]
    assert found[2:4] == [
        "tagdag 9000 images/s, 0.93 of the bare step's",
        "timm 4500 images/s, 0.46 of the bare step's",
    ]
    assert found[4:] == ["tagdag 2.00 x timm", "model-flops utilisation 3.2%"]
    assert on_gpu.figure("=== 3 passed, 2 skipped in 1.20s ===") == "3 passed, 2 skipped in 1.20s"
