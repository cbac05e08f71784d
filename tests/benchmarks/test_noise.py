"""The noise study: apart what must be apart, goes on after a kill, tells an ordering from
chance.
"""

import shutil
from collections import Counter

import pytest
import torch

from benchmarks import noise, noise_report
from benchmarks.noise_data import QUICK, stores
from benchmarks.packs import CIFAR, NOUNS, PHOTOS, tag_forms
from corpus.kinds.labels import Label
from corpus.kinds.posts import Post
from corpus.sources.users import OFF_TOPIC
from corpus.store.read import read_store
from tests.conftest import PACKS

SMALL = QUICK._replace(posts=44, labels=5, test=4, images=512, epochs=1)
packed = pytest.mark.skipif(
    not all((PACKS / pack).exists() for pack in (PHOTOS, NOUNS, CIFAR)),
    reason="the packs of photographs are not here",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    data = tmp_path_factory.mktemp("noise") / "data"
    stores(PACKS, data, SMALL, 0)
    return data


@packed
def test_classes_have_zipf_frequencies_and_tags_no_noise(made):
    posts = [post for post, _ in read_store(made / "posts", Post)]
    counts = Counter(post.id.split("/")[0] for post in posts)
    assert sorted(counts.values(), reverse=True) == [
        44 * 11 // (rank + 10) for rank in range(1, 101)
    ]
    known = tag_forms(made / "nouns.tsv", sorted(counts))
    for post in posts:
        wnid = post.id.split("/")[0]
        named = [
            *known["forms"][wnid],
            *(f for level in known["hypernyms"][wnid] for parent in level for f in parent),
        ]
        assert set(post.hashtags) <= {*named, *OFF_TOPIC}


@packed
def test_probes_train_and_test_on_photographs_that_are_no_posts(made):
    posts = {data for _, data in read_store(made / "posts", Post)}
    for name, classes, per_class in (
        ("tinyimagenet", 100, {"train": 5, "test": 4}),
        ("cifar10", 10, {"train": 20, "test": 4}),
    ):
        split = {"train": set(), "test": set()}
        labels = Counter()
        for label, data in read_store(made / "targets" / name, Label):
            split[label.split].add(data)
            labels[label.split, label.label] += 1
        assert (
            labels == {(s, c): n for s, n in per_class.items() for _, c in labels}
            and len(labels) == 2 * classes
        )
        assert not split["train"] & split["test"] and not posts & (split["train"] | split["test"])


@packed
def test_all_conditions_see_equally_many_images_and_a_killed_study_goes_on(
    tmp_path, made, monkeypatch
):
    ran, images, run, train = [], [], noise.run, noise.train

    def copied(folder, data, sizes, seed):
        assert (folder, sizes, seed) == (PACKS, SMALL, 0), "what `made` was made of"
        shutil.copytree(made, data, dirs_exist_ok=True)

    def counted(module, samples, training, epoch_list):
        images.append(training.epochs * len(epoch_list(torch.Generator())))
        train(module, samples, training, epoch_list)

    def noted(work, sizes, condition, seed, show):
        ran.append((condition["noise"], condition["vocabulary"], seed))
        return run(work, sizes, condition, seed, show)

    names = ("base", "noise 50 %", "natural", "scratch")
    monkeypatch.setattr(noise, "CONDITIONS", {name: noise.CONDITIONS[name] for name in names})
    monkeypatch.setattr(noise, "train", counted)
    monkeypatch.setattr(noise, "run", noted)
    monkeypatch.setattr(noise, "stores", copied)
    rows = noise.study(PACKS, tmp_path, SMALL)
    assert images == pytest.approx([SMALL.images] * 3, rel=0.01)
    assert [row["name"] for row in rows] == list(names)
    assert all(row["accuracies"].keys() == noise.MEASURES.keys() for row in rows)
    assert len({str(row["accuracies"]) for row in rows}) == len(names)

    results = tmp_path / "results.jsonl"
    results.write_text(results.read_text()[:-9])  # killed while it wrote the last line
    del ran[:]
    again = noise.study(PACKS, tmp_path, SMALL)
    assert ran == [(None, None, 0)]
    assert [row["accuracies"] for row in again] == [row["accuracies"] for row in rows]
    noise.study(PACKS, tmp_path, SMALL)
    assert len(ran) == 1


def made_up(base: list[float], **others: list[float]) -> list[dict]:
    accuracies = dict.fromkeys(noise.CONDITIONS, base) | others
    return [
        {
            "name": name,
            "condition": noise.CONDITIONS[name],
            "seed": seed,
            "accuracies": {"m": top1},
            "minutes": 1.0,
        }
        for name, values in accuracies.items()
        for seed, top1 in enumerate(values)
    ]


def test_a_table_tells_an_ordering_from_chance_and_from_its_opposite(tmp_path):
    others = {
        "noise 25 %": [27.9, 39.0, 48.0],
        "natural": [31.0, 41.1, 51.2],
        "targets": [25.0, 45.0, 52.0],
    }
    rows = made_up([30.0, 40.0, 50.0], **others)
    noise_report.write(rows, {"seeds": 3}, "make repro RECIPE=noise", tmp_path)
    lines = (tmp_path / "noise.md").read_text().splitlines()
    assert "| base | 40.0 ± 24.8 |" in lines
    assert "| noise 25 % | 38.3 ± 25.0 (-1.7 ± 1.5) |" in lines
    expected = {
        line.split(" | ")[0][2:]: line.split(" | ")[1]
        for line in lines
        if ": " in line and "show" in line
    }
    assert expected["25 % noise costs (about 2 %)"].startswith("+1.7 ± 1.5: shows")
    assert expected["sqrt above natural resampling"].startswith("-1.1 ± 0.2: the opposite shows")
    assert expected["vocabulary of the targets above nouns"].startswith(
        "+0.7 ± 12.7: does not show"
    )
    assert (tmp_path / "noise.png").stat().st_size > 10_000


def test_a_single_seed_has_no_interval():
    assert noise_report.cell([1.0]) == "1.0" and noise_report.verdict([1.0]) == "one seed"
