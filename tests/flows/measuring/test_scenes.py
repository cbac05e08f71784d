"""Networks of scenes through the stage evaluate: their numbers, files of the field, details."""

import contextlib
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from engine.core.build import build
from engine.core.samples import open_split
from flows.measuring import details, examples
from flows.measuring.fieldfiles import FileNames, ObjectFiles
from flows.measuring.scenedetails import kind_of
from flows.tools.compare_predictions import main as compare
from metrics.cli.command import read_pair
from tests.support.scenetask import IMAGES, TASKS

FILES = {
    "boxes": ("results.json", "instances.json"),
    "masks": ("results.json", "instances.json"),
    "pixels": ("semantic_results", "semantic_truth"),
    "panoptic": ("panoptic_results.json", "panoptic_truth.json"),
}


def records(project: Path, task: str) -> list[dict]:
    return json.loads((project / "out/evaluate" / task / "records.json").read_text())


def challenger(project: Path, task: str) -> dict:
    """The record of the model whose predictions are in the files."""
    return max(records(project, task), key=lambda record: record["val"])


@pytest.mark.parametrize("task", FILES)
def test_the_files_of_the_field_and_the_table_give_the_number_of_the_record(scene_project, task):
    folder, record = scene_project / "out/evaluate" / task, challenger(scene_project, task)
    names = open_split(scene_project / "out/corpus" / record["data"], "test").names
    field = [folder / "details" / name for name in FILES[task]]
    for files in (field, [folder / "predictions.parquet", None]):
        metric = build("metrics", TASKS[task][2])
        pair = read_pair(metric, *files)
        metric.update(pair.predictions, pair.targets)
        found = metric.compute()
        assert found[record["headline"]] == pytest.approx(record["best"], abs=1e-9)
        assert 5 < record["best"] < 95 and found["samples"] == record["samples"] == IMAGES[2]
        assert pair.names == (names if (task, files) != ("pixels", field) else [])


@pytest.mark.parametrize("task", ["boxes", "masks"])
def test_pycocotools_gives_the_number_of_the_record(scene_project, task):
    folder = scene_project / "out/evaluate" / task / "details"
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(folder / "instances.json"))
        found = truth.loadRes(str(folder / "results.json"))
        measured = COCOeval(truth, found, "bbox" if task == "boxes" else "segm")
        measured.evaluate()
        measured.accumulate()
        measured.summarize()
    record = challenger(scene_project, task)
    assert 100 * measured.stats[0] == pytest.approx(record["best"], abs=1e-6)
    assert 100 * measured.stats[3] == pytest.approx(record["values"]["ap_small"], abs=1e-6)
    assert {image["file_name"] for image in truth.dataset["images"]} == {
        *open_split(scene_project / "out/corpus/targets/objects", "test").ids
    }


def test_two_models_are_compared_by_their_files(scene_project, tmp_path, monkeypatch):
    folder = scene_project / "out/evaluate/masks/details"
    results = json.loads((folder / "results.json").read_text())
    worse = tmp_path / "worse.json"
    worse.write_text(json.dumps(results[::2]))
    out = tmp_path / "page.html"
    given = [worse, folder / "results.json", folder / "instances.json"]
    metric = "{name: coco_ap, of: masks}"
    compare([*map(str, given), "--metric", metric, "--out", str(out), "--shown", "3"])
    page = out.read_text()
    assert json.loads(out.with_suffix(".json").read_text())["gain"] > 0
    assert page.count("<svg") == 9 and "results is better by" in page


def test_details_tell_of_every_seed_and_class(scene_project):
    for task in FILES:
        record = challenger(scene_project, task)
        found = details.read(scene_project / "out/evaluate" / task)
        one = found["models"][record["model"]]
        assert found["models"].keys() == {each["model"] for each in records(scene_project, task)}
        assert [each["numbers"][record["headline"]] for each in one["by_seed"]] == record["by_seed"]
        assert len(one["by_seed"]) == 2 and one["seed"] == record["seed"]
        ranks = [each["rank"] for each in one["examples"]]
        assert ranks == ["best"] * 3 + ["typical"] * 3 + ["worst"] * 3
        qualities = [each["quality"] for each in one["examples"]]
        assert qualities[0] == max(qualities) > qualities[6] == min(qualities)
        size = len(found["names"]) + 1
        assert np.array(one["confusion"]).shape in ((size, size), (size - 1, size))
    objects = details.read(scene_project / "out/evaluate/boxes")["models"]
    for one in objects.values():
        for seed in one["by_seed"]:
            # AP-fixed is COCO's, where no image has more than a hundred detections
            assert seed["ap_fixed"] == pytest.approx(seed["numbers"]["ap"])
            assert {each["name"] for each in seed["picture"]["series"]} >= {"IoU 0.50"}
            assert seed["errors"]["found"] and seed["errors"]["missed"]


def test_a_network_is_tested_and_timed_at_each_size(scene_project):
    found = records(scene_project, "sized")
    assert [record["size"] for record in found] == [48, 48, 64, 64]
    assert len({record["network"] for record in found}) == 2
    for record in found:
        assert 0 <= record["low"] <= record["value"] <= record["high"] <= 100
        assert record["post_processing"] and record["latency_images"] == IMAGES[2]
        assert record["latency_p50_ms"] > record["latency_backbone_p50_ms"] > 0
        assert record["flops"] > 0 and record["labels_seen"] == {}
    # 64 px is how the longest side is stored; of the shorter one it makes a larger canvas
    canvas = {record["size"]: math.prod(record["latency_canvas"]) for record in found}
    assert canvas[48] != canvas[64]


def test_other_tasks_have_no_details(tmp_path):
    assert kind_of(build("metrics", {"name": "accuracy"})) is None
    assert kind_of(build("metrics", {"name": "mean_ap"})) is None
    assert kind_of(build("metrics", {"name": "voc_ap"})) == "objects"
    assert kind_of(build("metrics", {"name": "boundary_pq"})) == "panoptic"
    assert details.read(tmp_path) == {"names": [], "models": {}}
    (tmp_path / "details").mkdir()
    (tmp_path / "details/details.json").write_text("{")
    with pytest.raises(ValueError, match="cannot be read"):
        details.read(tmp_path)


def test_the_best_the_typical_and_the_worst_are_each_others_opposites():
    qualities, sizes = np.arange(30.0)[::-1], np.zeros(30)
    found = examples.chosen(qualities, sizes)
    ranks = [rank for rank in examples.RANKS for _ in range(3)]
    assert found == list(zip(ranks, [0, 1, 2, 14, 15, 13, 29, 28, 27], strict=True))
    assert examples.chosen(np.zeros(0), np.zeros(0)) == []
    # of images as good that with more to see is the first
    assert examples.chosen(np.array([90.0, 90, 50, 0]), np.array([1, 4, 1, 1]))[0] == ("best", 1)
    # where there is nothing to see comes last
    found = examples.chosen(np.array([100.0, 90, 50, 0]), np.array([0, 4, 1, 1]))
    assert found == [("best", 1), ("typical", 2), ("worst", 3)]


def test_names_of_files_lead_nowhere_and_are_each_once():
    names = FileNames()
    given = ["test/a.jpg", "test/a.png", "../../etc/passwd", "TEST_A", "", "x" * 300, "\u4e00"]
    made = [names.of(key) for key in given]
    assert made[:2] == ["test_a", "test_a-2"] and len({*map(str.lower, made)}) == len(given)
    for name in made:
        assert "/" not in name and not name.startswith(".") and 0 < len(name) <= 110


def test_difficult_objects_are_written_as_crowds(tmp_path):
    flag = torch.tensor([True, False])
    boxes = torch.tensor([[0.0, 0, 4, 5], [1, 1, 2, 2]])
    labels = torch.tensor([0, 1])
    given = {"boxes": [boxes], "box_label": [labels], "box_score": [torch.tensor([0.5, 0.25])]}
    true = {"boxes": [boxes], "box_label": [labels], "box_ignore": [flag]}
    files = ObjectFiles(tmp_path, ["a", "b"])
    files.add(["x"], given, true | {"sides": [torch.tensor([9, 8])]})
    files.write()
    truth = json.loads((tmp_path / "instances.json").read_text())
    assert [(a["iscrowd"], a.get("ignore")) for a in truth["annotations"]] == [(1, 1), (0, None)]
    assert truth["images"] == [{"id": 1, "file_name": "x", "width": 9, "height": 8}]
    assert truth["annotations"][0]["area"] == 20
    found = json.loads((tmp_path / "results.json").read_text())
    assert [(row["bbox"], row["score"]) for row in found] == [
        ([0, 0, 4, 5], 0.5),
        ([1, 1, 1, 1], 0.25),
    ]
