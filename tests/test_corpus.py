"""The corpus stage whole: from a data store with every kind of fault to shards, vocabulary and report."""

import csv
import json
from collections import defaultdict
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from corpus.build import build, held_out
from corpus.posts import Label, Post, write_store
from corpus.report import zipf_exponent
from corpus.shards import Shards

WORDS = ["sea", "dog", "city", "sunset", "flower"]


def picture(rng, side: int = 20) -> bytes:
    out = BytesIO()
    Image.fromarray(rng.integers(0, 256, (side, side + 6, 3), np.uint8)).save(out, "PNG")
    return out.getvalue()


def posts(n: int = 300):
    rng = np.random.default_rng(0)
    odd = {7: ["love"], 8: [], 9: ["#once"], 10: ["#sunest"], 11: ["Seadog"], 12: ["Mar", "sea"]}
    for i in range(n):
        words = rng.choice(WORDS, rng.integers(1, 4), replace=False, p=[0.4, 0.25, 0.15, 0.12, 0.08])
        tags = odd.get(i, [f"#{word.upper()}" for word in words] + ["love"])
        user = f"user{i % 40}" if i % 4 else None
        yield Post(id=f"p{i}", image=f"p{i}.png", hashtags=tags, user=user), b"bad" if i in (20, 21) else picture(rng)


def labels():
    rng = np.random.default_rng(1)
    for i in range(30):
        label = Label(
            id=f"l{i}", image=f"l{i}.png", label="cb a"[i % 2 * 2 :][:2], split=["train", "val", "test"][i % 3]
        )
        yield label, picture(rng)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    data = tmp_path_factory.mktemp("corpus") / "data"
    write_store(data / "posts", posts())
    (data / "posts" / "synonyms.tsv").write_text("mar\tsea\n")
    write_store(data / "targets" / "pets", labels())
    return data


OPTIONS = {"size": 16, "min_posts": 5, "max_tags": 10, "holdout": 0.2, "stop": ["#Love"]}


@pytest.fixture(scope="module")
def built(data) -> tuple[Path, dict]:
    return data.parent / "built", build(data, data.parent / "built", **OPTIONS)


def test_every_post_is_accounted_for(built):
    out, summary = built
    assert summary["posts"] == 300 and summary["near_empty_dropped"] == 3 and summary["bad_images"] == 2
    assert summary["posts_kept"] == sum(summary["images"]["hashtags"].values()) == 295
    assert summary["hashtags"] == 5 and summary["classes"] == {"pets": 2}
    assert summary["images"]["targets/pets"] == {"test": 10, "train": 10, "val": 10}
    assert json.loads((out / "summary.json").read_text()) == summary
    refused = [json.loads(line) for line in (out / "quarantine.jsonl").read_text().splitlines()]
    assert [entry["id"] for entry in refused] == ["p20", "p21"]


def test_targets_are_the_canonical_tags(built):
    out, summary = built
    shards = [Shards(out / "hashtags", split) for split in ("train", "val")]
    found = {key: {s.names[t] for t in tags} for s in shards for key, tags in zip(s.ids, s.targets, strict=True)}
    assert found["p10"] == {"sunset"} and found["p11"] == {"sea", "dog"} and found["p12"] == {"sea"}
    assert not {"p7", "p8", "p9", "p20"} & set(found)
    plain = {post.id: {t.strip("#").lower() for t in post.hashtags} - {"love"} for post, _ in posts()}
    odd = {"p10", "p11", "p12"}
    assert all(plain[key] == tags for key, tags in found.items() if key not in odd)
    assert summary["mean_hashtags"] == pytest.approx(np.mean([len(tags) for tags in found.values()]), abs=1e-3)
    assert shards[0].images([0]).shape == (1, 16, 16, 3)


def test_vocabulary_table_counts_posts_and_lists_forms(built):
    rows = list(csv.DictReader((built[0] / "vocabulary.csv").read_text().splitlines()))
    counts = [int(row["posts"]) for row in rows]
    assert counts == sorted(counts, reverse=True) and {row["hashtag"] for row in rows} == set(WORDS)
    forms = {row["hashtag"]: row["merged_forms"] for row in rows}
    assert forms["sea"] == "mar seadog" and forms["sunset"] == "sunest" and forms["flower"] == ""


def test_no_user_is_on_both_sides(built):
    users = {post.id: post.user for post, _ in posts()}
    sides = defaultdict(set)
    for split in ("train", "val"):
        for key in Shards(built[0] / "hashtags", split).ids:
            sides[users[key] or key].add(split)
    assert all(len(side) == 1 for side in sides.values())
    anonymous = [Post(id=str(i), image="x", hashtags=[]) for i in range(4000)]
    assert np.mean([held_out(post, 0.2) for post in anonymous]) == pytest.approx(0.2, abs=0.03)
    assert not any(held_out(post, 0.0) for post in anonymous) and all(held_out(post, 1.0) for post in anonymous)


def test_target_classes_are_sorted_and_splits_kept(built):
    shards = Shards(built[0] / "targets" / "pets", "test")
    assert shards.names == [" a", "cb"] and len(shards) == 10
    assert shards.labels(range(10)).tolist() == [1 - int(key[1:]) % 2 for key in shards.ids]


def test_two_builds_are_equal_byte_for_byte(built, data, tmp_path):
    (tmp_path / "out" / "targets" / "stale").mkdir(parents=True)
    seen = []
    build(data, tmp_path / "out", **OPTIONS, progress=lambda *step: seen.append(step))
    files = [
        {p.relative_to(top): p.read_bytes() for p in sorted(top.rglob("*")) if p.is_file()}
        for top in (built[0], tmp_path / "out")
    ]
    assert files[0].keys() == files[1].keys() and len(files[0]) == 9
    assert [name for name in files[0] if files[0][name] != files[1][name]] == []
    assert not (tmp_path / "out" / "targets" / "stale").exists()
    assert seen[296] == (297, 297, "hashtags") and seen[-1] == (30, 30, "targets/pets")


def test_settings_reach_the_result(data, tmp_path):
    summary = build(data, tmp_path, **OPTIONS | {"min_tags": 2, "misspellings": False, "merged": False, "max_tags": 3})
    assert summary["hashtags"] == 3 and summary["images"]["hashtags"]["train"] < 250
    ids = {key for split in ("train", "val") for key in Shards(tmp_path / "hashtags", split).ids}
    assert not {"p10", "p11", "p12"} & ids
    with pytest.raises(ValueError, match="lower min_posts"):
        build(data, tmp_path, **OPTIONS | {"min_posts": 10_000})
    assert not (tmp_path / "summary.json").exists()  # nobody takes the older shards for the result of that build


def test_zipf_exponent_is_recovered():
    assert zipf_exponent([round(1e6 * rank**-0.8) for rank in range(1, 200)]) == pytest.approx(0.8, abs=0.01)


def test_report_tells_the_numbers(built):
    text = (built[0] / "report.md").read_text()
    assert "| posts kept | 295 |" in text and "| targets/pets | val | 10 |" in text and "mar seadog" in text
    assert (built[0] / "zipf.png").read_bytes().startswith(b"\x89PNG")
