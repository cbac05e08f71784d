"""Several data sets as one: whose sample is where, in which shares, and what it is drawn by."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from corpus.reading.sampler import seeded
from corpus.reading.shards import Shards
from engine.core.mixed import Mixed
from engine.core.samples import Rows
from models.blocks.augment.draws import Draws
from tests.support.shards import write_shards

LABELS = {"image": {}, "label": {}}


def jpeg(level: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), level, np.uint8)).save(out, "JPEG", quality=95)
    return out.getvalue()


def shards(folder, count: int, first: int) -> Shards:
    rows = [(f"{first + i}", "train", jpeg(first + 3 * i), [i % 2]) for i in range(count)]
    write_shards(folder, rows, ["cat", "dog"], 8)
    return Shards(folder, "train")


class Drawing(Rows):
    """Rows with a column of numbers that are drawn as they are read, as frames of a clip are."""

    def read(self, indices, draws=None):
        return super().read(indices, draws) | {"vector": draws.rand(len(indices), 1)}


@pytest.fixture
def mixed(tmp_path) -> Mixed:
    parts = [Rows(shards(tmp_path / "a", 6, 0), LABELS)]
    parts.append(Rows(shards(tmp_path / "b", 4, 100), {"image": {}}))
    return Mixed(parts, [0.25, 0.75])


def test_samples_keep_their_order_and_a_missing_label_is_told(mixed):
    indices = torch.tensor([7, 0, 9, 5])
    batch = mixed.read(indices)
    assert mixed.ids(indices) == ["101", "0", "103", "5"]
    assert batch["label"].tolist() == [0, 0, 0, 1]
    assert batch["label_known"].tolist() == [False, True, False, True]
    assert "image_known" not in batch
    assert batch["image"][:, 0, 0, 0].int().tolist() == pytest.approx([103, 0, 109, 15], abs=3)


def test_a_batch_of_one_data_set_has_the_columns_of_all(mixed):
    batch = mixed.read(torch.tensor([6, 8]))
    assert batch["label"].shape == (2,) and not batch["label_known"].any()


def test_an_epoch_has_the_stated_shares(mixed):
    drawn = mixed.draw_list(seeded(0, 1))
    assert len(drawn) == len(mixed) == 10
    # 0.25 x 10 rounds to the even 2; of four samples eight are two rounds of each
    assert (drawn < 6).sum() == 2
    assert drawn[drawn >= 6].bincount(minlength=10)[6:].tolist() == [2, 2, 2, 2]


def in_batches(drawn: torch.Tensor, batch: int, first: int = 6) -> list[int]:
    """How many of each whole batch are of the first data set."""
    whole = drawn[: len(drawn) // batch * batch]
    return (whole < first).view(-1, batch).sum(1).tolist()


@pytest.mark.parametrize("share", [0.6, 0.9, 0.5, 0.25])
def test_every_batch_has_the_stated_shares(mixed, share):
    parts = [mixed.parts[0]] * 26 + [mixed.parts[1]] * 26
    many = Mixed([Mixed(parts[:26]), Mixed(parts[26:])], [share, 1 - share], "batch")
    drawn = many.draw_list(seeded(0, 1))
    count = 6 * 26
    assert in_batches(drawn, 20, count) == [round(20 * share)] * (len(many) // 20)
    # where the shares of a batch are no whole numbers: the one below or above, the mean is right
    found = in_batches(drawn, 7, count)
    assert {*found} <= {int(7 * share), int(7 * share) + 1}
    assert sum(found) / len(found) == pytest.approx(7 * share, abs=0.1)
    # in another order the next time, and each data set as often as without
    again = many.draw_list(seeded(0, 2))
    by_epoch = replace(many, mixing="epoch").draw_list(seeded(0, 1))
    assert not torch.equal(again, drawn)
    assert torch.equal(drawn.sort().values, by_epoch.sort().values)
    assert len({*in_batches(by_epoch, 20, count)}) > 1


class Listing(Rows):
    """Rows with a list column of some boxes, by their number."""

    def read(self, indices, draws=None):
        if "boxes" not in self.reads:
            return super().read(indices, draws)
        rows = self.places[indices].tolist()
        return {"boxes": [torch.full((row, 4), float(row)) for row in rows]}


def test_lists_of_some_data_sets_are_empty_in_the_others(mixed):
    with_boxes = Listing(mixed.parts[0].shards, {"boxes": {}})
    both = Mixed([with_boxes, Rows(mixed.parts[1].shards, {"label": {}})])
    batch = both.read(torch.tensor([7, 2, 0, 9]))
    assert [each.shape for each in batch["boxes"]] == [(0, 4), (2, 4), (0, 4), (0, 4)]
    assert batch["boxes_known"].tolist() == [False, True, True, False]
    assert batch["label_known"].tolist() == [True, False, False, True]
    alone = both.read(torch.tensor([8]))
    assert [each.shape for each in alone["boxes"]] == [(0, 4)] and not alone["boxes_known"].any()


def test_the_same_samples_are_read_as_other_columns(mixed):
    indices = torch.tensor([7, 0, 9, 5])
    other = mixed.reading({"label": {}, "hashtags": {}})
    batch = other.read(indices)
    # the second data set read no label; what none had read is read of both
    assert batch["label_known"].tolist() == [False, True, False, True] and "image" not in batch
    assert batch["hashtags"].shape == (4, 2) and "hashtags_known" not in batch
    assert other.ids(indices) == mixed.ids(indices) and other.shares == mixed.shares
    assert {*mixed.read(indices)} == {"image", "label", "label_known"}


def test_what_is_drawn_does_not_depend_on_who_holds_the_sample(tmp_path):
    parts = [Drawing(shards(tmp_path / name, 4, 0), LABELS) for name in "ab"]
    mixed, order = Mixed(parts), torch.tensor([5, 0, 7, 3, 6, 1])

    def read(rows: slice) -> torch.Tensor:
        draws = Draws(seeded(3, 6, 0), rows.start, len(order))
        return mixed.read(order[rows], draws)["vector"]

    whole = read(slice(0, 6))
    split = torch.cat([read(slice(0, 2)), read(slice(2, 3)), read(slice(3, 6))])
    assert torch.equal(whole, split) and len(whole.unique()) == 6


@pytest.mark.parametrize("shares", [[1.0], [0.0, 0.0], [-1, 2]])
def test_shares_that_are_none_are_refused(mixed, shares):
    with pytest.raises(ValueError, match="give a number from 0 on for each"):
        Mixed(mixed.parts, shares)
