"""Tags: one set of classes for each image, from whatever people have; nothing is guessed."""

import csv
import io
import json
import random
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from corpus.kinds.posts import Post
from corpus.kinds.tags import Tagged
from corpus.reading.shards import Shards
from corpus.records.kind import kind, kinds
from corpus.sources.source import source_rows
from corpus.splits import Part, completed
from corpus.store.account import Unusable
from corpus.store.ingest import ingest, ingest_all
from corpus.store.read import kind_of, read_records, shards_of, total
from corpus.store.trial import try_all
from corpus.store.write import write_store
from tests.support.corpora import build_with

EXPECTED = {"a": ["Hot Dog", "cat"], "b": [], "c": ["dog"]}
SIDE = 48


def picture(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    out = io.BytesIO()
    image = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    image.save(out, "JPEG")
    return out.getvalue()


@pytest.fixture
def folder(tmp_path) -> Path:
    made = tmp_path / "source"
    made.mkdir()
    for seed, name in enumerate("abcd"):
        (made / f"{name}.jpg").write_bytes(picture(seed))
    return made


def write_csv(folder: Path, rows: list[list[str]], name: str = "t.csv") -> Path:
    with (folder / name).open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder / name


def cells(one: str, none: str, other: str, header: str = "tags"):
    def write(folder: Path) -> Path:
        rows = [["image", header], ["a.jpg", one], ["b.jpg", none], ["c.jpg", other]]
        return write_csv(folder, rows)

    return write


def objects(folder: Path) -> Path:
    rows = [{"image": "a.jpg", "Tags": ["cat", "Hot Dog", "cat"]}, {"image": "b.jpg", "tags": []}]
    rows.append({"image": "c.jpg", "tags": "dog"})
    (folder / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "t.jsonl"


def lists(folder: Path) -> Path:
    tags = pa.array([["Hot Dog", "cat"], [], ["dog"]], pa.list_(pa.string()))
    table = pa.table({"image": ["a.jpg", "b.jpg", "c.jpg"], "tags": tags})
    pq.write_table(table, folder / "t.parquet")
    return folder / "t.parquet"


def numbered(folder: Path, listed: dict | list) -> Path:
    """As Hugging Face writes a list of classes."""
    table = pa.table({"image": ["a.jpg", "b.jpg", "c.jpg"], "labels": [[2, 0], [], [1]]})
    about = json.dumps({"info": {"features": {"labels": listed}}})
    pq.write_table(table.replace_schema_metadata({"huggingface": about}), folder / "t.parquet")
    return folder / "t.parquet"


CLASSES = {"_type": "ClassLabel", "names": ["cat", "dog", "Hot Dog"]}


def repeated_rows(folder: Path) -> Path:
    rows = [["image", "label"], ["a.jpg", "cat"], ["c.jpg", "dog"], ["a.jpg", "Hot  Dog"]]
    return write_csv(folder, [*rows, ["b.jpg", "[]"], ["a.jpg", "cat"]])


def columns(folder: Path) -> Path:
    rows = [["image", "cat", "Hot Dog", "dog"], ["a.jpg", "1", "true", "0"]]
    return write_csv(folder, [*rows, ["b.jpg", "0", "", "False"], ["c.jpg", "0.0", "", "1.0"]])


def number_columns(folder: Path) -> Path:
    table = {"image": ["a.jpg", "b.jpg", "c.jpg"], "cat": [1, 0, 0], "dog": [False, False, True]}
    pq.write_table(pa.table(table | {"Hot Dog": [1.0, 0.0, None]}), folder / "t.parquet")
    return folder / "t.parquet"


def archive(folder: Path) -> Path:
    said = {"a": {"tags": ["cat", "Hot Dog"]}, "b": {"tags": []}, "c": {"labels": "dog"}}
    with tarfile.open(folder / "t.tar", "w") as tar:
        for name, about in said.items():
            for ending, data in (
                ("jpg", (folder / f"{name}.jpg").read_bytes()),
                ("json", json.dumps(about).encode()),
            ):
                info = tarfile.TarInfo(f"{name}.{ending}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return folder / "t.tar"


SOURCES = {
    "semicolons": cells("cat; Hot Dog;", "[]", "dog"),
    "bars": cells("Hot Dog|cat", "[]", "dog|"),
    "JSON in cells": cells('["cat", "Hot Dog"]', "[]", '["dog"]', "labels"),
    "Python in cells": cells("['cat', 'Hot Dog']", "[]", "['dog']"),
    "JSONL": objects,
    "Parquet": lists,
    "classes by number": lambda f: numbered(f, {"_type": "Sequence", "feature": CLASSES}),
    "classes by number, older": lambda f: numbered(f, [CLASSES]),
    "several rows": repeated_rows,
    "a column per class": columns,
    "a column per class, Parquet": number_columns,
    "a tar": archive,
}


def imported(source: Path, data: Path, name: str = "targets/pets", **how):
    rows = source_rows(source, None, "tags", data.parent / "spool")
    return ingest(rows, data, name, kind="tags", **how)


def stored(data: Path, name: str = "targets/pets") -> dict[str, list[str]]:
    return {record.id: record.tags for record in read_records(data / name, Tagged)}


@pytest.mark.parametrize("write", SOURCES.values(), ids=SOURCES)
def test_what_people_have_gives_the_same_sets(folder, tmp_path, write):
    result = imported(write(folder), tmp_path / "data")
    assert not result.refused and result.kept == 3 and result.classes == 3
    found = {key.rpartition("/")[2][0]: tags for key, tags in stored(tmp_path / "data").items()}
    assert found == EXPECTED
    assert "1 images have no class: each is a negative for all of them" in result.notes


def test_folders_of_classes_hold_an_image_several_times(folder, tmp_path):
    root = tmp_path / "classes"
    for place in ("cat/1.jpg", "Hot Dog/other name.jpg", "bird/1.jpg", "bird/2.jpg"):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
    same = picture(0)
    (root / "cat/1.jpg").write_bytes(same)
    (root / "Hot Dog/other name.jpg").write_bytes(same)
    (root / "bird/1.jpg").write_bytes(picture(1))  # the name alone says nothing
    (root / "bird/2.jpg").symlink_to(root / "cat/1.jpg")
    result = imported(root, tmp_path / "data")
    assert (result.kept, result.joined, result.refused) == (2, 2, {})
    assert stored(tmp_path / "data") == {
        "Hot Dog/other name.jpg": ["Hot Dog", "bird", "cat"],
        "bird/1.jpg": ["bird"],
    }


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([["image", "tags"], ["b.jpg", ""]], "no tag, tags is empty: write [] where the image"),
        ([["image", "tags"], ["b.jpg", " ; "]], "no tag, tags is empty"),
        ([["image", "cat", "width"], ["b.jpg", "1", "640"]], "width has '640', and not 1 or 0"),
        ([["image", "cat", "dog"], ["b.jpg", "1", "-1"]], "dog has '-1', and not 1 or 0"),
        ([["image", "cat", "dog"], ["b.jpg", "", ""]], "no tag, the classes' columns are empty"),
        ([["id", "image"], ["1", "b.jpg"]], "no tag: no column tags, labels, label, and none per"),
        ([["image", "tags"], ["b.jpg", "|".join(map(str, range(1001)))]], "too many tags: 1,001"),
        ([["image", "tags", "split"], ["b.jpg", "x", "dev"]], "bad field: split"),
    ],
)
def test_what_says_nothing_certain_is_refused(folder, tmp_path, rows, why):
    with pytest.raises(Unusable, match="nothing could be imported") as told:
        imported(write_csv(folder, rows), tmp_path / "data")
    assert why in str(told.value)
    assert not (tmp_path / "data/targets/pets").exists()


def test_rows_that_contradict_each_other_are_all_refused(folder, tmp_path):
    head = ["id", "image", "tags", "split"]
    rows = [["1", "a.jpg", "cat", "train"], ["1", "a.jpg", "dog", "test"]]
    rows += [["2", "b.jpg", "cat", "test"], ["2", "c.jpg", "dog", "test"]]
    result = imported(
        write_csv(folder, [head, *rows, ["3", "d.jpg", "dog", "test"]]), tmp_path / "d"
    )
    assert result.refused == {"contradiction": 2, "duplicate id": 1} and result.joined == 0
    assert stored(tmp_path / "d").keys() == {"2", "3"}
    reasons = [json.loads(line) for line in (tmp_path / "d/quarantine.jsonl").open()]
    told = "contradiction: rows of its image are in the splits test and train"
    assert [each["reason"] for each in reasons].count(told) == 2


def test_the_order_of_rows_changes_no_byte(folder, tmp_path):
    rows = [[f"{name}.jpg", tag] for name in "abcd" for tag in ("x", "y", "z", name)]
    made = []
    for number in range(3):
        random.Random(number).shuffle(rows)
        data = tmp_path / f"data{number}"
        source = write_csv(folder, [["image", "tags"], *rows], f"{number}.csv")
        assert imported(source, data).joined == 12
        made.append([path.read_bytes() for path in sorted((data / "targets/pets").iterdir())])
    assert made[0] == made[1] == made[2]


def test_a_store_keeps_its_kind_and_takes_no_other(folder, tmp_path):
    data = tmp_path / "data"
    imported(cells("cat", "[]", "dog")(folder), data)
    assert kind_of(data / "targets/pets", "targets/pets") is kind("tags")
    more = write_csv(folder, [["image", "tags"], ["d.jpg", "dog;bird"], ["a.jpg", "dog"]])
    rows = [*source_rows(more, None, "tags", tmp_path)]
    told = ingest(rows, data, "targets/pets")
    assert (told.kept, told.differing) == (1, 1)
    assert told.differences[0]["change"] == "tags ['cat'] -> ['dog']"
    assert ingest(rows, data, "targets/pets", update=True).changed == 1
    assert stored(data)["a.jpg"] == ["dog"] and stored(data)["d.jpg"] == ["bird", "dog"]
    assert json.loads((data / "targets/pets/store.json").read_text())["kind"] == "tags"
    before = total(shards_of(data / "targets/pets"))
    with pytest.raises(ValueError, match="holds tags, and --kind labels was asked for: import it"):
        ingest(rows, data, "targets/pets", kind="labels")
    with pytest.raises(ValueError, match="cannot be of the kind posts: --posts imports"):
        ingest(rows, data, "targets/pets", kind="posts", replace=True)
    with pytest.raises(ValueError, match="unknown kind 'masks' of data set: choose one of boxes"):
        ingest(rows, data, "targets/pets", kind="masks")
    assert total(shards_of(data / "targets/pets")) == before
    labels = write_csv(folder, [["image", "label"], ["a.jpg", "x"], ["b.jpg", "y"]])
    rows = [*source_rows(labels, None, "labels", tmp_path)]
    ingest(rows, data, "targets/pets", kind="labels", replace=True)
    assert "kind" not in json.loads((data / "targets/pets/store.json").read_text())


def test_a_trial_tells_what_the_import_does(folder, tmp_path):
    rows = [["image", "tags"], ["a.jpg", "cat"], ["a.jpg", "a, b"], ["b.jpg", ""], ["c.jpg", "cat"]]
    source, name = write_csv(folder, rows), "targets/pets"

    def read():
        return {name: source_rows(source, None, "tags", tmp_path / "spool")}

    scratch = tmp_path / "scratch"
    tried = try_all(read(), tmp_path / "data", scratch, kind="tags")[name]
    done = ingest_all(read(), tmp_path / "data", kind="tags")[name]
    assert tried.result == done._replace(digest="") and done.joined == 1 and done.classes == 2
    assert any(
        note.startswith("1 classes have a comma in their name, as 'a, b'") for note in done.notes
    )
    assert {picture.words for picture in tried.pictures} == {("a, b", "cat"), ("cat",)}


def test_a_set_without_any_class_is_refused(folder, tmp_path):
    with pytest.raises(Unusable, match="would hold no class at all"):
        imported(write_csv(folder, [["image", "tags"], ["a.jpg", "[]"]]), tmp_path / "data")


def test_one_class_is_a_task_and_one_that_all_images_have_is_told(folder, tmp_path):
    rows = [["image", "tags", "split"], ["a.jpg", "cat", "train"], ["b.jpg", "cat", "train"]]
    result = imported(write_csv(folder, rows), tmp_path / "data")
    assert "1 class ('cat') has no train image without it: nothing to tell apart" in result.notes


def tagged_part(number: int, seed: int) -> Part:
    rng = np.random.default_rng(seed)
    classes = [sorted({*rng.integers(0, 12, rng.integers(0, 4)).tolist()}) for _ in range(number)]
    ids = [f"{seed}-{i}" for i in range(number)]
    return Part(ids, classes, ["train"] * number, np.ones(number, bool))


def test_splits_hold_out_each_class_of_two_or_more_and_move_nothing_later():
    shares = {"val": 0.15, "test": 0.2}
    parts = [tagged_part(60, seed) for seed in range(30)]
    alone, _ = completed(parts[:1], 12, shares)
    found, held = completed(parts, 12, shares)
    assert held == ["test", "val"] and found[0] == alone[0]
    for part, split in zip(parts[:1], alone, strict=True):
        had, test = Counter(), Counter()
        for classes, into in zip(part.labels, split, strict=True):
            had.update(classes)
            test.update(classes if into == "test" else ())
        assert all(test[one] for one, count in had.items() if count > 1)
    shares_of_classes = Counter(), Counter()
    for part, split in zip(parts, found, strict=True):
        for classes, into in zip(part.labels, split, strict=True):
            shares_of_classes[0].update(classes)
            shares_of_classes[1].update(classes if into == "test" else ())
    every, test = shares_of_classes
    assert all(test[one] / every[one] == pytest.approx(0.2, abs=0.06) for one in every)


def test_the_stage_corpus_makes_shards_of_tags(tmp_path):
    data, count = tmp_path / "data", 40
    posts = [(f"p{i}", [["sea"], ["dog"], ["sea", "dog"]][i % 3], picture(i)) for i in range(90)]
    records = (
        (Post(id=key, image=f"{key}.jpg", hashtags=tags, user=key), image)
        for key, tags, image in posts
    )
    write_store(data / "posts", records)
    tags = [["dog"], [], ["cat", "dog"], ["cat"]]
    rows = []
    for i in range(count):
        key, seed = f"t{i}", {0: 5, 9: 1008}.get(i, 1000 + i)  # t0 repeats a post, t9 equals t8
        rows.append((Tagged(id=key, image=f"{key}.jpg", tags=tags[i % 4]), picture(seed)))
    write_store(data / "targets/pets", rows, kind="tags")
    summary = build_with(data, tmp_path / "out", tmp_path / "cache", min_posts=2)
    assert (
        summary["duplicates_dropped"] == 1 and sum(summary["images"]["targets/pets"].values()) == 40
    )
    assert any("under more than one set of tags" in note for note in summary["notes"])
    seen = {}
    for split in ("train", "val", "test"):
        shards = Shards(tmp_path / "out/targets/pets", split)
        assert shards.kind == "tags" and shards.classes == ["cat", "dog"]
        hot = shards.read(range(len(shards)), "tags").tolist()
        seen |= dict(zip(shards.ids, hot, strict=True))
    rows = [[0.0, 1.0], [0.0, 0.0], [1.0, 1.0], [1.0, 0.0]]
    assert seen == {f"t{i}": rows[i % 4] for i in range(count)}
    page = (tmp_path / "out/report.html").read_text()
    assert "Labelled sets of several classes" in page and "10 have none, and are negatives" in page
    named = build_with(
        data, tmp_path / "out", tmp_path / "cache", min_posts=2, vocabulary="targets"
    )
    known = ["boxes", "clips", "labels", "panoptic", "posts", "tags", "video_posts"]
    assert named["hashtags"] == 1 and kinds() == known
