"""Odd layouts through the whole import: rows in are rows added, there already, or refused."""

import io
import os
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus.kinds.labels import Label
from corpus.kinds.posts import Post
from corpus.sources.source import source_rows
from corpus.store.ingest import Import, ingest
from corpus.store.read import read_records
from flows.data.importing import import_lines
from tests.support.layouts import Layout, files, images, picture, tar
from tests.support.layouts_classes import CLASSES
from tests.support.layouts_parts import PARTS
from tests.support.layouts_tables import TABLES
from tests.support.layouts_tars import TARS

LAYOUTS = TABLES | PARTS | TARS | CLASSES


def imported(root: Path, layout: Layout) -> tuple[Import, Counter[str]]:
    left: Counter[str] = Counter()
    allowed = None if layout.images is None else root / "in put" / layout.images
    source = root / "in put" / layout.source
    found = source_rows(source, allowed, layout.kind, root / "spool", left=left)
    name = "posts" if layout.kind == "posts" else "targets/t"
    return ingest(found, root / "data", name, threads=2), left


def built(root: Path, layout: Layout) -> None:
    (root / "in put").mkdir()
    layout.build(root / "in put")


def test_what_is_left_alone_is_told():
    counts = Import(1, 0, {}, [], "d")._asdict() | {"left": {}}
    assert len(import_lines("posts", counts)) == 1
    lines = import_lines("posts", counts | {"left": {"member .npy": 3, "hidden file": 1}})
    assert lines[1:] == ["  left alone: 1 x hidden file, 3 x member .npy"]


def test_there_are_forty():
    assert len(LAYOUTS) >= 50


@pytest.mark.parametrize("name", LAYOUTS)
def test_no_row_is_lost(tmp_path, name):
    layout = LAYOUTS[name]
    built(tmp_path, layout)
    result, left = imported(tmp_path, layout)
    assert result.refused == layout.refused and result.kept == layout.added
    assert result.kept + sum(result.refused.values()) == layout.rows and left.total() == layout.left
    listed = tmp_path / "data" / "quarantine.jsonl"
    reasons = listed.read_text().splitlines() if listed.exists() else []
    assert len(reasons) <= sum(layout.refused.values()) and bool(reasons) == bool(layout.refused)
    again, _ = imported(tmp_path, layout)
    assert again.kept == 0 and again.already + sum(again.refused.values()) == layout.rows


def records(root: Path, layout: Layout) -> dict[str, dict]:
    model, name = (Post, "posts") if layout.kind == "posts" else (Label, "targets/t")
    return {r.id: r.model_dump() for r in read_records(root / "data" / name, model)}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "splits above",
            {"train/cat/0.jpg": ("cat", "train"), "TEST/dog/x/0.jpg": ("dog", "test")},
        ),
        ("splits below", {"cat/train/0.jpg": ("cat", "train"), "cat/test/0.jpg": ("cat", "test")}),
        (
            "below classes",
            {"a/dog/more/0.jpg": ("a", None), "cat/more/0.jpg": ("cat", None)},
        ),
        ("Parquet parts", {"data/train-00001-of-00002/2": ("dog", "train")}),
        ("CSV parts", {"1.jpg": ("cat", "test"), "val/2.jpg": ("cat", "val")}),
        (
            "parts beside their images",
            {
                "train/0.jpg": ("cat", "train"),
                "val/0.jpg": ("cat", "val"),
                "0.jpg": ("cat", "test"),
            },
        ),
        ("shards in folders", {"train/0/1": ("sea", "train"), "test/0/1": ("sea", "test")}),
        ("Parquet with images", {"m/2": ("dog", None), "here.jpg": ("dog", None)}),
    ],
)
def test_labels_and_splits(tmp_path, name, expected):
    built(tmp_path, LAYOUTS[name])
    imported(tmp_path, LAYOUTS[name])
    found = records(tmp_path, LAYOUTS[name])
    for key, (label, split) in expected.items():
        assert found[key]["label"] == label and split in (None, found[key]["split"])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "lists in cells",
            {"a.jpg": ["猫", "café"], "b.jpg": ["sea", "sun"], "d.jpg": ["sea", "sun"]},
        ),
        ("captions", {"a.jpg": ["sea"], "c.jpg": ["sea", "sun"]}),
        ("partners", {"t/a": ["x1"], "t/b": ["x1"], "t/c": ["x1"]}),
        ("absolute paths", {"a.jpg": ["x1"], "b.jpg": ["x1"]}),
        ("links out, allowed", {"in/l.jpg": ["x1"], "in/d/b.jpg": ["x1"], "in/a.jpg": ["x1"]}),
    ],
)
def test_hashtags_and_ids(tmp_path, name, expected):
    built(tmp_path, LAYOUTS[name])
    imported(tmp_path, LAYOUTS[name])
    found = records(tmp_path, LAYOUTS[name])
    assert {key: found[key]["hashtags"] for key in expected} == expected


COCO = {"images": [], "annotations": []}


@pytest.mark.parametrize(
    ("these", "source", "message"),
    [
        (images("0.jpg", "1.jpg"), "", "no folder of images per class: name a table .*--images"),
        ({}, "", "holds no table .*, no .tar and no image"),
        ({"data-00000-of-00001.arrow": "x"}, "", "holds no table .*, no .tar and no image"),
        ({"README.md": "x"}, "", "holds no table .*, no .tar and no image"),
        (
            images("train/0.jpg") | {"annotations/a.json": COCO},
            "",
            "annotations of COCO are of objects: import them with",
        ),
        (
            images("0.jpg") | {"_annotations.coco.json": COCO},
            "",
            "annotations of COCO are of objects: import them with",
        ),
        ({"instances.json": COCO}, "instances.json", "write a row a line .*with `--kind boxes`"),
        (
            images("in/0.jpg") | {"m/p.csv": "image,label\n"},
            "",
            "holds the table m/p.csv beside images",
        ),
        (images("in/0.jpg") | {"m/p.tar": tar([])}, "", "holds the shard m/p.tar beside images"),
        (
            images("train/0.jpg", "test/0.jpg"),
            "",
            "nothing could be imported.*lies in no class folder",
        ),
        ({}, "none-*.parquet", "there is no table"),
        ({}, "none", "is no source: name a table"),
        ({"0.jpg": picture(0)}, "0.jpg", "is no source: name a table"),
    ],
)
def test_what_is_no_source_is_told_with_the_way_out(tmp_path, these, source, message):
    with pytest.raises(ValueError, match=message):
        layout = Layout("labels", 0, 0, {}, files(these), source)
        built(tmp_path, layout)
        imported(tmp_path, layout)


def test_a_folder_that_cannot_be_read_is_a_refused_row(tmp_path, monkeypatch):
    layout = LAYOUTS["classes"]
    built(tmp_path, layout)
    real = os.scandir

    def scandir(path):
        if str(path).endswith("dog"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    result, _ = imported(tmp_path, layout)
    assert result.kept == 2 and result.refused == {"folder cannot be read": 1}


MEASURE = """
import resource, sys
from collections import Counter
from pathlib import Path
from corpus.sources.source import source_rows
import pyarrow.parquet
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rows = source_rows(sys.argv[1], None, "labels", Path(sys.argv[2]))
seen = Counter(bool(row.reason) for row in rows)
print(seen[False], seen[True], (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


def measured(source: Path, spool: Path) -> list[int]:
    """Rows taken, rows refused, megabytes that reading takes at its peak beside the code."""
    command = [sys.executable, "-c", MEASURE, str(source), str(spool)]
    out = subprocess.run(command, check=True, capture_output=True, text=True)
    return [int(number) for number in out.stdout.split()]


def test_images_within_a_table_are_read_in_bounded_memory(tmp_path):
    noise, path = os.urandom(101_000), tmp_path / "m.parquet"
    cells = [{"bytes": picture(0) + noise[i:], "path": "x"} for i in range(1000)]
    made = pa.table({"image": cells, "label": [0] * 1000})
    pq.write_table(made, path, row_group_size=100)  # as Hugging Face writes images
    taken, lost, megabytes = measured(path, tmp_path / "spool")
    assert (taken, lost) == (1000, 0)
    assert megabytes < 80 < path.stat().st_size >> 20  # some row groups of 10 MB


def test_a_tar_of_one_key_is_read_in_bounded_memory(tmp_path):
    path, image = tmp_path / "t.tar", picture(0)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for i in range(12_000):
            for ending, data in (("jpg", image), ("cls", b"cat")):
                member = tarfile.TarInfo(f"film.{i}.{ending}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    taken, lost, megabytes = measured(path, tmp_path / "spool")
    assert (taken, lost) == (12_000, 0) and megabytes < 8
