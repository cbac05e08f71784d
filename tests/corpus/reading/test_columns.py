"""Columns by name: each stored form, indexes from before they were named, and what is refused."""

import json
from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from corpus.reading.columns import FORMS
from corpus.reading.index import INDEX
from corpus.reading.shards import Shards
from corpus.records.kind import BaseKind
from corpus.store.indexing import LISTS, IndexWriter
from tests.support.shards import write_shards

NAMES = ["sea", "dog", "sky"]


def jpeg(value: int = 0) -> bytes:
    out = BytesIO()
    Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(out, "JPEG")
    return out.getvalue()


def write(folder, targets):
    rows = [(f"id.{i}", "train", jpeg(i), each) for i, each in enumerate(targets)]
    write_shards(folder, rows, NAMES, size=8)
    return Shards(folder, "train")


def rewritten(folder, metadata):
    """The index with other metadata."""
    path = folder / INDEX
    about = json.dumps(metadata)
    pq.write_table(pq.read_table(path).replace_schema_metadata({"tagdag": about}), path)
    return Shards(folder, "train")


def test_a_column_is_read_by_its_name(tmp_path):
    shards = write(tmp_path / "set", [[0, 2], [1], [2]])
    rows = torch.tensor([2, 0])
    assert torch.equal(shards.read(rows, "image"), shards.images(rows))
    assert torch.equal(shards.read(rows, "hashtags"), shards.multi_hot(rows))
    assert shards.read(rows, "hashtags").tolist() == [[0, 0, 1], [1, 0, 1]]
    labelled = write(tmp_path / "labels", [[0], [1], [2]])
    assert torch.equal(labelled.read(rows, "label"), labelled.labels(rows))
    assert labelled.read([1], "label").dtype == torch.int64
    assert labelled.classes == NAMES and labelled.kind == "labels"


@pytest.mark.parametrize("single", [True, False])
def test_an_index_from_before_there_were_columns_has_those_that_it_had(tmp_path, single):
    write(tmp_path / "set", [[0], [1], [2]] if single else [[0, 2], [1], [2]])
    shards = rewritten(tmp_path / "set", {"names": NAMES, "size": 8})
    assert [*shards.columns] == ["image", "hashtags", *(["label"] if single else [])]
    assert shards.kind == "" and shards.read([0], "hashtags")[0, 0] == 1


def test_numbers_are_a_tensor_where_all_have_as_many_and_else_a_list(tmp_path):
    kind = BaseKind()
    kind.name = "scores"
    kind.columns = {"image": {"read": "jpeg"}, "score": {"read": "numbers", "of": "scores"}}
    for name, scores in (("even", [[0.5, 2], [1, 3]]), ("uneven", [[0.5], []])):
        folder = tmp_path / name
        folder.mkdir()
        images = pa.table({"id": ["a", "b"], "split": ["train"] * 2})
        images = images.append_column("offset", pa.array([0, 0]))
        images = images.append_column("size", pa.array([1, 1], pa.int32()))
        with IndexWriter(folder, kind, [], 8) as index:
            values = {"scores": pa.array(scores, pa.list_(pa.float32()))}
            index.add(0, np.ones(2, bool), images, values)
        found = Shards(folder, "train").read([1, 0, 0], "score")
        assert [row.tolist() for row in found] == [scores[1], scores[0], scores[0]]
        assert isinstance(found, torch.Tensor) == (name == "even")
        assert len(Shards(folder, "train")) == 2 and found[0].dtype == torch.float32


def test_draws_and_options_go_to_the_readers_that_take_them(tmp_path, monkeypatch):
    shards = write(tmp_path / "set", [[0], [1]])

    def frames(stored, indices, draws, every=1):
        return torch.tensor([draws, every, *indices])

    monkeypatch.setitem(FORMS, "frames", frames)
    shards.columns["clip"] = {"read": "frames"}
    assert shards.read([1], "clip", 7, every=3).tolist() == [7, 3, 1]
    with pytest.raises(ValueError, match=r"'clip' of .* no option depth \(it has: every\)"):
        shards.read([1], "clip", 7, depth=3)
    with pytest.raises(ValueError, match=r"no option size \(it has: none\): leave it out"):
        shards.read([1], "label", size=3)
    with pytest.raises(ValueError, match="no option of"):
        shards.read([1], "label", of="split")


def test_what_there_is_not_is_told_with_what_there_is(tmp_path):
    shards = write(tmp_path / "set", [[0, 2], [1]])
    with pytest.raises(ValueError, match=r"set has no column 'label', only image, hashtags: "):
        shards.read([0], "label")
    shards.columns["label"] = {"read": "class", "of": "targets"}
    with pytest.raises(ValueError, match="several classes: read a multi-hot column"):
        shards.read([0], "label")
    shards.columns["voxels"] = {"read": "voxels"}
    with pytest.raises(ValueError, match=r"as 'voxels', which is not known here .*update the code"):
        shards.read([0], "voxels")


def test_each_list_column_has_a_reader():
    assert LISTS.keys() < FORMS.keys()
