"""The recipe on photographs: posts by the model of tags, labels apart, a clone that leaves the
project alone.
"""

import csv
import hashlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml
from PIL import Image

from benchmarks import clone, overlays, packs, photographs, photographs_data
from corpus.hashtags.canonical import Canon
from corpus.hashtags.wordnet import read_wordnet
from corpus.sources.users import OFF_TOPIC
from engine.core.build import options
from flows.cli import validate
from flows.measuring.headline import KEYS, USUAL
from flows.running import settings
from tests.conftest import PACKS
from tests.support import params

TAGS = {"users": 150, "noise": 0.1}
PER_CLASS = 30
packed = pytest.mark.skipif(
    not (PACKS / packs.PHOTOS).exists(), reason="the packs of photographs are not here"
)


def rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "posts.jsonl").read_text().splitlines()]


def wnid(row: dict) -> str:
    return row["image"].split("/")[1]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("posts")
    photographs_data.posts(PACKS, out, TAGS, PER_CLASS)
    return out


@packed
def test_posts_are_photographs_of_many_users_under_wordnets_tags(made):
    posts = rows(made)
    assert set(Counter(map(wnid, posts)).values()) == {PER_CLASS} and len(posts) == 100 * PER_CLASS
    assert len({row["user"] for row in posts}) > 140 and len({row["id"] for row in posts}) == len(
        posts
    )
    assert Image.open(made / posts[0]["image"]).size == (64, 64)
    known = packs.tag_forms(made / photographs_data.WORDNET, sorted({*map(wnid, posts)}))
    lobster = known["forms"]["n01983481"]
    assert lobster[0] == "americanlobster" and "homarusamericanus" in lobster
    assert ["truelobster"] in known["hypernyms"]["n01983481"][0]
    every = {form for forms in known["forms"].values() for form in forms}
    every |= {
        form
        for levels in known["hypernyms"].values()
        for level in levels
        for forms in level
        for form in forms
    }
    assert all({*row["hashtags"]} <= every | {*OFF_TOPIC} for row in posts)
    named = sum(bool({*row["hashtags"]} & {*known["forms"][wnid(row)]}) for row in posts) / len(
        posts
    )
    assert named == pytest.approx((1 - 0.15) * (1 - 0.1), abs=0.03)


@packed
def test_lemmas_of_one_meaning_are_one_class_of_pretraining(made):
    canon = Canon(wordnet=read_wordnet(made / photographs_data.WORDNET))
    names = sorted({*map(wnid, rows(made))})
    tags = packs.tag_forms(made / photographs_data.WORDNET, names)["forms"]
    several = []
    for forms in tags.values():
        alone = [form for form in forms if len(canon.wordnet.find(form)) == 1]
        if len(alone) > 1:
            several.append(alone)
    assert len(several) > 30 and all(
        len({*canon.names(forms, [1] * len(forms))}) == 1 for forms in several
    )


@packed
def test_same_arguments_same_posts(made, tmp_path):
    photographs_data.posts(PACKS, tmp_path, TAGS, PER_CLASS)
    assert (tmp_path / "posts.jsonl").read_bytes() == (made / "posts.jsonl").read_bytes()
    images = [row["image"] for row in rows(made)]
    assert all(
        (made / image).read_bytes() == (tmp_path / image).read_bytes() for image in images[::37]
    )


@packed
def test_labels_are_apart(tmp_path):
    photographs_data.labels(PACKS, tmp_path, train=30, val=20, test=40)
    with (tmp_path / "labels.csv").open() as file:
        labels = list(csv.DictReader(file))
    per_split = Counter((row["split"], row["label"]) for row in labels)
    assert per_split == {
        (s, c): n for s, n in (("train", 30), ("val", 20), ("test", 40)) for _, c in per_split
    }
    assert len(per_split) == 30
    contents = {
        (row["split"], hashlib.sha256((tmp_path / row["image"]).read_bytes()).digest())
        for row in labels
    }
    assert len({content for _, content in contents}) == len(labels)
    assert all(("test-" in row["image"]) == (row["split"] == "test") for row in labels)


def test_missing_packs_end_with_cause_and_fix(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        sys, "argv", ["photographs", "--packs", str(tmp_path), "--work", str(tmp_path / "work")]
    )
    with pytest.raises(SystemExit, match="2"):
        overlays.main(photographs.STUDY)
    message = capsys.readouterr().err
    assert packs.PHOTOS in message
    assert "--packs" in message
    assert not (tmp_path / "work").exists()


def test_damaged_pack_is_named(tmp_path):
    (tmp_path / packs.CIFAR).write_bytes(b"no archive")
    with pytest.raises(ValueError, match=f"{packs.CIFAR} is damaged"):
        photographs_data.labels(tmp_path, tmp_path / "out")


@packed
@pytest.mark.parametrize(
    ("tags", "told"),
    [
        ({"noise": 1.5}, "give rates from 0 to 1"),
        ({"wrong": 0.1}, "unknown key 'wrong'"),
        ({"forms": {}}, "'forms'"),
    ],
)
def test_settings_of_the_model_that_are_none(tmp_path, tags, told):
    with pytest.raises(ValueError, match=told):
        photographs_data.posts(PACKS, tmp_path, tags, 1)


@pytest.mark.parametrize("overrides", [(), photographs.QUICK], ids=["full", "quick"])
def test_overlay_gives_valid_params(tmp_path, monkeypatch, overrides):
    overlay = yaml.safe_load(photographs.STUDY.recipe.read_text())
    for assignment in overrides:
        overlay = clone.merged(overlay, clone.override(assignment))
    given = ("packs", "out")
    options(photographs_data.posts, overlay.pop("posts"), "posts", given)
    options(photographs_data.labels, overlay.pop("labels"), "labels", given)
    assert overlay["corpus"]["wordnet"] == f"data/{photographs_data.WORDNET}"
    monkeypatch.chdir(tmp_path)
    params.written(clone.merged(params.PARAMS, overlay))
    validate.validate()
    laid = settings.load_params()
    assert list(laid["tasks"]) == ["cifar10"] and laid["tasks"]["cifar10"]["labels"] == [10, 50]
    epochs = {training["epochs"] for training in laid["pretrain"].values()}
    assert epochs == ({1} if overrides else {24})


def test_an_overlay_reaches_every_section_and_takes_some_away():
    below = {"a": {"x": 1, "y": {"z": 1}}, "b": {"x": 2}, "n": 3}
    assert clone.merged(below, {"*": {"x": 5}}) == {
        "a": {"x": 5, "y": {"z": 1}},
        "b": {"x": 5},
        "n": 3,
    }
    assert clone.merged(below, {"*": {"x": 5}, "a": {"x": 6}})["a"]["x"] == 6
    assert clone.merged(below, {"a": {"y": None}, "n": None}) == {
        "a": {"x": 1},
        "b": {"x": 2},
        "n": None,
    }
    assert below["a"]["x"] == 1


@pytest.mark.parametrize(
    "assignment", ["search.trials", "=3", "search..trials=2", "search.trials=["]
)
def test_overrides_that_are_none(assignment):
    with pytest.raises(ValueError, match="-S "):
        clone.override(assignment)


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=tester", "-c", "user.email=tester@localhost")
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout


def test_clone_follows_the_project_and_keeps_its_own_data(tmp_path):
    from dvc.config import Config

    project, work = tmp_path / "project", tmp_path / "project" / ".tagdag" / "photographs"
    (project / ".dvc").mkdir(parents=True)
    (project / ".dvc" / "config").write_text(
        "[core]\n    remote = store\n['remote \"store\"']\n    url = ../store\n"
    )
    for name in ("data.dvc", "params.yaml", "code.py"):
        (project / name).write_text("old\n")
    git(project, "init", "--quiet")
    git(project, "add", ".")
    git(project, "commit", "--quiet", "-m", "one")
    made = []
    for code in ("old\n", "old\n", "new\n"):
        (project / "code.py").write_text(code)
        if code == "new\n":
            git(project, "commit", "--quiet", "--allow-empty", "-am", "two")
        assert clone.checkout(project, work) == git(project, "rev-parse", "HEAD").strip()
        for name in ("data.dvc", "params.yaml", "dvc.lock"):
            assert (work / name).exists() == (name != "dvc.lock" or bool(made))
            (work / name).write_text("photographs\n")
        clone.committed(work, "photographs")
        made.append(clone.git(work, "rev-parse", "HEAD"))
        assert (work / "code.py").read_text() == code
    assert made[0] == made[1] != made[2]
    assert (project / "params.yaml").read_text() == (project / "data.dvc").read_text() == "old\n"
    assert not Config(dvc_dir=str(work / ".dvc"))["core"].get("remote")


def test_table_has_a_row_per_model_and_a_line_per_gain():
    arm = {"candidate": "winner", "task": "cifar10", "head": "linear", "labels": 10, "size": 32}
    arm |= dict(zip(KEYS, USUAL, strict=True)) | {"init": "winner-hashtags"}
    accuracy = {"value": 40.0, "low": 38.0, "high": 42.0, "values": {"top5": 80.0}}
    records = [
        arm | accuracy | {"init": i, "seeds": [0, 1], "by_seed": [39, 41]}
        for i in ("winner-hashtags", "scratch")
    ]
    gain = arm | {
        "value": 40,
        "scratch": 34,
        "gain": 6,
        "gain_low": 4,
        "gain_high": 8,
        "seeds": 2,
    }
    lines = photographs.table(records, [gain])
    assert (
        lines[2]
        == "| winner | winner-hashtags | linear | 10 | 40.0 (38.0 to 42.0) | 80.0 | 39.0, 41.0 |"
    )
    assert "+6.0 points" in lines[-1]
    assert len(lines) == 6
