"""The linear probe: a convex problem, so its solution can be checked in closed form."""

import pytest
import torch
import torch.nn.functional as F

from models.heads.logistic import logistic_regression


def problem() -> tuple[torch.Tensor, torch.Tensor]:
    """Overlapping classes of unequal number."""
    generator = torch.Generator().manual_seed(0)
    labels = (4 * torch.rand(120, generator=generator).square()).long()
    features = torch.randn(120, 6, generator=generator) + F.one_hot(labels, 6)
    return (features + 2) * torch.tensor([1, 10, 0.1, 3, 0.01, 100]), labels


@pytest.mark.parametrize("l2", [1.0, 1e-2, 1e-4])
def test_gradient_vanishes_at_the_solution(l2):
    features, labels = problem()
    weight, bias = (t.double() for t in logistic_regression(features, labels, 4, l2))
    x, deviation = features.double() - features.double().mean(0), features.double().std(0)
    probabilities = (features.double() @ weight.T + bias).softmax(1)
    wrong = (probabilities - F.one_hot(labels, 4)) / len(x)
    gradient = wrong.T @ (x / deviation) + l2 * weight * deviation
    assert gradient.abs().max() < 2e-6
    # the bias is not penalised: on average the probe predicts the frequencies
    assert probabilities.mean(0).tolist() == pytest.approx(
        (labels.bincount() / len(x)).tolist(), abs=1e-5
    )


def of_tags(n: int = 150) -> tuple[torch.Tensor, torch.Tensor]:
    """Features and tags that they tell of, some of an image, one of few images."""
    generator = torch.Generator().manual_seed(2)
    tags = (torch.rand(n, 4, generator=generator) < torch.tensor([0.5, 0.3, 0.2, 0.05])).float()
    features = torch.randn(n, 6, generator=generator)
    features[:, :4] += tags
    return (features + 2) * torch.tensor([1, 10, 0.1, 3, 0.01, 100]), tags


@pytest.mark.parametrize("l2", [1e-2, 1e-4])
def test_of_tags_it_is_scikit_learns_regression_of_each(l2):
    """Whose loss is a sum, with half the squared norm once: C = 1 / (n l2)."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    features, tags = of_tags()
    weight, bias = logistic_regression(features, tags, 4, l2)
    logits = features.double() @ weight.double().T + bias.double()
    x = ((features - features.mean(0)) / features.std(0)).double().numpy()
    for index in range(4):
        peer = linear_model.LogisticRegression(C=1 / (len(x) * l2), tol=1e-10, max_iter=10_000).fit(
            x, tags[:, index].numpy()
        )
        expected = torch.from_numpy(peer.decision_function(x))
        torch.testing.assert_close(logits[:, index], expected, atol=2e-3, rtol=1e-3)


def test_of_tags_each_is_a_regression_of_its_own():
    features, tags = of_tags()
    weight, bias = logistic_regression(features, tags, 4, 1e-2)
    for index in range(4):
        one = logistic_regression(features, tags[:, index : index + 1], 1, 1e-2)
        torch.testing.assert_close(weight[index], one[0][0], atol=1e-4, rtol=1e-2)
        torch.testing.assert_close(bias[index], one[1][0], atol=1e-4, rtol=1e-2)


def test_heavy_penalty_leaves_the_frequencies():
    features, labels = problem()
    weight, bias = logistic_regression(features, labels, 4, 1e6)
    assert (weight * features.std(0)).abs().max() < 1e-5
    frequencies = labels.bincount(minlength=4) / len(labels)
    torch.testing.assert_close(
        (bias + weight @ features.mean(0)).softmax(0), frequencies, atol=1e-4, rtol=0
    )


def test_scale_and_shift_of_features_change_nothing():
    features, labels = problem()
    scaled = features * torch.tensor([1e3, 1e-3, 1, 7, 50, 0.1]) - torch.arange(6)
    logits = [
        x @ w.T + b
        for x in (features, scaled)
        for w, b in [logistic_regression(x, labels, 4, 1e-2)]
    ]
    torch.testing.assert_close(*logits, atol=1e-3, rtol=1e-3)


def test_order_of_samples_changes_nothing():
    features, labels = problem()
    mixed = torch.randperm(120, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        logistic_regression(features, labels, 4, 1e-2),
        logistic_regression(features[mixed], labels[mixed], 4, 1e-2),
    )


def test_separable_classes_are_told_apart():
    labels = torch.arange(60) % 3
    features = F.one_hot(labels, 8) + 0.1 * torch.randn(
        60, 8, generator=torch.Generator().manual_seed(0)
    )
    weight, bias = logistic_regression(features, labels, 3, 1e-3)
    assert ((features @ weight.T + bias).argmax(1) == labels).all()


def test_dead_feature_and_absent_class_do_no_harm():
    features, labels = problem()
    features[:, 2] = 0.1
    weight, bias = logistic_regression(features, labels, 5, 1e-2)
    assert weight.isfinite().all() and bias.isfinite().all() and not weight[:, 2].any()
    assert (features @ weight.T + bias).argmax(1).max() < 4
