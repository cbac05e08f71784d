"""Tables of posts and labels in every dialect, local and on S3.

A broken line costs itself alone.
"""

import csv
import gzip
import json
import random
import resource
import sys
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus.sources import lines
from corpus.sources.manifests import manifest_rows
from corpus.sources.source import source_rows
from tests.support.faults import proxy

ROWS = [
    {
        "image": "a.jpg",
        "hashtags": "#sea, #sun",
        "id": "1",
        "user": "ann",
        "time": "2024-05-01T10:00:00",
    },
    {"image": "sub/b ü.png", "hashtags": "dog;cat", "id": "2", "user": "", "time": ""},
]


def table(path, rows, delimiter=",", encoding="utf-8"):
    cells = [list(rows[0]), *(row.values() for row in rows)]
    lines = []
    for line in cells:
        lines.append(delimiter.join(f'"{cell}"' for cell in line))
    path.write_text("\n".join(lines), encoding=encoding)
    return path


def json_lines(path, rows):
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    return path


def read(path, kind="posts"):
    return list(manifest_rows(str(path), str(path.parent), kind, path.parent / "spool"))


def told(path, kind="posts"):
    """(place, reason) of what was refused, ids of what was not."""
    found = read(path, kind)
    refused = [(row.where.removeprefix(f"{path.name} "), row.reason) for row in found if row.reason]
    return refused, [row.fields["id"] for row in found if not row.reason]


KINDS = [
    "comma.csv",
    "semicolon.csv",
    "tab.tsv",
    "rows.jsonl",
    "rows.parquet",
    "comma.csv.gz",
    "rows.NDJSON.gz",
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_manifest_gives_the_same_posts(tmp_path, kind):
    path = tmp_path / kind.removesuffix(".gz")
    listed = [
        row | {"hashtags": ["sea", "#sun"] if row["id"] == "1" else ["dog cat"]} for row in ROWS
    ]
    if "parquet" in kind:
        pq.write_table(pa.Table.from_pylist(listed), path)
    elif kind[0] == "r":
        json_lines(path, listed)
    else:
        table(
            path,
            ROWS,
            {"c": ",", "s": ";", "t": "\t"}[kind[0]],
            "utf-8-sig" if kind[0] == "s" else "utf-8",
        )
    if kind.endswith(".gz"):
        (tmp_path / kind).write_bytes(gzip.compress(path.read_bytes()))
    a, b = read(tmp_path / kind)
    assert not a.reason and not b.reason and a.locator == f"{tmp_path}/./a.jpg"
    time = "2024-05-01T10:00:00"
    assert a.fields == {
        "id": "1",
        "image": "a.jpg",
        "hashtags": ["sea", "sun"],
        "user": "ann",
        "time": time,
    }
    assert b.fields == {
        "id": "2",
        "image": "sub/b ü.png",
        "hashtags": ["dog", "cat"],
        "user": None,
        "time": None,
    }
    assert (
        a.where
        == f"{kind} {'row 1' if 'parquet' in kind else 'line 2' if kind[0] != 'r' else 'line 1'}"
    )


def test_faulty_rows_come_with_their_reasons(tmp_path):
    rows = [
        {"image": "../secret.jpg", "hashtags": "x1"},
        {"image": "/etc/passwd", "hashtags": "x1"},
        {"image": "", "hashtags": "x1"},
        {"hashtags": "z1"},
        {"image": "a.jpg", "hashtags": " # "},
        {"image": "a.jpg"},
        {"image": "a\0.jpg", "hashtags": "x"},
        {"image": "a.jpg", "hashtags": "half\ud800"},
        {"image": "a.jpg", "hashtags": ["y1", None, {"text": "x"}, 5], "id": "f", "user": 7},
        {"image": "a.jpg", "hashtags": 3, "id": 0, "user": {"name": "x"}},
    ]
    found = read(json_lines(tmp_path / "m.jsonl", rows))
    reasons = ["path leaves the image folder"] * 2 + ["no image name"] * 2 + ["no hashtag"] * 2
    reasons += [
        "path leaves the image folder",
        "holds a NUL byte or half a character (a lone surrogate)",
        "",
        "",
    ]
    assert [row.reason.partition(":")[0] for row in found] == reasons
    assert (
        "".join(row.where + row.reason + row.fields["image"] for row in found).encode().count(b"\0")
        == 0
    )
    assert found[-2].fields == {
        "id": "f",
        "image": "a.jpg",
        "hashtags": ["y1", "5"],
        "user": "7",
        "time": None,
    }
    assert (found[-1].fields["id"], found[-1].fields["hashtags"], found[-1].fields["user"]) == (
        "0",
        ["3"],
        None,
    )


def test_labels(tmp_path):
    rows = [
        {"image": "a", "label": "cat", "split": "test"},
        {"image": "b", "label": "dog", "split": ""},
    ]
    found = read(
        table(tmp_path / "l.csv", [*rows, {"image": "c", "label": "", "split": ""}]), "labels"
    )
    assert [row.fields for row in found[:2]] == [
        {"id": "a", "image": "a", "label": "cat", "split": "test"},
        {"id": "b", "image": "b", "label": "dog", "split": "train"},
    ]
    assert found[2].reason == "no label"
    rows = [{"image": f"{i}", "label": "x"} for i in range(1000)]
    splits = [row.fields["split"] for row in read(table(tmp_path / "none.csv", rows), "labels")]
    assert (
        abs(splits.count("train") - 700) < 60
        and abs(splits.count("val") - 100) < 40
        and splits.count("test")
    )


def test_one_broken_csv_line_costs_itself_alone(tmp_path):
    path = tmp_path / "m.csv"
    good = [f"{i}.jpg,x{i}\n".encode() for i in range(9)]
    many = " ".join(f"#tag{i}" for i in range(10_000)).encode()
    bad = [
        b"a.jpg,x,more\n",
        b"only\n",
        b"caf\xe9.jpg,x\n",
        b"n\0l.jpg,x\n",
        b'open.jpg,"sea sun\n',
        b"o\rd.jpg,x\n",
    ]
    body = [part for pair in zip(good, bad, strict=False) for part in pair]
    body += [
        b'"two\nlines.jpg","a ""quoted"" tag"\n',
        b'5"nail.jpg,x\n',
        good[6],
        b"many.jpg," + many + b"\n",
        good[7],
    ]
    path.write_bytes(b"image,hashtags\n\n" + b"".join(body) + b'last.jpg,"x')
    refused, kept = told(path)
    assert kept == [
        *(f"{i}.jpg" for i in range(6)),
        "two\nlines.jpg",
        '5"nail.jpg',
        "6.jpg",
        "many.jpg",
        "7.jpg",
    ]
    expected = [
        ("line 4", "3 cells where the header has 2"),
        ("line 6", "1 cells where the header has 2"),
        ("line 8", "not UTF-8 (byte 4 of the line)"),
        ("line 10", "holds a NUL byte"),
        ("line 12", "a quote is never closed"),
    ]
    assert refused[:5] == expected and refused[5][0] == "line 14" and "new-line" in refused[5][1]
    assert refused[6:] == [("line 21", "a quote is never closed")]
    [row] = [row for row in read(path) if row.fields["id"] == "many.jpg"]
    assert len(row.fields["hashtags"]) == 10_000 and row.fields["hashtags"][-1] == "tag9999"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_what_the_csv_module_writes_is_read_as_it_was(tmp_path, quoting, end):
    rng = random.Random(0)
    names = ["".join(rng.choices('ab",;\n\t ü', k=rng.randint(1, 12))) + "x" for _ in range(2000)]
    with (tmp_path / "m.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=quoting, lineterminator=end)
        writer.writerows(
            [
                ("image", "hashtags", "user"),
                *((f"{i}.jpg", "t", name) for i, name in enumerate(names)),
            ]
        )
    assert [row.fields["user"] for row in read(tmp_path / "m.csv")] == [
        name.strip() for name in names
    ]


def test_one_broken_json_line_costs_itself_alone(tmp_path):
    path = tmp_path / "m.jsonl"
    good = b'{"image": "%d.jpg", "hashtags": "x"}\n'
    bad = [
        b'{"image"\n',
        b"[1]\n",
        b"\xff\n",
        b"\0\n",
        b"[" * 100_000 + b"\n",
        b'{"image": ' + b"9" * 5000 + b"}\n",
    ]
    path.write_bytes(b"".join(part for i, line in enumerate(bad) for part in (good % i, line)))
    refused, kept = told(path)
    assert kept == [f"{i}.jpg" for i in range(6)]
    parts = ["no JSON", "no JSON object", "not UTF-8", "NUL", "no JSON", "no JSON"]
    assert [place for place, _ in refused] == [f"line {2 * i + 2}" for i in range(6)]
    assert all(part in reason for part, (_, reason) in zip(parts, refused, strict=True))


def test_a_line_without_an_end_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "MAX_LINE", 1000)
    path = tmp_path / "m.csv"
    path.write_text("image,hashtags\n" + "a.jpg,x\n" + "b" * 5000 + ",x\nc.jpg,x\n")
    assert told(path) == ([("line 3", "longer than 0 MB")], ["a.jpg", "c.jpg"])


def test_parquet_of_bytes_dates_and_nothing(tmp_path):
    day = datetime(2024, 5, 1, 10)
    columns = {
        "image": [b"a.jpg", b"\xff.jpg"],
        "hashtags": [[b"caf\xc3\xa9"], [b"x"]],
        "time": [day, None],
    }
    pq.write_table(pa.table(columns), tmp_path / "m.parquet")
    good, bad = read(tmp_path / "m.parquet")
    assert (good.fields["hashtags"], good.fields["time"]) == (["café"], "2024-05-01T10:00:00")
    assert "half a character" in bad.reason and bad.fields["image"] == "\ufffd.jpg"


def test_a_gzip_that_was_cut_keeps_what_is_whole(tmp_path):
    path, text = (
        tmp_path / "m.csv.gz",
        "image,hashtags\n" + "".join(f"{i * 7919}.jpg,x\n" for i in range(20_000)),
    )
    packed = gzip.compress(text.encode())
    path.write_bytes(packed[: len(packed) // 2])
    refused, kept = told(path)
    assert 1000 < len(kept) < 20_000 and len(refused) == 1 and "cut off" in refused[0][1]


def test_images_within_a_table_need_room(tmp_path):
    columns = {"image": [b"\xff\xd8\xff" + bytes(9)] * 2, "hashtags": ["x"] * 2}
    folder = tmp_path / "in"
    folder.mkdir()
    pq.write_table(pa.table(columns), folder / "m.parquet")
    found = list(source_rows(folder, None, "posts", tmp_path / "spool"))
    assert [row.fields["id"] for row in found] == ["m/1", "m/2"]
    assert found[0].locator.startswith("tar:0+12:") and found[1].locator.startswith("tar:12+12:")
    (tmp_path / "file").write_text("no folder")
    for source in (folder / "m.parquet", folder):
        with pytest.raises(ValueError, match=r"cannot be spooled to .*make room there"):
            list(source_rows(source, None, "posts", tmp_path / "file" / "spool"))


def test_one_broken_parquet_row_costs_itself_alone(tmp_path):
    wrong = pa.array([b"fine", b"caf\xe9", b"good"], pa.binary()).view(pa.string())
    pq.write_table(
        pa.table({"image": pa.array(["0", "1", "2"]), "hashtags": wrong}), tmp_path / "m.parquet"
    )
    refused, kept = told(tmp_path / "m.parquet")
    assert kept == ["0", "2"] and refused[0][0] == "row 2" and "cannot be read" in refused[0][1]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "m.csv",
            "file,hashtags\na.jpg,x1\n",
            r"lacks column image \(found: file, hashtags\).*needed are image",
        ),
        ("m.csv", "Image , TAGS\na.jpg,x1\n", "lacks column hashtags"),
        ("m.csv", "image,hashtags,image\n", "has column image twice"),
        ("m.csv", "", r"lacks column image, hashtags \(found: none"),
        ("m.csv", "image,hashtags\na,x\n".encode("utf-16"), "header.*not UTF-8"),
        ("m.csv.gz", "image,hashtags\na,x\n", "header.*cut off or damaged"),
        ("m.jsonl", '{"image"\n', "no line with a JSON object; the first, line 1: no JSON"),
        ("m.jsonl", '[{"image": "a"}]\n', "line 1: no JSON object"),
        ("m.jsonl", '{"picture": "a.jpg", "hashtags": "x1"}\n' * 1000, "lacks column image"),
        ("m.parquet", "text", "cannot be read"),
        (None, "", "not found"),
    ],
)
def test_a_wrong_file_is_explained(tmp_path, name, text, message):
    path = tmp_path / (name or "missing.csv")
    if name:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=f"manifest .*{path.name}.*{message}"):
        read(path)


def test_a_parquet_file_cut_in_the_middle_or_without_columns(tmp_path):
    path = tmp_path / "m.parquet"
    pq.write_table(pa.Table.from_pylist([{"picture": "a", "hashtags": ["x"]}]), path)
    with pytest.raises(ValueError, match="lacks column image"):
        read(path)
    many = [{"image": f"{i}", "hashtags": [f"x{i * 7919 % 10007}"]} for i in range(20_000)]
    pq.write_table(pa.Table.from_pylist(many), path, row_group_size=5000, compression="zstd")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) * 3 // 4] = bytes(len(data) * 3 // 4 - len(data) // 2)
    path.write_bytes(data)
    found = []
    with pytest.raises(ValueError, match=r"cannot be read after row \d+ .*export it again"):
        found += manifest_rows(str(path), str(tmp_path), "posts", tmp_path)


def test_folders_that_are_no_manifests_and_images_nowhere(tmp_path):
    (tmp_path / "m.csv").mkdir()
    with pytest.raises(ValueError, match=r"cannot be opened \(Is a directory\)"):
        read(tmp_path / "m.csv")
    path = table(tmp_path / "good.csv", ROWS)
    with pytest.raises(ValueError, match=r"image folder .*none is not found"):
        list(manifest_rows(str(path), str(tmp_path / "none"), "posts", tmp_path))


@pytest.mark.parametrize("name", ["m.csv", "m.jsonl.gz", "m.parquet"])
def test_manifests_on_s3_are_the_same_though_the_connection_drops(tmp_path, s3, monkeypatch, name):
    rows = [ROWS[0] | {"id": str(i), "image": f"{i}.jpg"} for i in range(30_000)]
    path = tmp_path / name
    if name == "m.csv":
        table(path, rows)
    elif name == "m.parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_bytes(gzip.compress(json_lines(tmp_path / "m.jsonl", rows).read_bytes()))
    s3.client.upload_file(str(path), s3.bucket, f"in/{name}")
    monkeypatch.setattr("corpus.sources.s3.PAUSE", 0.01)
    with proxy(s3.endpoint) as faulty:
        faulty.fault = lambda request: (
            "cut" if request.number in (1, 2) else "drop" if request.number == 3 else None
        )
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", faulty.endpoint)
        url, images = f"s3://{s3.bucket}/in/{name}", f"s3://{s3.bucket}/in/"
        found = list(manifest_rows(url, images, "posts", tmp_path / "spool"))
    assert [row.fields for row in found] == [row.fields for row in read(path)] and len(
        found
    ) == 30_000
    assert found[7].locator == f"s3://{s3.bucket}/in/7.jpg" and not any(row.reason for row in found)


def test_memory_does_not_grow_with_the_rows(tmp_path):
    path = tmp_path / "m.jsonl"
    with path.open("w") as file:
        for i in range(200_000):
            file.write(
                f'{{"image": "{i}.jpg", "hashtags": ["sea{i}", "sun"], "user": "user{i % 1000}"}}\n'
            )
    stream, peaks = manifest_rows(str(path), str(tmp_path), "posts", tmp_path), []
    for number, row in enumerate(stream, 1):
        assert not row.reason
        if number % 20_000 == 0:
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    unit = 1 if sys.platform == "darwin" else 1024
    assert len(peaks) == 10 and (peaks[-1] - peaks[0]) * unit < 4 << 20 < path.stat().st_size
