"""Evaluation: accuracy on the test split, and its lower bound when the posts hold some of the test images."""

from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from corpus.shards.shards import Shards, write_shards
from engine import checkpoint, twins
from engine.accuracy import accuracy
from engine.network import network, restore, save
from engine.samples import Rows, opened
from flows import evaluate, records
from flows.evaluate import duplicated, gains, model_record

SECTIONS = {
    "backbone": {"name": "regnet", "depth": 3, "w_0": 16, "w_a": 8, "w_m": 2, "group_width": 8, "stem_width": 8},
    "objective": {"name": "supervised"},
    "head": {"name": "linear"},
}
IDS = [f"test-{n}" for n in range(40)]


def table(path: Path, *rows: tuple[str, str, str, str, bool]) -> Path:
    """A table of duplicates with rows of (store_a, id_a, store_b, id_b, dropped)."""
    names = ("store_a", "id_a", "store_b", "id_b", "dropped")
    pq.write_table(pa.table({name: [row[i] for row in rows] for i, name in enumerate(names)}), path)
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    """Forty test images of two classes, a validation image and a training image."""
    rng, records = np.random.default_rng(0), []
    for number, key in enumerate([*IDS, "val-0", "train-0"]):
        image = BytesIO()
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(image, "JPEG")
        records.append((key, key.partition("-")[0], image.getvalue(), [number % 2]))
    write_shards(tmp_path / "scenes", records, ["sea", "dog"], size=32)
    return tmp_path / "scenes"


@pytest.fixture
def weights(tmp_path) -> Path:
    torch.manual_seed(0)
    module = network(**SECTIONS, classes=2)
    torch.nn.init.normal_(module.head.fc.weight)
    save(tmp_path / "model.safetensors", module, SECTIONS, ["sea", "dog"])
    return tmp_path / "model.safetensors"


def test_duplicates_are_images_that_the_posts_hold_too(tmp_path):
    rows = [
        ("hashtags", "post-1", "targets/scenes", "test-3", False),
        ("hashtags", "post-2", "targets/scenes", "test-3", False),
        ("hashtags", "post-3", "targets/scenes", "test-7", True),
        ("hashtags", "test-9", "hashtags", "test-10", False),
        ("hashtags", "test-11", "targets/others", "test-12", False),
        ("hashtags", "post-4", "targets/scenes", "train-0", False),
    ]
    file = table(tmp_path / "duplicates.parquet", *rows)
    assert duplicated(file, "scenes") == {"test-3", "train-0"}
    assert duplicated(table(tmp_path / "none.parquet", rows[3]), "scenes") == set()
    with pytest.raises(ValueError, match="run the stage corpus again"):
        duplicated(tmp_path / "missing.parquet", "scenes")


@pytest.mark.parametrize("other", [b"", b"text", None])
def test_another_file_is_no_table_of_duplicates(tmp_path, other):
    file = tmp_path / "duplicates.parquet"
    pq.write_table(pa.table({"id": ["a"]}), file) if other is None else file.write_bytes(other)
    with pytest.raises(ValueError, match=r"duplicates\.parquet is no table of duplicates.*run the stage corpus again"):
        duplicated(file, "scenes")


def test_duplicates_count_as_wrong(folder, weights):
    right = accuracy(restore(weights)[0], Rows(opened(folder, "test"), "labels")).correct()[:, 0].tolist()
    assert 5 < sum(right) < 35
    hits, misses = ([key for key, hit in zip(IDS, right, strict=True) if hit == wanted] for wanted in (True, False))
    plain = records.tested(weights, folder, 32, set())
    assert plain["top1"] == plain["top1_lower_bound"] == 100 * len(hits) / 40
    bound = lambda ids: records.tested(weights, folder, 32, set(ids))["top1_lower_bound"]  # noqa: E731
    assert bound([]) == bound(misses) == plain["top1"]
    assert bound([*hits[:3], *misses[:2]]) == 100 * (len(hits) - 3) / 40
    assert bound(IDS) == 0
    assert records.tested(weights, folder, 32, set(IDS)) == plain | {"top1_lower_bound": 0}


def seed(number: int, top1: float, bound: float, val: float, **other) -> dict:
    arm = {"candidate": "winner", "target": "scenes", "init": "pretrained", "mode": "full", "labels": 20, "size": 32}
    measured = {"top1": top1, "top1_low": 0.0, "top1_high": 100.0, "top5": 90.0, "samples": 40}
    choice = {"chosen": {"rate": 0.4}, "scores": [], "fit": 40, "held_out": 0}
    about = {"seed": number, "top1_lower_bound": bound, "val_top1": val, "weights": "x"}
    return arm | measured | choice | about | other


def test_a_model_has_the_bound_of_its_weights_and_the_mean_of_its_seeds():
    record = model_record([seed(0, 60, 50, val=70), seed(1, 80, 60, val=65)], {"duplicates": 4})
    assert (record["top1"], record["top1_lower_bound"]) == (60, 50)
    assert (record["top1_mean"], record["top1_mean_lower_bound"]) == (70, 55)
    assert record["model"] == "winner-scenes-pretrained-full-20-32px"


def test_gains_are_of_equal_targets_and_sizes():
    def record(init: str, target: str, size: int, *top1: float) -> dict:
        return model_record([seed(i, t, 0, 0, init=init, target=target, size=size) for i, t in enumerate(top1)], {})

    rows = [("scenes", 32, 60, 70), ("scenes", 40, 70, 80), ("birds", 32, 10, 30)]
    records = [record("pretrained", *row) for row in rows]
    records += [record("scratch", "scenes", 32, 50, 50), record("scratch", "birds", 32, 5, 15)]
    found = {(gain["target"], gain["size"]): gain["gain"] for gain in gains(records)}
    assert found == {("scenes", 32): 15, ("birds", 32): 10}


def test_a_size_changes_what_the_network_sees(folder, weights):
    small, large = (records.tested(weights, folder, size, set()) for size in (32, 48))
    assert small["samples"] == large["samples"] == 40
    module, shards = restore(weights)[0], opened(folder, "test")
    resized = [Image.fromarray(image).resize((48, 48), Image.BILINEAR) for image in shards.images(range(40)).numpy()]
    pixels = torch.from_numpy(np.stack([np.asarray(image) for image in resized]))
    ours = Rows(shards, "labels", size=48).images(torch.arange(40))
    assert ours.shape == (40, 48, 48, 3) and (ours.int() - pixels.int()).abs().max() <= 1
    with torch.no_grad():
        right = module.eval().predict(module.plain(ours)).argmax(1) == shards.labels(range(40))
    assert large["top1"] == pytest.approx(100 * right.float().mean().item())


def test_cost_is_of_every_batch_and_of_training_where_there_is_any(weights, tmp_path):
    """Nearest neighbours are not trained."""
    found = evaluate.cost(weights, 32, batches=[2, 4], runs=3, seconds=0.1)
    rows = [("inference", 1), ("inference", 2), ("inference", 4), ("training", 2), ("training", 4)]
    assert [(row["mode"], row["batch"]) for row in found["costs"]] == rows
    module = restore(weights)[0]
    assert found["params"] == sum(p.numel() for p in [*module.backbone.parameters(), *module.head.parameters()])
    sections = SECTIONS | {"head": {"name": "knn", "samples": 8, "k": 2}}
    save(tmp_path / "knn.safetensors", network(**sections, classes=2), sections, ["sea", "dog"])
    found = evaluate.cost(tmp_path / "knn.safetensors", 32, batches=[2], runs=3, seconds=0.1)
    assert [row["mode"] for row in found["costs"]] == ["inference"] * 2


def test_features_of_the_posts_are_computed_in_parts_once_and_kept(tmp_path, monkeypatch, weights):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TAGDAG_ARMS", "1")
    rng, records_ = np.random.default_rng(0), []
    for number in range(11):
        image = BytesIO()
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(image, "JPEG")
        records_.append((f"post-{number}", "train" if number < 9 else "val", image.getvalue(), [number % 2]))
    write_shards(evaluate.HASHTAGS, records_, ["sea", "dog"], size=32)
    monkeypatch.setattr(records, "BATCH", 2)
    monkeypatch.setattr(twins, "BATCH", 2)
    splits = [Shards(evaluate.HASHTAGS, split) for split in ("train", "val")]
    whole = torch.cat([twins.indexed(restore(weights)[0], split) for split in splits])
    assert records.parts(evaluate.HASHTAGS, 2) == [("train", 0, 6), ("train", 6, 9), ("val", 0, 2)]
    monkeypatch.setattr(evaluate, "current", lambda: SimpleNamespace(processes=2))
    files = evaluate.known_features(weights)
    assert torch.equal(torch.cat([checkpoint.load(file)[0]["features"] for file in files]), whole)
    monkeypatch.setattr(records, "search_features", None)  # nothing is computed again
    assert evaluate.known_features(weights) == files and len(files) == 3
    save(weights, network(**SECTIONS, classes=2), SECTIONS, ["sea", "dog"])
    with pytest.raises(TypeError):
        evaluate.known_features(weights)  # other weights: it would be


def test_a_validation_that_is_known_is_not_measured_again(folder, weights):
    known = records.tested(weights, folder, 32, set(), validated=12.5)
    assert known["val_top1"] == 12.5
    assert records.tested(weights, folder, 48, set(), validated=12.5)["val_top1"] in (0, 100)  # of another size
