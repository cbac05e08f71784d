"""The training loop: what it reads, in which order, what it reports, and that a killed run ends
as any other.
"""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from corpus.reading import sampler as streams
from corpus.reading.sampler import Sampler, seeded
from engine.core import checkpoint
from engine.core.build import build
from engine.core.network import save_network
from engine.core.samples import Rows, few_per_class
from engine.training import loop, predicting
from engine.training.loader import Loader
from engine.training.loop import Training, train
from engine.training.predicting import predicted
from engine.training.recipe import Recipe, learning_rate
from tests.engine.training import toys
from tests.engine.training.toys import RECIPE, Recorder, Toy, answers, taught, tiny, twofold


@pytest.fixture(autouse=True)
def alone(one_thread):
    """One thread."""


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_learns(seed):
    report, module, samples = Recorder(), tiny(seed), Toy(96)
    train(module, samples, Training(RECIPE, 8, seed, report=report, per_report=6))
    losses = report.series("loss")
    assert losses[-1] < 0.5 * losses[0]
    scores, classes = answers(module, samples)
    assert (scores.argmax(1) == classes).float().mean() > 0.9


def test_batches_are_permutations_without_the_incomplete_last_one():
    samples = Toy()
    train(tiny(), samples, Training(RECIPE, 4))
    assert [len(batch) for batch in samples.seen] == [16] * 12
    epochs = [list(itertools.chain(*samples.seen[i : i + 3])) for i in range(0, 12, 3)]
    assert all(len(set(epoch)) == 48 and set(epoch) <= set(range(56)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


@pytest.mark.parametrize("batch", [14, 56])
def test_every_epoch_is_a_permutation(batch):
    samples = Toy()
    train(tiny(), samples, Training(Recipe(batch=batch), 2))
    read = list(itertools.chain(*samples.seen))
    assert sorted(read[:56]) == sorted(read[56:]) == list(range(56)) and read[:56] != read[56:]


def test_order_depends_on_seed_and_epoch_alone():
    def order(seed: int, start: int) -> list[list[int]]:
        samples = Toy()
        shuffled = Sampler(lambda generator: torch.randperm(56, generator=generator), 16, seed)
        steps = [
            step.iteration
            for step in Loader(samples, shuffled, 3, range(start, 9), torch.device("cpu"))
        ]
        assert steps == list(range(start, 9))
        return samples.seen

    assert order(0, 0)[4:] == order(0, 4)
    assert order(0, 0) != order(1, 0)
    assert order(0, 9) == []


def test_epoch_list_may_repeat_images():
    samples = Toy()
    train(tiny(), samples, Training(RECIPE, 1), lambda generator: torch.tensor([3] * 32 + [5]))
    assert samples.seen == [[3] * 16, [3] * 16]


def test_batch_larger_than_the_data_is_the_data_with_its_own_rate():
    samples, report = Toy(), Recorder()
    recipe = Recipe(batch=1024, rate=0.1, warmup=0, schedule="constant")
    train(tiny(), samples, Training(recipe, 3, report=report, per_report=1))
    assert [len(batch) for batch in samples.seen] == [56] * 3
    assert report.series("learning_rate") == pytest.approx([0.1 * 56 / 256] * 3)


def test_no_images_is_told():
    with pytest.raises(ValueError, match=r"0 training images.*report of the corpus stage"):
        train(tiny(), Toy(0), Training(RECIPE, 1))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_reports_mean_loss_rate_and_speed(precision):
    recipe = Recipe(batch=16, rate=0.1, precision=precision)
    single, pairs = Recorder(), Recorder()
    for report, per_report in ((single, 1), (pairs, 2)):
        module = tiny()
        train(module, Toy(), Training(recipe, 5 / 3, report=report, per_report=per_report))
    rates = [learning_rate(recipe, i, 5, 3) for i in range(5)]
    assert single.series("learning_rate") == pytest.approx(rates)
    assert list(pairs.values) == [2, 4, 5] and min(single.series("images_per_second")) > 0
    a, b, c, d, e = single.series("loss")
    assert pairs.series("loss") == pytest.approx([(a + b) / 2, (c + d) / 2, e])
    assert all(p.dtype == torch.float32 for p in module.parameters())


def test_bfloat16_is_used_and_close():
    losses = {}
    for precision in ("float32", "bfloat16"):
        report = Recorder()
        train(
            tiny(),
            Toy(),
            Training(Recipe(batch=16, precision=precision), 1, report=report, per_report=1),
        )
        losses[precision] = report.series("loss")
    assert (
        losses["bfloat16"] == pytest.approx(losses["float32"], abs=0.05)
        and losses["bfloat16"] != losses["float32"]
    )


def test_after_step_follows_every_step(monkeypatch):
    module, calls = tiny(), []
    monkeypatch.setattr(
        type(module),
        "after_step",
        lambda self, progress: calls.append((progress, self.head.fc.weight.clone())),
    )
    train(module, Toy(), Training(RECIPE, 2))
    assert [progress for progress, _ in calls] == pytest.approx([i / 6 for i in range(1, 7)])
    assert torch.equal(calls[-1][1], module.head.fc.weight)


def test_a_step_begins_with_its_pace_and_its_gradient_is_shown_before_it_is_clipped(monkeypatch):
    module, paces, norms = tiny(), [], []
    weight = module.head.fc.weight
    monkeypatch.setattr(type(module), "before_step", lambda self, pace: paces.append(pace))

    def show(self):
        norms.append(self.head.fc.weight.grad.norm().item())
        self.head.fc.weight.grad = None

    monkeypatch.setattr(type(module), "before_update", show)
    before = weight.clone()
    train(module, Toy(), Training(replace(RECIPE, clip=1e-6), 2))
    assert [(p.iteration, p.total, p.per_epoch) for p in paces] == [(i, 6, 3) for i in range(6)]
    assert [p.epoch for p in paces] == [0, 0, 0, 1, 1, 1]
    assert paces[3].progress == 0.5 and min(norms) > 1e-3
    # a gradient that was taken away moves nothing
    assert torch.equal(weight, before)


def test_nothing_waits_for_the_device_between_reports(monkeypatch):
    def counted(name, original):
        def call(self, *args, **kwargs):
            waits.append(name)
            return original(self, *args, **kwargs)

        return call

    waits, shown, samples = [], [], Toy()
    # the toy's own converts indices, which reads numbers too
    samples.read = lambda indices, draws: {
        "image": samples.pixels[indices],
        "label": samples.classes[indices],
    }
    for name in ("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__", "__index__"):
        monkeypatch.setattr(torch.Tensor, name, counted(name, getattr(torch.Tensor, name)))
    progress = lambda done, total, _: shown.append((done, total))  # noqa: E731
    train(tiny(), samples, Training(RECIPE, 4, progress=progress, per_report=5))
    assert waits == ["tolist"] * 3  # after 5, 10 and 12 steps
    assert shown == [(i, 12) for i in range(1, 13)]


class Interrupted(Exception):
    pass


def run(
    state: Path,
    stops: tuple[int, ...] = (),
    by: str = "progress",
    recipe: Recipe = RECIPE,
    make: Callable[[], nn.Module] = tiny,
) -> bytes:
    """Train for 12 iterations in as many runs as there are stops and one.

    The bytes of the final state.
    """
    for stop in (*stops, None):

        def progress(done, total, text, stop=stop):
            if by == "progress" and done == stop:
                raise Interrupted

        def report(values, iteration, stop=stop):
            if by == "report" and iteration == stop:
                raise Interrupted

        module = make()
        training = Training(recipe, 4, state=state, progress=progress, report=report, per_report=1)
        if stop:
            with pytest.raises(Interrupted):
                train(module, Toy(), training)
        else:
            train(module, Toy(), training)
    newest = max(state.iterdir())
    tensors, about = checkpoint.load_tensors(newest)
    assert about["iteration"] == (12 if recipe.last == "drop" else 16) and about["finished"]
    assert {f"module.{name}" for name in module.state_dict()} == tensors.keys()
    assert all(torch.equal(v, tensors[f"module.{k}"]) for k, v in module.state_dict().items())
    return newest.read_bytes()


@pytest.mark.parametrize("seconds", [0, 5])
@pytest.mark.parametrize("stops", [(1,), (3,), (4,), (11,), (5, 5, 10)])
def test_interrupted_run_ends_with_the_same_weights_and_momentum(
    tmp_path, monkeypatch, seconds, stops
):
    whole = run(tmp_path / "whole")
    # a clock that is read once a step, so that 5 of its seconds are five steps
    monkeypatch.setattr(
        loop,
        "time",
        SimpleNamespace(monotonic=itertools.count().__next__, perf_counter=time.perf_counter),
    )
    monkeypatch.setenv("TAGDAG_CHECKPOINT_SECONDS", str(seconds))
    for by in ("progress", "report"):
        assert run(tmp_path / by, stops, by) == whole


@pytest.mark.parametrize(
    "changed",
    [
        {"optimizer": {"name": "adamw"}, "rate": 0.01},
        {"optimizer": {"name": "lamb"}, "rate": 0.01},
        {"optimizer": {"name": "lars", "momentum": 0.9}},
        {"precision": "float16"},
        {"precision": "bfloat16"},
        {"ema": 0.9, "precise_bn": 40},
        {"last": "keep", "micro": 5},
        {"layer_decay": 0.7, "clip": 1.0},
    ],
    ids=str,
)
def test_every_recipe_goes_on_exactly(tmp_path, monkeypatch, changed):
    monkeypatch.setenv("TAGDAG_CHECKPOINT_SECONDS", "0")
    recipe = replace(RECIPE, **changed)
    assert run(tmp_path / "cut", (5, 9), "report", recipe) == run(tmp_path / "whole", recipe=recipe)


@pytest.mark.parametrize(
    "changed",
    [{}, {"precision": "float16", "ema": 0.9}, {"optimizer": {"name": "lamb"}, "micro": 5}],
    ids=str,
)
@pytest.mark.parametrize("make", [twofold, taught])
def test_several_optimizers_and_a_teacher_go_on_exactly(tmp_path, monkeypatch, changed, make):
    monkeypatch.setenv("TAGDAG_CHECKPOINT_SECONDS", "0")
    recipe = replace(RECIPE, **changed)
    whole = run(tmp_path / "whole", recipe=recipe, make=make)
    assert run(tmp_path / "cut", (1, 5, 9), "report", recipe, make) == whole


def test_finished_run_is_not_trained_again(tmp_path):
    state, samples = tmp_path / "state", Toy()
    run(state)
    module = tiny()
    train(module, samples, Training(RECIPE, 4, state=state))
    assert samples.seen == []
    trained = checkpoint.load_tensors(max(state.iterdir()))[0]["module.head.fc.weight"]
    assert torch.equal(module.head.fc.weight, trained)


def trained(folder: Path, make: str) -> bytes:
    """Train one of toys.py to the end; returns its file of weights."""
    module = getattr(toys, make)()
    train(module, Toy(), Training(RECIPE, 60, state=folder / "state"))
    save_network(folder / "model.safetensors", module, {}, ["a", "b", "c"])
    return (folder / "model.safetensors").read_bytes()


SCRIPT = """
import sys, torch
from pathlib import Path
from tests.engine.training.test_loop import trained
torch.set_num_threads(1)
trained(Path(sys.argv[1]), sys.argv[2])
"""


@pytest.mark.parametrize("make", ["tiny", "twofold", "taught"])
def test_killed_process_ends_with_the_same_bytes(tmp_path, monkeypatch, make):
    """This process goes on from what the killed one left, and trains undisturbed besides."""
    monkeypatch.setenv("TAGDAG_CHECKPOINT_SECONDS", "0.05")
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    killed.mkdir()
    whole.mkdir()
    command = [sys.executable, "-c", SCRIPT, killed, make]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[3])
    until = time.monotonic() + 300
    while not [file for file in killed.glob("state/*.safetensors") if int(file.stem)]:
        assert process.poll() is None and time.monotonic() < until, "no state was written"
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL
    newest = max(killed.glob("state/*.safetensors"))
    assert 0 < checkpoint.load_tensors(newest)[1]["iteration"] < 180
    assert trained(killed, make) == trained(whole, make)


def test_prediction_keeps_the_order_and_the_network(monkeypatch):
    module, samples = tiny(), Toy()
    train(module, samples, Training(RECIPE, 1))
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    expected, classes = answers(module, samples)
    assert torch.equal(classes, samples.classes)
    monkeypatch.setattr(predicting, "BATCH", 10)
    scores, classes = answers(module, samples)
    assert torch.equal(classes, samples.classes)
    torch.testing.assert_close(scores, expected, atol=1e-5, rtol=1e-5)
    pooled = predicted(module, samples, build("policies", {"name": "features"}))
    features = torch.cat([predictions["features"] for _, predictions, _ in pooled])
    torch.testing.assert_close(module.head.fc(features), expected, atol=1e-5, rtol=1e-5)
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert not scores.requires_grad


def test_network_that_has_predicted_can_be_trained():
    module = tiny()
    list(predicted(module, Toy()))
    train(module, Toy(), Training(RECIPE, 1))


def test_neighbouring_seeds_share_nothing():
    arguments = (
        [(a, b) for a in range(60) for b in range(60)]
        + [(a,) for a in range(60)]
        + [(a, 0, 0) for a in range(60)]
    )
    drawn = torch.stack([torch.rand(4, generator=seeded(*numbers)) for numbers in arguments])
    assert len({tuple(row) for row in drawn.tolist()}) == len(arguments)
    grid = drawn[:3600, 0].view(60, 60)
    for near in (grid[1:], grid[:, 1:], grid.T):
        away = grid[: len(near), : near.shape[1]]
        if near is grid.T:  # (a, b) against (b, a)
            near, away = (x.triu(1)[x.triu(1) > 0] for x in (near, away))
        assert abs(torch.corrcoef(torch.stack([near.flatten(), away.flatten()]))[0, 1]) < 0.08
    assert torch.equal(torch.rand(4, generator=seeded(3, 1)), torch.rand(4, generator=seeded(3, 1)))


def test_random_streams_of_one_seed_never_meet():
    numbers = [
        *((streams.ORDER, epoch) for epoch in range(20)),
        *((streams.VIEWS, iteration) for iteration in range(20)),
        (streams.FEW_LABELS,),
        *((streams.LAYERS, iteration, image) for iteration in range(20) for image in range(20)),
        (streams.HELD_OUT,),
        (streams.TEST_VIEWS,),
        *((streams.READING, iteration) for iteration in range(20)),
    ]
    seeds = {seeded(0, *each).initial_seed() for each in numbers}
    assert len(seeds) == len(numbers)


class Labelled:
    """As much of a split of shards as `few_per_class` reads: 20 forests and 10 beaches."""

    classes = ["forest", "beach"]  # noqa: RUF012

    def __len__(self) -> int:
        return 30

    def read(self, indices: torch.Tensor, column: str, draws: None = None) -> torch.Tensor:
        assert column == "label"
        return (torch.arange(30) % 3 == 2).long()[indices]


def test_few_labels_are_drawn_per_class_without_replacement():
    everything = Rows(Labelled(), {"label": {}})
    rows = few_per_class(everything, "label", 5, seeded(0))
    drawn = rows.rows.tolist()
    assert len(set(drawn)) == len(rows) == 10 and len(everything) == 30
    assert rows.column("label").tolist() == [0] * 5 + [1] * 5
    assert few_per_class(everything, "label", 5, seeded(0)).rows.tolist() == drawn
    assert few_per_class(everything, "label", 5, seeded(1)).rows.tolist() != drawn
    with pytest.raises(
        ValueError, match="'beach' has 10 training images, fewer than labels_per_class=11"
    ):
        few_per_class(everything, "label", 11, seeded(0))
