"""The recipe on photographs: tags at the promised rates, labels apart, a clone that leaves the project alone."""

import csv
import hashlib
import json
import subprocess
import sys
from collections import Counter
from math import sqrt
from pathlib import Path
from statistics import fmean

import pytest
import yaml
from PIL import Image

from benchmarks import photographs
from corpus.sample import OFF_TOPIC, stream, user_of
from corpus.vocabulary import choose, read_synonyms
from engine.build import options
from flows import check, settings

PACKS = photographs.ROOT.parent / "shared" / "data"
RATES = {"missing": 0.15, "wrong": 0.1, "synonym": 0.4, "hypernym": 0.4, "off_topic": 0.4}
LEVELS, PER_CLASS = 3, 30
packed = pytest.mark.skipif(not (PACKS / photographs.PHOTOS).exists(), reason="the packs of photographs are not here")


def rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "posts.jsonl").read_text().splitlines()]


def wnid(row: dict) -> str:
    return Path(row["image"]).name.split("-")[0]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("posts")
    photographs.posts(PACKS, out, per_class=PER_CLASS, levels=LEVELS, **RATES)
    return out


@pytest.fixture(scope="module")
def known(made) -> dict[str, photographs.Class]:
    return photographs.classes(PACKS, sorted({wnid(row) for row in rows(made)}), LEVELS)


def close(hits: list[bool], expected: list[float]) -> bool:
    """Whether the hits lie within 4 standard deviations of a sum of independent draws, and these within 8 %."""
    spread = sqrt(sum(p * (1 - p) for p in expected)) / len(expected)
    return abs(fmean(hits) - fmean(expected)) < 4 * spread < 0.08


@packed
def test_rates_are_respected(made, known):
    r, drawn = RATES, [(known[wnid(row)], set(row["hashtags"])) for row in rows(made)]
    names = {form for c in known.values() for form in c.forms}
    above = [{form for level in c.above for parent in level for form in parent} for c, _ in drawn]
    assert close([bool(tags & {*c.forms}) for c, tags in drawn], [(1 - r["missing"]) * (1 - r["wrong"])] * len(drawn))
    several = [tags & {*c.forms} for c, tags in drawn if len(c.forms) > 1 and tags & {*c.forms}]
    usual = {c.forms[0] for c in known.values()}
    assert close([not forms & usual for forms in several], [r["synonym"]] * len(several))
    right = [1 - r["wrong"] * (1 - r["missing"]) for _ in drawn]
    right = [p * (1 - r["wrong"] * r["hypernym"]) ** len(c.above) for p, (c, _) in zip(right, drawn, strict=True)]
    strange = [bool(tags & names - {*c.forms} - up) for (c, tags), up in zip(drawn, above, strict=True)]
    assert close(strange, [1 - p for p in right])
    lone = [r["missing"] * (1 - r["hypernym"]) ** len(c.above) for c, _ in drawn]
    assert close([bool(tags & {*OFF_TOPIC}) for _, tags in drawn], [p + (1 - p) * r["off_topic"] for p in lone])
    kept = r["hypernym"] * (1 - r["wrong"])
    assert close(
        [bool(tags & up - names) for (_, tags), up in zip(drawn, above, strict=True) if not up & names],
        [1 - (1 - kept) ** len(c.above) for (c, _), up in zip(drawn, above, strict=True) if not up & names],
    )


@packed
@pytest.mark.parametrize(
    ("rates", "allowed"),
    [
        ({"missing": 1, "hypernym": 0}, lambda own, up: {*OFF_TOPIC}),
        ({"missing": 0, "hypernym": 0, "wrong": 0, "synonym": 0, "off_topic": 0}, lambda own, up: {own.forms[0]}),
        ({"missing": 1, "hypernym": 1, "wrong": 0, "off_topic": 0}, lambda own, up: up),
    ],
    ids=["nothing left", "perfect", "hypernyms only"],
)
def test_extreme_rates(known, rates, allowed):
    everything = list(known.values())
    for number, own in enumerate(everything):
        up = {form for level in own.above for parent in level for form in parent}
        tags = photographs.tags_of(stream(0, number), own, everything, user_of(0, 0), **RATES | rates)
        assert tags
        assert set(tags) <= allowed(own, up)


@packed
def test_same_arguments_same_posts(made, tmp_path):
    fewer = {"per_class": 3, "posts_per_user": 20 * 3 / PER_CLASS}  # as many users
    photographs.posts(PACKS, tmp_path, **fewer, levels=LEVELS, **RATES)
    again = {row["image"]: row for row in rows(tmp_path)}
    assert len(again) == 3 * 100
    assert again == {row["image"]: row for row in rows(made) if row["image"] in again}
    assert all((made / image).read_bytes() == (tmp_path / image).read_bytes() for image in again)
    assert (made / "synonyms.tsv").read_bytes() == (tmp_path / "synonyms.tsv").read_bytes()


@packed
def test_posts_are_photographs_of_many_users(made):
    posts = rows(made)
    users = Counter(row["user"] for row in posts)
    assert set(Counter(map(wnid, posts)).values()) == {PER_CLASS}
    assert len(users) == pytest.approx(len(posts) / 20, rel=0.02)
    assert Image.open(made / posts[0]["image"]).size == (64, 64)


@packed
def test_synonyms_map_to_the_usual_tag(made, known):
    table = read_synonyms(made / "synonyms.tsv")
    lobster = known["n01983481"]
    assert {table[form] for form in lobster.forms[1:]} == {lobster.forms[0]}
    senses = Counter(form for c in known.values() for form in c.forms)
    for own in known.values():
        assert all(table.get(form, own.forms[0]) == own.forms[0] for form in own.forms if senses[form] == 1), own
    names = choose([row["hashtags"] for row in rows(made)], 15, 400, table, stop=OFF_TOPIC).names
    assert set(names) >= {c.forms[0] for c in known.values() if senses[c.forms[0]] == 1}
    assert not set(names) & table.keys()


@packed
def test_labels_are_apart(tmp_path):
    photographs.labels(PACKS, tmp_path, train=30, val=20, test=40)
    with (tmp_path / "labels.csv").open() as file:
        labels = list(csv.DictReader(file))
    per_split = Counter((row["split"], row["label"]) for row in labels)
    assert per_split == {(s, c): n for s, n in (("train", 30), ("val", 20), ("test", 40)) for _, c in per_split}
    assert len(per_split) == 30
    contents = {(row["split"], hashlib.sha256((tmp_path / row["image"]).read_bytes()).digest()) for row in labels}
    assert len({content for _, content in contents}) == len(labels)
    assert all(("test-" in row["image"]) == (row["split"] == "test") for row in labels)


def test_missing_packs_end_with_cause_and_fix(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["photographs", "--packs", str(tmp_path), "--work", str(tmp_path / "work")])
    with pytest.raises(SystemExit, match="2"):
        photographs.main()
    message = capsys.readouterr().err
    assert photographs.PHOTOS in message
    assert "--packs" in message
    assert not (tmp_path / "work").exists()


def test_damaged_pack_is_named(tmp_path):
    (tmp_path / photographs.LABELLED).write_bytes(b"no archive")
    with pytest.raises(ValueError, match=f"{photographs.LABELLED} is damaged"):
        photographs.labels(tmp_path, tmp_path / "out")


@pytest.mark.parametrize("rates", [{"wrong": 1.5}, {"off_topic": 1}, {"missing": -0.1}])
def test_rates_that_are_none(tmp_path, rates):
    with pytest.raises(ValueError, match="give rates from 0 to 1"):
        photographs.posts(tmp_path, tmp_path / "out", **rates)


@pytest.mark.parametrize("overrides", [(), photographs.QUICK], ids=["full", "quick"])
def test_overlay_gives_valid_params(tmp_path, monkeypatch, overrides):
    overlay = yaml.safe_load(photographs.RECIPE.read_text())
    for assignment in overrides:
        overlay = photographs.merged(overlay, photographs.override(assignment))
    options(photographs.posts, overlay.pop("posts"), "posts", ("packs", "out"))
    options(photographs.labels, overlay.pop("labels"), "labels", ("packs", "out"))
    params = yaml.safe_load((photographs.ROOT / "params.yaml").read_text())
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(photographs.merged(params, overlay)))
    monkeypatch.chdir(tmp_path)
    check.check()
    assert settings.load()["finetune"]["head"] == params["finetune"]["head"]
    assert settings.load()["finetune"]["labels_per_class"] == [10, 50]


@pytest.mark.parametrize("assignment", ["search.trials", "=3", "search..trials=2", "search.trials=["])
def test_overrides_that_are_none(assignment):
    with pytest.raises(ValueError, match="-S "):
        photographs.override(assignment)


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=tester", "-c", "user.email=tester@localhost")
    return subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_clone_follows_the_project_and_keeps_its_own_data(tmp_path):
    from dvc.config import Config

    project, work = tmp_path / "project", tmp_path / "project" / ".tagdag" / "photographs"
    (project / ".dvc").mkdir(parents=True)
    (project / ".dvc" / "config").write_text("[core]\n    remote = store\n['remote \"store\"']\n    url = ../store\n")
    for name in ("data.dvc", "params.yaml", "code.py"):
        (project / name).write_text("old\n")
    git(project, "init", "--quiet")
    git(project, "add", ".")
    git(project, "commit", "--quiet", "-m", "one")
    made = []
    for code in ("old\n", "old\n", "new\n"):
        (project / "code.py").write_text(code)
        git(project, "commit", "--quiet", "--allow-empty", "-am", "two") if code == "new\n" else None
        assert photographs.checkout(project, work) == git(project, "rev-parse", "HEAD").strip()
        for name in ("data.dvc", "params.yaml", "dvc.lock"):
            assert (work / name).exists() == (name != "dvc.lock" or bool(made))
            (work / name).write_text("photographs\n")
        photographs.committed(work)
        made.append(photographs.git(work, "rev-parse", "HEAD"))
        assert (work / "code.py").read_text() == code
    assert made[0] == made[1] != made[2]
    assert (project / "params.yaml").read_text() == (project / "data.dvc").read_text() == "old\n"
    assert not Config(dvc_dir=str(work / ".dvc"))["core"].get("remote")


def test_table_has_a_row_per_model_and_a_line_per_gain():
    arm = {"candidate": "winner", "mode": "full", "labels": 10}
    accuracy = {"top1_mean": 40.0, "top1_mean_low": 38.0, "top1_mean_high": 42.0, "top5": 80.0}
    records = [arm | accuracy | {"init": i, "seeds": [0, 1], "top1_seeds": [39, 41]} for i in ("pretrained", "scratch")]
    gain = arm | {"pretrained": 40, "scratch": 34, "gain": 6, "gain_low": 4, "gain_high": 8, "seeds": 2}
    lines = photographs.table(records, [gain])
    assert lines[2] == "| winner | pretrained | full | 10 | 40.0 (38.0 to 42.0) | 80.0 | 39.0, 41.0 |"
    assert "+6.0 points" in lines[-1]
    assert len(lines) == 6
