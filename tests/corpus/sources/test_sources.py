"""Every kind of source as rows, and their images: from folders, tars and a real S3 server, never
from outside.
"""

import json
import os
import tarfile
from collections import Counter

import pytest

from corpus.sources import s3 as store
from corpus.sources import source as sources
from corpus.sources.places import Bucket
from corpus.sources.source import Refused, fetch, prefetch, source_rows
from tests.support.faults import proxy
from tests.support.layouts import picture
from tests.support.layouts_parts import hf

MANIFEST = (
    "image,hashtags,label\na.jpg,#sea,cat\nsub/b.jpg,#sun,dog\ngone.jpg,#x,cat\n../out.jpg,#y,cat\n"
)


@pytest.fixture
def photos(tmp_path):
    """A folder with the manifest, two of its images, and one image outside."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(b"image a")
    (folder / "sub" / "b.jpg").write_bytes(b"image b")
    (folder / "m.csv").write_text(MANIFEST)
    (tmp_path / "out.jpg").write_bytes(b"secret")
    return folder


def images(found):
    """Bytes of each row's image, or the reason why there are none."""
    for row in found:
        try:
            yield row.reason.partition(":")[0] or fetch(row.locator)
        except Refused as error:
            yield str(error).partition(":")[0]


EXPECTED = [b"image a", b"image b", "file is missing", "path leaves the image folder"]


def test_a_manifest_and_its_images(photos, tmp_path, monkeypatch):
    assert (
        list(images(source_rows(photos / "m.csv", photos, "posts", tmp_path / "spool"))) == EXPECTED
    )
    assert (
        list(images(source_rows(str(photos / "m.csv"), None, "labels", tmp_path / "spool")))
        == EXPECTED
    )
    assert not (tmp_path / "spool").exists()
    monkeypatch.chdir(photos)
    assert list(images(source_rows("m.csv", None, "posts", tmp_path / "spool"))) == EXPECTED


def test_no_image_comes_from_outside_of_the_folder(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MAX_BYTES", 10)
    (photos / "large.jpg").write_bytes(bytes(11))
    (photos / "link.jpg").symlink_to(tmp_path / "out.jpg")
    (photos / "up").symlink_to(tmp_path)
    (photos / "inner.jpg").symlink_to(photos / "a.jpg")
    (photos / "round.jpg").symlink_to(photos / "round.jpg")
    os.mkfifo(photos / "fifo.jpg")
    expected = {
        "link.jpg": "path leaves the image folder",
        "up/out.jpg": "path leaves the image folder",
        "inner.jpg": b"image a",
        "large.jpg": "file of 11 bytes, allowed are 10",
        "sub": "file is missing",
        "fifo.jpg": "file is missing",
        "a.jpg/./../../out.jpg": "path leaves the image folder",
        "./a.jpg": b"image a",
        "sub/./b.jpg": b"image b",
    }
    lines = [
        json.dumps({"image": name, "hashtags": ["x"]})
        for name in [*expected, "round.jpg", "n" * 5000]
    ]
    (photos / "m.jsonl").write_text("\n".join(lines))
    *found, loop, long = images(source_rows(photos / "m.jsonl", photos, "posts", tmp_path))
    assert dict(zip(expected, found, strict=True)) == expected
    assert "file" in loop and "file" in long


def shard(path, names):
    with tarfile.open(path, "w") as tar:
        for name in names:
            tar.add(name, name.name)
    return path


def test_shards_and_their_images(photos, tmp_path, monkeypatch):
    (photos / "a.txt").write_text("#sea")
    (tmp_path / "shards").mkdir()
    path = shard(tmp_path / "shards" / "0.tar", [photos / "a.jpg", photos / "a.txt"])
    for source in (path, path.parent, f"{path.parent}/{{0..0}}.tar", f"{path.parent}/?.tar"):
        [row] = source_rows(source, None, "posts", tmp_path / "spool")
        assert (
            json.loads(json.dumps(row.locator)) == row.locator and fetch(row.locator) == b"image a"
        )
    monkeypatch.setattr(sources, "MAX_BYTES", 6)
    with pytest.raises(Refused, match="file of 7 bytes, allowed are 6"):
        fetch(row.locator)
    monkeypatch.undo()
    path.write_bytes(path.read_bytes()[:515])
    with pytest.raises(Refused, match="shorter"):
        fetch(row.locator)
    path.unlink()
    with pytest.raises(Refused, match="missing"):
        fetch(row.locator)


def test_a_folder_of_classes(photos, tmp_path):
    (photos / "m.csv").unlink()
    root = tmp_path / "classes"
    for name in ("cat", "dog", ".hidden"):
        (root / name).mkdir(parents=True)
        (root / name / "x.jpg").write_bytes(name.encode())
    posts = list(source_rows(root, None, "posts", tmp_path, noise=0.0, missing=0.0, off_topic=0.0))
    assert [row.fields["hashtags"] for row in posts] == [["cat"], ["dog"]] and list(
        images(posts)
    ) == [b"cat", b"dog"]
    labels = list(source_rows(root, None, "labels", tmp_path))
    assert [(row.fields["id"], row.fields["label"]) for row in labels] == [
        ("cat/x.jpg", "cat"),
        ("dog/x.jpg", "dog"),
    ]


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("m.xlsx", {}, r"is no source: name a table \(.csv .tsv.*; save it as CSV"),
        ("m.zip", {}, "is no source: .*; unpack it"),
        ("none.csv", {}, "none.csv is not found"),
        ("none.tar", {}, "there is no shard"),
        ("empty", {}, "holds no table .*, no .tar and no image"),
        ("", {}, "holds the table m.csv beside images: name that"),
        ("m.csv", {"noise": 0.1}, "options noise are for a folder of labelled images"),
    ],
)
def test_wrong_sources_are_told(photos, tmp_path, source, options, message):
    (photos / "empty").mkdir()
    with pytest.raises(ValueError, match=message):
        list(source_rows(photos / source, photos, "posts", tmp_path, **options))


def test_images_on_s3(photos, tmp_path, s3, monkeypatch):
    for name in ("a.jpg", "sub/b.jpg", "m.csv"):
        s3.client.upload_file(str(photos / name), s3.bucket, f"in/{name}")
    for source, base in (
        ("m.csv", None),
        ("m.csv", f"s3://{s3.bucket}/in"),
        ("m.csv", f"s3://{s3.bucket}/in/"),
    ):
        found = list(source_rows(f"s3://{s3.bucket}/in/{source}", base, "posts", tmp_path))
        assert list(images(found)) == EXPECTED
    assert (
        list(images(source_rows(photos / "m.csv", f"s3://{s3.bucket}/in", "posts", tmp_path)))
        == EXPECTED
    )
    monkeypatch.setattr(sources, "MAX_BYTES", 6)
    assert next(images(found)) == "file of 7 bytes, allowed are 6"


def test_names_below_an_s3_prefix():
    images = Bucket("s3://b/in/", "s3://b/in/train", nearest=True)
    assert images.place("0.jpg") == ("train/0.jpg", "s3://b/in/train/0.jpg")
    assert images.place("../0.jpg") == ("0.jpg", "s3://b/in/0.jpg")
    assert images.place("s3://b/in/d/0.jpg") == ("d/0.jpg", "s3://b/in/d/0.jpg")
    assert Bucket("s3://b/in", "s3://b/in/train").place("0.jpg") == ("0.jpg", "s3://b/in/0.jpg")
    for name in ("../../x.jpg", "/in/0.jpg", "s3://b/inner/0.jpg", "s3://b/in/../x", "."):
        with pytest.raises(Refused, match="path leaves the image folder"):
            images.place(name)
    with pytest.raises(Refused, match="an address"):
        images.place("https://b/in/0.jpg")


@pytest.mark.parametrize("source", ["in/data/", "in/data", "in/data/*.parquet"])
def test_parts_with_images_on_s3(tmp_path, s3, source):
    for split, label in (("train", 0), ("test", 1)):
        body = hf(2, 2 * label, label)
        s3.client.put_object(Bucket=s3.bucket, Key=f"in/data/{split}-0.parquet", Body=body)
    s3.client.put_object(Bucket=s3.bucket, Key="in/data/README.md", Body=b"x")
    left = Counter()
    found = list(source_rows(f"s3://{s3.bucket}/{source}", None, "labels", tmp_path, left=left))
    assert [row.fields["split"] for row in found] == ["test", "test", "train", "train"]
    assert [row.fields["label"] for row in found] == ["dog", "dog", "cat", "cat"]
    assert list(images(found)) == [picture(i) for i in (2, 3, 0, 1)]
    assert left.total() == (0 if "*" in source else 1)


def test_a_bucket_that_fails_halfway_says_how_far_it_came_and_goes_on(
    tmp_path, photos, s3, monkeypatch
):
    (photos / "a.txt").write_text("#sea")
    for i in range(4):
        path = shard(tmp_path / f"{i}.tar", [photos / "a.jpg", photos / "a.txt"])
        s3.client.upload_file(str(path), s3.bucket, f"{i}.tar")
    monkeypatch.setattr(store, "PAUSE", 0.01)
    source, spool = f"s3://{s3.bucket}/{{0..3}}.tar", tmp_path / "spool"
    with proxy(s3.endpoint) as faulty:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", faulty.endpoint)
        faulty.fault = lambda request: "drop" if "/2.tar" in request.path else None
        found, message = (
            [],
            r"2\.tar.*2 rows of .* had been read; .*spool: run again and it goes on",
        )
        with pytest.raises(ValueError, match=message) as error:
            for row in source_rows(source, None, "posts", spool):
                found.append(row)
        assert len(found) == 2 and "secret" not in str(error.value)
        tries = [request for request in faulty.requests if "/2.tar" in request.path]
        assert len(tries) == store.ATTEMPTS
        faulty.fault, before = lambda request: None, len(faulty.requests)
        assert list(images(source_rows(source, None, "posts", spool))) == [b"image a"] * 4
        ranged = [request.path for request in faulty.requests[before:] if request.range]
        assert ranged == [f"/{s3.bucket}/{i}.tar" for i in (2, 3)]
        faulty.fault = lambda request: 403
        with pytest.raises(ValueError, match=r"S3 refused .*AccessDenied") as refusal:
            fetch(f"s3://{s3.bucket}/a.jpg")
        assert not isinstance(refusal.value, Refused)


def test_prefetch_keeps_order_and_stays_within_its_window():
    taken = []
    items = (taken.append(i) or i for i in range(100))
    results = prefetch(lambda i: i * i, items, threads=4, ahead=8)
    assert next(results) == 0 and len(taken) == 8
    assert list(results) == [i * i for i in range(1, 100)]
