"""What a pretraining is measured by: right, there after a kill, and nothing is changed by it."""

import csv
import logging
import multiprocessing
import os
import signal
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from engine.core.network import network
from engine.measure.representation import effective_rank, feature_spread, knn_accuracy
from engine.training.launching import launch
from flows import pretrain
from flows.cli.validate_networks import validate_monitor
from flows.training import learning
from flows.training.monitoring import Monitor, Monitoring, collapsed, measured
from tests.flows.training.test_pretrain import BACKBONE, OUT, SECTION, Run, write_noise, written
from tests.support import params

SIMCLR = {"name": "simclr", "width": 8}
TRAINING = SECTION | {"objective": SIMCLR, "seed": 3, "epochs": 3, "resampling": {}}
TRAINING["metric"] = {"name": "accuracy"}
MONITOR = {"data": "targets/two", "images": 6, "k": 3}


class Told(Run):
    """Remembers metrics too, by step."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: dict[int, dict[str, float]] = {}

    def metrics(self, values: dict, step: int = 0) -> None:
        self.steps.setdefault(step, {}).update(values)


@pytest.fixture
def run(tmp_path, monkeypatch) -> Told:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    write_noise("hashtags", ["sea", "dog"], seed=0, held=3)
    write_noise("targets/two", ["a", "b"], seed=1, held=4)
    params.named({"small": BACKBONE}, {"tiny": "small"})
    told = Told()
    monkeypatch.setattr(pretrain, "stage_run", lambda stage, section: nullcontext(told))
    return told


def monitored() -> list[dict[str, str]]:
    with (OUT / "monitor.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_weights_and_curve_are_the_same_bytes_with_a_monitor_and_without(run, capsys):
    pretrain.pretrain("tiny", **TRAINING)
    alone = written()
    pretrain.pretrain("tiny", **TRAINING, monitor=MONITOR)
    found = written()
    rows = found.pop("monitor.csv").decode().splitlines()
    assert found == alone
    numbers = ["knn_accuracy", "feature_spread", "feature_rank"]
    numbers += ["embedding_spread", "embedding_rank"]
    assert rows[0].split(",") == ["epoch", "step", *numbers]
    assert [row.split(",")[:2] for row in rows[1:]] == [["1", "2"], ["2", "4"], ["3", "6"]]
    assert set(numbers) <= run.steps[2].keys() and set(numbers) <= run.steps[6].keys()
    assert "pretrain tiny, epoch 2: knn_accuracy " in capsys.readouterr().out


def test_of_every_second_epoch_and_at_the_end(run):
    pretrain.pretrain("tiny", **TRAINING, monitor={"every": 2})
    assert [row["epoch"] for row in monitored()] == ["2", "3"]
    # no labelled set: no neighbours
    assert "knn_accuracy" not in monitored()[0]
    pretrain.pretrain("tiny", **TRAINING | {"epochs": 1.5}, monitor={"every": 4})
    assert [(row["epoch"], row["step"]) for row in monitored()] == [("1.5", "3")]


def test_the_numbers_are_those_of_the_weights_and_images(run):
    state = Path("state")
    section = pretrain.section_of({"training": "tiny", **TRAINING, "data": "hashtags"})
    watch = Monitoring({"data": "targets/two"}, section, state, run, "one")
    torch.manual_seed(0)
    module = network(BACKBONE, SIMCLR, {"name": "linear"}, classes=2)
    found = measured(module, watch.images("val"), watch.images("train"), watch.settings)
    features, labels = {}, {}
    for split in ("train", "val"):
        batch = watch.images(split).read(torch.arange(len(watch.images(split))))
        with torch.no_grad():
            features[split] = module.features(module.plain(batch["image"]))
        labels[split] = batch["label"]
    with torch.no_grad():
        projected = module.projector(features["val"])
    pairs = [(features[split], labels[split]) for split in ("train", "val")]
    near = knn_accuracy(*pairs[0], *pairs[1])
    assert found["knn_accuracy"] == pytest.approx(near)
    assert found["feature_spread"] == pytest.approx(feature_spread(features["val"]), rel=1e-4)
    assert found["embedding_rank"] == pytest.approx(effective_rank(projected), rel=1e-3)
    assert len(watch.images("train")) == 8 and len(watch.images("val")) == 4


def test_a_collapse_is_told_once_with_its_causes(run, caplog, monkeypatch):
    from models.objectives.simclr import SimCLR

    one = lambda self, images: torch.ones(len(images), 4)  # noqa: E731
    monkeypatch.setattr(SimCLR, "embedded", one)
    with caplog.at_level(logging.WARNING, "tagdag"):
        pretrain.pretrain("tiny", **TRAINING, monitor={})
    told = [record.getMessage() for record in caplog.records if "collapse" in record.getMessage()]
    assert len(told) == 1 and told[0].startswith("pretrain tiny, epoch 2: ")
    assert "learning rate" in told[0] and "teacher" in told[0] and "monitor.csv" in told[0]
    assert [float(row["embedding_spread"]) for row in monitored()] == pytest.approx(
        [0] * 3, abs=1e-6
    )


@pytest.mark.parametrize(
    ("falls", "told"),
    [("10", []), ("11", [2]), ("101", []), ("0110", [3]), ("01101", [3]), ("10001", [5])],
)
def test_two_measurements_in_turn_tell_or_the_last_one(run, falls, told):
    section = pretrain.section_of({"training": "tiny", **TRAINING, "data": "hashtags"}) | {
        "epochs": 5
    }
    watch = Monitoring({}, section, Path("state"), run, "one")
    fallen = {"1": {"feature_spread": 0.0}, "0": {"feature_spread": 0.9}}
    rows = [{"epoch": i, "feature_rank": 9.0} | fallen[fall] for i, fall in enumerate(falls, 1)]
    assert [i for i in range(1, len(rows) + 1) if watch._to_be_told(rows[:i])] == told


def test_nothing_is_told_of_numbers_that_are_well_or_none():
    well = {"epoch": 1, "step": 2, "feature_spread": 0.5, "feature_rank": 20.0}
    assert not collapsed(well)
    assert not collapsed(well | {"feature_spread": float("nan"), "feature_rank": float("nan")})
    assert collapsed(well | {"embedding_spread": 0.01, "embedding_rank": 9.0})


def train_slowly(folder: Path, killed_after: int) -> None:
    """The pretraining in a process that kills itself once it has measured so many epochs."""
    os.chdir(folder)
    torch.set_num_threads(1)
    measure, pretrain.stage_run = Monitoring.measure, lambda stage, section: nullcontext(Told())

    def measured(self, epochs, module):
        measure(self, epochs, module)
        if epochs == killed_after:
            # the state that is being written meanwhile may be whole or not
            time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)

    Monitoring.measure = measured
    pretrain.pretrain("tiny", **TRAINING, monitor=MONITOR)


@pytest.mark.parametrize("seconds", ["0", "15"])
def test_a_killed_run_has_the_rows_and_the_weights_of_one_that_was_not(run, monkeypatch, seconds):
    pretrain.pretrain("tiny", **TRAINING, monitor=MONITOR)
    whole = written()
    monkeypatch.setenv("TAGDAG_CHECKPOINT_SECONDS", seconds)
    for epoch in (1, 2, 3):
        process = multiprocessing.get_context("fork").Process(
            target=train_slowly, args=(Path.cwd(), epoch)
        )
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    pretrain.pretrain("tiny", **TRAINING, monitor=MONITOR)
    assert written() == whole


def train_both(section: dict, folder: Path, watch: Monitoring) -> None:
    """As one of several workers, without a monitor and with it."""
    for name, given in (("without", None), ("with", watch)):
        learning.train_as_worker(section, folder / name, Told(), "two", given)


def test_of_several_workers_the_first_measures(run):
    section = pretrain.section_of({"training": "tiny", **TRAINING, "data": "hashtags"})
    folder = Path("state").absolute()
    watch = Monitoring(MONITOR, section, folder / "with", run, "two")
    launch(2, train_both, section, folder, watch)
    newest = [max((folder / name).glob("*.safetensors")) for name in ("without", "with")]
    assert newest[0].name == newest[1].name == "000000006.safetensors"
    assert newest[0].read_bytes() == newest[1].read_bytes()
    # the last measurement is of who takes the weights up
    assert [row["epoch"] for row in watch.rows()] == [1, 2]


@pytest.mark.parametrize(
    ("monitor", "recipe", "message"),
    [
        ({"evry": 2}, {}, "pretrain.x.monitor: unknown key 'evry'.*every"),
        ({"k": 0}, {}, "pretrain.x.monitor.*k.*0"),
        ({"data": "hashtags"}, {}, "neighbours tell one class per image, and hashtags has"),
        ({"data": "../etc"}, {}, "pretrain.x.monitor.data"),
        ({}, {"sharded": True}, "one worker measures, and recipe.sharded splits"),
    ],
)
def test_what_is_wrong_is_told_before_anything_runs(monitor, recipe, message):
    with pytest.raises(ValueError, match=message):
        validate_monitor({"monitor": monitor, "recipe": recipe}, "pretrain.x.monitor")


def test_what_is_right_passes_and_a_split_without_images_is_told(run):
    validate_monitor({"monitor": MONITOR, "recipe": {}}, "pretrain.x.monitor")
    assert Monitor(**MONITOR).every == 1
    write_noise("targets/none", ["a", "b"], seed=1, held=0)
    with pytest.raises(ValueError, match="targets/none has no split 'val', only train"):
        pretrain.pretrain("tiny", **TRAINING, monitor={"data": "targets/none"})
