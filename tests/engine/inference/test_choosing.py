"""What to label next: of a stream the most uncertain, and of these no two alike."""

import pytest
import torch

from engine.inference.choosing import Doubtful, farthest, margins


def test_a_margin_is_what_the_best_is_ahead():
    scores = torch.tensor([[0.5, 0.4, 0.1], [0.9, 0.1, 0.0]])
    assert margins(scores).tolist() == pytest.approx([0.1, 0.8])
    assert margins(scores[:, :1]).tolist() == [1, 1]


def test_each_choice_is_the_farthest_from_those_before():
    angles = torch.tensor([0.0, 0.1, 3.1, 1.6, 0.0]).double()
    # lengths do not count
    points = torch.stack([angles.cos(), angles.sin()], 1) * torch.tensor(
        [[1.0], [9], [1], [2], [5]]
    )
    assert farthest(points, 3).tolist() == [0, 2, 3]
    # the copy of the first comes last
    assert farthest(points, 9).tolist() == [0, 2, 3, 1, 4]
    assert farthest(points, 1).tolist() == [0]


def test_a_stream_keeps_the_most_uncertain_however_it_is_parted():
    generator = torch.Generator().manual_seed(0)
    margin, features = (
        torch.rand(500, generator=generator),
        torch.randn(500, 4, generator=generator),
    )
    expected = margin.sort(stable=True).indices[:30]
    for part in (7, 500):
        doubtful = Doubtful(30)
        for rows in torch.arange(500).split(part):
            doubtful.add(rows, margin[rows], features[rows])
        assert doubtful.rows.tolist() == expected.tolist()
        assert torch.equal(doubtful.features, features[expected])
        assert doubtful.chosen(3) == expected[farthest(features[expected], 3)].tolist()
    assert Doubtful(3).chosen(2) == []
