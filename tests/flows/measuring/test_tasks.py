"""Pretrainings and tasks of two kinds through evaluate and register: champions and the matrix."""

import csv
import itertools
import json
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from corpus.records.kind import kind
from engine.core.network import network, save_network
from flows import evaluate, register
from flows.measuring import duplicates, predictions, records
from flows.running import settings
from flows.tracking import tracking
from tests.flows.measuring.test_evaluate import Run, jpegs, table
from tests.support.networks import TINY
from tests.support.records import seed
from tests.support.shards import write_shards

NAMES = ["sea", "dog", "sun"]
INITS = ("tiny-hashtags", "tiny-rotation", "scratch")
OBJECTIVES = {"scenes": "supervised", "several": "multilabel"}
TASKS = {
    "scenes": {"data": "targets/scenes", "metric": {"name": "accuracy"}},
    "several": {"data": "targets/several", "metric": {"name": "mean_ap"}},
}


def saved(file: str, objective: str, number: int) -> None:
    torch.manual_seed(number)
    sections = {"backbone": TINY, "objective": {"name": objective}, "head": {"name": "linear"}}
    module = network(**sections, classes=len(NAMES), names=NAMES)
    torch.nn.init.normal_(module.head.fc.weight)
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    save_network(Path(file), module, sections, NAMES, size=32)


@pytest.fixture
def project(place, monkeypatch) -> Path:
    """Three inits of a network on a set of labels and one of tags, two seeds each."""
    monkeypatch.setenv("TAGDAG_ARMS", "1")
    monkeypatch.setattr(records, "PATIENCE", 0.0)
    monkeypatch.setattr(evaluate, "stage_run", lambda stage, section: nullcontext(Run()))
    rng = np.random.default_rng(0)
    ids = [
        *(f"test-{n}" for n in range(30)),
        *(f"{s}-{n}" for s in ("train", "val") for n in "0123"),
    ]
    scenes = jpegs(rng, ids, len(NAMES))
    several = [(*row, [n % 3, (n + 1) % 3][: 1 + n % 2]) for n, (*row, _) in enumerate(scenes)]
    write_shards(Path("out/corpus/targets/scenes"), scenes, NAMES, size=32)
    write_shards(Path("out/corpus/targets/several"), several, NAMES, size=32, kind=kind("tags"))
    write_shards(duplicates.HASHTAGS, jpegs(rng, ["train-9", "val-9"], 1), ["tag"], size=32)
    same = ("hashtags", "post-1", "targets/scenes", "test-1", "exact", False)
    table(Path("out/corpus/duplicates.parquet"), same)
    tasks = {name: task | {"inits": list(INITS)} for name, task in TASKS.items()}
    params = settings.load_params() | {"tasks": tasks}
    monkeypatch.setattr(settings, "load_params", lambda: params)
    saved("out/pretrain/tiny-hashtags/model.safetensors", "supervised", 0)
    for task, objective in OBJECTIVES.items():
        arms = []
        for init, number in itertools.product(INITS, range(2)):
            about = {"candidate": "tiny", "task": task, "init": init, "name": f"{init}-{number}"}
            about["labels"] = 0.5 if task == "several" else 20  # a share of them, in names as well
            arms.append(seed(number, 50.0 + number + len(init), **about))
            saved(f"out/finetune/{task}/{init}-{number}.safetensors", objective, len(arms))
        Path(f"out/finetune/{task}/records.json").write_text(json.dumps(arms))
    return place


def of_task(task: str) -> list[dict]:
    return json.loads(Path(f"out/evaluate/{task}/records.json").read_text())


def test_two_tasks_of_two_kinds_have_a_champion_each_and_one_matrix(project):
    for task in TASKS:
        evaluate.evaluate(task, batches=[1], runs=3, seconds=0.05)
    register.register(name="models")
    client = tracking.connect()
    for name, task, headline in (
        ("models", "scenes", "top1"),
        ("models-several", "several", "map"),
    ):
        champion = client.get_model_version_by_alias(name, "champion").tags
        best = max(of_task(task), key=lambda record: record["val"])
        assert champion["tagdag.model"] == best["model"]
        assert champion["tagdag.headline"] == headline and champion["tagdag.unit"] == "%"
        assert float(champion["tagdag.value"]) == pytest.approx(best["value"], rel=1e-5)
        assert len(client.search_model_versions(f"name = '{name}'")) == len(INITS)
    with Path("out/register/matrix.csv").open(newline="") as file:
        rows = {(row["task"], row["pretraining"]): row for row in csv.DictReader(file)}
    inits = ("scratch", "hashtags", "rotation")
    assert set(rows) == set(itertools.product(TASKS, inits))
    for task in TASKS:
        value = {init: float(rows[task, init]["value"]) for init in inits}
        for init in inits[1:]:
            row = rows[task, init]
            assert float(row["gain"]) == pytest.approx(value[init] - value["scratch"])
            assert float(row["gain_low"]) <= float(row["gain"]) <= float(row["gain_high"])
        assert rows[task, "scratch"]["gain"] == ""
    report = Path("out/register/report.md").read_text()
    assert "| candidate | pretraining | scenes, top-1 % | several, mAP % |" in report
    assert "mAP % (95 % interval)" in report and "top-1 % (95 % interval)" in report
    page = Path("out/register/report.html").read_text()
    assert "50 % of the labels" in page and "20 labels per class" in page
    assert "Task several" in page and "All tasks" in page and "Accuracy by class" in page


def test_a_set_of_several_classes_has_no_confusion_and_its_own_interval(project):
    evaluate.evaluate("several", batches=[1], runs=3, seconds=0.05)
    out = Path("out/evaluate/several")
    assert (out / "confusion.csv").read_text() == "actual,predicted\n"
    assert pq.read_table(out / "duplicates.parquet").num_rows == 0
    answers = pq.read_table(out / predictions.FILE)
    assert answers["guess"].null_count == answers["value"].null_count == len(answers) == 3 * 2 * 30
    for record in of_task("several"):
        assert "bound" not in record and record["low"] < record["value"] < record["high"]
        assert record["labels_seen"] == {"sea": 1, "dog": 1, "sun": 1}
