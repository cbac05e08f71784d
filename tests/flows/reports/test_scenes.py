"""The report of tasks of scenes: what is found, missed and wrong, drawn and in numbers."""

import csv
import json
import re

import pytest

from flows.reports.models import cautions, details, scenes
from flows.reports.models.outcome import Outcome
from flows.reports.models.page import page
from flows.reports.models.reading import read
from flows.reports.models.sceneimages import examples
from flows.reports.models.scenetold import class_table, told_of
from flows.reports.models.text import markdown
from flows.running import settings
from tests.support.modelreports import plain

TASKS = ("boxes", "masks", "pixels", "panoptic")
HOSTILE = "<b>&\u202e\x00'\""


@pytest.fixture
def project(scene_project, monkeypatch):
    """The folder of the stage evaluate, as the present one."""
    monkeypatch.chdir(scene_project)
    return scene_project


def found(*tasks: str):
    """The findings of some tasks, the first of which is looked into."""
    outcomes = []
    for task in tasks:
        folder = settings.OUT / "evaluate" / task
        records = json.loads((folder / "records.json").read_text())
        gains = json.loads((folder / "gains.json").read_text())
        versions = {record["model"]: str(n) for n, record in enumerate(records)}
        outcomes.append(Outcome(task, task, records, gains, versions, "done", {}))
    return read(outcomes, {"tagdag.commit": "abc"})


def test_every_task_of_scenes_has_its_sections(project):
    findings = found(*TASKS)
    text = page(findings)
    titles = re.findall(r"<h2><bdi>(.*?)</bdi></h2>", text)
    own = ["Precision and recall", "Quality by class", "What is wrong", "Scores and precision"]
    assert [title for title in titles if title in own] == own and "Images" in titles
    assert "Average precision against cost" in titles
    # of further tasks within theirs
    for title, times in (("Quality by class", 3), ("Numbers", 2), ("Images", 3)):
        assert text.count(f"<h3>{title}</h3>") == times
    words = plain(text)
    for said in (
        "Missed are",
        "Mean distance, weighted by detections",
        "AP-pool",
        "small, below 32 x 32 px",
        "recall, 1 detection a class and image",
        "nothing",
        "fewer than 30 objects in the test split",
        "of it the backbone, p50 ms",
        "PQ is SQ times RQ",
    ):
        assert said in words, said
    assert "PQ %" in markdown(findings) and "AP %" in markdown(findings)


def test_the_numbers_of_the_page_are_those_of_the_seeds(project):
    findings = found("boxes")
    one = told_of(findings, "boxes")[0]
    assert one.record is findings.shown
    words = plain("".join(scenes.by_class(one)))
    head, rows = class_table(one)
    assert head == ["class", "ap", "seed 1", "seed 2"] and len(rows) > 3
    for name, mean, *seeds in rows:
        assert f"{name} {mean:.1f} ({min(seeds):.1f} to {max(seeds):.1f})" in words
    mean = sum(seed["numbers"]["ap"] for seed in one.seeds) / 2
    assert mean == pytest.approx(findings.shown["value"])
    [warned] = cautions.few_objects(findings)
    counts = {row["class"]: row["truths"] for row in one.seeds[0]["rows"]}
    assert warned.startswith(f"{sum(0 < each < 30 for each in counts.values())} classes have")


def test_what_is_missed_and_wrong_is_drawn_dashed_and_told(project):
    findings = found("boxes", "masks")
    for task in ("boxes", "masks"):
        one = told_of(findings, task)[0]
        pictures = findings.scene_pictures[task]
        for entry in one.details["examples"]:
            assert entry["id"] in pictures
            [drawn] = examples([entry], one.kind, one.names, pictures)
            left, right = re.findall(r"<figure>(.*?)</figure>", drawn)
            missed = sum(each["missed"] for each in entry["true"])
            free = sum(each["free"] for each in entry["true"])
            assert left.count("<rect") == len(entry["true"])
            assert left.count("stroke-dasharray") == missed + free
            assert f"{missed} missed" in left
            kinds = [each["kind"] for each in entry["found"]]
            assert right.count("<rect") == len(kinds)
            assert right.count("stroke-dasharray") == len(kinds) - kinds.count("found")
            for each in entry["found"]:
                assert f"{one.names[each['label']]} {each['score']:.2f}" in right
        every = [each["kind"] for entry in one.details["examples"] for each in entry["found"]]
        assert {"duplicate", "wrong class"} & {*every}


def test_a_network_that_finds_nothing_has_a_page(project):
    findings = found("sized")
    one = told_of(findings, "sized")[0]
    for seed in one.seeds:
        none = {"score": [], "right": [], "count": [], "error": 0.0}
        seed |= {"calibration": none, "errors": dict.fromkeys(seed["errors"], 0)}
        for line in seed["picture"]["series"]:
            line["y"] = [0.0] * len(line["y"])
    for entry in one.details["examples"]:
        entry["found"].clear()
    words = plain(page(findings))
    assert "Nothing is found in any test image" in words and "found: 0, 0 of them wrong" in words
    # two sizes in one table
    assert "tiny, head retinanet, 48 px" in words and "tiny, head retinanet, 64 px" in words


def test_names_of_strangers_are_text_and_images_may_be_missing(project):
    findings = found(*TASKS)
    for task in TASKS:
        findings.details[task]["names"][:] = [f"{HOSTILE}{n}" for n in range(12)]
        findings.scene_pictures[task].clear()
        for one in findings.details[task]["models"].values():
            for entry in one["examples"]:
                entry["id"] = f"{HOSTILE}{entry['id']}"
    text = page(findings)
    assert "<b>&" not in text.replace("<b>&lt;", "")
    assert "&lt;b&gt;&amp;" in text and "\x00" not in text


def test_a_model_of_scenes_has_tables_and_a_page_of_its_own(project, tmp_path):
    for task, key in (("masks", "ap"), ("pixels", "iou"), ("panoptic", "pq")):
        record = json.loads((settings.OUT / "evaluate" / task / "records.json").read_text())[0]
        folder = tmp_path / task
        folder.mkdir()
        numbers = details.write(folder, record["model"], task)
        rows = list(csv.DictReader((folder / "classes.csv").open()))
        assert numbers == {f"class_{key}/{row['class']}": float(row[key]) for row in rows}
        assert (folder / "precision_recall.csv").exists() == (task == "masks")
        whole = list(csv.reader((folder / "confusion.csv").open()))
        assert whole[0][-1] == whole[-1][0] == "nothing" and len(whole) == len(whole[0])
        assert "Most often" in (folder / "model.html").read_text()
    assert details.write(tmp_path, "none such", "masks") == {}
