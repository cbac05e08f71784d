"""`tagdag predict` by networks of objects: what the stage evaluate sees, in px of the files."""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO

from corpus.drawn.objects import write_source
from corpus.kinds.posts import Post
from corpus.media.runs import decoded, nearest
from corpus.sources.source import source_rows
from corpus.store.ingest import ingest
from corpus.store.write import write_store
from engine.core.build import build
from engine.core.network import load_network, network, save_network
from engine.core.samples import Rows, open_split
from engine.training.predicting import predicted
from flows.predicting import predict, scenes
from flows.predicting.drawing import drawing
from flows.predicting.sceneresults import table_lines
from flows.registry import evidence, retest
from flows.tools import predict as command
from metrics.formats import panoptic
from metrics.pq import PQ
from tests.support.corpora import build_with
from tests.support.networks import TINY
from tests.support.photographs import encoded, picture
from tests.support.scenes import head_section

SIZE = 40  # px of the stored images, the drawn ones have 96
IMAGES = (4, 2, 5)
HEADS = {"instances": "mask_rcnn", "semantic": "semantic_fpn", "panoptic": "panoptic_fpn"}
SEGMENTS = {"name": "panoptic", "score": 0.08, "stuff_area": 20}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A set of drawn objects, its shards; a weight file of each of HEADS."""
    top = tmp_path_factory.mktemp("objects")
    write_source(top / "own", IMAGES)
    for kind in ("boxes", "panoptic"):
        rows = source_rows(str(top / "own"), None, kind, top / f"{kind} spool")
        ingest(rows, top / "data", f"targets/{kind}", kind=kind)
    post = Post(id="p", image="p.jpg", hashtags=["sea"]), encoded(picture(40, 40), "PNG")
    write_store(top / "data/posts", [post])
    few = {"min_posts": 1, "min_tags": 1}
    build_with(top / "data", top / "out", top / "cache", size=SIZE, **few)
    for objective, head in HEADS.items():
        torch.manual_seed(0)
        sections = {"backbone": TINY, "objective": {"name": objective}}
        sections["head"] = head_section(head)
        names = names_of(top, objective)
        module = network(**sections, classes=len(names), names=names)
        save_network(top / f"{objective}.safetensors", module, sections, names, size=SIZE)
    asked = {"size": SIZE, "policy": SEGMENTS}
    save_network(top / "segments.safetensors", module, sections, names, **asked)
    return top


def names_of(made: Path, objective: str) -> list[str]:
    """The classes of the set that a network is of."""
    return list(open_split(folder_of(made, objective), "test").names)


def folder_of(made: Path, objective: str) -> Path:
    return made / "out/targets" / ("boxes" if objective == "instances" else "panoptic")


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(monkeypatch, made: Path, objective: str, *arguments: str) -> dict[str, Any]:
    """What the command writes into the present folder, by default of all objects."""
    model = ["--model", str(made / f"{objective}.safetensors")]
    least = [] if "--threshold" in arguments else ["--threshold", "0"]
    monkeypatch.setattr(sys, "argv", ["predict", *arguments, *model, *least, "--out", "out.json"])
    command.main()
    return json.loads(Path("out.json").read_text())


def measured(made: Path, objective: str) -> list[dict[str, torch.Tensor]]:
    """What the stage evaluate sees of each test image, at the size that it is stored with."""
    module = load_network(made / f"{objective}.safetensors")[0]
    shards = open_split(folder_of(made, objective), "test")
    assert "sides" in shards.columns and len(shards) == IMAGES[2]
    found = []
    policy = build("policies", SEGMENTS if objective == "segments" else {"name": "plain"})
    for indices, predictions, _ in predicted(module, Rows(shards, module.reads), policy):
        for place in range(len(indices)):
            found.append({name: column[place] for name, column in predictions.items()})
    return [dict(row, key=Path(key).name) for row, key in zip(found, shards.ids, strict=True)]


def files(made: Path) -> list[str]:
    return sorted(map(str, (made / "own").rglob("*objects-test-*.jpg")))


def test_objects_are_those_of_the_stage_evaluate_in_px_of_the_files(here, made, monkeypatch):
    out = run(monkeypatch, made, "instances", *files(made), "--draw", "drawn")
    images = {Path(image["file_name"]).name: image for image in out["images"]}
    coco, names = COCO("out.json"), names_of(made, "instances")  # as others read it
    for row in measured(made, "instances"):
        image = images[row["key"]]
        height, width = image["height"], image["width"]
        assert max(height, width) == 96, "and not SIZE, of which the network's answers are"
        given = coco.imgToAnns[image["id"]]
        stored = row["masks"].shape[1:]
        order = row["box_score"].argsort(descending=True, stable=True).tolist()
        assert len(given) == len(order) > 5
        for entry, place in zip(given, order, strict=True):
            assert entry["score"] == pytest.approx(row["box_score"][place].item(), rel=1e-6)
            assert entry["category"] == names[row["box_label"][place]]
            assert out["categories"][entry["category_id"] - 1]["name"] == entry["category"]
            x1, y1, x2, y2 = row["boxes"][place].tolist()
            box = np.array([x1, y1, x2 - x1, y2 - y1]) * (
                [width / stored[1], height / stored[0]] * 2
            )
            assert entry["bbox"] == pytest.approx(box, abs=1e-3)
            assert entry["segmentation"]["size"] == [height, width]
            mask = decoded(entry["segmentation"]["counts"].encode(), height, width)
            taken = nearest(*stored, (height, width))
            assert np.array_equal(mask, row["masks"][place].numpy()[taken.rows][:, taken.columns])
            assert entry["area"] == mask.sum()
    assert sorted(path.suffix for path in Path("drawn").iterdir()) == [".jpg"] * IMAGES[2]


@pytest.mark.parametrize("objective", ["semantic", "panoptic"])
def test_maps_are_those_of_the_stage_evaluate(here, made, monkeypatch, objective):
    out = run(monkeypatch, made, objective, *files(made))
    names = {image["id"]: Path(image["file_name"]).name for image in out["images"]}
    classes = names_of(made, objective)
    rows = {row["key"]: row for row in measured(made, objective)}
    assert [category["value"] for category in out["categories"]] == list(range(len(classes)))
    for told in out["maps"]:
        found = np.asarray(Image.open(Path("out", told["file_name"])))
        stored = rows[names[told["image_id"]]]["semantic"].numpy()
        taken = nearest(*stored.shape, found.shape)
        assert np.array_equal(found, stored[taken.rows][:, taken.columns])
        areas = Counter(found[found < 255].tolist())
        assert told["areas"] == {classes[label]: area for label, area in areas.items()}
    assert len(out["maps"]) == IMAGES[2]
    assert bool(out["annotations"]) == (objective == "panoptic"), "of a plain policy things as well"


@pytest.mark.parametrize("objective", ["instances", "segments"])
def test_a_champion_is_tested_again_by_the_metric_of_its_task(here, made, objective):
    """As the stage register does where the test split is another one by now."""
    segments = objective == "segments"
    about = {"data": f"targets/{'panoptic' if segments else 'boxes'}", "task": "x", "model": "a"}
    about |= {"policy": SEGMENTS if segments else {"name": "plain"}, "size": SIZE, "seed": 0}
    about["metric"] = {"name": "pq" if segments else "coco_ap", "resamples": 100}
    Path("out").mkdir()
    Path("out/corpus").symlink_to(made / "out")
    found = retest.test_again(made / f"{objective}.safetensors", about)
    assert found.numbers["headline"] == ("pq" if segments else "ap")
    assert found.numbers["value"] >= 0 and found.numbers["samples"] == IMAGES[2]
    assert found.answers["guess"].null_count == len(found.answers) == IMAGES[2]
    evidence._write_answers(here, found.answers, about["data"])
    assert pq.read_table(here / evidence.IMAGES).num_rows == 0, "no sample has one class"


def test_segments_of_the_policy_of_the_task_are_cocos(here, made, monkeypatch, capsys):
    out = run(monkeypatch, made, "segments", *files(made), "--draw", "drawn")
    names = {image["id"]: Path(image["file_name"]).name for image in out["images"]}
    rows, things = {row["key"]: row for row in measured(made, "segments")}, set()
    for told in out["annotations"]:
        colours = np.asarray(Image.open(Path("out", told["file_name"]))).astype(int)
        found, row = colours @ [1, 256, 65536], rows[names[told["image_id"]]]
        stored = row["panoptic"].numpy()
        taken = nearest(*stored.shape, found.shape)
        assert np.array_equal(found, stored[taken.rows][:, taken.columns])
        for info in told["segments_info"]:
            assert info["area"] == (found == info["id"]).sum() > 0
            assert info["category_id"] == row["panoptic_label"][info["id"] - 1] + 1
        things |= set(row["panoptic_label"][row["panoptic_thing"]].tolist())
    assert things and not out["maps"] and len(list(Path("drawn").iterdir())) == IMAGES[2]
    isthing = [place for place, each in enumerate(out["categories"]) if each["isthing"]]
    assert isthing == sorted(things)
    pair = panoptic.read(Path("out.json"), Path("out.json"), PQ.reads)
    assert len(pair.samples) == IMAGES[2], "and as our own metrics read it"


def test_bad_images_are_counted_videos_refused_and_a_threshold_is_half(
    here, made, monkeypatch, capsys
):
    good = encoded(picture(90, 50), "PNG")
    turned = Image.open(made / "own" / files(made)[0]).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    names = {"a.png": good, "b.jpg": b"", "c.gif": b"GIF89a", "d.mp4": b"\0\0\0\x18ftypmp42" * 40}
    names["e.jpg"] = encoded(turned, "JPEG", exif=exif)
    for name, data in names.items():
        Path(name).write_bytes(data)
    out = run(monkeypatch, made, "instances", *names, "missing.jpg", "--embed", "f.npy")
    assert [image["file_name"] for image in out["images"]] == ["a.png", "e.jpg"]
    sides = out["images"][1]
    assert (sides["width"], sides["height"]) == turned.size[::-1], "upright, as people see it"
    errors = {each["file_name"]: each["error"] for each in out["errors"]}
    assert list(errors) == ["b.jpg", "c.gif", "d.mp4", "missing.jpg"]
    assert "a video" in errors["d.mp4"] and errors["b.jpg"].startswith("empty")
    assert np.isnan(np.load("f.npy")).any(1).tolist() == [False, True, True, True, False, True]
    told = capsys.readouterr()
    assert "6 images, 4 bad" in told.out and "bad: d.mp4" in told.err
    lines = told.out.splitlines()
    assert lines[0].startswith("a.png  ") and lines[2].startswith("all: ")
    few = run(monkeypatch, made, "instances", "a.png", "--threshold", "0.5")
    assert few["annotations"] == [] and "a.png  nothing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("objective", "arguments", "says"),
    [
        ("instances", ["--suggest", "3"], "this network finds objects"),
        ("instances", ["--views", "2x3"], "--views are of videos"),
        ("semantic", [], "the maps of out.json would be the folder out, where mine.jpg is"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_runs(
    here, made, monkeypatch, capsys, objective, arguments, says
):
    Path("out").mkdir()
    Path("out/mine.jpg").write_bytes(b"mine")
    with pytest.raises(SystemExit):
        run(monkeypatch, made, objective, files(made)[0], *arguments)
    assert says in capsys.readouterr().err
    assert Path("out/mine.jpg").read_bytes() == b"mine" and not Path("out.json").exists()


def test_a_killed_command_goes_on_with_the_next_image(here, made, monkeypatch):
    whole = run(monkeypatch, made, "instances", *files(made))
    asked = []
    found, stop = scenes.found_columns, iter([False, False, True])

    def killed(predictor, fitting, pictures, *more):
        if next(stop, False):
            raise KeyboardInterrupt
        asked.append(len(pictures))
        return found(predictor, fitting, pictures, *more)

    monkeypatch.setattr(scenes, "found_columns", killed)
    with pytest.raises(SystemExit):
        run(monkeypatch, made, "instances", *files(made), "--batch", "1")
    again = run(monkeypatch, made, "instances", *files(made), "--batch", "1")
    assert sum(asked) == IMAGES[2], "and none is looked at twice"
    for one, other in zip(again["annotations"], whole["annotations"], strict=True):
        assert one["bbox"] == pytest.approx(other["bbox"], abs=1e-3)


ROW = {"image": "a", "error": None, "width": 40, "height": 20, "boxes": [4, 4, 20, 16]}
ROW |= {"labels": [1], "scores": [0.9], "classes": None, "segments": None, "segment_labels": None}


def test_masks_and_boxes_are_drawn_in_their_places():
    """A mask of the left half: the picture is another there and at the box, and nowhere else."""
    from pycocotools.mask import encode

    mask = np.zeros((20, 40), np.uint8, order="F")
    mask[:, :20] = 1
    row = ROW | {"masks": [encode(mask)["counts"].decode()]}
    grey = np.full((20, 40, 3), 128, np.uint8)
    shown = np.asarray(drawing(grey, row, ["dog", "<b>\x1bcat"]))
    assert shown.shape == (240, 480, 3)
    changed = (shown != 128).any(2)
    # beyond the name, which stands right of the box's upper left corner
    assert changed[:, :240].all() and not changed[100:, 242:].any()
    assert changed[60:190, 240].all() and not changed[194:, 240:].any(), "an edge of the box"
    maps = np.full((20, 40), 255, np.uint8)
    maps[:5] = 1
    row = ROW | {"boxes": [], "labels": [], "scores": [], "masks": None}
    shown = np.asarray(drawing(grey, row | {"classes": scenes._png(maps)}, ["dog", "cat"]))
    assert (shown[:60] != 128).any(2).all() and (shown[60:] == 128).all()


def test_the_table_says_how_many_and_ends():
    import pyarrow as pa

    rows = [ROW | {"image": f"{number}.jpg", "masks": None} for number in range(25)]
    rows[1] |= {"labels": [0, 1, 0], "error": None}
    rows[2] |= {"labels": [], "scores": []}
    batch = pa.RecordBatch.from_pylist(rows)
    lines = table_lines([batch], ["dog", "c\x1bt"])
    assert lines[:3] == ["0.jpg   1 c\\x1bt", "1.jpg   2 dog, 1 c\\x1bt", "2.jpg   nothing"]
    assert lines[-2:] == ["and 5 more images", "all: 24 c\\x1bt, 2 dog"] and len(lines) == 22
    assert predict.SHOWN == 20
