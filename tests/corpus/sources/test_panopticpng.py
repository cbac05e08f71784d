"""COCO's panoptic maps as a source: each pixel as the PNG has it, or the image refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from corpus.export.panoptic import coloured, segment_map
from corpus.sources.panopticpng import LARGEST, segment_ids, segment_runs
from corpus.sources.rows import Refused
from tests.support.annotated import HEIGHT, WIDTH, coco, image, imported, png, reasons, stored
from tests.support.annotated import written as written_json

CLASSES = [
    {"id": 1, "name": "dog", "isthing": 1, "color": [1, 2, 3]},
    {"id": 2, "name": "sky", "isthing": 0},
]
SEGMENTS = [
    {"id": 258, "category_id": 1, "area": 12, "bbox": [2, 3, 4, 3], "iscrowd": 0},
    {"id": LARGEST, "category_id": 2, "area": 40, "bbox": [0, 29, 40, 1], "iscrowd": 1},
]


def map_of(segments: list) -> np.ndarray:
    """The ids of two segments."""
    ids = np.zeros((HEIGHT, WIDTH), np.int32)
    ids[3:6, 2:6] = segments[0]["id"]
    ids[29] = segments[1]["id"]
    return ids


def written(folder: Path, segments: list = SEGMENTS, data: bytes | None = None) -> Path:
    """Two images, the first of these segments."""
    maps = [(1, segments), (2, SEGMENTS)]
    annotations = []
    for number, listed in maps:
        about = {"image_id": number, "file_name": f"{number}.png", "segments_info": listed}
        annotations.append(about)
    path = written_json(folder, coco([image(1), image(2)], annotations, CLASSES), "panoptic.json")
    (folder / "panoptic").mkdir()
    for number, _ in maps:
        made = data if data and number == 1 else png(coloured(map_of(SEGMENTS)))
        (folder / "panoptic" / f"{number}.png").write_bytes(made)
    return path


def test_a_map_is_stored_and_made_again_pixel_by_pixel(tmp_path):
    result = imported(written(tmp_path / "in"), tmp_path / "data", "panoptic")
    assert (result.kept, result.refused, result.classes) == (2, {}, 2)
    scene = stored(tmp_path / "data")["1.jpg"]
    dog, sky = scene.objects
    assert (dog.id, dog.label, dog.thing, dog.crowd, dog.area) == (258, "dog", True, False, 12)
    assert (sky.id, sky.label, sky.thing, sky.crowd, sky.area) == (LARGEST, "sky", False, True, 40)
    assert dog.box == (2, 3, 4, 3) and sky.box == (0, 29, 40, 1) and not dog.rle.plain
    assert np.array_equal(segment_map(scene), map_of(SEGMENTS))


def test_run_lengths_of_any_map_are_those_of_its_segments():
    rng = np.random.default_rng(0)
    for _ in range(200):
        ids = rng.integers(0, rng.integers(1, 6), rng.integers(1, 12, 2)).astype(np.int32)
        found = segment_runs(ids)
        assert found.keys() == {*ids.ravel().tolist()} - {0}
        for number, counts in found.items():
            flat = np.repeat(np.arange(len(counts)) % 2, counts)
            assert np.array_equal(flat.reshape(ids.T.shape).T, ids == number)


def changed(**fields) -> list:
    return [SEGMENTS[0] | fields, SEGMENTS[1]]


MAPS = {
    "in JSON alone": ([*SEGMENTS, changed(id=5)[0]], "segment in the JSON and not in the PNG: 5"),
    "in PNG alone": (SEGMENTS[:1], f"segment in the PNG and not in the JSON: {LARGEST}"),
    "above three bytes": (changed(id=LARGEST + 1), f"segment id above {LARGEST}, which no RGB"),
    "twice": ([*SEGMENTS, SEGMENTS[0]], "two segments of one id: 258"),
    "void": (changed(id=0), "segment without an id above 0"),
    "no dictionary": ([3, 4], "segment without an id above 0: 3"),
    "overlapping areas": (changed(area=WIDTH * HEIGHT), "segment of another area than its pixels"),
    "class": (changed(category_id=9), "unknown category id: 9"),
    "box outside": (changed(bbox=[50, 50, 2, 2]), "object outside the image"),
    "no list": (None, "panoptic annotation without file_name or segments_info"),
}


@pytest.mark.parametrize(("segments", "why"), MAPS.values(), ids=MAPS)
def test_a_fault_of_a_segment_refuses_its_image(tmp_path, segments, why):
    imported(written(tmp_path / "in", segments), tmp_path / "data", "panoptic")
    assert [*stored(tmp_path / "data")] == ["2.jpg"]
    assert reasons(tmp_path / "data")[0][1].startswith(why)


RGB = coloured(map_of(SEGMENTS))
PNGS = {
    "16 bits": (png(RGB[..., 0].astype(np.uint16) + 300), "no RGB of 8 bits, in which ids are"),
    "palette": (png(RGB, "P"), "palette of 8 bits"),
    "grey": (png(RGB, "L"), "grey of 8 bits"),
    "other size": (png(RGB[:-1]), "panoptic PNG of another size: 40 x 29, the image 40 x 30"),
    "cut": (png(RGB)[:-40], "panoptic PNG that is damaged"),
    "no PNG": (b"GIF89a" + bytes(50), "panoptic PNG that is no PNG"),
}


@pytest.mark.parametrize(("data", "why"), PNGS.values(), ids=PNGS)
def test_a_png_that_holds_no_ids_refuses_its_image(tmp_path, data, why):
    imported(written(tmp_path / "in", data=data), tmp_path / "data", "panoptic")
    assert [*stored(tmp_path / "data")] == ["2.jpg"]
    assert why in reasons(tmp_path / "data")[0][1]


def test_a_size_is_looked_at_before_pixels_are(monkeypatch):
    data = bytearray(png(RGB))
    data[16:24] = (10**5).to_bytes(4, "big") * 2
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("decoded"))
    with pytest.raises(Refused, match="too many pixels: 100000 x 100000"):
        segment_ids(bytes(data))


def test_maps_that_lack_are_told(tmp_path):
    path = written(tmp_path / "in")
    about = json.loads(path.read_text())
    whole = path.read_text()
    path.write_text(json.dumps(about | {"annotations": about["annotations"][1:]}))
    imported(path, tmp_path / "data", "panoptic")
    said = "no single panoptic annotation of the image: it has 0"
    assert [reason for _, reason in reasons(tmp_path / "data")] == [said]
    path.write_text(whole)
    (path.parent / "panoptic/2.png").unlink()
    told = imported(path, tmp_path / "data", "panoptic")
    assert told.kept == 1 and sum(told.refused.values()) == 1
    assert "panoptic PNG 2.png: file is missing" in dict(reasons(tmp_path / "data")).values()
    (path.parent / "panoptic").rename(path.parent / "maps")
    with pytest.raises(ValueError, match=r"the folder of PNGs .* is not found: it lies beside"):
        imported(path, tmp_path / "data", "panoptic")
