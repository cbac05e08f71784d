"""Shards that networks share: read once, and again when their files are other ones."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine.core import samples
from engine.core.samples import Rows, cached_by_files, few_per_class, open_split
from flows.training import learning
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


@pytest.mark.parametrize("count", [0, -1, -5])
def test_fewer_than_one_label_a_class_is_refused(tmp_path, count):
    whole = Rows(open_split(written(tmp_path / "shards"), "train"), {"label": {}})
    with pytest.raises(ValueError, match=f"labels_per_class={count}: give 1 or more, or all"):
        few_per_class(whole, "label", count, torch.Generator())
    assert len(few_per_class(whole, "label", 1, torch.Generator())) == 2
