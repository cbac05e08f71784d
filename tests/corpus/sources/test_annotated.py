"""Annotated images of any format: which source is which, S3, and files that are spoilt anyhow."""

import json
import random
import re
from collections import Counter
from pathlib import Path

import pytest

from corpus.records.kind import kind
from corpus.sources.rows import Refused
from corpus.sources.source import source_rows
from corpus.store.plan import record_of
from tests.corpus.sources.test_cityscapes import IDS, place
from tests.corpus.sources.test_cvatxml import BOX, MASK, cut
from tests.corpus.sources.test_cvatxml import written as cvat
from tests.corpus.sources.test_panopticpng import written as panoptic
from tests.corpus.sources.test_vocxml import boxed
from tests.corpus.sources.test_vocxml import written as voc
from tests.corpus.sources.test_yolotxt import written as yolo
from tests.support.annotated import box, coco, image, imported, save_image, stored, written

VALUES = ["null", "-1", "1e999", "[]", "{}", '"x"', "NaN", "9" * 30, "true", "[[]]", '"\\ud800"']


def test_annotations_on_s3_are_those_on_the_disk(tmp_path, s3):
    path = written(tmp_path / "in", coco([image(1), image(2)], [box(1, 1), box(2, 2)]))
    for file in path.parent.iterdir():
        s3.client.upload_file(str(file), s3.bucket, f"set/{file.name}")
    imported(path, tmp_path / "data")
    url = f"s3://{s3.bucket}/set/instances.json"
    assert imported(url, tmp_path / "data", name="remote").refused == {}
    imported(path, tmp_path / "data", name="half", images=f"s3://{s3.bucket}/set")
    for name in ("remote", "half"):
        assert stored(tmp_path / "data", name) == stored(tmp_path / "data")
    with pytest.raises(ValueError, match=r"annotation file .*none\.json is not found"):
        imported(f"s3://{s3.bucket}/set/none.json", tmp_path / "data", name="none")
    maps = panoptic(tmp_path / "maps")
    for file in maps.parent.rglob("*.*"):
        key = f"maps/{file.relative_to(maps.parent)}"
        s3.client.upload_file(str(file), s3.bucket, key)
    imported(maps, tmp_path / "data", "panoptic", name="maps")
    url = f"s3://{s3.bucket}/maps/panoptic.json"
    imported(url, tmp_path / "data", "panoptic", name="far")
    assert stored(tmp_path / "data", "far") == stored(tmp_path / "data", "maps")


@pytest.mark.parametrize(
    ("make", "of", "why"),
    [
        (lambda root: None, "boxes", "holds no table"),
        (lambda root: save_image(root / "dog/1.jpg"), "boxes", "folders of images per class say"),
        (lambda root: voc(root / "in", {"a": ""}), "panoptic", "holds no table|say nothing of"),
        (lambda root: written(root, coco([image(1)], [])), "labels", "no folder of images per"),
    ],
)
def test_what_is_no_source_of_the_kind_is_told(tmp_path, make, of, why):
    (tmp_path / "in").mkdir()
    make(tmp_path / "in")
    with pytest.raises(ValueError, match=why):
        rows = list(source_rows(tmp_path / "in", None, of, tmp_path / "spool"))
        raise ValueError("; ".join(row.reason for row in rows))


def spoilt(rng: random.Random, data: bytes, text: bool) -> bytes:
    """A value of a JSON replaced, or some bytes changed, taken away or put in."""
    if text and rng.random() < 0.7:
        places = [*re.finditer(rb': (-?[\d.]+|"[^"]*"|\[[^\[\]]*\])', data)]
        place = rng.choice(places)
        return data[: place.start()] + b": " + rng.choice(VALUES).encode() + data[place.end() :]
    made = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at, how = rng.randrange(len(made)), rng.choice("cti")
        if how == "c":
            made[at] = rng.randrange(256)
        elif how == "t" and len(made) > 20:
            del made[at : at + rng.randint(1, 9)]
        else:
            made[at:at] = rng.choice([b"{", b"}", b'"', b"\\", b"[", b"9", b",", b"<", b"&"])
    return bytes(made)


def test_spoilt_files_end_with_a_refusal_or_a_message(tmp_path):
    mask = {"size": [30, 40], "counts": [3, 4, 1193]}
    objects = [box(1, 1, segmentation=[[1, 2, 3, 4, 5, 6]], keypoints=[1, 2, 2]), box(2, 2)]
    about = coco([image(1), image(2)], [*objects, box(3, 1, (0, 3, 1, 4), segmentation=mask)])
    one, maps = written(tmp_path / "a", about), panoptic(tmp_path / "b")
    xmls = voc(tmp_path / "c", {"a": boxed() + boxed(), "b": ""})
    lines = yolo(tmp_path / "d", {"images/a.jpg": "0 .5 .5 .5 .5\n1 .1 .1 .2 .2 .3 .3"})
    shapes = cvat(tmp_path / "e", {"a.jpg": BOX + cut("mask", MASK), "b.jpg": BOX})
    streets = tmp_path / "f"
    place(streets, "train/a/1", IDS)
    sources: list[tuple[Path, str, list[Path]]] = [
        (one, "boxes", [one]),
        (maps, "panoptic", [maps, maps.parent / "panoptic/1.png"]),
        (xmls, "boxes", [xmls / "Annotations/a.xml"]),
        (lines, "boxes", [lines / "labels/a.txt", lines / "data.yaml"]),
        (shapes.parent, "boxes", [shapes]),
        (streets, "panoptic", [streets / "gtFine/train/a/1_gtFine_instanceIds.png"]),
    ]
    rng, seen = random.Random(0), Counter()
    for number in range(500):
        source, of, files = sources[number % len(sources)]
        file = rng.choice(files)
        data = file.read_bytes()
        file.write_bytes(spoilt(rng, data, file.suffix == ".json"))
        try:
            for row in source_rows(source, None, of, tmp_path / "spool"):
                seen["refused" if row.reason else "taken"] += 1
                if not row.reason:
                    json.loads(record_of(row.fields, kind(of)).model_dump_json())
        except Refused:
            seen["record"] += 1
        except ValueError as error:
            assert str(error).startswith(str(tmp_path)), "says which file"
            seen["whole"] += 1
        file.write_bytes(data)
    assert min(seen[what] for what in ("refused", "taken", "whole")) > 20
