"""Imports: equal bytes in any order, growth by new shards, and nothing lost to bad rows, kills,
a full disk.
"""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from corpus.kinds.labels import Label
from corpus.kinds.posts import Post
from corpus.sources.rows import SourceRow
from corpus.store import ingest as module
from corpus.store.ingest import ingest
from corpus.store.read import read_records, read_store, shards_of, total
from corpus.store.write import locked

SHARD = 20_000


def picture(seed: int, form: str = "JPEG", **options) -> bytes:
    out = BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 30, 3), np.uint8)
    Image.fromarray(pixels).save(out, form, **options)
    return out.getvalue()


def post(folder: Path, number: int, data: bytes | None = None, **fields) -> SourceRow:
    path = folder / f"{number}.jpg"
    path.write_bytes(picture(number) if data is None else data)
    fields = {
        "id": f"p{number}",
        "image": path.name,
        "hashtags": ["sea", f"t{number}"],
        "user": None,
        "time": None,
    } | fields
    return SourceRow(f"posts.csv line {number}", str(path), fields)


@pytest.fixture
def source(tmp_path) -> Path:
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def quarantined(data: Path) -> list[dict]:
    path = data / "quarantine.jsonl"
    return [json.loads(line) for line in path.open(encoding="utf-8")] if path.exists() else []


def test_the_same_posts_in_any_order_and_threads_give_the_same_bytes(source, tmp_path):
    rows = [post(source, i) for i in range(60)] + [post(source, 99, b"no image")]
    first = ingest(rows, tmp_path / "a", "posts", shard_bytes=SHARD)
    assert (first.kept, first.already, sum(first.refused.values())) == (60, 0, 1)
    for seed, threads in ((1, 1), (2, 3), (3, 16)):
        shuffled = random.Random(seed).sample(rows, len(rows))
        again = ingest(shuffled, tmp_path / f"b{seed}", "posts", shard_bytes=SHARD, threads=threads)
        assert again == first and files(tmp_path / f"b{seed}") == files(tmp_path / "a")
    assert len(shards_of(tmp_path / "a" / "posts")) > 2 and first.digest == total(
        shards_of(tmp_path / "a" / "posts")
    )
    stored = {
        record.id: (record, image) for record, image in read_store(tmp_path / "a" / "posts", Post)
    }
    assert (
        len(stored) == 60
        and stored["p7"][1] == picture(7)
        and stored["p7"][0].hashtags == ["sea", "t7"]
    )


def test_more_posts_are_more_shards_and_the_old_ones_stay(source, tmp_path):
    rows = [post(source, i) for i in range(50)]
    old = ingest(rows[:30], tmp_path / "data", "posts", shard_bytes=SHARD)
    before = files(tmp_path / "data" / "posts")
    new = ingest(rows[10:], tmp_path / "data", "posts", shard_bytes=SHARD)
    after = files(tmp_path / "data" / "posts")
    assert (old.kept, new.kept, new.already) == (30, 20, 20)
    assert [name for name in before if after[name] != before[name]] == ["store.json"] and len(
        after
    ) > len(before)
    whole = ingest(rows, tmp_path / "whole", "posts", shard_bytes=SHARD)
    assert new.digest == whole.digest != old.digest
    same = ingest(rows, tmp_path / "data", "posts", shard_bytes=SHARD)
    assert (same.kept, same.already) == (0, 50) and files(tmp_path / "data" / "posts") == after
    (tmp_path / "data" / "posts" / "synonyms.tsv").write_text("t1\tsea\n")
    ingest(rows[:5], tmp_path / "data", "posts", replace=True)
    assert len(list(read_store(tmp_path / "data" / "posts", Post))) == 5
    assert (tmp_path / "data" / "posts" / "synonyms.tsv").exists()
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"posts"}


def test_of_one_id_the_first_usable_row_stays_whatever_the_order(source, tmp_path):
    rows = [post(source, i, id="same", hashtags=[f"t{i}"]) for i in range(6)]
    rows += [post(source, i, b"bad", id="same", hashtags=[f"t{i}"]) for i in range(6, 12)]
    kept = set()
    for seed in range(4):
        data = tmp_path / str(seed)
        result = ingest(random.Random(seed).sample(rows, len(rows)), data, "posts")
        assert result.kept == 1 and result.refused == {"duplicate id": 5, "unknown format": 6}
        kept |= {tuple(record.hashtags) for record in read_records(data / "posts", Post)}
    assert len(kept) == 1


def bad_rows(source: Path) -> dict[str, SourceRow]:
    """A row for every fault, by the reason it must be refused with."""
    many = [f"t{i}" for i in range(10_000)]
    return {
        "empty": post(source, 100, b""),
        "unknown format": post(source, 101, b"GIF? no"),
        "truncated": post(source, 102, picture(1)[:-200]),
        "too many hashtags": post(source, 103, hashtags=many),
        "bad field": post(source, 104, time="yesterday"),
        "file is missing": SourceRow(
            "posts.csv line 105", str(source / "none.jpg"), post(source, 105).fields
        ),
        "broken line": SourceRow(
            "posts.csv line 106", "", {"id": "", "image": ""}, "broken line: no JSON"
        ),
    }


def test_bad_rows_are_counted_by_reason_and_listed_and_nothing_else_is_lost(source, tmp_path):
    good = [post(source, i) for i in range(20)]
    odd = [
        post(source, 20, picture(20, "PNG")),  # a wrong ending
        post(source, 21, hashtags=["❤️", "\u202ereversed", "tab\there", "海" * 500]),
        post(
            source, 22, image="../../etc/passwd"
        ),  # what a source calls an image is never a path of ours
        post(source, 23, id="x" * 5000),
        post(source, 24, user="用户\x00"),
    ]
    bad = bad_rows(source)
    result = ingest([*good, *odd, *bad.values()], tmp_path / "data", "posts")
    assert result.refused == dict.fromkeys(bad, 1) and result.kept == 25
    listed = {entry["where"]: entry["reason"] for entry in quarantined(tmp_path / "data")}
    assert {row.where for row in bad.values()} == listed.keys()
    assert all(listed[row.where].startswith(reason) for reason, row in bad.items())
    stored = {record.id: record for record, _ in read_store(tmp_path / "data" / "posts", Post)}
    assert (
        stored["p20"].image.endswith(".png")
        and stored["p21"].hashtags[0] == "❤️"
        and len(stored) == 25
    )
    again = ingest([*good, *odd, *bad.values()], tmp_path / "data", "posts")
    assert again.already == 25 and len(quarantined(tmp_path / "data")) == len(bad)  # listed once


def label(folder: Path, number: int, data: bytes | None = None, **fields) -> SourceRow:
    row = post(folder, number, data)
    about = {"id": f"l{number}", "image": row.fields["image"], "label": f"c{number % 2}"}
    return row._replace(fields=about | {"split": "test"} | fields)


def test_labels_have_stores_and_refusals_of_their_own(source, tmp_path):
    data = tmp_path / "data"
    rows = [label(source, i) for i in range(5)]
    ingest([*rows, label(source, 5, split="dev"), label(source, 6, b"")], data, "targets/pets")
    ingest([post(source, 7), post(source, 8, b"")], data, "posts")
    assert [entry["store"] for entry in quarantined(data)] == [
        "targets/pets",
        "targets/pets",
        "posts",
    ]
    ingest([label(source, 1), label(source, 2)], data, "targets/pets", replace=True)
    assert [entry["store"] for entry in quarantined(data)] == ["posts"]
    stored = [record.label for record in read_records(data / "targets" / "pets", Label)]
    assert sorted(stored) == ["c0", "c1"]


def test_no_usable_row_leaves_the_older_store(source, tmp_path):
    ingest([post(source, 1)], tmp_path / "data", "posts")
    before = files(tmp_path / "data" / "posts")
    with pytest.raises(
        ValueError, match=r"nothing could be imported into .*the first: .*truncated"
    ):
        ingest([post(source, 2, picture(2)[:-100])], tmp_path / "data", "posts", replace=True)
    assert files(tmp_path / "data" / "posts") == before


def test_a_second_writer_is_told(source, tmp_path):
    with locked(tmp_path / "data"), pytest.raises(ValueError, match="another process is writing"):
        ingest([post(source, 1)], tmp_path / "data", "posts")


SLOW = """
import sys, time
from pathlib import Path
from corpus.store import ingest
from tests.corpus.store.test_ingest import SHARD, stored_rows
fetch = ingest.fetch
ingest.fetch = lambda locator: (time.sleep(0.02), fetch(locator))[1]
rows, data = stored_rows(Path(sys.argv[1])), Path(sys.argv[2])
ingest.ingest(rows, data, "posts", shard_bytes=SHARD, threads=1)
"""


def stored_rows(source: Path) -> list[SourceRow]:
    """The rows of the images in a folder."""
    names = sorted(source.glob("*.jpg"))
    fields = {"hashtags": ["sea"], "user": None, "time": None}
    return [
        SourceRow(path.name, str(path), fields | {"id": path.stem, "image": path.name})
        for path in names
    ]


@pytest.mark.parametrize("grow", [False, True])
def test_a_killed_import_goes_on_from_its_finished_shards(source, tmp_path, monkeypatch, grow):
    for i in range(80):
        post(source, i, picture(i)[:-100] if i % 20 == 7 else None)
    data, part = tmp_path / "data", tmp_path / "data" / ".posts.part"
    first = stored_rows(source)[:20] if grow else []
    for folder in (data, tmp_path / "whole") if grow else ():
        ingest(first, folder, "posts", shard_bytes=SHARD)
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(source), str(data)], cwd=Path(__file__).parents[3]
    )
    finished = part / "finished.jsonl"
    while not finished.exists() or finished.read_text().count("\n") < 3:
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = files(data / "posts") if grow else {}
    fetched = []
    fetch = module.fetch
    monkeypatch.setattr(
        module, "fetch", lambda locator: (fetched.append(locator), fetch(locator))[1]
    )
    result = ingest(stored_rows(source), data, "posts", shard_bytes=SHARD)
    continued = len(fetched)
    whole = ingest(stored_rows(source), tmp_path / "whole", "posts", shard_bytes=SHARD)
    assert result == whole and files(data) == files(tmp_path / "whole") and not part.exists()
    assert 0 < continued < len(fetched) - continued - 10, "the finished shards were fetched again"
    assert all(
        files(data / "posts")[name] == held for name, held in before.items() if name != "store.json"
    )


def test_a_kill_between_the_files_and_their_list_is_mended(source, tmp_path, monkeypatch):
    rows, data = [post(source, i) for i in range(60)], tmp_path / "data"
    for folder in (data, tmp_path / "whole"):
        ingest(rows[:20], folder, "posts", shard_bytes=SHARD)
    before = [record.id for record in read_records(data / "posts", Post)]
    write_list = module.write_list
    monkeypatch.setattr(module, "write_list", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        ingest(rows, data, "posts", shard_bytes=SHARD)
    assert [
        record.id for record in read_records(data / "posts", Post)
    ] == before  # the list counts, not the files
    assert len(list((data / "posts").glob("*.tar"))) > len(shards_of(data / "posts"))
    monkeypatch.setattr(module, "write_list", write_list)
    assert ingest(rows, data, "posts", shard_bytes=SHARD) == ingest(
        rows, tmp_path / "whole", "posts", shard_bytes=SHARD
    )
    assert files(data) == files(tmp_path / "whole")


class Killed(BaseException):
    """A kill that a test can survive."""


STEPS = [
    (Path, "replace"),
    (Path, "rename"),
    (Path, "unlink"),
    (module.shutil, "rmtree"),
    (module, "write_list"),
]


def killed_at(monkeypatch, step: int, run) -> bool:
    """Whether `run()` came to this step, one of those that change the disk at once, and was
    killed before it.
    """
    count = iter(range(10_000))

    def counted(whole):
        def call(*given, **named):
            if next(count) == step:
                raise Killed
            return whole(*given, **named)

        return call

    with monkeypatch.context() as patch:
        for owner, name in STEPS:
            patch.setattr(owner, name, counted(getattr(owner, name)))
        try:
            run()
        except Killed:
            return True
    return False


@pytest.mark.parametrize("mode", ["new", "more", "replaced", "updated"])
def test_an_import_killed_before_any_of_its_steps_ends_as_the_undisturbed_one(
    source, tmp_path, monkeypatch, mode
):
    """The quarantine too, and what no import brings (synonyms.tsv)."""
    rows = [post(source, i, b"bad" if i == 3 else None) for i in range(14)] + [
        post(source, 20, id="p1", user="twice")
    ]
    replace, small = mode == "replaced", 6_000

    def begun(data: Path) -> Path:
        if mode != "new":
            ingest(
                [post(source, i, b"" if i == 39 else None) for i in range(30, 40)],
                data,
                "posts",
                shard_bytes=small,
            )
            (data / "posts" / "synonyms.tsv").write_text("t1\tsea\n")
        return data

    rows += [post(source, i, hashtags=["corrected"]) for i in (31, 36)] if mode == "updated" else []

    def run(data: Path) -> None:
        ingest(rows, data, "posts", replace, update=mode == "updated", shard_bytes=small, threads=1)

    run(begun(tmp_path / "whole"))
    whole, step = files(tmp_path / "whole"), 0
    data = begun(tmp_path / "0")
    while killed_at(monkeypatch, step, partial(run, data)):
        run(data)
        assert files(data) == whole, f"killed before step {step}"
        step += 1
        data = begun(tmp_path / str(step))
    assert step > 6 and any(name.endswith("quarantine.jsonl") for name in whole)


def test_an_entry_cut_by_a_kill_costs_that_shard_alone(source, tmp_path, monkeypatch):
    rows, data = [post(source, i) for i in range(40)], tmp_path / "data"
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_list", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            ingest(rows, data, "posts", shard_bytes=SHARD)
    finished = data / ".posts.part" / "finished.jsonl"
    finished.write_bytes(finished.read_bytes()[:-40])
    ingest(rows, data, "posts", shard_bytes=SHARD)
    ingest(rows, tmp_path / "whole", "posts", shard_bytes=SHARD)
    assert files(data) == files(tmp_path / "whole")


@pytest.mark.parametrize("name", ["", ".", "..", "../../benchmarks", "a/b", ".hid", "x" * 300])
def test_a_set_whose_name_is_a_path_is_refused_and_nothing_is_touched(source, tmp_path, name):
    data = tmp_path / "data"
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "kept.py").write_text("x")
    rows = [label(source, 1), label(source, 2)]
    ingest(rows, data, "targets/pets")
    before = files(tmp_path)
    with pytest.raises(ValueError, match="name of the labelled set"):
        ingest(rows, data, f"targets/{name}", replace=True)
    assert files(tmp_path) == before


def test_a_store_that_a_link_puts_outside_of_data_is_refused_and_data_may_be_a_link(
    source, tmp_path
):
    (tmp_path / "disk").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").write_text("x")
    (tmp_path / "data").symlink_to("disk")
    ingest([post(source, 1)], tmp_path / "data", "posts")
    (tmp_path / "disk" / "targets").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="lies outside of"):
        ingest([label(source, i) for i in (1, 2)], tmp_path / "data", "targets/pets", replace=True)
    assert (
        files(tmp_path / "elsewhere") == {"kept": b"x"}
        and (tmp_path / "disk" / "posts" / "store.json").exists()
    )


def test_other_rows_do_not_go_on_with_the_shards_of_a_cut_import(source, tmp_path, monkeypatch):
    rows, data = [post(source, i) for i in range(60)], tmp_path / "data"
    fetch, count = module.fetch, iter(range(1000))

    def failing(locator: str) -> bytes:
        if next(count) == 45:
            raise ValueError("S3 is down")
        return fetch(locator)

    monkeypatch.setattr(module, "fetch", failing)
    with pytest.raises(ValueError, match="S3 is down"):
        ingest(rows, data, "posts", shard_bytes=SHARD, threads=1)
    assert (data / ".posts.part" / "finished.jsonl").exists() and not (data / "posts").exists()
    monkeypatch.setattr(module, "fetch", fetch)
    left = len(list((data / ".posts.part" / "shards").glob("*.tar")))
    ingest(rows[55:], data, "posts", shard_bytes=SHARD)
    ingest(rows[55:], tmp_path / "other", "posts", shard_bytes=SHARD)
    assert files(data) == files(tmp_path / "other") and left > len(shards_of(data / "posts"))


def test_a_full_disk_is_told_and_the_import_goes_on_after_it(source, tmp_path, monkeypatch):
    rows, data = [post(source, i) for i in range(40)], tmp_path / "data"
    ingest(rows[:2], data, "posts", shard_bytes=SHARD)
    before, add, count = files(data), module.StoreWriter.add, iter(range(1000))

    def full(self, record, image):
        if next(count) == 25:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        add(self, record, image)

    monkeypatch.setattr(module.StoreWriter, "add", full)
    with pytest.raises(
        ValueError, match=r"disk is full .* free some space and run the same import again"
    ):
        ingest(rows, data, "posts", shard_bytes=SHARD)
    assert files(data / "posts") == {
        name.removeprefix("posts/"): held for name, held in before.items()
    }
    monkeypatch.setattr(module.StoreWriter, "add", add)
    assert ingest(rows, data, "posts", shard_bytes=SHARD).kept == 38


def test_a_bucket_that_fails_half_way_is_gone_on_with(source, tmp_path, s3, monkeypatch):
    """The store from S3 equals that from the folder, also when S3 is away in the middle of the
    import.
    """
    for i in range(60):
        post(source, i)
        s3.client.put_object(Bucket=s3.bucket, Key=f"photos/{i}.jpg", Body=picture(i))
    local = [row._replace(locator=str(source / row.fields["image"])) for row in stored_rows(source)]
    remote = [
        row._replace(locator=f"s3://{s3.bucket}/photos/{row.fields['image']}") for row in local
    ]
    fetch, served = module.fetch, []

    def failing(locator: str) -> bytes:
        served.append(locator)
        if len(served) == 50:
            monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")  # nobody listens there
        return fetch(locator)

    monkeypatch.setattr(module, "fetch", failing)
    with pytest.raises(ValueError, match="S3"):
        ingest(remote, tmp_path / "remote", "posts", shard_bytes=SHARD, threads=2)
    assert not (tmp_path / "remote" / "posts").exists()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.endpoint)
    before = len(served)
    assert ingest(remote, tmp_path / "remote", "posts", shard_bytes=SHARD).kept == 60
    assert len(served) - before < 60, "the finished shards were fetched again"
    ingest(local, tmp_path / "local", "posts", shard_bytes=SHARD)
    assert files(tmp_path / "remote") == files(tmp_path / "local")


def test_a_really_full_disk(source, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    if (
        os.geteuid()
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=100k", "none", small], capture_output=True
        ).returncode
    ):
        pytest.skip("no right to mount a small file system")
    try:
        with pytest.raises(ValueError, match="disk is full"):
            ingest(
                [post(source, i) for i in range(200)], small / "data", "posts", shard_bytes=SHARD
            )
        assert not (small / "data" / "posts").exists()
        subprocess.run(["mount", "-o", "remount,size=2m", small], check=True)
        assert (
            ingest(
                [post(source, i) for i in range(200)], small / "data", "posts", shard_bytes=SHARD
            ).kept
            == 200
        )
    finally:
        subprocess.run(["umount", "-l", small], check=True)
