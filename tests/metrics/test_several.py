"""Metrics of several classes per sample: average precision and F1, against others' code."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score

from engine.core.build import build
from metrics.blocks.bootstrap import resamples
from tests.metrics.batches import drawn

WHOLE = drawn(200, seed=1)
SCORES, GIVEN, TAGS = WHOLE["scores"], WHOLE["probabilities"], WHOLE["tags"]
# scikit-learn tells of the class that has no true sample, which is meant to be there
pytestmark = pytest.mark.filterwarnings("ignore")


def fed(scores: torch.Tensor, tags: torch.Tensor, **section):
    metric = build("metrics", section)
    column = metric.reads.predictions[0]
    metric.update({column: scores}, {"tags": tags})
    return metric


def ap(scores: torch.Tensor, tags: torch.Tensor, definition: str = "area") -> dict:
    return fed(scores, tags, name="mean_ap", definition=definition).compute()


def f1(scores: torch.Tensor, tags: torch.Tensor, **options) -> dict:
    return fed(scores, tags, name="f1", **options).compute()


def by_class(scores: torch.Tensor, tags: torch.Tensor) -> list[float]:
    """scikit-learn's average precision of the classes that have a true sample, in percent."""
    present = tags.any(0).nonzero()[:, 0].tolist()
    pairs = ((tags[:, index].numpy(), scores[:, index].numpy()) for index in present)
    return [100 * average_precision_score(true, given) for true, given in pairs]


def eleven_points(scores: np.ndarray, true: np.ndarray) -> float:
    """The rule as it is written, threshold by threshold: section 4.2 of Everingham et al. 2010."""
    points = []
    for threshold in np.unique(scores):
        found = scores >= threshold
        points.append(((found & true).sum() / true.sum(), (found & true).sum() / found.sum()))
    total = 0.0
    for tenth in range(11):
        beyond = [precision for recall, precision in points if recall >= tenth / 10 - 1e-12]
        total += max(beyond)
    return 100 * total / 11


def test_average_precision_is_that_of_scikit_learn_with_ties_and_a_class_missing():
    found = ap(SCORES, TAGS)
    assert len(SCORES[:, 0].unique()) < 60  # of 200: most scores are tied
    assert found["map"] == pytest.approx(np.mean(by_class(SCORES, TAGS)), abs=1e-9)
    assert (found["samples"], found["classes"], found["absent"]) == (200, 5, 1)
    rows = fed(SCORES, TAGS, name="mean_ap").rows()
    assert [row["ap"] for row in rows] == pytest.approx(by_class(SCORES, TAGS), abs=1e-9)
    assert [row["positives"] for row in rows] == TAGS.sum(0)[:5].tolist()
    assert [row["class"] for row in rows] == [0, 1, 2, 3, 4]


def test_average_precision_at_eleven_points_is_the_rule_as_it_is_written():
    found = ap(SCORES, TAGS, "voc2007")["map"]
    rules = [
        eleven_points(SCORES[:, index].numpy(), TAGS[:, index].numpy() > 0) for index in range(5)
    ]
    assert found == pytest.approx(np.mean(rules), abs=1e-9)


def test_average_precision_by_hand():
    scores = torch.tensor([[0.9], [0.8], [0.7], [0.6]])
    tags = torch.tensor([[1.0], [0.0], [1.0], [0.0]])
    # found at precisions 1 and 2/3; recalls to 0.5 have 1, the five above have 2/3
    assert ap(scores, tags)["map"] == pytest.approx(100 * (1 + 2 / 3) / 2)
    assert ap(scores, tags, "voc2007")["map"] == pytest.approx(100 * (6 + 5 * 2 / 3) / 11)
    # all alike: every sample is found at once
    assert ap(torch.zeros(4, 1), tags)["map"] == pytest.approx(50)
    assert ap(scores, 1 - tags)["map"] == pytest.approx(100 * (1 / 2 + 2 / 4) / 2)
    assert ap(torch.tensor([[-torch.inf], [torch.inf]]), torch.tensor([[0.0], [1]]))["map"] == 100


def test_ten_true_samples_reach_every_tenth_of_the_recall():
    scores = torch.arange(20.0).flip(0)[:, None]
    tags = torch.tensor([1.0, 0.0] * 10)[:, None]
    assert ap(scores, tags, "voc2007")["map"] == pytest.approx(
        eleven_points(scores[:, 0].numpy(), tags[:, 0].numpy() > 0)
    )


def test_a_class_per_sample_is_a_class_against_the_others():
    metric = build("metrics", {"name": "mean_ap"})
    metric.update({"scores": SCORES}, {"label": WHOLE["label"]})
    hot = torch.nn.functional.one_hot(WHOLE["label"], 6).float()
    assert metric.compute() == ap(SCORES, hot)


@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.9, 1.0])
def test_f1_is_that_of_scikit_learn(threshold):
    found = f1(GIVEN, TAGS, threshold=threshold)
    true, given = TAGS.numpy() > 0, GIVEN.numpy() > threshold
    for key, average, options in (
        ("f1", "macro", {"labels": range(5)}),
        ("f1_micro", "micro", {}),
        ("f1_samples", "samples", {}),
    ):
        expected = f1_score(true, given, average=average, zero_division=1, **options)
        assert found[key] == pytest.approx(100 * expected), key
    rows = fed(GIVEN, TAGS, name="f1", threshold=threshold).rows()
    each = f1_score(true, given, average=None, labels=range(5))
    assert [row["f1"] for row in rows] == pytest.approx((100 * each).tolist())


def test_f1_of_the_highest_scores():
    found = f1(SCORES, TAGS, top=2)
    given = np.zeros((200, 6), bool)
    np.put_along_axis(given, SCORES.topk(2).indices.numpy(), True, 1)
    expected = f1_score(TAGS.numpy() > 0, given, average="micro")
    assert found["f1_micro"] == pytest.approx(100 * expected)
    assert f1(SCORES, TAGS, top=99)["f1_micro"] < found["f1_micro"]
    assert build("metrics", {"name": "f1", "top": 2}).reads.predictions[0] == "scores"


def test_the_mean_over_samples_has_the_interval_of_their_values():
    numbers = f1(SCORES, TAGS)
    values = torch.tensor(
        [
            f1(SCORES[row : row + 1], TAGS[row : row + 1], resamples=0)["f1_samples"]
            for row in range(200)
        ],
        dtype=torch.float64,
    )
    assert numbers["f1_samples"] == pytest.approx(values.mean().item())
    drawn_again = values.numpy() @ np.concatenate(list(resamples(200, 1000)), 1) / 200
    ends = np.quantile(drawn_again - drawn_again.mean() + values.mean().item(), [0.025, 0.975])
    found = [numbers["f1_samples_low"], numbers["f1_samples_high"]]
    assert found == pytest.approx(ends.tolist(), abs=1e-3)


def test_f1_by_hand():
    tags = torch.tensor([[1.0, 0], [1, 1], [0, 0]])
    found = f1(torch.tensor([[0.9, 0.9], [0.1, 0.8], [0.2, 0.3]]), tags)
    # hits 1 of 2 true and 1 given; 1 of 1 true and 2 given
    assert found["f1"] == pytest.approx(100 * (2 / 3 + 2 / 3) / 2)
    assert found["f1_micro"] == pytest.approx(100 * 4 / 6)
    # of the third sample nothing is true, and nothing is said
    assert found["f1_samples"] == pytest.approx(100 * (2 / 3 + 2 / 3 + 1) / 3)


@pytest.mark.parametrize("name", ["mean_ap", "f1"])
def test_updates_of_other_numbers_of_classes_are_told(name):
    metric = fed(GIVEN, TAGS, name=name)
    metric.merge(fed(GIVEN[:, :5], TAGS[:, :5], name=name))
    with pytest.raises(ValueError, match="differ in their number of classes: use one metric each"):
        metric.compute()


@pytest.mark.parametrize("section", [{"name": "mean_ap"}, {"name": "f1"}])
def test_no_true_sample_at_all_is_told(section):
    with pytest.raises(ValueError, match="none of 6 classes is true of any of 200 samples"):
        fed(SCORES, 0 * TAGS, **section).compute()


@pytest.mark.parametrize(
    "section",
    [{"name": "mean_ap"}, {"name": "mean_ap", "definition": "voc2007"}, {"name": "f1"}],
)
def test_the_interval_is_that_of_samples_drawn_again(section):
    """The fast way for all resamples at once equals the slow way, one after the other."""
    metric = fed(SCORES, TAGS, **section, resamples=100)
    drawn_again = np.concatenate(list(resamples(200, 100)), 1)
    assert (drawn_again.sum(0) == 200).all()
    slow = []
    for counts in drawn_again.T:
        rows = torch.arange(200).repeat_interleave(torch.from_numpy(counts).long())
        again = fed(SCORES[rows], TAGS[rows], **section, resamples=0)
        slow.append(again.compute()[metric.headline])
    numbers = metric.compute()
    values = np.array(slow) - np.mean(slow) + numbers[metric.headline]
    assert metric.resampled().numpy() == pytest.approx(values, abs=1e-3)
    ends = np.quantile(values, [0.025, 0.975])
    keys = [f"{metric.headline}_low", f"{metric.headline}_high"]
    assert [numbers[key] for key in keys] == pytest.approx(ends, abs=1e-3)


def test_resamples_do_not_depend_on_how_many_are_held_at_a_time(monkeypatch):
    whole = fed(SCORES, TAGS, name="mean_ap").compute()
    monkeypatch.setattr("metrics.blocks.bootstrap.HELD", 200 * 30)
    assert fed(SCORES, TAGS, name="mean_ap").compute() == pytest.approx(whole, abs=1e-4)


def test_no_interval_where_none_is_wanted():
    for name, headline in (("mean_ap", "map"), ("f1", "f1")):
        metric = fed(GIVEN, TAGS, name=name, resamples=0)
        assert f"{headline}_low" not in metric.compute() and metric.resampled() is None
    for section in ({"resamples": 5}, {"resamples": -1}, {"threshold": 1.5}, {"top": -1}):
        with pytest.raises(ValueError, match=f"metrics.{next(iter(section))}"):
            build("metrics", {"name": "f1"} | section)


def test_other_samples_of_the_same_kind_lie_within_the_interval():
    """The rate at which intervals hold the mean of many test sets, of 95 % that are promised."""
    generator = torch.Generator().manual_seed(0)

    def numbers(count: int) -> dict:
        tags = (torch.rand(300, 8, generator=generator) < torch.linspace(0.05, 0.3, 8)).float()
        scores = torch.randn(300, 8, generator=generator) + 1.2 * tags
        return fed(scores, tags, name="mean_ap", resamples=count).compute()

    mean = np.mean([numbers(0)["map"] for _ in range(400)])
    found = [numbers(200) for _ in range(60)]
    held = [each["map_low"] <= mean <= each["map_high"] for each in found]
    print(f"{np.mean(held):.3f}")
    assert 0.85 <= np.mean(held) <= 1
