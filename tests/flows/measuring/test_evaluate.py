"""Evaluation: accuracy on the test split, and its lower bound when the posts hold some of the
test images.
"""

import itertools
import json
import os
import subprocess
import sys
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from corpus.reading.shards import Shards
from engine.core import checkpoint
from engine.core.network import load_network, network, save_network
from engine.core.samples import Rows, open_split
from engine.training.predicting import predicted, scored
from engine.twins import learnt as twins
from flows import evaluate
from flows.measuring import duplicates, dvcmetrics, predictions, records
from flows.measuring.duplicates import by_pixels
from flows.running import settings
from metrics.accuracy import Accuracy
from tests.support.networks import TINY
from tests.support.records import seed
from tests.support.shards import write_shards

SECTIONS = {
    "backbone": TINY,
    "objective": {"name": "supervised"},
    "head": {"name": "linear"},
}
IDS = [f"test-{n}" for n in range(40)]
TASK = {"metric": {"name": "accuracy"}}


def table(path: Path, *rows: tuple[str, str, str, str, str, bool]) -> Path:
    """A table of duplicates with rows of (store_a, id_a, store_b, id_b, kind, dropped)."""
    names = ("store_a", "id_a", "store_b", "id_b", "kind", "dropped")
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    pq.write_table(pa.table(columns), path)
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
    save_network(tmp_path / "model.safetensors", module, SECTIONS, ["sea", "dog"])
    return tmp_path / "model.safetensors"


def test_duplicates_are_images_that_the_posts_hold_too(tmp_path):
    rows = [
        ("hashtags", "post-1", "targets/scenes", "test-3", "near", False),
        ("hashtags", "post-2", "targets/scenes", "test-3", "exact", False),
        ("hashtags", "post-3", "targets/scenes", "test-7", "exact", True),
        ("hashtags", "test-9", "hashtags", "test-10", "exact", False),
        ("hashtags", "test-11", "targets/others", "test-12", "exact", False),
        ("hashtags", "post-4", "targets/scenes", "train-0", "mirrored", False),
    ]
    file = table(tmp_path / "duplicates.parquet", *rows)
    assert by_pixels(file, "targets/scenes") == [
        ("test-3", "post-1", "fingerprint"),
        ("test-3", "post-2", "equal bytes"),
        ("train-0", "post-4", "mirrored fingerprint"),
    ]
    assert by_pixels(table(tmp_path / "none.parquet", rows[3]), "targets/scenes") == []
    with pytest.raises(ValueError, match="run the stage corpus again"):
        by_pixels(tmp_path / "missing.parquet", "targets/scenes")


def test_duplicates_are_listed_with_their_posts_and_how_they_were_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("out/corpus").mkdir(parents=True)
    rows = [
        ("hashtags", "post-1", "targets/scenes", "test-3", "exact", False),
        ("hashtags", "post-4", "targets/scenes", "train-0", "exact", False),
    ]
    table(Path("out/corpus/duplicates.parquet"), *rows)
    learnt = [("test-3", "post-1", "learnt"), ("test-5", "post-9", "learnt")]
    monkeypatch.setattr(duplicates, "learnt", lambda weights, folder: learnt)
    found = duplicates.of("targets/scenes", Path("w"), Path("f"), IDS)
    assert found == [("test-3", "post-1", "equal bytes"), ("test-5", "post-9", "learnt")]
    assert duplicates.of("targets/scenes", None, Path("f"), IDS) == found[:1]
    duplicates.write(tmp_path, found)
    written = pq.read_table(tmp_path / "duplicates.parquet").to_pylist()
    assert written[1] == {"id": "test-5", "post": "post-9", "found": "learnt"}
    assert len(written) == 2


@pytest.mark.parametrize("other", [b"", b"text", None])
def test_another_file_is_no_table_of_duplicates(tmp_path, other):
    file = tmp_path / "duplicates.parquet"
    if other is None:
        pq.write_table(pa.table({"id": ["a"]}), file)
    else:
        file.write_bytes(other)
    with pytest.raises(
        ValueError,
        match=r"duplicates\.parquet is no table of duplicates.*run the stage corpus again",
    ):
        by_pixels(file, "targets/scenes")


def test_duplicates_count_as_wrong(folder, weights):
    module = load_network(weights)[0]
    rows = Rows(open_split(folder, "test"), module.reads)
    right = scored(module, rows, Accuracy()).each().gt(0).tolist()
    assert 5 < sum(right) < 35
    hits = [key for key, hit in zip(IDS, right, strict=True) if hit]
    misses = [key for key in IDS if key not in hits]
    plain, table_ = records.tested(weights, folder, 32, set(), TASK)
    assert (table_.guess == np.arange(40) % 2).tolist() == right and table_.guess.dtype == np.int16
    assert plain["best"] == plain["best_bound"] == 100 * len(hits) / 40

    def bound(ids: list[str]) -> float:
        return records.tested(weights, folder, 32, set(ids), TASK)[0]["best_bound"]

    assert bound([]) == bound(misses) == plain["best"]
    assert bound([*hits[:3], *misses[:2]]) == 100 * (len(hits) - 3) / 40
    assert bound(IDS) == 0
    assert records.tested(weights, folder, 32, set(IDS), TASK)[0] == plain | {"best_bound": 0}


def scores_of(weights: Path, folder: Path, size: int | None = None) -> torch.Tensor:
    """Scores (40, 2) of all test images."""
    module = load_network(weights)[0]
    rows = Rows(open_split(folder, "test"), module.reads, size=size)
    return torch.cat([found["scores"].cpu() for _, found, _ in predicted(module, rows)])


def test_the_score_is_the_guess_s_probability_or_share_of_votes(folder, weights, tmp_path):
    expected = scores_of(weights, folder).softmax(1)
    found = records.tested(weights, folder, 32, set(), TASK)[1]
    assert found.score == pytest.approx(expected.max(1).values.numpy(), abs=1e-5)
    assert found.score.dtype == np.float32
    assert (found.guess == expected.argmax(1).numpy()).all()
    sections = SECTIONS | {"head": {"name": "knn", "samples": 8, "k": 2}}
    module = network(**sections, classes=2)
    module.head.fit(torch.randn(8, module.head.bank.in_features), torch.tensor([0, 1] * 4))
    save_network(tmp_path / "knn.safetensors", module, sections, ["sea", "dog"])
    # logarithms of shares of votes
    votes = scores_of(tmp_path / "knn.safetensors", folder).exp()
    assert votes.sum(1) == pytest.approx(1)
    found = records.tested(tmp_path / "knn.safetensors", folder, 32, set(), TASK)[1]
    assert found.score == pytest.approx(votes.max(1).values.numpy(), abs=1e-5)


def test_a_size_changes_what_the_network_sees(folder, weights):
    small, large = (records.tested(weights, folder, size, set(), TASK)[0] for size in (32, 48))
    assert small["samples"] == large["samples"] == 40
    module, shards = load_network(weights)[0], open_split(folder, "test")
    resized = [
        Image.fromarray(image).resize((48, 48), Image.BILINEAR)
        for image in shards.images(range(40)).numpy()
    ]
    pixels = torch.from_numpy(np.stack([np.asarray(image) for image in resized]))
    ours = Rows(shards, module.reads, size=48).read(torch.arange(40))["image"]
    assert ours.shape == (40, 48, 48, 3) and (ours.int() - pixels.int()).abs().max() <= 1
    right = scores_of(weights, folder, 48).argmax(1) == shards.labels(range(40))
    assert large["best"] == pytest.approx(100 * right.float().mean().item())


def test_cost_is_of_every_batch_and_of_training_where_there_is_any(weights, tmp_path, monkeypatch):
    """Nearest neighbours are not trained."""
    monkeypatch.setattr(records, "PATIENCE", 0.0)
    found = evaluate.measure_cost(weights, 32, batches=[2, 4], runs=3, seconds=0.1)
    rows = [("inference", 1), ("inference", 2), ("inference", 4), ("training", 2), ("training", 4)]
    assert [(row["mode"], row["batch"]) for row in found["costs"]] == rows
    module = load_network(weights)[0]
    assert found["params"] == sum(
        p.numel() for p in [*module.backbone.parameters(), *module.head.parameters()]
    )
    sections = SECTIONS | {"head": {"name": "knn", "samples": 8, "k": 2}}
    save_network(
        tmp_path / "knn.safetensors", network(**sections, classes=2), sections, ["sea", "dog"]
    )
    found = evaluate.measure_cost(
        tmp_path / "knn.safetensors", 32, batches=[2], runs=3, seconds=0.1
    )
    assert [row["mode"] for row in found["costs"]] == ["inference"] * 2


def test_features_of_the_posts_are_computed_in_parts_once_and_kept(tmp_path, monkeypatch, weights):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TAGDAG_ARMS", "1")
    rng, records_ = np.random.default_rng(0), []
    for number in range(11):
        image = BytesIO()
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(image, "JPEG")
        records_.append(
            (f"post-{number}", "train" if number < 9 else "val", image.getvalue(), [number % 2])
        )
    write_shards(duplicates.HASHTAGS, records_, ["sea", "dog"], size=32)
    monkeypatch.setattr(records, "BATCH", 2)
    monkeypatch.setattr(twins, "BATCH", 2)
    splits = [Shards(duplicates.HASHTAGS, split) for split in ("train", "val")]
    whole = torch.cat([twins.indexed(load_network(weights)[0], split) for split in splits])
    parts = [("train", 0, 6), ("train", 6, 9), ("val", 0, 2)]
    assert records.parts(duplicates.HASHTAGS, 2) == parts
    monkeypatch.setattr(duplicates, "current_pool", lambda: SimpleNamespace(processes=2))
    files = duplicates.known_features(weights)
    assert torch.equal(
        torch.cat([checkpoint.load_tensors(file)[0]["features"] for file in files]), whole
    )
    monkeypatch.setattr(records, "search_features", None)  # nothing is computed again
    assert duplicates.known_features(weights) == files and len(files) == 3
    save_network(weights, network(**SECTIONS, classes=2), SECTIONS, ["sea", "dog"])
    with pytest.raises(TypeError):
        duplicates.known_features(weights)  # other weights: it would be


def test_a_validation_that_is_known_is_not_measured_again(folder, weights):
    known = records.tested(weights, folder, 32, set(), TASK, validated=12.5)[0]
    assert known["val"] == 12.5
    larger = records.tested(weights, folder, 48, set(), TASK, validated=12.5)[0]
    assert larger["val"] in (0, 100)  # of another size


class Run:
    """What the stage tells MLflow."""

    def child(self, name: str):
        return nullcontext(self)

    def params(self, values: dict) -> None: ...
    def metrics(self, values: dict, step: int = 0) -> None: ...
    def files(self, *paths: Path) -> None: ...


def jpegs(rng: np.random.Generator, ids: list[str], classes: int) -> list[tuple]:
    """Shard records of random images, of one class after the other."""
    found = []
    for number, key in enumerate(ids):
        image = BytesIO()
        pixels = rng.integers(0, 256, (4, 4, 3), np.uint8)
        large = Image.fromarray(pixels).resize((32, 32), Image.Resampling.BICUBIC)
        large.save(image, "JPEG", quality=95)
        found.append((key, key.partition("-")[0], image.getvalue(), [number % classes]))
    return found


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A candidate with two seeds of two inits; the first two posts are test images."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TAGDAG_ARMS", "1")
    monkeypatch.setattr(records, "PATIENCE", 0.0)  # of a busy machine, where tests may run
    monkeypatch.setattr(evaluate, "stage_run", lambda stage, section: nullcontext(Run()))
    rng = np.random.default_rng(0)
    test = jpegs(rng, [f"test-{n}" for n in range(12)], 2)
    scenes = [*test, *jpegs(rng, ["train-0", "train-1", "train-2", "val-0", "val-1"], 2)]
    posts = [(f"post-{n}", "train" if n else "val", test[n][2], [0]) for n in range(2)]
    posts += jpegs(rng, ["train-9", "val-9"], 1)
    write_shards(Path("out/corpus/targets/scenes"), scenes, ["sea", "dog"], size=32)
    write_shards(duplicates.HASHTAGS, posts, ["tag"], size=32)
    same = ("hashtags", "post-1", "targets/scenes", "test-1", "exact", False)
    table(Path("out/corpus/duplicates.parquet"), same)
    task = {"data": "targets/scenes", "inits": ["scratch", "tiny-hashtags"]} | TASK
    params = {"tasks": {"scenes": task}, "candidates": {}, "search": {}}
    monkeypatch.setattr(settings, "load_params", lambda: params)
    saved("out/pretrain/tiny-hashtags/model.safetensors", 0, ["tag"])
    arms = []
    for init, number in itertools.product(("tiny-hashtags", "scratch"), range(2)):
        about = {"candidate": "tiny", "init": init, "name": f"{init}-{number}"}
        arms.append(seed(number, 50.0 + number, **about))
        saved(f"out/finetune/scenes/{init}-{number}.safetensors", len(arms), ["sea", "dog"])
    Path("out/finetune/scenes/records.json").write_text(json.dumps(arms))
    return tmp_path


def saved(file: str, number: int, names: list[str]) -> None:
    torch.manual_seed(number)
    module = network(**SECTIONS, classes=len(names))
    torch.nn.init.normal_(module.head.fc.weight)
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    save_network(Path(file), module, SECTIONS, names)


def test_what_the_stage_writes_fits_together(project):
    evaluate.evaluate("scenes", batches=[1], runs=3, seconds=0.05)
    out = project / "out/evaluate/scenes"
    records_ = json.loads((out / "records.json").read_text())
    table_ = pq.read_table(out / predictions.FILE).to_pylist()
    assert len(table_) == 2 * 2 * 12 and len(records_) == 2
    for record in records_:
        mine = [row for row in table_ if row["model"] == record["model"]]
        right = [row["label"] == row["guess"] for row in mine]
        assert [row["value"] for row in mine] == [100.0 * hit for hit in right]
        assert record["value"] == pytest.approx(100 * np.mean(right))
        alone = [hit and not row["duplicate"] for hit, row in zip(right, mine, strict=True)]
        assert record["bound"] == pytest.approx(100 * np.mean(alone))
        assert record["low"] < record["value"] < record["high"]
        assert record["seed"] == 1 and record["best"] == pytest.approx(record["by_seed"][1])
        assert record["labels_seen"] == {"sea": 2, "dog": 1} and "busy" in record
        about = ("top1", True, "%", {"name": "accuracy"}, "targets/scenes")
        keys = ("headline", "higher", "unit", "metric", "data")
        assert tuple(record[key] for key in keys) == about
    for key in ("network", "latency_p50_ms"):  # measured once
        assert len({record[key] for record in records_}) == 1
    found = pq.read_table(out / "duplicates.parquet").to_pylist()
    assert [(row["id"], row["post"], row["found"]) for row in found] == [
        ("test-0", "post-0", "learnt"),
        ("test-1", "post-1", "equal bytes"),
    ]
    assert {row["id"] for row in table_ if row["duplicate"]} == {"test-0", "test-1"}
    [gain] = json.loads((out / "gains.json").read_text())
    assert gain["gain_low"] <= gain["gain"] <= gain["gain_high"]
    shown = json.loads((out / "metrics.json").read_text())
    assert len(shown) == 3 and len((out / "confusion.csv").read_text().splitlines()) == 13


def test_the_metric_of_the_predictions_that_are_written_is_the_record_s(project):
    evaluate.evaluate("scenes", batches=[1], runs=3, seconds=0.05)
    out = project / "out/evaluate/scenes"
    best = dvcmetrics.challenger(json.loads((out / "records.json").read_text()))
    file = str(out / evaluate.PREDICTIONS)
    table_ = pq.read_table(file)
    assert table_["id"].to_pylist() == [f"test-{n}" for n in range(12)]
    command = [sys.executable, "-m", "metrics.accuracy", file, file, "--json"]
    env = os.environ | {"PYTHONPATH": str(Path(evaluate.__file__).parents[1])}
    told = subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout
    assert json.loads(told)["top1"] == best["best"]


class PixelError:
    """A toy metric: the distance of the first score from the class, in pixels; less is better."""

    headline, higher, unit, reads = "pixel_error", False, "px", ("scores", "label")

    def __init__(self, each: bool = True):
        self.parts, self.told = [], each

    def update(self, predictions: dict, targets: dict) -> None:
        self.parts.append((predictions["scores"][:, 0] - targets["label"]).abs().double())

    def merge(self, other: "PixelError") -> None:
        self.parts += other.parts

    def compute(self) -> dict[str, float]:
        return {"pixel_error": float(torch.cat(self.parts).mean()), "worst": 9.0, "samples": 12}

    def each(self) -> torch.Tensor | None:
        return torch.cat(self.parts) if self.told else None


@pytest.mark.parametrize("each", [True, False])
def test_a_metric_of_another_kind_and_direction_goes_through_the_stage(project, monkeypatch, each):
    monkeypatch.setattr(records, "metric_of", lambda task: PixelError(each))
    evaluate.evaluate("scenes", batches=[1], runs=3, seconds=0.05)
    out = project / "out/evaluate/scenes"
    records_ = json.loads((out / "records.json").read_text())
    for record in records_:
        assert (record["headline"], record["higher"], record["unit"]) == (
            "pixel_error",
            False,
            "px",
        )
        assert record["values"] == {"worst": 9.0} and "bound" not in record
        assert record["value"] == pytest.approx(np.mean(record["by_seed"]))
        assert (record["low"] is None) == (not each)  # of two seeds there is no interval
    [gain] = json.loads((out / "gains.json").read_text())
    assert gain["gain"] == pytest.approx(gain["scratch"] - gain["value"])
    shown = json.loads((out / "metrics.json").read_text())["challenger"]
    assert shown["pixel_error"] == min(records_, key=lambda r: r["val"])["value"]
    written = pq.read_table(out / predictions.FILE)
    assert (written["value"].null_count == 0) == each
