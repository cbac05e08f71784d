"""Tar shards of webdataset and img2dataset, whole, hostile and cut.

Local, packed, in patterns and on S3.
"""

import gzip
import lzma
import os
import random
import tarfile
from collections import Counter

import numpy as np
import pytest

from corpus.sources import members, samples
from corpus.sources.archives import archive_rows
from corpus.sources.source import fetch
from tests.support.archives import JPEG, SNIFFED, info, kept, pack, posts, read, reasons

# what is read


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_posts_of_a_shard_and_their_images(tmp_path, format):
    long = "d" * 90 + "/" + "ü" * 40
    about = {"hashtags": ["#sea", "sun set"], "user": 7, "time": "2024-05-01", "id": 12}
    files = [
        ("a.jpg", JPEG),
        ("a.json", about),
        ("a.npy", b"x"),
        ("sub/b.x.PNG", b"ignored"),
        ("sub/b.PNG", b"png"),
    ]
    files += [("sub/b.txt", b"eins, zwei\ndrei"), (info("dir", type=tarfile.DIRTYPE), b"")]
    files += [
        ("./c.webp", b"webp"),
        ("./c.json", {"key": "k3", "caption": "by the #sea#sun, http://x/#no \uff03höhe"}),
    ]
    files += [("__meta__", b"x"), (f"{long}.jpg", b"long"), (f"{long}.txt", b"so much #text here")]
    left = Counter()
    path = str(pack(tmp_path / "00000.tar", files, format))
    rows = list(archive_rows(path, "posts", tmp_path, left=left))
    assert reasons(rows) == ["00000.tar sub/b.x.PNG: a second image of its key"]
    assert left == {"member .npy": 1, "webdataset's note": 1}
    a, b, c, d = rows = [row for row in rows if not row.reason]
    assert a.fields == {
        "id": "12",
        "image": "a.jpg",
        "hashtags": ["sea", "sun", "set"],
        "user": "7",
        "time": "2024-05-01",
    }
    assert (b.fields["id"], b.fields["hashtags"]) == ("00000/sub/b", ["eins", "zwei", "drei"])
    assert (c.fields["id"], c.fields["hashtags"]) == ("k3", ["sea", "sun", "höhe"])
    assert (d.fields["id"], d.fields["hashtags"]) == (f"00000/{long}", ["text"])
    assert [fetch(row.locator) for row in rows] == [JPEG, b"png", b"webp", b"long"]
    assert a.where == "00000.tar a"


def test_captions_are_no_lists_of_tags():
    from corpus.sources.tars import _hashtags

    assert _hashtags({"caption": "a photo of the sea"}, "a photo of the sea") == []
    assert _hashtags({"caption": "the #sea"}, "the #sea") == ["sea"]
    assert _hashtags({"user": "u"}, "sea, sun\nhöhe\n") == ["sea", "sun", "höhe"]
    assert _hashtags({}, "sea") == ["sea"] and _hashtags({}, "a dog, at the sea") == []
    assert (
        _hashtags({}, "a day at the sea") == _hashtags({}, "sea sun") == _hashtags({}, None) == []
    )
    assert _hashtags({"hashtags": [], "tags": "x, y", "caption": "#z"}, None) == ["x", "y"]
    assert _hashtags({"hashtags": None, "text": "#z."}, None) == ["z."]


def test_failed_downloads_of_img2dataset_are_told(tmp_path):
    failed = {
        "status": "failed_to_download",
        "error_message": "HTTP Error 404",
        "key": "1",
        "caption": "#x",
        "url": "u",
    }
    done = {
        "status": "success",
        "error_message": None,
        "key": "000000002",
        "caption": "a #sea",
        "url": "u",
        "sha256": "x",
    }
    files = [
        ("1.json", failed),
        ("000000002.jpg", JPEG),
        ("000000002.json", done),
        ("000000002.txt", b"a #sea"),
    ]
    rows = read(pack(tmp_path / "00003.tar", files))
    assert reasons(rows) == [
        "00003.tar 1: no image: img2dataset: failed_to_download: HTTP Error 404"
    ]
    assert rows[1].fields["hashtags"] == ["sea"] and kept(rows) == ["000000002"]


def test_labels_from_cls_and_json(tmp_path):
    files = [
        ("a.jpg", JPEG),
        ("a.cls", b"3\n"),
        ("b.jpg", JPEG),
        ("b.json", {"label": "cat", "split": "val"}),
    ]
    rows = read(pack(tmp_path / "x.tar", [*files, ("c.jpg", JPEG)]), "labels")
    assert [row.fields.get("label") for row in rows] == ["3", "cat", None] and rows[1].fields[
        "split"
    ] == "val"
    assert rows[0].fields["split"] in ("train", "val", "test") and rows[2].reason == "no label"


def test_what_webdataset_writes_and_reads(tmp_path):
    webdataset = pytest.importorskip("webdataset", exc_type=ImportError)
    samples = [
        {"__key__": f"d/{i:05d}", "jpg": JPEG + b"%d" % i, "json": {"tags": [f"t{i}"]}}
        for i in range(50)
    ]
    with webdataset.TarWriter(str(tmp_path / "000000.tar"), encoder=True) as writer:
        for sample in samples:
            writer.write(sample | {"jpg": sample["jpg"]})
    theirs = list(webdataset.WebDataset(str(tmp_path / "000000.tar"), shardshuffle=False))
    rows = read(tmp_path / "000000.tar")
    assert [row.fields["id"] for row in rows] == [
        f"000000/{sample['__key__']}" for sample in theirs
    ]
    assert [fetch(row.locator) for row in rows] == [sample["jpg"] for sample in theirs]
    assert [row.fields["hashtags"] for row in rows] == [[f"t{i}"] for i in range(50)]


# what is refused


def test_each_strange_member_costs_itself_alone(tmp_path):
    link = {"linkname": "/etc/passwd"}
    files = [
        *posts([0]),
        (info("001.jpg", type=tarfile.SYMTYPE, **link), b""),
        ("001.json", {"hashtags": ["x"]}),
        (info("002.jpg", type=tarfile.LNKTYPE, linkname="000.jpg"), b""),
        (info("003.jpg", type=tarfile.FIFOTYPE), b""),
        (info("004.jpg", type=tarfile.CHRTYPE, devmajor=1, devminor=5), b""),
        ("../005.jpg", JPEG),
        ("/etc/006.jpg", JPEG),
        (info("007.jpg", 3, pax_headers={"GNU.sparse.major": "1"}), b"abc"),
        (info("008.jpg", 3, type=b"V"), b"abc"),
        ("README", b"hello"),
        ("009.json", {"hashtags": ["x"]}),
        ("010.jpg", JPEG),
        ("011.jpg", JPEG),
        ("011.json", b"{"),
        ("012.jpg", JPEG),
        ("012.json", b"[]"),
        ("013.jpg", JPEG),
        ("013.txt", b"caf\xe9"),
        *posts([14]),
        ("014.png", b"another"),
        ("014.json", {"hashtags": ["other"]}),
        *posts([15]),
    ]
    rows = read(pack(tmp_path / "s.tar", files))
    assert kept(rows) == ["s/000", "s/014", "s/015"] and rows[-2].fields["hashtags"] == ["t14"]
    told = dict(line.removeprefix("s.tar ").split(": ", 1) for line in reasons(rows))
    expected = {
        "001.jpg": "a symbolic link",
        "002.jpg": "a hard link",
        "003.jpg": "a FIFO",
        "004.jpg": "a device",
        "../005.jpg": "path leaves the archive",
        "/etc/006.jpg": "path leaves the archive",
        "007.jpg": "a sparse file",
        "008.jpg": "a member of unknown type b'V'",
        "README": "a name without an ending",
        "009": "no image: the members of one key must follow each other "
        "(pack with tar --sort=name)",
        "010": "no hashtag",
        "011": "011.json is no JSON (Expecting property name enclosed in double quotes: "
        "line 1 column 2 (char 1))",
        "012": "012.json is no JSON object",
        "013": "013.txt is not UTF-8",
        "014.png": "a second image of its key",
        "014.json": "a second .json of its key",
    }
    assert told == expected and len(reasons(rows)) == len(expected)


def test_names_that_are_no_text_and_headers_too_long(tmp_path, monkeypatch):
    files = [*posts([0]), (info("b\udce9.jpg", 4), b"jpeg"), ("b\udce9.txt", b"x"), *posts([2])]
    rows = read(pack(tmp_path / "s.tar", files, tarfile.GNU_FORMAT))
    assert kept(rows) == ["s/000", "s/002"] and "half a character" in reasons(rows)[0]
    assert "\ufffd" in reasons(rows)[0].encode().decode()
    monkeypatch.setattr(members, "MAX_HEADER", 1000)
    files = [
        *posts([0]),
        (info("c.jpg", 4, pax_headers={"comment": "x" * 2000}), b"jpeg"),
        *posts([2]),
    ]
    rows = read(pack(tmp_path / "h.tar", files))
    assert kept(rows) == ["h/000", "h/002"] and "allowed are 1,000" in reasons(rows)[0]


def test_old_gnu_sparse_files_are_stepped_over(tmp_path):
    tar = pack(
        tmp_path / "s.tar", [*posts([0]), ("sparse.jpg", b"abc"), *posts([2])], tarfile.GNU_FORMAT
    )
    data = bytearray(tar.read_bytes())
    at = data.index(b"sparse.jpg")
    data[at + 156], data[at + 482] = ord("S"), 1  # with a map that goes on in one more block
    data[at + 148 : at + 156] = b" " * 8
    data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
    data[at + 512 : at + 512] = bytes(512)
    tar.write_bytes(data)
    rows = read(tar)
    assert kept(rows) == ["s/000", "s/002"] and reasons(rows) == ["s.tar sparse.jpg: a sparse file"]


@pytest.mark.parametrize("lost", [1, 511, 512, 1024, 1500, 3000])
def test_of_a_cut_archive_the_whole_posts_are_kept(tmp_path, lost):
    data = pack(tmp_path / "s.tar", posts(range(5))).read_bytes()
    size = data.rindex(b"t4") + 2  # the end of the last JSON, without padding and end mark
    (tmp_path / "s.tar").write_bytes(data[: size + 10 - lost])
    rows = read(tmp_path / "s.tar")
    assert len(reasons(rows)) == 1 and "cut off" in reasons(rows)[0]
    assert (
        kept(rows) == [f"s/{i:03d}" for i in range(len(kept(rows)))] and 3 <= len(kept(rows)) <= 5
    )
    for i, row in enumerate(row for row in rows if not row.reason):
        assert fetch(row.locator) == JPEG + b"%d" % i


def test_a_cut_between_two_members_is_told_too(tmp_path):
    data = pack(tmp_path / "s.tar", posts(range(3))).read_bytes()
    (tmp_path / "s.tar").write_bytes(data[: data.index(b"002.jpg")])
    rows = read(tmp_path / "s.tar")
    assert kept(rows) == ["s/000", "s/001"] and "without its end mark" in reasons(rows)[0]


def test_damage_in_the_middle_is_stepped_over(tmp_path):
    data = bytearray(pack(tmp_path / "s.tar", posts(range(5))).read_bytes())
    at = data.index(b"002.jpg")
    data[at : at + 512] = b"\xa5" * 512
    (tmp_path / "s.tar").write_bytes(data)
    rows = read(tmp_path / "s.tar")
    assert kept(rows) == [f"s/{i:03d}" for i in (0, 1, 3, 4)]
    assert (
        "no tar header in the bytes from" in reasons(rows)[0]
        and "002: no image" in reasons(rows)[1]
    )


def test_two_archives_run_together_are_both_read(tmp_path):
    both = [pack(tmp_path / name, posts([i])).read_bytes() for i, name in enumerate(("a", "b"))]
    (tmp_path / "s.tar").write_bytes(b"".join(both))
    rows = read(tmp_path / "s.tar")
    assert kept(rows) == ["s/000", "s/001"] and not reasons(rows)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "without its end mark"),
        (b"<html>no shard</html>" * 100, "no tar header in the bytes from 0 to 2,100"),
        (lzma.compress(b"x"), "packed with xz; unpack it"),
        (gzip.compress(bytes(10_000_000)), "unpacks to more than 100 times its size"),
    ],
)
def test_a_file_that_is_no_tar_is_one_refused_row(tmp_path, data, reason):
    (tmp_path / "bad.tar").write_bytes(data)
    pack(tmp_path / "good.tar", posts([1]))
    rows = read(tmp_path)
    assert kept(rows) == ["good/001"] and len(reasons(rows)) == 1 and reason in reasons(rows)[0]


def test_shards_that_are_no_files_and_no_room_to_unpack(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "0.tar").mkdir()
    os.mkfifo(tmp_path / "in" / "1.tar")
    pack(tmp_path / "in" / "2.tar", posts([2]))
    rows = read(tmp_path / "in")
    assert reasons(rows) == ["0.tar: no file", "1.tar: no file"] and kept(rows) == ["2/002"]
    (tmp_path / "3.tgz").write_bytes(gzip.compress((tmp_path / "in" / "2.tar").read_bytes()))
    with pytest.raises(ValueError, match=r"cannot be unpacked to .*make room"):
        read(tmp_path / "3.tgz", spool=tmp_path / "3.tgz" / "spool")


def test_random_damage_never_ends_the_reading(tmp_path):
    whole, rng = pack(tmp_path / "s.tar", posts(range(20))).read_bytes(), np.random.default_rng(0)
    for round in range(60):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), 1 + round % 12):
            data[at] = int(rng.integers(256))
        (tmp_path / "s.tar").write_bytes(data)
        rows = read(tmp_path / "s.tar")
        assert len(kept(rows)) >= 20 - 2 * (1 + round % 12)
        for row in rows:
            assert row.reason or len(fetch(row.locator)) <= len(data)


@pytest.mark.parametrize("run", [2, 256])
def test_no_image_goes_without_a_word_whatever_the_names(tmp_path, run, monkeypatch):
    monkeypatch.setattr(samples, "RUN", run)
    rng, path = random.Random(run), tmp_path / "s.tar"
    pictures = dict.fromkeys(("jpg", "png", "jfif"), JPEG) | dict.fromkeys(("", "jpg_l"), SNIFFED)
    texts = {"json": {"hashtags": ["x"]}, "txt": b"#x", "cls": b"c", "npy": b"x"}
    both = list((pictures | texts).items())
    for _ in range(150):
        files = []
        for ending, data in rng.choices(both, k=rng.randint(1, 14)):
            stem = ".".join(rng.choices("abc", k=rng.randint(1, 3)))
            files.append((f"{stem}.{ending}" if ending else stem, data))
        rows = read(pack(path, files))
        named = Counter(row.fields["image"] for row in rows)
        brought = Counter(name for name, data in files if data in (JPEG, SNIFFED))
        assert not brought - named, files
        places = [row.locator for row in rows if not row.reason]
        assert len(places) == len(set(places))
