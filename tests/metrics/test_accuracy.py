"""Top-k accuracy: what it counts, its interval, and its command line."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.core.build import build
from metrics.accuracy import Accuracy

SCORES = torch.rand(200, 20, generator=torch.Generator().manual_seed(0))
LABELS = torch.randint(20, (200,), generator=torch.Generator().manual_seed(1))


def accuracy(scores: torch.Tensor, targets: torch.Tensor, topk=(1, 5)) -> dict:
    metric = build("metrics", {"name": "accuracy", "topk": topk})
    metric.update({"scores": scores}, {"label": targets})
    return metric.compute()


def test_accuracy_counts_ranks():
    rank = (SCORES.gather(1, LABELS[:, None]) < SCORES).sum(1)
    found = accuracy(SCORES, LABELS, topk=(1, 3, 5))
    for k in (1, 3, 5):
        assert found[f"top{k}"] == pytest.approx(100 * (rank < k).float().mean().item())
    assert found["samples"] == 200


def test_every_sample_is_told_right_or_wrong_in_order():
    metric = Accuracy(topk=(1, 3))
    for rows in torch.arange(200).split(64):
        metric.update({"scores": SCORES[rows]}, {"label": LABELS[rows]})
    rank = (SCORES.gather(1, LABELS[:, None]) < SCORES).sum(1)
    assert torch.equal(metric.each(), 100.0 * (rank < 1).double())


def test_any_true_class_is_a_hit():
    targets = torch.nn.functional.one_hot(LABELS, 20)
    assert accuracy(SCORES, targets) == accuracy(SCORES, LABELS)
    both = targets | torch.nn.functional.one_hot(SCORES.argmax(1), 20)
    assert accuracy(SCORES, both)["top1"] == 100
    assert accuracy(SCORES, torch.zeros(200, 20))["top5"] == 0


def test_fewer_classes_than_k():
    found = accuracy(SCORES[:, :3], LABELS % 3)
    assert found["top5"] == 100 and found["top1"] < 100


@pytest.mark.parametrize(("hits", "samples"), [(0, 10), (10, 10), (85, 100)])
def test_interval_is_that_of_wilson(hits, samples):
    stats = pytest.importorskip("scipy.stats")
    low, high = stats.binomtest(hits, samples).proportion_ci(method="wilson")
    scores = torch.eye(2)[[0] * samples]
    found = accuracy(scores, torch.tensor([0] * hits + [1] * (samples - hits)), topk=(1,))
    assert (found["top1_low"], found["top1_high"]) == pytest.approx(
        (100 * low, 100 * high), rel=1e-5
    )


def test_wrong_use_of_accuracy_is_told():
    with pytest.raises(ValueError, match="give classes"):
        Accuracy().update({"scores": SCORES}, {"label": LABELS[:10]})
    for topk in ([], [1, 0]):
        with pytest.raises(ValueError, match=r"metrics\.topk"):
            build("metrics", {"name": "accuracy", "topk": topk})
    outside = Accuracy()
    outside.update({"scores": SCORES}, {"label": LABELS + 1})
    with pytest.raises(ValueError, match=r"no column of the scores is for .*counted from 0"):
        outside.compute()


def test_the_first_k_is_the_headline():
    metric = build("metrics", {"name": "accuracy", "topk": [5, 1]})
    metric.update({"scores": SCORES}, {"label": LABELS})
    assert metric.headline == "top5"
    assert metric.each().mean().item() == pytest.approx(metric.compute()["top5"])


def test_accuracy_reads_two_files(tmp_path):
    files = [tmp_path / "predictions.npy", tmp_path / "targets.npy"]
    for file, array in zip(files, (SCORES, LABELS), strict=True):
        np.save(file, array.numpy())
    command = [sys.executable, "-m", "metrics.accuracy", *map(str, files), "--json"]
    printed = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    ).stdout
    assert json.loads(printed) == accuracy(SCORES, LABELS)
