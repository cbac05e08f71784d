"""The timing of views: all sides make as many, of the same sides and layout."""

import pytest
import torch

from benchmarks.views import KINDS, ours, torchvisions


@pytest.mark.parametrize("kind", KINDS)
def test_both_sides_make_the_same_views(kind):
    pytest.importorskip("torchvision.transforms.v2")
    images = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8)
    own = [view for views in ours(images, KINDS[kind])() for view in views.unbind(1)]
    others = torchvisions(images, KINDS[kind])()
    assert [view.shape for view in own] == [view.shape for view in others]
    for view in own + others:
        assert view.dtype == torch.float32
        assert view.flatten(2).std() > 0.1
