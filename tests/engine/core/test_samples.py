"""Shards that networks share: read once, and again when their files are other ones."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from corpus.reading.sampler import seeded
from engine.core import samples
from engine.core.batch import Column
from engine.core.samples import Rows, cached_by_files, few_per_class, open_split
from engine.transfer.tuning import hold_out
from flows.measuring.alike import labels_seen
from flows.training import learning
from tests.support.clips import frame, said, write_clips
from tests.support.shards import write_shards


def written(folder: Path, seed: int = 0) -> Path:
    """Eight images in two splits, tagged with one of two hashtags."""
    rng, records = np.random.default_rng(seed), []
    for number in range(8):
        image = BytesIO()
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(image, "JPEG")
        records.append(
            (f"{number}", "val" if number > 5 else "train", image.getvalue(), [int(number == 0)])
        )
    write_shards(folder, records, ["sea", "dog"], size=8)
    return folder


@pytest.fixture(autouse=True)
def nothing_kept():
    samples._made.cache_clear()
    yield
    samples._made.cache_clear()


def test_networks_share_a_split_until_its_files_are_other_ones(tmp_path, monkeypatch):
    folder = written(tmp_path / "shards")
    first = open_split(folder, "train")
    before = first.images([0])
    assert open_split(folder, "train") is first and open_split(folder, "val") is not first
    written(folder, seed=1)
    again = open_split(folder, "train")
    assert again is not first and not torch.equal(again.images([0]), before)
    monkeypatch.chdir(tmp_path)
    assert open_split(Path("shards"), "train") is again


def test_a_missing_folder_is_told_and_not_remembered(tmp_path):
    with pytest.raises(ValueError, match=r"index\.parquet is missing"):
        open_split(tmp_path / "shards", "train")
    assert len(open_split(written(tmp_path / "shards"), "train")) == 6


def test_few_are_kept(tmp_path):
    made = []
    for folder in "abcd":
        cached_by_files(lambda place: made.append(place.name), tmp_path / folder)
    assert samples._made.cache_info().currsize == 3 and made == list("abcd")


def test_repeat_factors_are_reckoned_once_for_all_networks(tmp_path, monkeypatch):
    monkeypatch.setattr(learning, "HASHTAGS", written(tmp_path / "shards"))
    reckoned = []
    monkeypatch.setattr(
        learning,
        "repeat_factors",
        lambda *given, reckon=learning.repeat_factors: reckoned.append(given[3:]) or reckon(*given),
    )
    for rule, length in (("sqrt", 2), ("sqrt", 2), ("natural", 1)):
        listed = learning.resampled_list_drawer(rule, length)(torch.Generator())
        assert len(listed) == 6 * length
    assert reckoned == [("sqrt", 12), ("natural", 6)]


def test_columns_are_those_asked_for_and_rows_keep_their_order(tmp_path):
    shards = open_split(written(tmp_path / "shards"), "train")
    rows = Rows(shards, {"image": {}, "label": {}}, torch.tensor([4, 0, 2]), size=12)
    batch = rows.read(torch.tensor([2, 0, 1]))
    assert batch.keys() == {"image", "label"} and batch["label"].tolist() == [0, 0, 1]
    assert batch["image"].shape == (3, 12, 12, 3)
    assert rows.ids(torch.tensor([2, 0, 1])) == ["2", "4", "0"]
    some = rows.some(torch.tensor([2, 1]))
    assert some.ids(torch.arange(2)) == ["2", "0"] and some.size == 12
    assert rows.column("label").tolist() == [0, 1, 0]


def test_a_column_that_there_is_not_is_told_with_those_there_are(tmp_path):
    shards = open_split(written(tmp_path / "shards"), "train")
    rows = Rows(shards, {"image": {}, "boxes": {}})
    told = r"shards has no column 'boxes', only image, hashtags, label: read one of them"
    for ask in (lambda: rows.read(torch.arange(2)), lambda: rows.column("boxes")):
        with pytest.raises(ValueError, match=told):
            ask()


def test_an_option_that_a_column_has_not_is_told(tmp_path):
    shards = open_split(written(tmp_path / "shards"), "train")
    with pytest.raises(ValueError, match=r"column 'image' of .*has no option frames"):
        Rows(shards, {"image": {"frames": 8}}).read(torch.arange(2))


def test_columns_of_another_network_are_joined_by_row(tmp_path):
    """They go before the shards' own, and rows are those of the split."""
    shards = open_split(written(tmp_path / "shards"), "train")
    soft = torch.rand(6, 2)
    more = {"soft": soft, "label": torch.arange(6) + 10}
    reads = {"image": {}, "soft": {}, "label": {}}
    rows = Rows(shards, reads, torch.tensor([5, 1, 3]), more=more)
    batch = rows.read(torch.tensor([1, 0]))
    assert torch.equal(batch["soft"], soft[[1, 5]]) and batch["label"].tolist() == [11, 15]
    assert torch.equal(rows.column("soft"), soft[[5, 1, 3]])
    assert torch.equal(rows.some(torch.tensor([2])).column("soft"), soft[[3]])


class Tagged:
    """As much of a split of shards as is read to draw from it: images of several tags."""

    classes = ("sea", "sand", "crab", "gull")

    def __init__(self, tags: torch.Tensor) -> None:
        self.tags = tags

    def __len__(self) -> int:
        return len(self.tags)

    def read(self, indices: torch.Tensor, column: str, draws: None = None) -> torch.Tensor:
        assert column == "tags"
        return self.tags[indices]


def tagged(n: int = 200) -> Rows:
    """Tags of half, a fifth, a tenth and a twentieth of the images, at the least 6."""
    chance = torch.tensor([0.5, 0.2, 0.1, 0.05])
    tags = (torch.rand(n, 4, generator=seeded(5)) < chance).float()
    tags[:6, 3] = 1
    return Rows(Tagged(tags), {"tags": {}})


@pytest.mark.parametrize("count", [1, 3, 6])
def test_few_of_several_tags_are_enough_of_each_and_no_sample_comes_twice(count):
    whole = tagged()
    few = few_per_class(whole, "tags", count, seeded(0))
    found, there = few.column("tags").sum(0), whole.column("tags").sum(0)
    assert (found >= count).all() and (found <= there).all()
    assert len(set(few.rows.tolist())) == len(few)
    # a sample of several tags counts for each: fewer are drawn than one for each place
    assert len(few) <= 4 * count
    # from the rarest class on, each is filled up with samples of its own, by those that it lacks
    tags, place = few.column("tags"), 0
    for index in there.argsort(stable=True):
        lacking = max(0, count - int(tags[:place, index].sum()))
        assert tags[place : place + lacking, index].all()
        place += lacking
    assert place == len(few)
    again, other = (few_per_class(whole, "tags", count, seeded(seed)).rows for seed in (0, 1))
    assert torch.equal(few.rows, again) and not torch.equal(few.rows, other)


def test_a_tag_of_too_few_samples_is_told():
    with pytest.raises(ValueError, match=r"class 'gull' has \d+ training images, fewer than"):
        few_per_class(tagged(), "tags", 30, seeded(0))
    assert len(few_per_class(tagged(), "tags", "all", seeded(0))) == 200


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_of_several_tags_a_share_of_all_samples_is_held_out(share):
    whole = tagged(41)
    fit, held = hold_out(whole, "tags", share, seeded(0))
    assert len(held) == round(41 * share)
    assert sorted(fit.rows.tolist() + held.rows.tolist()) == list(range(41))
    again, other = (hold_out(whole, "tags", share, seeded(seed))[1].rows for seed in (0, 1))
    assert torch.equal(held.rows, again) and not torch.equal(held.rows, other)


@pytest.mark.parametrize("count", [0, -1, -5])
def test_fewer_than_one_label_a_class_is_refused(tmp_path, count):
    whole = Rows(open_split(written(tmp_path / "shards"), "train"), {"label": {}})
    with pytest.raises(ValueError, match=f"labels_per_class={count}: give 1 or more, a share"):
        few_per_class(whole, "label", count, torch.Generator())
    assert len(few_per_class(whole, "label", 1, torch.Generator())) == 2


class Classed(NamedTuple):
    """Shards of a column `truth` that each test gives."""

    truth: torch.Tensor | list[torch.Tensor]
    classes: Sequence[str] = ("sea", "dog", "cat")

    def __len__(self) -> int:
        return len(self.truth)

    def read(self, indices: torch.Tensor, column: str, draws: None = None) -> Column:
        if isinstance(self.truth, list):
            return [self.truth[index] for index in indices.tolist()]
        return self.truth[indices]


LABELS = torch.tensor([0] * 40 + [1] * 13 + [2] * 2)[torch.randperm(55, generator=seeded(3))]


@pytest.mark.parametrize(
    ("share", "expected"), [(0.1, [4, 1, 1]), (0.5, [20, 6, 1]), (0.001, [1, 1, 1])]
)
def test_a_share_of_the_labels_is_one_of_each_class(share, expected):
    whole = Rows(Classed(LABELS), {})
    few, again, other = (few_per_class(whole, "truth", share, seeded(seed)) for seed in (0, 0, 1))
    assert few.column("truth").bincount().tolist() == expected
    available = dict(zip("abc", LABELS.bincount().tolist(), strict=True))
    assert list(labels_seen(share, available).values()) == expected
    assert len(set(few.rows.tolist())) == len(few)
    assert torch.equal(few.rows, again.rows) and not torch.equal(few.rows, other.rows)
    # what a small share is trained on a larger one has too: one curve over shares is of one draw
    assert set(few.rows.tolist()) < set(few_per_class(whole, "truth", 0.9, seeded(0)).rows.tolist())


@pytest.mark.parametrize(
    "truth",
    [
        tagged(41).shards.tags,
        torch.rand(41, generator=seeded(1)),
        [torch.tensor([0, 1]), torch.tensor([])] + 39 * [torch.tensor([2])],
    ],
)
def test_where_no_sample_has_one_class_a_share_is_one_of_all_samples(truth):
    few = few_per_class(Rows(Classed(truth), {}), "truth", 0.25, seeded(0))
    assert len(set(few.rows.tolist())) == 10
    assert len(few_per_class(Rows(Classed(truth), {}), "truth", 1e-6, seeded(0))) == 1


def test_clips_are_read_in_their_size_and_in_other_ways_for_tests(tmp_path):
    videos = [([frame(v, 0), frame(v, 1)], [0, 1]) for v in range(3)]
    shards = samples.Shards(write_clips(tmp_path / "clips", videos), "train")
    rows = Rows(shards, {"clip": {"frames": 2}, "label": {}}).some(torch.tensor([2, 1]))
    tested = rows.reading({"clip": {"frames": 1, "place": "centre"}})
    batch = tested.read(torch.tensor([0]))
    assert {*batch} == {"clip"} and batch["clip"][0].shape == (1, 1, 16, 24, 3)
    assert tested.ids(torch.tensor([0])) == ["v2"] and rows.column("label").tolist() == [0, 1]
    # a video that came smaller has the short side of the others
    for size, sides in ((8, (8, 12)), (None, (16, 24)), (20, (20, 30))):
        sized = Rows(shards, tested.reads, size=size).some(torch.tensor([2]))
        (clip,) = sized.read(torch.tensor([0]))["clip"]
        assert clip.shape == (1, 1, *sides, 3) and clip.dtype == torch.uint8
        assert (said(clip) == said(batch["clip"][0])).all()
