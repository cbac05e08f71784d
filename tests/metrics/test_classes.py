"""Metrics of one class per sample beside accuracy: mean per-class accuracy, confusion matrix."""

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, confusion_matrix

from engine.core.build import build
from metrics.blocks.bootstrap import resamples
from metrics.blocks.proportions import wilson, wilson_of_mean
from tests.metrics.batches import drawn

WHOLE = drawn(200, seed=2)
SCORES = WHOLE["scores"] + torch.randn(200, 6, generator=torch.Generator().manual_seed(0))
# classes of very different numbers of samples; none of class 5
LABELS = torch.cat([WHOLE["label"][:80], torch.zeros(120, dtype=torch.int64)])


def fed(name: str, scores: torch.Tensor = SCORES, labels: torch.Tensor = LABELS, **section):
    metric = build("metrics", {"name": name, **section})
    metric.update({"scores": scores}, {"label": labels})
    return metric


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_the_mean_over_classes_is_that_of_scikit_learn():
    found = fed("per_class").compute()
    expected = balanced_accuracy_score(LABELS.numpy(), SCORES.argmax(1).numpy())
    assert found["per_class"] == pytest.approx(100 * expected)
    assert (found["samples"], found["classes"], found["absent"]) == (200, 5, 1)
    by_class = fed("per_class").rows()
    table = confusion_matrix(LABELS.numpy(), SCORES.argmax(1).numpy(), labels=range(6))
    assert [row["samples"] for row in by_class] == table.sum(1)[:5].tolist()
    assert found["worst"] == min(row["accuracy"] for row in by_class)
    assert [row["accuracy"] for row in by_class] == pytest.approx(
        (100 * table.diagonal()[:5] / table.sum(1)[:5]).tolist()
    )


def interval(hits: list[int], samples: list[int]) -> tuple[float, float]:
    """Of classes with so many samples, and so many of them right."""
    scores, labels = [], []
    for index, (right, count) in enumerate(zip(hits, samples, strict=True)):
        labels += [index] * count
        scores += [index] * right + [(index + 1) % len(hits)] * (count - right)
    found = fed("per_class", torch.eye(len(hits))[scores], torch.tensor(labels)).compute()
    assert found["per_class_low"] <= found["per_class"] <= found["per_class_high"]
    return found["per_class_low"], found["per_class_high"]


def test_of_classes_that_are_alike_the_interval_is_wilsons():
    for hits, samples in ((50, 50), (0, 50), (40, 50)):
        low, high = wilson(2 * hits, 2 * samples)
        found = interval([hits, hits], [samples, samples])
        assert found == pytest.approx((100 * low, 100 * high))


def test_an_interval_has_a_width_where_every_class_is_all_right_or_all_wrong():
    low, high = interval([8, 0, 0, 0], [8, 8, 7, 7])
    assert low < 20 and high > 30
    # a class of few samples tells less
    wide = interval([9, 4], [10, 5])
    assert wide[1] - wide[0] > np.ptp(interval([9, 80], [10, 100]))


def test_other_samples_of_the_same_kind_lie_within_the_interval():
    """Of 100 samples of 50 classes, most of which have one or two."""
    generator = np.random.default_rng(0)
    shares = generator.uniform(0.4, 1, 50)
    held = []
    for _ in range(500):
        samples = np.bincount(generator.integers(50, size=100), minlength=50)
        hits = generator.binomial(samples, shares)
        low, high = wilson_of_mean(hits[samples > 0], samples[samples > 0])
        held.append(low <= shares[samples > 0].mean() <= high)
    print(f"{np.mean(held):.3f}")
    assert 0.92 <= np.mean(held) <= 0.99


def test_resamples_are_samples_drawn_again():
    metric, slow = fed("per_class"), []
    for counts in next(resamples(200, 1000)).T[:50]:
        rows = torch.arange(200).repeat_interleave(torch.from_numpy(counts).long())
        slow.append(fed("per_class", SCORES[rows], LABELS[rows]).compute()["per_class"])
    # moved, all of them alike
    apart = metric.resampled()[:50].numpy() - np.array(slow)
    assert apart == pytest.approx(np.full(50, apart[0]), abs=1e-3) and abs(apart[0]) < 1


def test_a_rare_class_counts_as_much_as_a_frequent_one():
    scores = torch.eye(2)[[0] * 99 + [0]]
    labels = torch.tensor([0] * 99 + [1])
    assert fed("per_class", scores, labels).compute()["per_class"] == 50
    assert fed("accuracy", scores, labels).compute()["top1"] == 99


def test_the_confusion_matrix_is_that_of_scikit_learn():
    metric = fed("confusion")
    expected = confusion_matrix(LABELS.numpy(), SCORES.argmax(1).numpy(), labels=range(6))
    assert metric.table().tolist() == expected.tolist()
    np.fill_diagonal(expected, 0)
    pairs = metric.rows()
    assert {(row["class"], row["predicted"]): row["samples"] for row in pairs} == {
        (label, guess): count for (label, guess), count in np.ndenumerate(expected) if count
    }
    counts = [row["samples"] for row in pairs]
    assert counts == sorted(counts, reverse=True) and counts[0] == expected.max()
    numbers = metric.compute()
    assert numbers["worst_pair"] == pytest.approx(100 * expected.max() / 200)
    assert numbers["pairs"] == len(pairs) and pairs[0]["share"] == pytest.approx(
        100 * counts[0] / int((pairs[0]["class"] == LABELS).sum())
    )


def test_the_error_is_what_accuracy_leaves():
    error, accuracy = fed("confusion").compute(), fed("accuracy").compute()
    assert error["error"] == pytest.approx(100 - accuracy["top1"])
    assert error["error_low"] == pytest.approx(100 - accuracy["top1_high"])
    assert not build("metrics", {"name": "confusion"}).higher


def test_nothing_confused():
    numbers = fed("confusion", torch.eye(4), torch.arange(4))
    assert numbers.rows() == []
    assert numbers.compute()["error"] == numbers.compute()["worst_pair"] == 0


@pytest.mark.parametrize("name", ["per_class", "confusion"])
def test_wrong_use_is_told(name):
    with pytest.raises(ValueError, match=r"wants one class per sample.*mean_ap and f1"):
        build("metrics", {"name": name}).update({"scores": SCORES}, {"label": WHOLE["tags"]})
    metric = fed(name)
    with pytest.raises(ValueError, match="scores of 6 classes, then of 5"):
        metric.update({"scores": SCORES[:, :5]}, {"label": LABELS})
    other = build("metrics", {"name": name})
    other.update({"scores": SCORES[:, :5]}, {"label": LABELS})
    with pytest.raises(ValueError, match="scores of 6 classes, then of 5"):
        metric.merge(other)
    outside = fed(name, SCORES, torch.where(LABELS == 1, 6, LABELS))
    with pytest.raises(ValueError, match="a class that no column of the scores is for"):
        outside.compute()
