"""A person's own posts from files and from a real S3 server; bad rows are set aside, nothing else is lost."""

import json
from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from corpus import sources
from corpus.posts import Label, Post, read_store
from corpus.sources import import_posts, prefetch, read_manifest

ROWS = [
    {"image": "a.jpg", "hashtags": "#sea, #sun", "id": "1", "user": "ann", "time": "2024-05-01T10:00:00"},
    {"image": "sub/b ü.png", "hashtags": "dog;cat", "id": "2", "user": "", "time": ""},
]


@pytest.fixture(autouse=True)
def fresh_client():
    sources._client.cache_clear()


def picture(kind: str = "JPEG") -> bytes:
    out = BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(picture())
    (folder / "sub" / "b ü.png").write_bytes(picture("PNG"))
    return folder


def table(path, rows, delimiter=","):
    lines = [list(rows[0]), *(row.values() for row in rows)]
    text = "\n".join(delimiter.join(f'"{cell}"' for cell in line) for line in lines)
    path.write_text(text, encoding="utf-8-sig" if delimiter == ";" else "utf-8")
    return path


def json_lines(path, rows):
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    return path


@pytest.mark.parametrize("kind", ["comma.csv", "semicolon.csv", "tab.tsv", "rows.jsonl", "rows.parquet"])
def test_every_manifest_gives_the_same_posts(tmp_path, photos, kind):
    path = tmp_path / kind
    if kind.endswith("v"):
        table(path, ROWS, {"c": ",", "s": ";", "t": "\t"}[kind[0]])
    elif kind.endswith("l"):
        json_lines(path, [row | {"hashtags": row["hashtags"].replace("#", "").replace(";", ", ")} for row in ROWS])
    else:
        lists = [row | {"hashtags": sources.split_tags(row["hashtags"])} for row in ROWS]
        pq.write_table(pa.Table.from_pylist(lists), path)
    assert import_posts(photos, path, tmp_path / "data" / "posts") == (2, [])
    (a, a_bytes), (b, b_bytes) = read_store(tmp_path / "data" / "posts", Post)
    assert (a.hashtags, a.user, a.time) == (["sea", "sun"], "ann", "2024-05-01T10:00:00")
    assert (b.hashtags, b.user, b.time, b.id) == (["dog", "cat"], None, None, "2")
    assert a_bytes == picture() and b_bytes == picture("PNG")
    assert not (tmp_path / "data" / "quarantine.jsonl").exists()


def test_faulty_rows_are_set_aside_each_with_its_reason(tmp_path, photos, monkeypatch):
    (photos / "cut.jpg").write_bytes(picture()[:500])
    (photos / "text.jpg").write_text("no image")
    (photos / "huge.bmp").write_bytes(picture("BMP") + bytes(10_000))
    (tmp_path / "secret.jpg").write_bytes(picture())
    (photos / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    monkeypatch.setattr(sources, "MAX_BYTES", 10_000)
    faults = {
        "none.jpg": "missing",
        "cut.jpg": "not decodable",
        "text.jpg": "not decodable",
        "huge.bmp": "allowed are 10,000",
        "../secret.jpg": "leaves",
        str(tmp_path / "secret.jpg"): "leaves",
        "link.jpg": "leaves",
        "sub": "missing",
        "": "no image name",
    }
    rows = [{"image": name, "hashtags": "x1"} for name in ["a.jpg", *faults, "a.jpg", "sub/b ü.png"]]
    rows += [{"image": "a.jpg", "hashtags": " # ", "id": "e"}, {"image": "a.jpg", "hashtags": ["y1"], "id": "f"}]
    rows += [{"image": "a.jpg", "hashtags": ["y1"], "id": "g", "time": "soon"}, {"hashtags": "z1"}]
    seen = []
    manifest = json_lines(tmp_path / "m.jsonl", rows)
    result = import_posts(photos, manifest, tmp_path / "data" / "posts", progress=lambda *a: seen.append(a))
    expected = [*faults.values(), "duplicate id 'a.jpg'", "no hashtag", "time: ", "no image name"]
    reasons = [entry["reason"] for entry in result.quarantined]
    assert all(part in reason for part, reason in zip(expected, reasons, strict=True))
    assert [post.id for post, _ in read_store(tmp_path / "data" / "posts", Post)] == ["a.jpg", "sub/b ü.png", "f"]
    assert result.kept + len(result.quarantined) == len(rows) and [done for done, *_ in seen][-1] == len(rows)
    lines = [json.loads(line) for line in (tmp_path / "data" / "quarantine.jsonl").read_text().splitlines()]
    assert [(line["row"], line["reason"]) for line in lines] == [(e["row"], e["reason"]) for e in result.quarantined]
    assert lines[0]["row"] == 2 and lines[0]["image"] == "none.jpg"


def test_labels_and_the_quarantine_of_two_stores(tmp_path, photos):
    rows = [{"image": "a.jpg", "label": "cat", "split": "test"}, {"image": "sub/b ü.png", "label": "dog", "split": ""}]
    wrong = [{"image": "a.jpg", "label": "", "split": ""}, {"image": "a.jpg", "label": "cat", "split": "dev"}]
    data, manifest = tmp_path / "data", table(tmp_path / "labels.csv", rows + wrong)
    assert import_posts(photos, manifest, data / "targets" / "pets", kind="labels").kept == 2
    records = [record for record, _ in read_store(data / "targets" / "pets", Label)]
    assert [(r.label, r.split) for r in records] == [("cat", "test"), ("dog", "train")]
    posts = json_lines(tmp_path / "posts.jsonl", [*ROWS, {"image": "x.jpg", "hashtags": "x1"}])
    for _ in range(2):
        import_posts(photos, posts, data / "posts")
    stores = [json.loads(line)["store"] for line in (data / "quarantine.jsonl").read_text().splitlines()]
    assert stores == ["targets/pets", "targets/pets", "posts"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("m.csv", "file,hashtags\na.jpg,x1\n", r"lacks column image \(found: file, hashtags\); rename"),
        ("m.csv", "Image , TAGS\na.jpg,x1\n", "lacks column hashtags"),
        ("m.csv", "image,hashtags\n", "no row"),
        ("m.csv", "image,hashtags\nx.jpg,x1\n", "no row .* could be imported; the first: .*file is missing"),
        ("m.csv", b"image,hashtags\na.jpg,caf\xe9\n", "not UTF-8"),
        ("m.jsonl", '{"image": "a.jpg", "hashtags": "x1"}\n{"image"\n', "line 2 is no JSON"),
        ("m.jsonl", "[1]\n", "line 1 is no JSON object"),
        ("m.parquet", "text", "cannot be read"),
        ("m.xlsx", "", "known: .csv"),
        (None, "", "cannot be opened"),
    ],
)
def test_a_bad_manifest_is_explained_and_leaves_the_older_store(tmp_path, photos, name, text, message):
    out = tmp_path / "posts"
    import_posts(photos, table(tmp_path / "good.csv", ROWS), out)
    path = tmp_path / (name or "missing.csv")
    if name:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message):
        import_posts(photos, path, out)
    assert len(list(read_store(out, Post))) == 2


def test_prefetch_keeps_order_and_stays_within_its_window():
    taken = []
    items = (taken.append(i) or i for i in range(100))
    results = prefetch(lambda i: i * i, items, threads=4, ahead=8)
    assert next(results) == 0 and len(taken) == 8
    assert list(results) == [i * i for i in range(1, 100)]


def test_import_from_s3(tmp_path, photos, s3):
    for path in ("a.jpg", "sub/b ü.png"):
        s3.client.upload_file(str(photos / path), s3.bucket, f"pictures/{path}")
    rows = [*ROWS, ROWS[0] | {"image": "none.jpg"}, ROWS[0] | {"image": "../posts.csv"}]
    s3.client.upload_file(str(table(tmp_path / "all.csv", rows)), s3.bucket, "posts.csv")
    url = f"s3://{s3.bucket}"
    result = import_posts(f"{url}/pictures/", f"{url}/posts.csv", tmp_path / "posts")
    assert [entry["reason"] for entry in result.quarantined] == ["file is missing", "path leaves the image folder"]
    import_posts(photos, table(tmp_path / "posts.csv", ROWS), tmp_path / "local")
    assert list(read_store(tmp_path / "posts", Post)) == list(read_store(tmp_path / "local", Post))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bucket": "no-such-bucket"}, "NoSuchBucket.*check the bucket"),
        ({"AWS_SECRET_ACCESS_KEY": "wrong-secret"}, "SignatureDoesNotMatch.*AWS_SECRET_ACCESS_KEY"),
        ({"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}, "AWS_ENDPOINT_URL_S3"),
    ],
)
def test_s3_failures_say_what_to_do_and_no_secret(tmp_path, s3, monkeypatch, change, message):
    s3.client.put_object(Bucket=s3.bucket, Key="m.csv", Body=b"image,hashtags\na.jpg,x1\n")
    bucket = change.get("bucket", s3.bucket)
    for name in change.keys() & s3.env.keys():
        monkeypatch.setenv(name, change[name])
    with pytest.raises(ValueError, match=message) as error:
        list(read_manifest(f"s3://{bucket}/m.csv"))
    assert "secret" not in str(error.value).replace("AWS_SECRET_ACCESS_KEY", "")
