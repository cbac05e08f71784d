"""Spread, rank and neighbours of features: golden values, and the same by brute force."""

import math

import numpy as np
import pytest
import torch

from engine.core.build import build
from engine.measure.representation import (
    effective_rank,
    feature_spread,
    has_collapsed,
    knn_accuracy,
)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def test_spread_is_one_on_the_sphere_and_zero_in_a_point():
    assert feature_spread(normal(20_000, 32)) == pytest.approx(1, abs=0.01)
    assert feature_spread(normal(1, 32).expand(50, 32) * torch.arange(1, 51)[:, None]) < 1e-7
    # the vertices of the cross-polytope: each dimension is 1, -1 or 0
    vertices = torch.cat([torch.eye(8), -torch.eye(8)])
    assert feature_spread(vertices) == pytest.approx(1, rel=1e-12)
    # (1, 0) and (0, 1): a deviation of a half in each of two
    assert feature_spread(torch.eye(2)) == pytest.approx(math.sqrt(2) / 2, rel=1e-12)


def test_spread_by_brute_force():
    rows = normal(7, 3).tolist()
    lengths = [math.hypot(*row) for row in rows]
    units = [np.array(row) / length for row, length in zip(rows, lengths, strict=True)]
    total = 0.0
    for column in zip(*units, strict=True):
        mean = sum(column) / 7
        total += math.sqrt(sum((x - mean) ** 2 for x in column) / 7)
    assert feature_spread(torch.tensor(rows)) == pytest.approx(total / 3 * math.sqrt(3), rel=1e-5)


def test_rank_counts_dimensions():
    eye = torch.eye(6, dtype=torch.float64)
    assert effective_rank(eye) == pytest.approx(6, rel=1e-5)
    assert effective_rank(normal(50, 1) @ normal(1, 20)) == pytest.approx(1, abs=1e-3)
    assert effective_rank(torch.zeros(5, 4)) == pytest.approx(1, abs=1e-3)
    # rotated and scaled it is the same
    rotation = torch.linalg.qr(normal(6, 6, seed=1))[0]
    diagonal = torch.diag(torch.tensor([4.0, 2, 1, 1, 0, 0], dtype=torch.float64))
    # entropy of (1/2, 1/4, 1/8, 1/8) is 7/4 bits
    assert effective_rank(5 * diagonal @ rotation) == pytest.approx(2**1.75, rel=1e-5)


def test_what_is_not_finite_has_no_number_and_ends_nothing():
    wrong = torch.tensor([[1.0, float("nan")], [0.0, 1.0]])
    assert math.isnan(effective_rank(wrong)) and math.isnan(feature_spread(wrong))


def test_neighbours_by_brute_force():
    bank, queries = normal(60, 5), normal(1500, 5, seed=1)
    classes, truth = torch.arange(60) % 4, torch.arange(1500) % 4
    right = 0
    for query, true in zip(queries, truth.tolist(), strict=True):
        likeness = [float(query @ one / (query.norm() * one.norm())) for one in bank]
        nearest = sorted(range(60), key=lambda row: -likeness[row])[:7]
        votes = [0.0] * 4
        for row in nearest:
            votes[int(classes[row])] += math.exp(likeness[row] / 0.2)
        right += votes.index(max(votes)) == true
    found = knn_accuracy(bank, classes, queries, truth, k=7, temperature=0.2)
    assert found == pytest.approx(100 * right / 1500)


def test_neighbours_say_what_the_head_says():
    bank, queries = normal(40, 6).float(), normal(30, 6, seed=1).float()
    classes = torch.arange(40) % 3
    head = build("heads", {"name": "knn", "k": 9}, channels=[6], classes=3, samples=40)
    head.fit(bank, classes)
    said = head.classify(queries).argmax(1)
    assert knn_accuracy(bank, classes, queries, said, k=9) == 100
    assert knn_accuracy(bank, classes, queries, (said + 1) % 3, k=9) == 0


def test_a_bank_smaller_than_k_and_classes_that_it_lacks():
    bank = torch.eye(2)
    truth = torch.tensor([0, 1, 5])
    queries = torch.cat([bank, bank[:1]])
    assert knn_accuracy(bank, torch.tensor([0, 1]), queries, truth) == pytest.approx(200 / 3)


def test_a_point_and_a_line_have_collapsed_and_a_plane_has_not():
    centre = normal(1, 8, seed=2)
    point, line = centre + 0.01 * normal(100, 8), normal(100, 1) @ centre
    plane = normal(100, 2) @ normal(2, 8, seed=3)
    told = [has_collapsed(feature_spread(x), effective_rank(x)) for x in (point, line, plane)]
    assert told == [True, True, False]
    # by either number: two opposite points lie on a line, and far apart
    assert feature_spread(line) > 0.8 and not has_collapsed(0.5, 10.0)
    assert not has_collapsed(float("nan"), float("nan"))
