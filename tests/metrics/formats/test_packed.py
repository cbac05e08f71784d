"""Objects and maps in one table: what evaluate writes gives the metric of the columns."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from pycocotools import mask as rle

from metrics.cli.command import read_pair
from metrics.coco_ap import CocoAP
from metrics.mean_iou import MeanIoU
from metrics.pq import PQ
from tests.metrics.panoptic.scenes import columns, scenes
from tests.support.scenes import Scenes

RUNS = pa.struct(
    {
        "height": pa.int32(),
        "width": pa.int32(),
        "counts": pa.list_(pa.binary()),
        "values": pa.list_(pa.int32()),
    }
)


def masks(row: torch.Tensor) -> dict:
    """bool (m, h, w) as run lengths."""
    counts = [rle.encode(np.asfortranarray(mask.numpy(), np.uint8))["counts"] for mask in row]
    return {"height": row.shape[1], "width": row.shape[2], "counts": counts, "values": None}


def pixels(row: torch.Tensor) -> dict:
    """int (h, w) as run lengths of each of its numbers."""
    values = [value for value in row.unique().tolist() if value]
    parts = [row[None] == value for value in values]
    packed = masks(torch.cat(parts) if parts else row.new_zeros(0, *row.shape))
    return packed | {"values": values}


def boxes(column: list[torch.Tensor]) -> pa.Array:
    ends = np.cumsum([0, *map(len, column)]).astype(np.int32)
    flat = pa.array(torch.cat(column).flatten().numpy())
    return pa.ListArray.from_arrays(pa.array(ends), pa.FixedSizeListArray.from_arrays(flat, 4))


def written(file, predictions: dict, targets: dict):
    names = {name if name not in predictions else f"true_{name}": name for name in targets}
    both = predictions | {name: targets[key] for name, key in names.items()}
    made = {}
    for name, column in both.items():
        plain = name.removeprefix("true_")
        if plain == "boxes":
            made[name] = boxes(column)
        elif plain in ("masks", "panoptic", "semantic"):
            packed = masks if plain == "masks" else pixels
            made[name] = pa.array([packed(row) for row in column], RUNS)
        else:
            made[name] = pa.array([row.tolist() for row in column])
    pq.write_table(pa.table({"id": list(map(str, range(len(column)))), **made}), file)
    return file


def same(metric, file, predictions: dict, targets: dict) -> dict:
    """The numbers of a table, which are those of the columns."""
    direct, read = metric(), metric()
    direct.update(predictions, targets)
    read.update(*read_pair(read, file, None)[:2])
    assert read.compute() == direct.compute()
    return direct.compute()


def test_maps_of_segments_and_their_crowds(tmp_path):
    given, true = columns(scenes(30))
    # of a network they are counted
    for panoptic, ids in zip(given["panoptic"], given.pop("panoptic_id"), strict=True):
        panoptic[:] = (panoptic[None] == ids[:, None, None]).int().argmax(0) + (panoptic > 0)
    file = written(tmp_path / "predictions.parquet", given, true)
    assert 0 < same(PQ, file, given, true)["pq"] < 100


def test_maps_of_classes(tmp_path):
    generator = torch.Generator().manual_seed(0)
    maps = [torch.randint(0, 4, (5 + row, 7), generator=generator) for row in range(6)]
    true = [each.roll(1, 0) for each in maps]
    true[2][1:, 2] = 255
    columns = {"semantic": maps}, {"semantic": true}
    file = written(tmp_path / "predictions.parquet", *columns)
    assert 0 < same(MeanIoU, file, *columns)["miou"] < 100


def first_three(row: torch.Tensor) -> torch.Tensor:
    return row[:3]


def test_boxes_and_masks_of_which_an_image_may_have_none(tmp_path):
    batch = Scenes(8).read(torch.arange(8))
    names = ("boxes", "box_label", "masks")
    found = {name: list(map(first_three, batch[name])) for name in names}
    found["box_score"] = [torch.linspace(0.9, 0.1, len(row)) for row in found["boxes"]]
    true = {name: batch[name] for name in (*names, "box_crowd", "box_ignore", "box_area")}
    assert any(len(row) == 0 for row in batch["boxes"])
    file = written(tmp_path / "predictions.parquet", found, true)
    for of in ("boxes", "masks"):
        numbers = same(lambda of=of: CocoAP(of=of), file, found, true)
        assert 0 < numbers["ap"] < 100


def test_the_truth_of_what_is_predicted_has_to_be_there(tmp_path):
    given, true = columns(scenes(3))
    file = written(
        tmp_path / "predictions.parquet", given, {"panoptic_crowd": true["panoptic_crowd"]}
    )
    with pytest.raises(ValueError, match="has no column true_panoptic, which is to be read"):
        read_pair(PQ(), file, None)
