"""Every head: features -> predictions, their loss and their decoding."""

import inspect
import math

import numpy as np
import pytest
import torch

from engine.core.build import build, choices, plugin
from tests.support.scenes import other

FEATURES = [torch.randn(4, 8, 8, 8), torch.randn(4, 16, 4, 4)]
OPTIONS = {"knn": {"samples": 6}}  # arguments without a default


@pytest.mark.parametrize("name", other("heads"))
def test_contract(name):
    head = build("heads", {"name": name} | OPTIONS.get(name, {}), channels=[8, 16], classes=10)
    features = [each.clone().requires_grad_() for each in FEATURES]
    predictions = head(features)
    loss = head.loss(predictions, torch.tensor([0, 3, 9, 3]))
    loss["loss"].backward()
    assert predictions.shape == (4, 10) and loss["loss"].ndim == 0
    assert features[-1].grad is not None
    assert all(p.grad.abs().sum() > 0 for p in head.parameters() if p.requires_grad)
    torch.testing.assert_close(head.decode(predictions).sum(-1), torch.ones(4))
    torch.testing.assert_close(head.classify(head.pool(FEATURES)), predictions)


def test_linear_is_a_linear_map_of_the_mean_of_the_last_map():
    head = build("heads", {"name": "linear"}, channels=[8, 16], classes=10)
    mean = FEATURES[-1].flatten(2).mean(-1)
    torch.testing.assert_close(head(FEATURES), mean @ head.fc.weight.T + head.fc.bias)
    torch.testing.assert_close(head.fc(head.pool(FEATURES)), head(FEATURES))


def test_linear_starts_near_the_loss_of_chance():
    torch.manual_seed(0)
    head = build("heads", {"name": "linear"}, channels=[512], classes=1000)
    assert head.fc.weight.std().item() == pytest.approx(0.01, rel=0.02) and not head.fc.bias.any()
    loss = head.loss(head([torch.rand(8, 512, 4, 4)]), torch.arange(8))["loss"]
    assert loss.item() == pytest.approx(math.log(1000), rel=0.02)


def test_linear_takes_classes_and_probabilities_alike():
    head = build("heads", {"name": "linear"}, channels=[16], classes=10)
    targets = torch.tensor([0, 3, 9, 3])
    one_hot = torch.nn.functional.one_hot(targets, 10).float()
    logits = head(FEATURES)
    torch.testing.assert_close(head.loss(logits, one_hot), head.loss(logits, targets))


@pytest.mark.parametrize(
    ("samples", "k", "temperature"), [(50, 1, 0.07), (50, 7, 0.07), (50, 7, 1.0), (5, 20, 0.1)]
)
def test_nearest_neighbours_vote_as_by_brute_force(samples, k, temperature):
    rng = np.random.default_rng(0)
    bank, queries, labels = (
        rng.normal(size=(samples, 16)),
        rng.normal(size=(30, 16)),
        rng.integers(0, 4, samples),
    )
    votes = np.zeros((30, 4))
    for query, row in zip(queries, votes, strict=True):
        similarity = [
            vector @ query / np.linalg.norm(vector) / np.linalg.norm(query) for vector in bank
        ]
        for index in sorted(range(samples), key=lambda i: -similarity[i])[:k]:
            row[labels[index]] += np.exp(similarity[index] / temperature)
    head = build(
        "heads",
        {"name": "knn", "samples": samples, "k": k, "temperature": temperature},
        channels=[16],
        classes=4,
    )
    head.fit(torch.from_numpy(bank).float(), torch.from_numpy(labels))
    shares = head.decode(head([torch.from_numpy(queries).float()[..., None, None]])).numpy()
    np.testing.assert_allclose(shares, votes / votes.sum(1, keepdims=True), atol=1e-5)


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (7, 0.07), (60, 1.0)])
def test_of_tags_a_neighbour_votes_for_each_that_it_has(k, temperature):
    rng = np.random.default_rng(0)
    bank, queries = rng.normal(size=(50, 16)), rng.normal(size=(30, 16))
    tags = rng.random((50, 4)) < [0.5, 0.2, 0.05, 0]
    assert (~tags.any(1)).any(), "one without a tag votes for none"
    expected = np.zeros((30, 4))
    for query, row in zip(queries, expected, strict=True):
        length = np.linalg.norm(bank, axis=1) * np.linalg.norm(query)
        similarity = bank @ query / length
        nearest = sorted(range(50), key=lambda i: -similarity[i])[:k]
        weights = np.exp([similarity[i] / temperature for i in nearest])
        for weight, index in zip(weights / weights.sum(), nearest, strict=True):
            row[tags[index]] += weight
    options = {"k": k, "temperature": temperature, "samples": 50}
    head = build("heads", {"name": "knn"} | options, channels=[16], classes=4, target="tags")
    head.fit(torch.from_numpy(bank).float(), torch.from_numpy(tags).float())
    shares = head.decode(head([torch.from_numpy(queries).float()[..., None, None]])).numpy()
    np.testing.assert_allclose(shares, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["linear", "logistic", "knn"])
def test_tags_are_decoded_each_by_itself(name):
    options = {"name": name} | OPTIONS.get(name, {})
    head = build("heads", options, channels=[16], classes=10, target="tags")
    shares = head.decode(head(FEATURES))
    assert ((shares >= 0) & (shares <= 1)).all()
    if name != "knn":
        torch.testing.assert_close(shares, head(FEATURES).sigmoid())


FITTED = [name for name in choices("heads") if hasattr(plugin("heads", name, name), "fit")]


def takes(name: str, fact: str) -> bool:
    return fact in inspect.signature(plugin("heads", name, name)).parameters


@pytest.mark.parametrize(
    ("name", "target"),
    [(name, "label") for name in FITTED]
    + [(name, "tags") for name in FITTED if takes(name, "target")],
)
def test_fitted_heads_know_what_they_were_fitted_on(name, target):
    """Samples far apart from those of other classes."""
    labels = torch.arange(12) % 3
    truth = torch.nn.functional.one_hot(labels, 3).float()
    noise = torch.randn(12, 16, generator=torch.Generator().manual_seed(0))
    features = 4 * torch.nn.functional.one_hot(labels, 16) + 0.1 * noise
    options = {"knn": {"samples": 12, "k": 3}, "logistic": {"l2": 1e-3}}.get(name, {})
    section = {"name": name} | options
    facts = {"target": target} if takes(name, "target") else {}
    head = build("heads", section, channels=[16], classes=3, **facts)
    head.fit(features, truth if target == "tags" else labels)
    shares = head.decode(head.classify(features))
    assert torch.equal(shares > 0.5, truth > 0)


@pytest.mark.parametrize("wrong", [{"samples": 0}, {"k": 0}, {"temperature": 0}])
def test_neighbours_that_cannot_vote_are_refused(wrong):
    with pytest.raises(
        ValueError, match=rf"heads\.{next(iter(wrong))} = 0: Input should be greater than"
    ):
        build("heads", {"name": "knn", "samples": 5} | wrong, channels=[16], classes=4)
