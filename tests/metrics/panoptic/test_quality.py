"""PQ and Boundary PQ: a naive rewrite, the authors' code, known values and what must be so."""

import importlib
import json
import os
import sys
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from metrics.boundary_pq import BoundaryPQ
from metrics.formats.panoptic import read
from metrics.pq import PQ
from tests.metrics.masks.test_masks import naive_boundary
from tests.metrics.panoptic.scenes import IDS, THINGS, columns, scenes, written

PAIRS = scenes(200)
METRICS = {"pq": lambda: PQ(0), "boundary_pq": lambda: BoundaryPQ(0.05, 0)}


def fed(name: str, pairs: list):
    metric = METRICS[name]()
    metric.update(*columns(pairs))
    return metric


def iou(one: np.ndarray, two: np.ndarray, void: np.ndarray) -> float:
    union = (one | two & ~void).sum()
    return (one & two).sum() / union if union else 0.0


def naive(pairs: list, ratio: float | None) -> dict[int, list[float]]:
    """[IoU, tp, fp, fn] of each class, segment by segment, mask by mask."""
    sums: dict[int, list[float]] = defaultdict(lambda: [0.0, 0, 0, 0])
    for given, true in pairs:
        void, found, real = true.pixels == 0, set(), set()
        crowds = {true.labels[index]: index for index in np.flatnonzero(true.crowd)}
        for index, label in enumerate(true.labels):
            for guess, guessed in enumerate(given.labels):
                if true.crowd[index] or label != guessed:
                    continue
                one, two = true.pixels == true.ids[index], given.pixels == given.ids[guess]
                value = iou(one, two, void)
                if ratio is not None:
                    edges = naive_boundary(one, ratio), naive_boundary(two, ratio)
                    value = min(value, iou(*edges, void))
                if value > 0.5:
                    assert guess not in found and index not in real  # a match is the only one
                    sums[label][0] += value
                    sums[label][1] += 1
                    found.add(guess)
                    real.add(index)
        for index in set(range(len(true.ids))) - real - set(np.flatnonzero(true.crowd).tolist()):
            sums[true.labels[index]][3] += 1
        for guess in set(range(len(given.ids))) - found:
            mask, label = given.pixels == given.ids[guess], given.labels[guess]
            beside = (mask & void).sum()
            if label in crowds:
                beside += (mask & (true.pixels == true.ids[crowds[label]])).sum()
            sums[label][2] += beside / mask.sum() <= 0.5
    return sums


def qualities(ious: float, tp: int, fp: int, fn: int) -> tuple[float, float, float]:
    """(PQ, SQ, RQ) of a class."""
    whole = tp + (fp + fn) / 2
    return ious / whole, ious / max(tp, 1), tp / whole


def quality(sums: dict) -> dict[str, float]:
    """The means over classes, in percent, of all, of things and of stuff."""
    means = {}
    for ending, chosen in (("", sums), ("_things", THINGS), ("_stuff", set(sums) - set(THINGS))):
        values = [qualities(*sums[label]) for label in chosen if any(sums[label])]
        for name, value in zip(("pq", "sq", "rq"), np.mean(values, 0), strict=True):
            means[name + ending] = 100 * value
    return means


@pytest.mark.parametrize(("name", "ratio"), [("pq", None), ("boundary_pq", 0.05)])
def test_the_naive_rule_gives_the_same(name, ratio):
    for pairs in ([pair] for pair in PAIRS):
        counted = naive(pairs, ratio)
        counted = {label: sums for label, sums in counted.items() if any(sums)}
        if not counted:
            with pytest.raises(ValueError, match="no segment counts in 1 images"):
                fed(name, pairs).compute()
            continue
        rows = {row["class"]: row for row in fed(name, pairs).rows()}
        assert rows.keys() == counted.keys()
        for label, (ious, tp, fp, fn) in counted.items():
            row = rows[label]
            assert (row["tp"], row["fp"], row["fn"]) == (tp, fp, fn)
            assert row["sq"] == pytest.approx(100 * ious / max(tp, 1))
            assert row["pq"] == pytest.approx(row["sq"] * row["rq"] / 100)
    found, expected = fed(name, PAIRS).compute(), quality(naive(PAIRS, ratio))
    for key, value in expected.items():
        assert found[key.replace("pq", name)] == pytest.approx(value)
    assert found["samples"] == 200 and found["classes"] == len(IDS)


@pytest.fixture
def authors(monkeypatch):
    """Their folder; OpenCV, which is not there, as far as they use it."""
    folder = os.environ.get("METRICS_REFERENCES")
    if not folder:
        pytest.skip("METRICS_REFERENCES names no folder with the authors' code")
    border = SimpleNamespace(
        BORDER_CONSTANT=0,
        copyMakeBorder=lambda mask, *sides, value: np.pad(mask, 1, constant_values=value),
        erode=lambda mask, kernel, iterations: ndimage.grey_erosion(
            mask, 2 * iterations + 1, mode="constant", cval=255
        ),
    )
    monkeypatch.setitem(sys.modules, "cv2", border)
    for room in ("cocodataset/panopticapi", "bowenc0221/boundary-iou-api"):
        monkeypatch.syspath_prepend(str(Path(folder, room)))
    return Path(folder)


@pytest.mark.parametrize("name", METRICS)
def test_the_authors_code_gives_the_same_of_files(name, authors, tmp_path, capsys):
    given, true = zip(*PAIRS, strict=True)
    given, true = written(tmp_path, "predictions", given), written(tmp_path, "truth", true)
    module = "panopticapi.evaluation"
    more = []
    if name == "boundary_pq":
        module, more = "boundary_iou.coco_panoptic_api.evaluation", ["boundary", 0.05]
    code = importlib.import_module(module)
    annotations = [json.loads(file.read_text())["annotations"] for file in (true, given)]
    categories = {each["id"]: each for each in json.loads(true.read_text())["categories"]}
    folders = [file.with_suffix("") for file in (true, given)]
    sums = code.pq_compute_single_core(
        0, list(zip(*annotations, strict=True)), *folders, categories, *more
    )
    metric = METRICS[name]()
    pair = read(given, true, metric.reads, threads=2)
    metric.update(pair.predictions, pair.targets)
    found = metric.compute()
    for ending, thing in (("", None), ("_things", True), ("_stuff", False)):
        means, _ = sums.pq_average(categories, thing)
        for key in ("pq", "sq", "rq"):
            ours = found[f"{name if key == 'pq' else key}{ending}"]
            assert ours == pytest.approx(100 * means[key])


def samples(authors: Path, folder: Path, change) -> tuple[Path, Path]:
    """The two images of the authors' repository, and a prediction that is the truth, changed."""
    room = authors / "cocodataset" / "panopticapi" / "sample_data"
    (folder / "changed").mkdir()
    for file in sorted((room / "panoptic_examples").glob("*.png")):
        pixels = np.ascontiguousarray(change(np.asarray(Image.open(file))))
        Image.fromarray(pixels).save(folder / "changed" / file.name)
    truth = room / "panoptic_examples.json"
    (folder / "changed.json").write_bytes(truth.read_bytes())
    return folder / "changed.json", truth


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("pq", lambda pixels: pixels, (100, 100, 100)),
        ("pq", lambda pixels: np.roll(pixels, 8, 1), (52.6495, 61.2358, 72.2028)),
        ("pq", lambda pixels: np.roll(pixels, 24, 1), (25.0234, 25.0234, 37.5)),
        ("pq", lambda pixels: pixels[:, ::-1], (13.1319, 23.5640, 19.2708)),
        ("boundary_pq", lambda pixels: np.roll(pixels, 8, 1), (43.8380, 53.3457, 69.9301)),
        ("boundary_pq", lambda pixels: np.roll(pixels, 24, 1), (0, 0, 0)),
    ],
)
def test_known_values_of_the_authors_samples(name, change, expected, authors, tmp_path):
    metric = BoundaryPQ() if name == "boundary_pq" else PQ()
    pair = read(*samples(authors, tmp_path, change), metric.reads)
    metric.update(pair.predictions, pair.targets)
    found = metric.compute()
    assert [found[key] for key in (name, "sq", "rq")] == pytest.approx(expected, abs=5e-5)
    if expected[0] == 52.6495:
        things = found["pq_things"], found["pq_stuff"]
        assert things == pytest.approx((27.7444, 77.5545), abs=5e-5)


def filled(scene):
    """The scene without void and crowds: one more segment is in the place of void."""
    pixels = np.where(scene.pixels == 0, 99, scene.pixels)
    ids = np.array([*scene.ids, *[99] * (0 in scene.pixels)], np.int64)
    labels = np.array([*scene.labels, 0], np.int64)[: len(ids)]
    return scene._replace(pixels=pixels, ids=ids, labels=labels, crowd=np.zeros(len(ids), bool))


@pytest.mark.parametrize("name", METRICS)
def test_what_must_be_so(name):
    """A truth finds itself whole; of nothing nothing is found; without void sides may change."""
    trues = [true._replace(crowd=np.zeros(len(true.ids), bool)) for _, true in PAIRS]
    found = fed(name, [(true, true) for true in trues]).compute()
    assert found[name] == 100 and found["fp"] == found["fn"] == 0
    nothing = [
        (true._replace(pixels=0 * true.pixels, ids=true.ids[:0], labels=true.labels[:0]), true)
        for true in trues
    ]
    assert fed(name, nothing).compute()[name] == 0
    whole = [(filled(given), filled(true)) for given, true in PAIRS]
    one, two = fed(name, whole).compute(), fed(name, [(b, a) for a, b in whole]).compute()
    assert one[name] == pytest.approx(two[name]) and one["fp"] == two["fn"]


def numbered(pixels: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """s + 1 where the s-th segment is."""
    found = torch.zeros_like(pixels)
    for place, key in enumerate(ids.tolist()):
        found[pixels == key] = place + 1
    return found


def test_ids_and_numbers_of_segments_are_two_ways_to_write_a_map():
    given, true = columns(PAIRS)
    for batch in (given, true):
        ids = batch.pop("panoptic_id")
        batch["panoptic"] = list(map(numbered, batch["panoptic"], ids))
    metric = PQ(0)
    metric.update(given, true)
    assert metric.compute() == fed("pq", PAIRS).compute()


def changed(batch: dict, name: str, row) -> dict:
    return batch | {name: [row, *batch[name][1:]]}


@pytest.mark.parametrize(
    ("side", "column", "change", "told"),
    [
        (0, "panoptic", lambda row: row[:, :-1], "sample 0: the prediction is of .* resized"),
        (0, "panoptic", lambda row: row.float(), r"float32: give integers \(h, w\)"),
        (0, "panoptic", lambda row: row + 2**25, "ids outside of 0 to 16777215"),
        (1, "panoptic", lambda row: row % 9 + 11, "the target has .* ids .* there is none"),
        (0, "panoptic", lambda row: row * 0, "segments without a pixel in the map"),
        (0, "panoptic_id", lambda row: row * 0 + 5, "are to be different, of 1 to"),
        (1, "panoptic_label", lambda row: row - 9, "classes are counted from 0"),
        (1, "panoptic_crowd", lambda row: row[1:], "give as many"),
    ],
)
def test_what_is_no_map_is_told(side, column, change, told):
    several = [pair for pair in PAIRS if len(pair[0].ids) > 1 < len(pair[1].ids)]
    batches = list(columns(several[:3]))
    batches[side] = changed(batches[side], column, change(batches[side][column][0]))
    with pytest.raises(ValueError, match=told):
        PQ(0).update(*batches)
