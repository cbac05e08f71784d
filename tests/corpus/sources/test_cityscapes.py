"""Cityscapes' folders as a source: ids of pixels to segments and objects, groups, void, faults."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from corpus.drawn.concepts import SHAPES
from corpus.drawn.objects import draw_images
from corpus.drawn.segments import STUFF
from corpus.export.panoptic import segment_map
from corpus.media.runs import decoded
from corpus.sources.cityscapes import EMPTY, LABELS_BY_ID, PLATE, grey_ids
from corpus.sources.rows import Refused
from corpus.sources.source import source_rows
from tests.support.annotated import imported, png, reasons, stored

THINGS = dict(zip(SHAPES, [24, 25, 26, 27, 28, 31, 32, 33] * 9, strict=False))
COUNTED = dict(zip(STUFF, [7, 8, 11, 12, 21, 22, 23], strict=False))


def ids_of(scene) -> np.ndarray:
    """A drawn scene in Cityscapes' ids, uint16 (h, w); void is `static`."""
    ids, seen = np.full(scene.numbers.shape, 4, np.uint16), Counter()
    for place, segment in enumerate(scene.segments, 1):
        number = COUNTED.get(segment.label) or THINGS[segment.label]
        if segment.thing and not segment.crowd:
            number = 1000 * number + seen[number]
            seen[number // 1000] += 1
        ids[scene.numbers == place] = number
    return ids


def place(root: Path, name: str, ids: np.ndarray, image: bytes | None = None) -> None:
    """One image with its instance ids; name: <split>/<city>/<stem>."""
    for folder, ending, data in (
        ("leftImg8bit", "leftImg8bit", image or png(np.zeros((*ids.shape, 3), np.uint8))),
        ("gtFine", "gtFine_instanceIds", png(ids)),
    ):
        path = root / folder / f"{name}_{ending}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def said(ids: np.ndarray, kind: str) -> list[tuple]:
    """What is to be stored of an image: id, class, thing, crowd, area, box, pixels."""
    found = []
    for number in np.unique(ids).tolist():
        label = number // 1000 if number >= 1000 else number
        thing, mask = label >= 24, ids == number
        if label == 4 or (kind == "boxes" and not thing):
            continue
        y, x = np.nonzero(mask)
        box = (x.min(), y.min(), x.max() + 1 - x.min(), y.max() + 1 - y.min())
        about = (number, label, thing, thing and number < 1000, mask.sum(), box)
        found.append((*about, mask.tobytes()))
    return found


@pytest.mark.parametrize("kind", ["panoptic", "boxes"])
def test_drawn_scenes_come_back_field_by_field(tmp_path, kind):
    wanted, crowds = {}, 0
    for one in draw_images(0, (9, 3, 3), 96):
        ids = ids_of(one.scene)
        place(tmp_path / "in", f"{one.split}/city/{one.number}", ids)
        wanted[f"{one.split}/city/{one.number}_leftImg8bit.png"] = one.split, ids
        crowds += any(segment.crowd for segment in one.scene.segments)
    assert imported(tmp_path / "in", tmp_path / "data", kind).refused == {} and crowds
    found = stored(tmp_path / "data")
    assert found.keys() == wanted.keys()
    for key, (split, ids) in wanted.items():
        scene = found[key]
        assert scene.split == split and (scene.height, scene.width) == ids.shape
        mine = []
        for one in scene.objects:
            assert LABELS_BY_ID[one.category].name == one.label and not one.rle.plain
            mask = decoded(one.rle.counts.encode(), *ids.shape)
            about = (one.id, one.category, one.thing, one.crowd, one.area, one.box)
            mine.append((*about, mask.tobytes()))
        assert mine == said(ids, kind)
        if kind == "panoptic":
            assert (segment_map(scene) == np.where(ids == 4, 0, ids)).all()


def test_the_table_of_classes_is_cityscapes_own():
    """Counts and ids of cityscapesScripts, helpers/labels.py: 19 are evaluated, 8 as instances."""
    table = LABELS_BY_ID.values()
    assert [one.id for one in table] == [*range(34), -1]
    counted = [one for one in table if not one.ignored]
    assert len(counted) == 19 and sum(one.instances for one in counted) == 8
    assert sum(one.instances for one in table) == 10, "caravan and trailer too"
    names = {number: one.name for number, one in LABELS_BY_ID.items()}
    some = {7: "road", 11: "building", 13: "fence", 17: "pole", 20: "traffic sign", 23: "sky"}
    some |= {24: "person", 26: "car", 28: "bus", 29: "caravan", 33: "bicycle", -1: "license plate"}
    assert names | some == names
    groups = {one.category for one in counted}
    assert groups == {"flat", "construction", "object", "nature", "sky", "human", "vehicle"}


def grid(*numbers: int) -> np.ndarray:
    """Ids in columns of four pixels."""
    return np.repeat(np.array(numbers, np.uint16), 4)[None].repeat(6, 0)


def test_what_evaluation_ignores_has_no_segment(tmp_path):
    root, left, about = tmp_path / "in", Counter(), {}
    place(root, "train/a/1", grid(7, 29001, 26000, 26, PLATE, 1))
    place(root, "test/a/2", grid(0, 1, 3))
    place(root, "val/a/3", grid(7, 7))
    (root / "gtFine/train/a/1_gtFine_labelIds.png").write_bytes(
        png(grid(7, 29, 26, 26, 0, 1).astype(np.uint8))
    )
    (root / "leftImg8bit/train/a/4_leftImg8bit.png").write_bytes(png(np.zeros((6, 8, 3), np.uint8)))
    for kind, wanted in (("panoptic", [7, 26, 26000]), ("boxes", [26, 26000])):
        left.clear()
        about.clear()
        rows = [*source_rows(root, None, kind, tmp_path / "spool", left=left, about=about)]
        assert [row.reason for row in rows] == ["", ""]
        assert [one.id for one in rows[0].fields["objects"]] == wanted
        assert [one.crowd for one in rows[0].fields["objects"]][-2:] == [True, False]
        assert [one.id for one in rows[1].fields["objects"]] == ([7] if kind == "panoptic" else [])
        assert left[EMPTY] == 1 and left["image without a PNG in gtFine/"] == 1
        names = {one["name"] for one in about["categories"]}
        assert len(names) == len(about["categories"]) == (19 if kind == "panoptic" else 8)


IDS = grid(7, 26000)
FAULTS = {
    "class": (grid(7, 34), {}, "instance id of no class of Cityscapes: 34"),
    "instance": (grid(7, 60001), {}, "instance id of no class of Cityscapes: 60001"),
    "stuff": (grid(7001, 26000), {}, "instance of a class that has none (road): 7001"),
    "size": (IDS, {"leftImg8bit": png(np.zeros((5, 8, 3), np.uint8))}, "instance ids of another"),
    "no image": (IDS, {"leftImg8bit": b""}, "image whose size cannot be read"),
    "colours": (IDS, {"gtFine_instanceIds": png(np.zeros((6, 8, 3), np.uint8))}, "PNG of ids that"),
    "cut": (IDS, {"gtFine_instanceIds": png(IDS)[:-40]}, "PNG of ids that is damaged"),
    "no PNG": (IDS, {"gtFine_instanceIds": b"GIF89a" + bytes(40)}, "PNG of ids that is no PNG"),
    "classes": (IDS, {"gtFine_labelIds": png(grid(7, 24))}, "instance ids and classes (labelIds)"),
    "other": (IDS, {"gtFine_labelIds": png(grid(7))}, "PNG of classes of another size: 4 x 6"),
}


@pytest.mark.parametrize(("ids", "files", "why"), FAULTS.values(), ids=FAULTS)
def test_a_fault_costs_that_image_alone(tmp_path, ids, files, why):
    root = tmp_path / "in"
    place(root, "train/a/1", ids.astype(np.uint16))
    place(root, "train/a/2", IDS)
    for ending, data in files.items():
        folder = "leftImg8bit" if ending == "leftImg8bit" else "gtFine"
        (root / folder / f"train/a/1_{ending}.png").write_bytes(data)
    imported(root, tmp_path / "data", "panoptic")
    assert [*stored(tmp_path / "data")] == ["train/a/2_leftImg8bit.png"]
    [(where, reason)] = reasons(tmp_path / "data")
    assert where == "train/a/1_gtFine_instanceIds.png" and reason.startswith(why)


def test_files_that_lack_or_lead_elsewhere_are_told(tmp_path):
    root = tmp_path / "in"
    for number in "123":
        place(root, f"train/a/{number}", IDS)
    folder = root / "gtFine/train/a"
    (folder / "1_gtFine_instanceIds.png").rename(folder / "1_gtFine_labelIds.png")
    (root / "leftImg8bit/train/a/2_leftImg8bit.png").unlink()
    (tmp_path / "secret.png").write_bytes(png(IDS))
    (folder / "3_gtFine_instanceIds.png").unlink()
    (folder / "3_gtFine_instanceIds.png").symlink_to(tmp_path / "secret.png")
    rows = [*source_rows(root, None, "boxes", tmp_path / "spool")]
    assert rows[0].reason.startswith("no PNG of instance ids: make it of the polygons")
    assert rows[1].reason == "file is missing"
    assert "path leaves the image folder" in rows[2].reason
    with pytest.raises(ValueError, match=r"image folder .* is not found"):
        [*source_rows(root, str(tmp_path / "none"), "boxes", tmp_path / "spool")]


def test_the_size_of_a_png_is_looked_at_before_its_pixels():
    data = bytearray(png(IDS))
    data[16:24] = (10**5).to_bytes(4) * 2
    with pytest.raises(Refused, match="too many pixels: 100000 x 100000"):
        grey_ids(bytes(data))
