"""What the registry keeps of a version for comparisons."""

import csv
import json
from pathlib import Path

import mlflow
import numpy as np
import pyarrow.parquet as pq
import pytest

from flows.registry import evidence
from flows.reports.models import calibration, tables
from flows.tracking import tracking
from tests.support.modelreports import CLASSES, Made
from tests.support.records import images, record, registered, trained


def kept(version: str, target: Path) -> Path:
    """The files of a version of `models`."""
    run_id = tracking.connect().get_model_version("models", version).run_id
    return Path(mlflow.artifacts.download_artifacts(f"runs:/{run_id}/compare", dst_path=target))


def test_a_version_keeps_answers_pictures_and_origin(place):
    made = Made(test=20)
    made.images()
    answered = made.model("winner", "hashtags", "linear", 0.7)
    made.write()
    Path("out/corpus/summary.json").write_text('{"posts": 8000}')
    Path("out/corpus/vocabulary.csv").write_text("hashtag,posts\nsea,3\n<b>,70\n")
    about = {"model": answered["model"], "labels_seen": {"beach": 50}}
    registered(record("winner", 60, 60, 50, **about))
    folder = kept("1", place)
    found = json.loads((folder / "about.json").read_text())
    assert found["corpus"] == {"posts": 8000} and found["labels"] == {"beach": 50}
    assert found["params"]["register"]["name"] == "tagdag"
    assert len(found["code"]["flows/registry/evidence.py"]) == 16
    assert pq.read_table(folder / "vocabulary.parquet")["posts"].to_pylist() == [70, 3]
    answers = pq.read_table(folder / "answers.parquet").to_pylist()
    assert len(answers) == 3 * 80
    wrong = {row["id"]: row["score"] for row in answers if row["label"] != row["guess"]}
    shown = pq.read_table(folder / "images.parquet").to_pylist()
    assert {row["id"] for row in shown} == wrong.keys()
    by_id = {key: made.pictures[place] for place, key in enumerate(_ids(made))}
    assert all(row["image"] == by_id[row["id"]] for row in shown)


def _ids(made: Made) -> list[str]:
    """The ids of all images, in the order of their pictures."""
    rows = []
    for split, counts in made.counts.items():
        for index, count in enumerate(counts):
            rows += [f"{split}-{made.classes[index]}-{number}" for number in range(count)]
    return rows


def test_pictures_are_few_and_small(place):
    made = Made(test=60)
    made.side, made.noise = 128, True
    made.images()
    answered = made.model("winner", "hashtags", "linear", 0.4)
    made.write()
    answers = evidence.answers_of({"model": answered["model"], "task": "scenes"})
    evidence._write_images(place / "few.parquet", answers, "targets/scenes")
    found = pq.read_table(place / "few.parquet").to_pylist()
    assert len(found) == 120 and max(len(row["image"]) for row in found) < 13_000
    assert len(evidence.surest_mistakes(answers, 5)) == 5
    scores = {}
    for row in answers.to_pylist():
        if row["label"] != row["guess"]:
            scores[row["id"]] = max(row["score"], scores.get(row["id"], 0))
    best = sorted(scores, key=lambda key: -scores[key])[:5]
    assert evidence.surest_mistakes(answers, 5) == best


def test_a_champion_tested_again_keeps_its_origin_and_gets_new_answers(place):
    test = images(40)
    registered(trained("a", seed=0, test=test))
    first = json.loads((kept("1", place / "x") / "about.json").read_text())
    Path("out/corpus/summary.json").write_text('{"posts": 9}')
    new = images(30, seed=1)
    registered(record("b", 99, 99, 98, test=new))
    folder = kept("1", place / "y")
    assert json.loads((folder / "about.json").read_text()) == first
    answers = pq.read_table(folder / "answers.parquet")
    assert len(answers) == 30
    right = (answers["label"].to_numpy() == answers["guess"].to_numpy()).mean()
    tags = tracking.connect().get_model_version("models", "1").tags
    assert float(tags["tagdag.best"]) == float(f"{100 * right:.6g}")
    run = tracking.connect().get_run(tracking.connect().get_model_version("models", "1").run_id)
    assert run.data.tags["tagdag.compare"] == new


def test_mlflow_shows_classes_confusion_and_calibration_of_every_version(place):
    made = Made([*CLASSES[:3], "=cmd()"], test=20)
    made.images()
    answered = made.model("winner", "hashtags", "linear", 0.7)
    made.write()
    registered(record("winner", 60, 60, 50, model=answered["model"]))
    client = tracking.connect()
    run_id = client.get_model_version("models", "1").run_id
    metrics = client.get_run(run_id).data.metrics
    answers = tables.answered(answered["model"], "scenes")
    beach = answers.hits[:, answers.labels == 1].mean()
    assert metrics["class_top1/beach"] == pytest.approx(100 * beach)
    error = calibration.reliability(answers.scores, answers.hits).error
    assert metrics["calibration_error"] == pytest.approx(error)
    folder = Path(mlflow.artifacts.download_artifacts(f"runs:/{run_id}/details", dst_path=place))
    with (folder / "classes.csv").open(newline="") as file:
        rows = {row["class"]: row for row in csv.DictReader(file)}
    assert float(rows["beach"]["top1 %"]) == pytest.approx(100 * beach, abs=1e-3)
    assert "'=cmd()" in rows and "=cmd()" not in rows  # no spreadsheet runs it
    with (folder / "confusion.csv").open(newline="") as file:
        counts = np.array([row[1:] for row in csv.reader(file)][1:], int)
    assert (counts == answers.confusion).all()
    text = (folder / "model.html").read_text()
    assert "confusion matrix" in text and "Expected calibration error" in text
    seen = client.get_metric_history(run_id, "calibration_error")
    registered(record("winner", 60, 60, 50, model=answered["model"]))
    assert client.get_metric_history(run_id, "calibration_error") == seen
