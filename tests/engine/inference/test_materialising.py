"""Predictions as columns of a data set: by which rule they are kept, and joined to whom."""

import pytest
import torch

from engine.core.build import build
from engine.core.materialised import joined_by_id, materialised
from engine.core.samples import Rows
from engine.inference.materialising import Keep, materialise
from engine.training.predicting import predicted
from tests.engine.core.test_mixed import shards
from tests.engine.training.toys import tiny

IMAGES = {"image": {}}
PREDICTIONS = {
    "label": torch.tensor([0, 1, 0, 1, 0]),
    "confidence": torch.tensor([0.9, 0.4, 0.7, 0.6, 0.9]),
}


def test_the_rule_keeps_the_surest_of_each_class_the_first_of_equals():
    assert Keep(least=0.65)(PREDICTIONS).tolist() == [0, 2, 4]
    assert Keep(per_class=1)(PREDICTIONS).tolist() == [0, 3]
    assert Keep(least=0.7, per_class=2)(PREDICTIONS).tolist() == [0, 4]


def test_a_rule_on_a_column_that_nobody_gives_is_refused():
    with pytest.raises(ValueError, match="gives no column 'sureness'"):
        Keep(column="sureness")(PREDICTIONS)


def test_what_is_written_is_what_the_network_says_and_joins_by_id(tmp_path):
    posts = Rows(shards(tmp_path / "posts", 12, 0), IMAGES)
    module, policy = tiny(), build("policies", {"name": "pseudo"})
    every = [found for _, found, _ in predicted(module, posts, policy)]
    labels = torch.cat([found["label"] for found in every])
    file = tmp_path / "pseudo.parquet"
    keep = Keep(per_class=3)
    count = materialise(module, posts, policy, keep, file, {"weights": "abc"})
    ids, columns, about = materialised(file)
    assert len(ids) == count and about == {"weights": "abc"}
    assert torch.equal(columns["label"], labels[[int(name) for name in ids]])
    assert columns["soft"].shape == (count, 3)
    assert torch.equal(columns["soft"].max(1).values, columns["confidence"])

    joined = joined_by_id(posts, file, {"image": {}, "label": {}})
    batch = joined.read(torch.arange(len(joined)))
    assert joined.ids(torch.arange(len(joined))) == ids
    assert torch.equal(batch["label"], columns["label"])
    assert torch.equal(batch["image"], posts.shards.images([int(name) for name in ids]))


def test_columns_of_other_data_are_refused(tmp_path):
    posts = Rows(shards(tmp_path / "posts", 4, 0), IMAGES)
    others = Rows(shards(tmp_path / "others", 4, 50), IMAGES)
    file = tmp_path / "pseudo.parquet"
    materialise(tiny(), others, build("policies", {"name": "pseudo"}), Keep(), file, {})
    with pytest.raises(ValueError, match=r"4 of 4 ids that .*posts has not, such as '50'"):
        joined_by_id(posts, file, {"image": {}, "label": {}})


def test_a_file_that_is_none_is_told(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"no table")
    with pytest.raises(ValueError, match="holds no predictions of a network"):
        materialised(tmp_path / "x.parquet")
