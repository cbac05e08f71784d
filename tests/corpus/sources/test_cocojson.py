"""COCO's JSON as a source: what is kept of it, each fault its own refusal, files of any size."""

import json
import random

import numpy as np
import pytest
from pycocotools import mask

from corpus.media.runs import run_lengths
from corpus.records.runs import box_of, checked_rle
from corpus.sources import streaming
from corpus.sources.source import source_rows
from corpus.store.account import Unusable
from corpus.store.trial import try_all
from tests.support.annotated import (
    CATEGORIES,
    HEIGHT,
    WIDTH,
    box,
    coco,
    image,
    imported,
    reasons,
    save_image,
    stored,
    written,
)

FULL = {"size": [HEIGHT, WIDTH], "counts": [0, WIDTH * HEIGHT]}


def rle(rows: slice, columns: slice) -> dict:
    """A mask as pycocotools writes it."""
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
    pixels[rows, columns] = 1
    found = mask.encode(pixels)
    return {"size": [HEIGHT, WIDTH], "counts": found["counts"].decode()}


def test_everything_of_an_object_is_kept_and_images_without_one_stay(tmp_path):
    polygons = [[4, 5, 24, 5, 24, 15.5], [1, 1, 2, 1, 2, 2, 1.5, 3]]
    annotations = [
        box(11, 1, segmentation=polygons, keypoints=[5, 6, 2, 0, 0, 0]),
        box(12, 1, segmentation=rle(slice(2, 9), slice(3, 30)), category_id=7),
        box(13, 1, (0, 3, 1, 4), segmentation=FULL | {"counts": [3, 4, 1193]}, iscrowd=1),
        box(14, 2, (38.5, -2, 5, 6)),
    ]
    source = written(tmp_path / "in", coco([image(1), image(2), image(3)], annotations))
    result = imported(source, tmp_path / "data")
    assert (result.kept, result.refused, result.classes) == (3, {}, 2)
    assert "1 images have no object: they are kept" in result.notes
    found = stored(tmp_path / "data")
    assert found["3.jpg"].objects == [] and found["3.jpg"].number == 3
    one, two, crowd = found["1.jpg"].objects
    assert one.polygons == polygons and one.keypoints == [5, 6, 2, 0, 0, 0] and one.rle is None
    assert (one.label, one.category, one.box, one.area) == ("dog", 3, (4, 5, 20, 10.5), 210)
    said = rle(slice(2, 9), slice(3, 30))
    assert two.rle.model_dump() == said | {"plain": False, "size": (HEIGHT, WIDTH)}
    assert run_lengths(crowd.rle.counts.encode()).tolist() == [3, 4, 1193] and crowd.crowd
    assert found["2.jpg"].objects[0].box == (38.5, -2, 5, 6), "beyond the edge, as it is written"
    again = imported(source, tmp_path / "data")
    assert (again.kept, again.already, again.differing) == (0, 3, 0)
    written(tmp_path / "in", coco([image(1), image(2), image(3)], annotations[1:]))
    told = imported(source, tmp_path / "data")
    assert told.differing == 1 and "objects 3 (dog, traffic light) -> 2 (dog" in str(told)
    assert imported(source, tmp_path / "data", update=True).changed == 1
    assert len(stored(tmp_path / "data")["1.jpg"].objects) == 2


NAN = float("nan")
FAULTS = {
    "outside": (box(20, 1, (40, 0, 5, 5)), "object outside the image"),
    "outside, above": (box(20, 1, (0, -5, 5, 5)), "object outside the image"),
    "no area": (box(20, 1, (4, 4, 0, 5)), "object without area"),
    "negative": (box(20, 1, (4, 4, 3, -5)), "object without area"),
    "three numbers": (box(20, 1, (4, 4, 3)), "object whose box has 3 numbers"),
    "text": (box(20, 1, "abcd"), "object whose box is no list of numbers"),
    "NaN": (box(20, 1, (NAN, 4, 3, 3)), "object whose box has a number that is not finite"),
    "infinite area": (box(20, 1, area=float("inf")), "object whose area has a number that is"),
    "no box": (box(20, 1) | {"bbox": None}, "object without a box"),
    "area below 0": (box(20, 1, area=-1), "object with an area below 0"),
    "class": (box(20, 1, category_id=99), "unknown category id: 99"),
    "no class": (box(20, 1, category_id=None), "unknown category id: None"),
    "id": (box("20", 1), "object whose id is no whole number: '20'"),
    "no id": (box(None, 1), "object whose id is no whole number"),
    "twice": (box(11, 1), "duplicate annotation id: 11"),
    "no image": (box(20, 77), "object of an image that is not listed: image_id 77"),
    "image by name": (box(20, "1.jpg"), "object of an image that is not listed: no image_id"),
    "crowd": (box(20, 1, iscrowd=2), "object whose iscrowd is neither 0 nor 1: 2"),
    "polygon": (box(20, 1, segmentation=[[1, 1, 2, 2]]), "polygon of fewer than 3 points"),
    "half a point": (box(20, 1, segmentation=[[1, 1, 2, 2, 3, 3, 4]]), "polygon of fewer"),
    "NaN in a polygon": (box(20, 1, segmentation=[[1, 1, 2, 2, 3, NAN]]), "object whose polygon"),
    "flat": (box(20, 1, segmentation=[1, 1, 2, 2, 3, 3]), "mask that is neither polygons nor"),
    "elsewhere": (box(20, 1, (9, 9, 4, 4), segmentation=[[1, 1, 9, 1, 9, 8]]), "object whose mask"),
    "beside": (box(20, 1, segmentation=rle(slice(5, 9), slice(0, 4))), "object whose mask lies"),
    "size": (box(20, 1, segmentation=FULL | {"size": [40, 30]}), "mask of another size: [40, 30]"),
    "short": (box(20, 1, segmentation=FULL | {"counts": [3, 4]}), "run lengths that do not cover"),
    "below 0": (box(20, 1, segmentation=FULL | {"counts": [-1, 1201]}), "run lengths that cannot"),
    "letters": (box(20, 1, segmentation=FULL | {"counts": "zzzé"}), "run lengths that cannot"),
    "letters, long": (box(20, 1, segmentation=FULL | {"counts": "o" * 99 + "0"}), "run lengths th"),
    "letters, many": (box(20, 1, segmentation=FULL | {"counts": "0Q10000"}), "run lengths that do"),
    "no letter": (box(20, 1, segmentation=FULL | {"counts": ""}), "run lengths that cannot"),
    "no pixel": (
        box(20, 1, segmentation=FULL | {"counts": [1200]}),
        "object without area: its mask",
    ),
    "keypoints": (box(20, 1, keypoints=[1, 2, 3]), "keypoints that are no list of x, y and"),
    "a list": ([1, 2], "object of an image that is not listed: no image_id"),
}


@pytest.mark.parametrize(("fault", "why"), FAULTS.values(), ids=FAULTS)
def test_a_fault_of_an_object_costs_that_object_alone(tmp_path, fault, why):
    about = coco([image(1), image(2)], [box(10, 2), box(11, 1), fault, box(12, 1)])
    result = imported(written(tmp_path / "in", about), tmp_path / "data")
    assert result.kept == 2
    found = stored(tmp_path / "data")
    assert [thing.id for thing in found["1.jpg"].objects] == [11, 12]
    assert [thing.id for thing in found["2.jpg"].objects] == [10]
    [(where, reason)] = reasons(tmp_path / "data")
    assert reason.startswith(why) and where.startswith("instances.json annotation")
    assert sum(result.refused.values()) == 1


IMAGES = {
    "file": ([image(5, file_name="gone.jpg")], "file is missing"),
    "no name": ([image(5, file_name=None)], "no image name"),
    "leaves": ([image(5, file_name="../../x.jpg")], "path leaves the image folder"),
    "no size": ([image(5, width=None)], "no width and height of the image"),
    "size of 0": ([image(5, height=0)], "no size of an image"),
    "too large": ([image(5, width=10**6, height=10**6)], "too many pixels"),
    "other size": ([image(5, width=41)], "image of another size: 40 x 30 px, and its annotations"),
    "id": ([image("5")], "image whose id is no whole number"),
    "id of two files": ([image(5), image(5, file_name="6.jpg")], "duplicate image id: 5, of 2 fil"),
    "id twice": ([image(1)], "duplicate image id: 1"),
}


@pytest.mark.parametrize(("faults", "why"), IMAGES.values(), ids=IMAGES)
def test_a_fault_of_an_image_costs_that_image_alone(tmp_path, faults, why):
    folder = tmp_path / "in"
    for name in ("5.jpg", "6.jpg"):
        save_image(folder / name)
    about = coco([image(1), image(2), *faults], [box(10, 2), box(11, 1)])
    path = folder / "instances.json"
    for one in about["images"][:2]:
        save_image(folder / one["file_name"])
    path.write_text(json.dumps(about))
    result = imported(path, tmp_path / "data")
    assert sorted(stored(tmp_path / "data")) == ["1.jpg", "2.jpg"]
    assert {len(scene.objects) for scene in stored(tmp_path / "data").values()} == {1}
    assert reasons(tmp_path / "data")[0][1].startswith(why)
    assert sum(result.refused.values()) == len(faults)


def test_images_that_exif_turns_are_of_their_upright_size(tmp_path):
    images = [image(1), image(2, width=HEIGHT, height=WIDTH), image(3)]
    for number, turn in ((1, 6), (2, 6), (3, 3)):
        save_image(tmp_path / f"in/{number}.jpg", turn=turn)
    source = written(tmp_path / "in", coco(images, [box(10, 2), box(11, 1), box(12, 3)]))
    imported(source, tmp_path / "data")
    assert sorted(stored(tmp_path / "data")) == ["2.jpg", "3.jpg"]
    [(_, reason)] = reasons(tmp_path / "data")
    assert "EXIF turns it: save it upright or without EXIF" in reason


WHOLE = {
    "cut": (lambda text: text[: len(text) // 2], "is cut off: it ends in the list"),
    "cut at the end": (lambda text: text.rstrip()[:-1], "is cut off"),
    "a list": (lambda text: "[]", "is no COCO JSON: it begins with"),
    "nothing": (lambda text: "", "is no COCO JSON: it is empty"),
    "a PNG": (lambda text: "\x89PNG", "is no COCO JSON: it begins with"),
    "other lists": (lambda text: '{"shapes": [], "images": []}', "has no list 'categories'"),
    "a bracket": (lambda text: text.rstrip() + "}", "is damaged: a bracket too many"),
}


@pytest.mark.parametrize(("spoilt", "why"), WHOLE.values(), ids=WHOLE)
def test_a_file_that_is_no_whole_coco_json_changes_nothing(tmp_path, spoilt, why):
    path = written(tmp_path / "in", coco([image(1)], [box(1, 1)]))
    path.write_text(spoilt(path.read_text()), encoding="latin-1")
    with pytest.raises(ValueError, match=why):
        imported(path, tmp_path / "data")
    assert not (tmp_path / "data/targets/things/store.json").exists()


def test_categories_that_contradict_each_other_are_told(tmp_path):
    two = [*CATEGORIES, {"id": 3, "name": "cat"}]
    with pytest.raises(ValueError, match="two categories of id 3: 'dog' and 'cat'"):
        imported(written(tmp_path / "a", coco([image(1)], [], two)), tmp_path / "data")
    nameless = [*CATEGORIES, {"id": 4}]
    with pytest.raises(ValueError, match="a category without id or name"):
        imported(written(tmp_path / "b", coco([image(1)], [], nameless)), tmp_path / "data")
    with pytest.raises(Unusable, match="would hold no class at all"):
        imported(written(tmp_path / "c", coco([image(1)], [])), tmp_path / "data")


@pytest.mark.parametrize("layout", ["coco", "images", "roboflow"])
def test_files_of_a_folder_give_splits_and_images_are_found(tmp_path, layout):
    root = tmp_path / "in"
    for split in ("train2017", "val2017", "test2017"):
        about = coco([image(1)], [box(1, 1)])
        short = split[:-4].replace("val", "valid")
        name = {
            "coco": f"annotations/instances_{split}.json",
            "images": f"annotations/instances_{split}.json",
            "roboflow": f"{short}/_annotations.coco.json",
        }[layout]
        folder = {"coco": split, "images": f"images/{split}", "roboflow": short}[layout]
        save_image(root / folder / "1.jpg")
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(json.dumps(about))
    if layout == "coco":
        (root / "annotations/captions_val2017.json").write_text("{}")
    assert imported(root, tmp_path / "data").refused == {}
    found = {key: scene.split for key, scene in stored(tmp_path / "data").items()}
    assert sorted(found.values()) == ["test", "train", "val"] and len(found) == 3
    assert all(scene.file == "1.jpg" for scene in stored(tmp_path / "data").values())
    if layout == "coco":  # one of them alone: images beside the folder, split as of one table
        alone = [*source_rows(root / "annotations/instances_val2017.json", None, "boxes", tmp_path)]
        assert alone[0].fields["id"] == "val2017/1.jpg" and not alone[0].reason


def test_lvis_says_what_is_absent_and_what_is_not_exhaustive(tmp_path):
    one = image(1, neg_category_ids=[7, 55], not_exhaustive_category_ids=[3])
    one["coco_url"] = "http://images.cocodataset.org/val2017/1.jpg"
    save_image(tmp_path / "in/val2017/1.jpg")
    del one["file_name"]
    path = tmp_path / "in/lvis_v1_val.json"
    path.write_text(json.dumps(coco([one], [box(1, 1)])))
    imported(path, tmp_path / "data")
    [scene] = stored(tmp_path / "data").values()
    assert (scene.absent, scene.partial) == (["traffic light"], ["dog"])
    assert reasons(tmp_path / "data")[0][1] == "unknown category id: 55 in neg_category_ids"


def test_a_trial_tells_what_the_import_does(tmp_path):
    about = coco([image(1), image(2, width=9)], [box(1, 1), box(2, 1, (0, 0, 0, 0))])
    source = written(tmp_path / "in", about)

    def read():
        return {"targets/things": source_rows(source, None, "boxes", tmp_path / "spool")}

    tried = try_all(read(), tmp_path / "data", tmp_path / "scratch", kind="boxes")
    done = imported(source, tmp_path / "data")
    assert tried["targets/things"].result == done._replace(digest="")
    assert done.refused == {"image of another size": 1, "object without area": 1}


def test_run_lengths_are_those_of_pycocotools():
    rng = np.random.default_rng(0)
    for case in range(200):
        pixels = (rng.random(rng.integers(1, 30, 2)) < rng.random()).astype(np.uint8)
        pixels = np.repeat(np.repeat(pixels, 1 + case % 9, 0), 1 + case % 7, 1)
        height, width = pixels.shape
        text = mask.encode(np.asfortranarray(pixels))
        runs = run_lengths(text["counts"])
        plain = {"size": [height, width], "counts": runs.tolist()}
        for said in (text, plain):
            found, count = checked_rle(said, width, height)
            assert found.counts == text["counts"].decode() and count == pixels.sum()
        assert np.array_equal(np.repeat(np.arange(len(runs)) % 2, runs), pixels.T.ravel())
        if pixels.any():
            ys, xs = np.nonzero(pixels)
            low, high = (xs.min(), ys.min()), (np.ptp(xs) + 1, np.ptp(ys) + 1)
            assert box_of(runs, height) == (*low, *high)


def some(rng: random.Random, depth: int = 0):
    """Any JSON."""
    kind = rng.choice("nsfldx")
    if kind == "n":
        return rng.randint(-5, 10**6)
    if kind == "s":
        return rng.choice(['a"b\\', "[{", '}"]', 'é\\\\"', "", '"id": 5,"'])
    if kind in "fx" or depth > 2:
        return rng.random()
    if kind == "l":
        return [some(rng, depth + 1) for _ in range(rng.randint(0, 4))]
    return {rng.choice(["id", 'x"', "y"]): some(rng, depth + 1) for _ in range(rng.randint(0, 3))}


def test_entries_are_found_wherever_pieces_of_the_file_end(tmp_path, monkeypatch):
    rng, path = random.Random(0), tmp_path / "any.json"
    names = ["images", "annotations", "categories"]
    for _ in range(150):
        monkeypatch.setattr(streaming, "CHUNK", rng.choice([7, 16, 33, 1000]))
        about = {"info": {"a": some(rng)}, "licenses": [some(rng)], "text": 'x[{"\\'}
        rng.shuffle(names)
        for name in names:
            rows = range(rng.randint(0, 6))
            about[name] = [{"v": some(rng), "id": rng.randint(0, 9)} for _ in rows]
        text = json.dumps(about, indent=rng.choice([None, 1]), ensure_ascii=rng.random() < 0.5)
        path.write_text(text)
        found = {name: [] for name in names}
        for entry in streaming.JsonLists(path, names):
            found[entry.section].append(json.loads(entry.data))
            assert streaming.number_of(entry.data, "id") == found[entry.section][-1]["id"]
        assert found == {name: about[name] for name in names}
        data = path.read_bytes()
        path.write_bytes(data[: rng.randrange(1, len(data))])
        with pytest.raises(ValueError, match="is cut off"):
            list(streaming.JsonLists(path, names))
