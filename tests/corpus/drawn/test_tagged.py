"""Drawn images of several classes: the same bytes each time, and what an import makes of them."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from corpus.drawn.concepts import CLASSES
from corpus.drawn.sample import is_drawn
from corpus.drawn.tagged import draw_tagged, tag_records, write_source
from corpus.kinds.tags import Tagged
from corpus.sources.source import source_rows
from corpus.store.ingest import ingest
from corpus.store.read import kind_of, read_records

ROOT = Path(__file__).parents[3]
IMAGES = (30, 10, 20)
SHA = "acf8d2e5d08b1cbc"  # of the images below: other pixels, or other draws, are another set


def test_the_bytes_are_the_same_and_more_begin_with_them():
    first, more = [*tag_records(0, IMAGES, 32)], [*tag_records(0, (40, 10, 20), 32)]
    assert first[:30] == more[:30] and first[30:] == more[40:]
    digest = hashlib.sha256(b"".join(data for _, data in first)).hexdigest()
    assert digest.startswith(SHA)
    assert [*tag_records(1, IMAGES, 32)] != first


def test_images_have_none_one_or_several_of_the_classes():
    names = {f"{texture} {shape}" for shape, texture in CLASSES}
    sizes = [len(record.tags) for record, _ in tag_records(0, (200, 0, 0), 16)]
    assert {0, 1, 2, 3} <= {*sizes} and 10 <= sizes.count(0) <= 40
    assert {tag for record, _ in tag_records(0, (200, 0, 0), 16) for tag in record.tags} == names


def test_the_table_is_imported_to_the_same_records(tmp_path):
    draw_tagged(tmp_path / "drawn", IMAGES)
    assert is_drawn(tmp_path / "drawn") and kind_of(tmp_path / "drawn", "targets/x").name == "tags"
    table = write_source(tmp_path / "source", IMAGES)
    rows = source_rows(table, None, "tags", tmp_path / "spool")
    result = ingest(rows, tmp_path / "data", "targets/things", kind="tags")
    assert result.kept == 60 and not result.refused and result.classes == len(CLASSES)
    both = []
    for store in (tmp_path / "drawn", tmp_path / "data/targets/things"):
        records = read_records(store, Tagged)
        both.append({record.id: (record.tags, record.split) for record in records})
    assert both[0] == both[1]


def test_the_command_writes_a_folder_of_its_own(tmp_path):
    command = [sys.executable, "-m", "corpus.drawn.tagged", str(tmp_path / "here"), "--train", "3"]
    command += ["--val", "2", "--test", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--kind tags --target things --labels" in done.stdout
    assert len([*(tmp_path / "here").glob("*.jpg")]) == 7
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert again.returncode == 1 and "is not empty; name another folder" in again.stderr


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not empty"):
        write_source(tmp_path, IMAGES)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
