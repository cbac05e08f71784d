"""The corpus stage whole: from a data store with every kind of fault to shards, vocabulary and
report.
"""

import csv
import json
import shutil
from collections import Counter, defaultdict
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageFilter

from corpus.build import build_corpus
from corpus.kinds.labels import Label
from corpus.kinds.posts import Post
from corpus.pretraining import for_validation
from corpus.reading.shards import Shards
from corpus.report.findings import zipf_exponent
from corpus.store import squares
from corpus.store.read import read_table, shards_of
from corpus.store.write import write_store
from corpus.tags import tagging
from corpus.tags.tagging import FIELDS, noisy
from corpus.targets import repeated
from engine.core.digest import digest
from flows.running import executors
from tests.support.corpora import build_with, section

WORDS = ["sea", "dog", "city", "sunset", "flower"]
BAD = (20, 21)
TWINS = {30: "exact", 31: "near"}  # posts that repeat post 29; 40 repeats a labelled image


def drawing(seed: int, side: int = 48) -> Image.Image:
    """Soft blobs of colour: unlike noise, they are still themselves when scaled."""
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(pixels).resize((side + 16, side), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, form: str = "PNG", **options) -> bytes:
    out = BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def photograph(i: int) -> bytes:
    if i in BAD:
        return b"bad"
    if i == 31:
        return encoded(drawing(29).resize((40, 30)).filter(ImageFilter.SMOOTH), "JPEG", quality=60)
    return encoded(drawing({30: 29, 40: 1003}.get(i, i)))


def posts(n: int = 300):
    rng = np.random.default_rng(0)
    odd = {
        7: ["love"],
        8: [],
        9: ["#once"],
        10: ["#sunest"],
        11: ["SunsetCity"],
        12: ["Mar", "sea"],
        13: ["❤", "#sea"],
    }
    for i in range(n):
        words = rng.choice(
            WORDS, rng.integers(1, 4), replace=False, p=[0.4, 0.25, 0.15, 0.12, 0.08]
        )
        tags = odd.get(i, [f"#{word.upper()}" for word in words] + ["love"])
        user = f"user{i % 40}" if i % 4 else None
        yield Post(id=f"p{i}", image=f"p{i}.png", hashtags=tags, user=user), photograph(i)


def labels():
    for i in range(30):
        split = ["train", "val", "test"][i % 3]
        label = Label(id=f"l{i}", image=f"l{i}.png", label=["dog", " a"][i % 2], split=split)
        yield label, encoded(drawing(1000 + i))


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    data = tmp_path_factory.mktemp("corpus") / "data"
    write_store(data / "posts", posts(), shard_bytes=400_000)
    (data / "posts" / "synonyms.tsv").write_text("mar\tsea\n")
    write_store(data / "targets" / "pets", labels())
    refusal = {"store": "posts", "where": "row 9", "image": "", "reason": "truncated: whatever"}
    (data / "quarantine.jsonl").write_text(json.dumps(refusal) + "\n")
    return data


OPTIONS = {"size": 16, "min_posts": 5, "max_tags": 10, "holdout": 0.2, "stop": ["#Love"]}


@pytest.fixture(scope="module")
def built(data) -> tuple[Path, dict]:
    return data.parent / "built", build_with(
        data, data.parent / "built", data.parent / "cache", **OPTIONS
    )


def ids(folder: Path) -> list[str]:
    return [key for split in ("train", "val") for key in Shards(folder / "hashtags", split).ids]


# on Dask and Ray: `python -m benchmarks.corpus_workers`
def test_other_processes_change_no_byte(data, built, tmp_path, monkeypatch):
    for module in (squares, tagging):
        monkeypatch.setattr(module, "FEW", 0)
    assert len(shards_of(data / "posts")) > 2
    told = []
    spread = executors.Executor("processes", 2)
    more = tmp_path / "cache", section(**OPTIONS), lambda *far: told.append(far), spread
    build_corpus(data, tmp_path / "out", *more)
    assert digest(tmp_path / "out") == digest(built[0])
    assert (300, 300, "posts: images") in told


def test_every_post_is_accounted_for(built):
    out, summary = built
    assert (
        summary["posts"] == 300
        and summary["near_empty_dropped"] == 3
        and summary["bad_images"] == 2
    )
    assert summary["duplicates_dropped"] == 3 and summary["hashtags"] == 5
    assert (
        summary["posts_kept"] == sum(summary["images"]["hashtags"].values()) == 292 == len(ids(out))
    )
    assert summary["images"]["targets/pets"] == {"test": 10, "train": 10, "val": 10}
    assert json.loads((out / "summary.json").read_text()) == summary
    refused = [json.loads(line) for line in (out / "quarantine.jsonl").read_text().splitlines()]
    assert [(entry["id"], entry["store"]) for entry in refused] == [
        ("p20", "hashtags"),
        ("p21", "hashtags"),
    ]
    assert all(entry["reason"].startswith("unknown format: ") for entry in refused)


def test_targets_are_the_canonical_tags(built):
    out, summary = built
    shards = [Shards(out / "hashtags", split) for split in ("train", "val")]
    found = {}
    for one in shards:
        for key, targets in zip(one.ids, one.targets, strict=True):
            found[key] = {one.names[target] for target in targets}
    assert (
        found["p10"] == {"sunset"}
        and found["p11"] == {"sunset", "city"}
        and found["p12"] == found["p13"] == {"sea"}
    )
    assert not {"p7", "p8", "p9", "p20"} & set(found)
    plain = {}
    for post, _ in posts():
        plain[post.id] = {tag.strip("#").lower() for tag in post.hashtags} - {"love"}
    odd = {"p10", "p11", "p12", "p13"}
    assert all(plain[key] == tags for key, tags in found.items() if key not in odd)
    assert summary["mean_hashtags"] == pytest.approx(
        np.mean([len(tags) for tags in found.values()]), abs=1e-3
    )
    assert shards[0].images([0]).shape == (1, 16, 16, 3)


def test_pixels_are_those_of_the_post(built):
    wanted = {post.id: data for post, data in posts()}
    for split in ("train", "val"):
        shards = Shards(built[0] / "hashtags", split)
        for index in (0, len(shards) // 2, len(shards) - 1):
            image = (
                Image.open(BytesIO(wanted[shards.ids[index]]))
                .crop((8, 0, 56, 48))
                .resize((16, 16), Image.Resampling.LANCZOS)
            )
            assert (
                np.abs(shards.images([index])[0].numpy().astype(int) - np.asarray(image)).mean() < 6
            )


def test_duplicates_are_listed_and_dropped_flagged_or_ignored(built, data, tmp_path):
    def pairs(out: Path) -> set[tuple]:
        return {
            tuple(row.values())[1:5]
            for row in pq.read_table(out / "duplicates.parquet").to_pylist()
        }

    wanted = {("p40", "targets/pets", "l3", "exact"), ("p29", "hashtags", "p30", "exact")}
    wanted |= {(first, "hashtags", "p31", "near") for first in ("p29", "p30")}
    assert pairs(built[0]) == wanted and not {"p30", "p31", "p40"} & set(ids(built[0]))
    assert all(pq.read_table(built[0] / "duplicates.parquet")["dropped"].to_pylist())
    for policy, found in (("flag", wanted), ("ignore", set())):
        summary = build_with(
            data, tmp_path / policy, data.parent / "cache", **OPTIONS, duplicates=policy
        )
        assert pairs(tmp_path / policy) == found and {"p30", "p31", "p40"} <= set(
            ids(tmp_path / policy)
        )
        assert summary["duplicates_dropped"] == 0
        assert not any(
            pq.read_table(tmp_path / policy / "duplicates.parquet")["dropped"].to_pylist()
        )
    with pytest.raises(ValueError, match="choose one of drop, flag, ignore"):
        build_with(data, tmp_path / "x", data.parent / "cache", **OPTIONS, duplicates="no")


def test_vocabulary_table_counts_posts_and_lists_forms(built):
    rows = list(csv.DictReader((built[0] / "vocabulary.csv").read_text().splitlines()))
    counts = [int(row["posts"]) for row in rows]
    assert counts == sorted(counts, reverse=True) and {row["hashtag"] for row in rows} == set(WORDS)
    forms = {row["hashtag"]: row["merged_forms"] for row in rows}
    assert forms["sea"] == "mar" and forms["city"] == "sunsetcity" and forms["flower"] == ""
    assert set(forms["sunset"].split()) == {"sunest", "sunsetcity"}


def test_no_user_is_on_both_sides(built):
    users = {post.id: post.user for post, _ in posts()}
    sides = defaultdict(set)
    for split in ("train", "val"):
        for key in Shards(built[0] / "hashtags", split).ids:
            sides[users[key] or key].add(split)
    assert all(len(side) == 1 for side in sides.values())
    drawn = [for_validation(str(i), None, 0.2) for i in range(4000)]
    assert np.mean(drawn) == pytest.approx(0.2, abs=0.03)
    assert not for_validation("a", "b", 0.0) and for_validation("a", "b", 1.0)


def test_target_classes_are_sorted_and_splits_kept(built):
    shards = Shards(built[0] / "targets" / "pets", "test")
    assert shards.names == [" a", "dog"] and len(shards) == 10
    assert shards.labels(range(10)).tolist() == [1 - int(key[1:]) % 2 for key in shards.ids]


def contents(top: Path) -> dict[Path, bytes]:
    return {p.relative_to(top): p.read_bytes() for p in sorted(top.rglob("*")) if p.is_file()}


def test_two_builds_are_equal_byte_for_byte(built, data, tmp_path):
    (tmp_path / "out" / "targets" / "stale").mkdir(parents=True)
    seen = []
    build_with(
        data,
        tmp_path / "out",
        tmp_path / "cache",
        **OPTIONS,
        progress=lambda *step: seen.append(step),
    )
    files = [contents(built[0]), contents(tmp_path / "out")]
    assert files[0].keys() == files[1].keys() and len(files[0]) > 9
    assert [name for name in files[0] if files[0][name] != files[1][name]] == []
    assert not (tmp_path / "out" / "targets" / "stale").exists()
    assert (300, 300, "posts: images") in seen and (30, 30, "pets: images") in seen


def test_settings_reach_the_result(data, tmp_path):
    cache = data.parent / "cache"
    less = {"min_tags": 2, "misspellings": False, "merged": False, "max_tags": 3}
    summary = build_with(data, tmp_path, cache, **OPTIONS | less)
    assert summary["hashtags"] == 3 and summary["images"]["hashtags"]["train"] < 250
    assert not {"p10", "p11", "p12"} & set(ids(tmp_path))
    named = {"vocabulary": "targets", "min_posts": 1}
    assert build_with(data, tmp_path, cache, **OPTIONS | named)["hashtags"] == 1
    with pytest.raises(ValueError, match="lower min_posts"):
        build_with(data, tmp_path, cache, **OPTIONS | {"min_posts": 10_000})
    # nobody takes the older shards for the result of that build
    assert not (tmp_path / "summary.json").exists()


def test_more_posts_square_only_new_images_and_leave_the_old_tars(data, tmp_path, monkeypatch):
    more, done = list(posts(330)), []
    square = squares._square
    monkeypatch.setattr(
        squares, "_square", lambda size, member: (done.append(member[0]), square(size, member))[1]
    )
    folder = tmp_path / "data" / "posts"
    write_store(folder, more[:300], shard_bytes=400_000)
    build_with(tmp_path / "data", tmp_path / "out", tmp_path / "cache", **OPTIONS)
    assert len(done) == 300
    before = {
        path.name: path.read_bytes() for path in (tmp_path / "out" / "hashtags").glob("*.tar")
    }
    old, done[:] = shards_of(folder), []
    write_store(folder, more, shard_bytes=400_000)
    same = {new.tar for new in shards_of(folder)} & {shard.tar for shard in old}
    build_with(
        tmp_path / "data", tmp_path / "out", tmp_path / "cache", **OPTIONS | {"min_posts": 7}
    )
    assert len(same) >= 2 and len(done) == 330 - sum(s.records for s in old if s.tar in same)
    kept = [
        name
        for name, held in before.items()
        if (tmp_path / "out" / "hashtags" / name).read_bytes() == held
    ]
    assert len(kept) >= len(same) and len(list((tmp_path / "cache").iterdir())) == len(
        shards_of(folder)
    )


def test_a_build_killed_among_the_squares_goes_on(data, tmp_path, monkeypatch):
    square, done = squares._square, []

    def dying(size, member):
        done.append(member[0])
        if len(done) == 250:
            raise KeyboardInterrupt
        return square(size, member)

    monkeypatch.setattr(squares, "_square", dying)
    with pytest.raises(KeyboardInterrupt):
        build_with(data, tmp_path / "out", tmp_path / "cache", **OPTIONS)
    assert not (tmp_path / "out" / "summary.json").exists()
    count = len(done)
    build_with(data, tmp_path / "out", tmp_path / "cache", **OPTIONS)
    assert 300 + 30 < len(done) < count + 330 - 100 and not list((tmp_path / "out").glob("tmp*"))


def test_noise_replaces_the_stated_share_by_the_marginal():
    rng = np.random.default_rng(0)
    sizes = np.full(20_000, 1)
    flat = rng.choice(4, 20_000, p=[0.4, 0.3, 0.2, 0.1]).astype(np.int32)
    counts = np.bincount(flat)
    for share in (0.1, 0.5, 1.0):
        ids, lengths = noisy(flat, sizes, counts, share, seed=0)
        same = (counts / counts.sum()) @ (counts / counts.sum())  # drawn again by chance
        assert (ids != flat).mean() == pytest.approx(share * (1 - same), abs=0.02) and (
            lengths == 1
        ).all()
        assert np.bincount(ids) == pytest.approx(counts, rel=0.08)
    assert (
        noisy(flat, sizes, counts, 0.5, seed=0)[0] == noisy(flat, sizes, counts, 0.5, seed=0)[0]
    ).all()
    with pytest.raises(ValueError, match="from 0 to 1"):
        noisy(flat, sizes, counts, 10, seed=0)
    ids, lengths = noisy(np.array([0, 1, 2, 3], np.int32), np.array([4]), [1, 1, 1, 1], 1.0, seed=3)
    assert lengths[0] == len(ids) == len(set(ids.tolist())) <= 4


def test_the_store_is_read_as_columns(data):
    tables = [read_table(data / "posts", shard, FIELDS) for shard in shards_of(data / "posts")]
    rows = [row for table in tables for row in table.to_pylist()]
    assert rows == [post.model_dump(include={"id", "user", "hashtags"}) for post, _ in posts()]


def test_equal_images_under_two_labels_or_in_two_splits_are_told():
    rows = [("a", "cat", "train", b"1"), ("b", "dog", "train", b"1"), ("c", "cat", "train", b"2")]
    rows += [("d", "cat", "test", b"2"), ("e", "cat", "train", b"3"), ("f", "cat", "train", b"3")]
    columns = zip(("id", "said", "split", "sha256"), zip(*rows, strict=True), strict=True)
    table = pa.table(dict(columns))
    both = repeated(table, "label")
    assert "more than one label" in both[0] and ": 1, the first 'a' and 'b'" in both[0]
    assert "more than one split" in both[1] and ": 1, the first 'c' and 'd'" in both[1]
    assert repeated(table.slice(4), "label") == []


def test_zipf_exponent_is_recovered():
    assert zipf_exponent([round(1e6 * rank**-0.8) for rank in range(1, 200)]) == pytest.approx(
        0.8, abs=0.01
    )


def test_report_tells_the_numbers(built):
    text = (built[0] / "report.html").read_text()
    for words in (
        "imported",
        "301",
        "292",
        "sunsetcity",
        "duplicate of an image of targets/pets",
        "truncated",
    ):
        assert words in text
    assert "<script" not in text


def test_tars_are_linked_not_copied(built, data):
    inodes = Counter(path.stat().st_ino for path in (data.parent / "cache").rglob("*.tar"))
    linked = [path for path in built[0].rglob("*.tar") if path.stat().st_ino in inodes]
    assert len(linked) == len(inodes) > 1


def test_a_set_without_val_and_test_gets_them_out_of_train(built, data, tmp_path, caplog):
    """Told in log, summary.json and report; a set that has all three splits keeps its bytes."""
    mine, images = tmp_path / "data", list(labels())
    shutil.copytree(data, mine)
    bare = [(label.model_copy(update={"split": "train"}), image) for label, image in images]
    write_store(mine / "targets" / "bare", bare)
    write_store(mine / "targets" / "noval", [pair for pair in images if pair[0].split != "val"])
    out, shares = tmp_path / "out", {"val_share": 0.3, "test_share": 0.3}
    summary = build_with(mine, out, data.parent / "cache", **OPTIONS, **shares)
    assert summary["held_out"] == {"targets/bare": ["test", "val"], "targets/noval": ["val"]}
    counts = summary["images"]["targets/bare"]
    assert sum(counts.values()) == 30 and len(counts) == 3
    assert summary["images"]["targets/noval"]["test"] == 10
    ids = [set(Shards(out / "targets" / "bare", split).ids) for split in ("train", "val", "test")]
    assert len(set.union(*ids)) == sum(map(len, ids)) == 30
    pets = [sorted((where / "targets/pets").iterdir()) for where in (built[0], out)]
    assert len(pets[0]) > 2
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(*pets, strict=True))
    page, wanted = (out / "report.html").read_text(), "targets/noval: no val split: "
    assert wanted in page and any(wanted in line for line in caplog.messages)
    assert any(note.startswith(wanted) for note in summary["notes"])
    assert built[1]["held_out"] == {}
    assert "labelled sets</h3>" not in (built[0] / "report.html").read_text()
