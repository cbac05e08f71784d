"""Predictions and targets in files: joined by id, and what does not fit is told with its fix."""

import json
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from metrics.blocks.metric import Reads
from metrics.cli.command import main
from metrics.confusion import Confusion
from metrics.f1 import F1
from metrics.formats.stored import read_table
from metrics.formats.tables import read
from tests.metrics.batches import drawn

READS = Reads(("scores",), (("label", "tags"),))
WHOLE = drawn(20)
IDS = [f"i{row}" for row in range(20)]


def table(**columns) -> pa.Table:
    return pa.table({name: _plain(column) for name, column in columns.items()})


def _plain(column):
    return list(column.numpy()) if isinstance(column, torch.Tensor) else column


def read_pair(predictions, targets, reads: Reads, where: dict, common: bool = False) -> tuple:
    """(predictions, targets, names of classes)."""
    return read(predictions, targets, reads, common, where)[:3]


@pytest.fixture
def files(tmp_path):
    """(predictions, targets) of the same samples."""
    paths = tmp_path / "predictions.parquet", tmp_path / "targets.parquet"
    pq.write_table(table(id=IDS, scores=WHOLE["scores"]), paths[0])
    pq.write_table(table(id=IDS[::-1], label=WHOLE["label"].flip(0)), paths[1])
    return paths


def test_rows_are_joined_by_id_in_the_order_of_the_predictions(files):
    given, true, names = read_pair(*files, READS, {})
    assert torch.equal(given["scores"], WHOLE["scores"]) and names == []
    assert torch.equal(true["label"], WHOLE["label"])


def test_ids_that_do_not_match_are_counted_and_listed(files):
    pq.write_table(table(id=[*IDS[3:], "x"], label=WHOLE["label"][2:]), files[1])
    with pytest.raises(
        ValueError,
        match=r"3 of 20 predictions have no target \(i0, i1, i2\); 1 of 18 targets have no "
        r"prediction \(x\): give files of the same samples, or --common",
    ):
        read_pair(*files, READS, {})
    given, true, _ = read_pair(*files, READS, {}, common=True)
    assert len(given["scores"]) == len(true["label"]) == 17
    assert torch.equal(given["scores"], WHOLE["scores"][3:])
    assert torch.equal(true["label"], WHOLE["label"][2:-1])


def test_an_id_twice_is_told_and_rows_can_be_chosen(files):
    both = table(id=IDS * 2, model=["a"] * 20 + ["b"] * 20, scores=torch.cat([WHOLE["scores"]] * 2))
    pq.write_table(both, files[0])
    with pytest.raises(
        ValueError, match=r"2 rows have the id i0; .* --where COLUMN=VALUE .*model, scores"
    ):
        read_pair(*files, READS, {})
    given, _, _ = read_pair(*files, READS, {"model": "b"})
    assert torch.equal(given["scores"], WHOLE["scores"])
    with pytest.raises(ValueError, match="no row has model=c; model is one of: a, b"):
        read_pair(*files, READS, {"model": "c"})
    with pytest.raises(ValueError, match=r"has no column seed, .*it has id, model, scores"):
        read_pair(*files, READS, {"seed": "0"})


def test_a_missing_column_says_what_is_read_and_what_is_there(files):
    with pytest.raises(
        ValueError, match=r"targets\.parquet has no column hashtags or tags, .*it has id, label"
    ):
        read_pair(*files, Reads(("scores",), (("hashtags", "tags"),)), {})
    with pytest.raises(ValueError, match=r"predictions\.parquet has no column label or tags"):
        read_pair(files[0], None, READS, {})


def test_a_null_is_a_target_that_is_not_known(files):
    labels, tags = WHOLE["label"].tolist(), WHOLE["tags"].tolist()
    for rows in (labels, tags):
        rows[4] = None
    pq.write_table(table(id=IDS, label=pa.array(labels), tags=tags), files[1])
    found = read_table(files[1], [("label", "tags")], {}).columns
    for name in ("label", "tags"):
        assert found[f"{name}_known"].tolist() == [row != 4 for row in range(20)]
        assert (found[name][4] == 0).all()
        known = found[f"{name}_known"]
        assert torch.equal(found[name][known].float(), WHOLE[name][known].float())


def test_a_prediction_that_is_null_is_told(files):
    scores = WHOLE["scores"].tolist()
    scores[3] = None
    pq.write_table(table(id=IDS, scores=scores, label=WHOLE["label"]), files[0])
    for targets in (files[1], None):
        with pytest.raises(
            ValueError, match="scores is null in 1 of 20 rows; give the predictions"
        ):
            read_pair(files[0], targets, READS, {})
    scores[3] = [0.5, None, 0, 0, 0, 0]
    pq.write_table(table(id=IDS, scores=scores), files[0])
    with pytest.raises(ValueError, match="column scores has nulls within lists; give a number"):
        read_pair(*files, READS, {})


def test_no_target_at_all_is_told(files):
    nothing = pa.array([None] * 20, pa.list_(pa.float32()))
    pq.write_table(pa.table({"id": IDS, "tags": nothing}), files[1])
    _, true, _ = read_pair(*files, READS, {})
    assert not true["tags_known"].any()
    assert true["tags"].shape == (20, 0)


def test_lists_of_a_fixed_size_and_of_differing_ones(files):
    values = pa.array(WHOLE["scores"].flatten().numpy())
    fixed = pa.FixedSizeListArray.from_arrays(values, 6)
    pq.write_table(pa.table({"id": IDS, "scores": fixed}), files[0])
    assert torch.equal(read_table(files[0], [("scores",)], {}).columns["scores"], WHOLE["scores"])
    ragged = [[0.5] * (row % 3) for row in range(20)]
    pq.write_table(pa.table({"id": IDS, "scores": ragged}), files[0])
    found = read_table(files[0], [("scores",)], {}).columns["scores"]
    assert [each.tolist() for each in found] == ragged
    given, true, _ = read_pair(*files, READS, {})
    with pytest.raises(ValueError, match="scores: rows of 0 to 2 numbers; give as many in each"):
        Confusion().update(given, true)


def test_what_cannot_be_read_is_told(tmp_path, files):
    broken, text = tmp_path / "broken.parquet", tmp_path / "table.csv"
    broken.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"broken\.parquet is no Parquet file"):
        read_pair(broken, files[1], READS, {})
    with pytest.raises(ValueError, match=r"table\.csv: give a \.parquet file, or two \.npy"):
        read_pair(text, files[1], READS, {})
    pq.write_table(table(id=IDS, label=["beach"] * 20), files[1])
    with pytest.raises(ValueError, match="column label holds string, give numbers"):
        read_pair(*files, READS, {})
    pq.write_table(table(id=IDS, label=WHOLE["label"]).slice(0, 0), files[1])
    with pytest.raises(ValueError, match=r"targets\.parquet has no rows: give a file with"):
        read_pair(*files, READS, {})
    array = tmp_path / "objects.npy"
    np.save(array, np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"objects\.npy is no \.npy file of numbers"):
        read_pair(array, files[1], READS, {})


def test_arrays_follow_the_order_of_the_other_file(tmp_path, files):
    labels = tmp_path / "labels.npy"
    np.save(labels, WHOLE["label"].numpy())
    given, true, _ = read_pair(files[0], labels, READS, {})
    assert torch.equal(true["label"], WHOLE["label"]) and len(given["scores"]) == 20
    np.save(labels, WHOLE["label"].numpy()[:9])
    with pytest.raises(ValueError, match=r"has 20 rows, .*has 9: give files of the same samples"):
        read_pair(files[0], labels, READS, {})


def test_the_command_names_classes_and_ends_with_one_line_where_something_is_wrong(
    tmp_path, monkeypatch, capsys
):
    def asked(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["metrics.confusion", *arguments])
        with pytest.raises(SystemExit) as ended:
            main(Confusion)
        return ended.value.code or 0, *capsys.readouterr()

    file = tmp_path / "both.parquet"
    made = table(id=IDS, scores=WHOLE["scores"], label=(WHOLE["label"] + 1) % 5)
    names = {"names": ["sea", "wood", "hill", "lake", "town", "farm"]}
    pq.write_table(made.replace_schema_metadata({"tagdag": json.dumps(names)}), file)
    code, printed, told = asked(str(file))
    assert code == 0 and not told
    metric = Confusion()
    metric.update(WHOLE, {"label": (WHOLE["label"] + 1) % 5})
    first = metric.rows()[0]
    assert printed.startswith(f"error        {metric.compute()['error']:.2f}  (95 % interval ")
    assert [*map(names["names"].__getitem__, (first["class"], first["predicted"]))] == (
        printed.partition("class  predicted  samples")[2].split("\n")[1].split()[:2]
    )
    assert f"... {len(metric.rows())} rows in all, with --json" in printed
    monkeypatch.setattr(sys, "argv", ["metrics.f1", str(file), "--threshold", "2"])
    with pytest.raises(SystemExit):
        main(F1)
    assert capsys.readouterr().err.startswith("error: --threshold 2.0: Input should be less than")
    code, printed, told = asked(str(file), "--where", "label")
    assert (code, printed, told) == (2, "", "error: --where label: give COLUMN=VALUE\n")
