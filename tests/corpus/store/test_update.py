"""Corrections: what differs from the store is told, and taken with `update`; same bytes then."""

import json
import random
from pathlib import Path

import pytest

from corpus.checksums import damaged
from corpus.kinds.labels import Label
from corpus.kinds.posts import Post
from corpus.store import ingest as module
from corpus.store.ingest import ingest, ingest_all
from corpus.store.read import checksums, read_store, shards_of, total
from tests.corpus.store.test_ingest import SHARD, files, label, picture, post, quarantined


@pytest.fixture
def source(tmp_path) -> Path:
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


def rows_of(result) -> int:
    """All rows that the account tells of."""
    return result.kept + result.changed + result.already + sum(result.refused.values())


def test_a_correction_is_told_and_taken_on_demand(source, tmp_path):
    data, rows = tmp_path / "data", [label(source, i) for i in range(40)]
    ingest(rows, data, "targets/pets", shard_bytes=SHARD)
    before = files(data)
    rows[7] = label(source, 7, label="dog", split="train")
    told = ingest(rows, data, "targets/pets", shard_bytes=SHARD)
    assert (told.kept, told.changed, told.already, told.differing) == (0, 0, 40, 1)
    [first] = told.differences
    assert first["id"] == "l7" and first["change"] == "label 'c1' -> 'dog', split 'test' -> 'train'"
    assert files(data) == before
    taken = ingest(rows, data, "targets/pets", update=True, shard_bytes=SHARD)
    assert (taken.kept, taken.changed, taken.already, taken.differing) == (0, 1, 39, 0)
    assert taken.digest == total(shards_of(data / "targets" / "pets")) != told.digest
    fresh = ingest(rows, tmp_path / "fresh", "targets/pets", shard_bytes=SHARD)
    assert fresh.digest == taken.digest and files(tmp_path / "fresh") == files(data)
    changed = sorted(name for name, held in files(data).items() if held != before[name])
    assert len(changed) == 2 and changed[0].endswith(".jsonl"), "more than one list and store.json"
    again = ingest(rows, data, "targets/pets", update=True, shard_bytes=SHARD)
    assert (again.changed, again.already) == (0, 40)


def test_corrections_in_any_order_beside_new_rows_give_the_same_bytes(source, tmp_path):
    rows, stores = [post(source, i) for i in range(50)], []
    for seed in range(3):
        ingest(rows[:40], tmp_path / str(seed), "posts", shard_bytes=SHARD)
    later = [post(source, i, hashtags=["other"]) for i in range(0, 30, 3)]
    later += [post(source, 12, picture(900)), post(source, 13, picture(901, "PNG"))]
    later += [*rows[30:], post(source, 3, hashtags=["again"]), post(source, 99, b"bad")]
    for seed in range(3):
        data = tmp_path / str(seed)
        shuffled = random.Random(seed).sample(later, len(later))
        result = ingest(shuffled, data, "posts", update=True, shard_bytes=SHARD, threads=seed + 1)
        assert rows_of(result) == len(later) and result.changed == 11 and result.kept == 10
        stores.append((result, files(data)))
        assert damaged(checksums(data / "posts"), tmp_path / "memory.json") == []
    assert stores[0] == stores[1] == stores[2]
    pairs = read_store(tmp_path / "0" / "posts", Post)
    stored = {record.id: (record, image) for record, image in pairs}
    assert stored["p12"][1] == picture(900) and stored["p13"][0].image.endswith(".png")
    assert stored["p13"][1] == picture(901, "PNG") and stored["p0"][0].hashtags == ["other"]
    assert stored["p4"][0].hashtags == ["sea", "t4"] and len(stored) == 50


def test_another_image_is_seen_by_its_size_and_with_update_by_its_bytes(source, tmp_path):
    plain = [picture(i, "BMP") for i in range(3)]  # of one size
    rows = [label(source, i, plain[i]) for i in range(2)]
    ingest(rows, tmp_path / "data", "targets/pets")
    Path(rows[0].locator).write_bytes(plain[2])
    assert ingest(rows, tmp_path / "data", "targets/pets").differing == 0
    Path(rows[1].locator).write_bytes(picture(7))
    told = ingest(rows, tmp_path / "data", "targets/pets")
    assert [(each["id"], each["change"]) for each in told.differences] == [("l1", "another image")]
    assert ingest(rows, tmp_path / "data", "targets/pets", update=True).changed == 2
    pairs = read_store(tmp_path / "data" / "targets" / "pets", Label)
    stored = {record.id: image for record, image in pairs}
    assert stored == {"l0": plain[2], "l1": picture(7)}


def test_a_correction_whose_image_cannot_be_used_is_refused(source, tmp_path):
    data, rows = tmp_path / "data", [label(source, i) for i in range(6)]
    ingest(rows, data, "targets/pets")
    before = files(data / "targets")
    rows[1] = label(source, 1, b"no image", label="dog")
    Path(rows[2].locator).unlink()
    result = ingest(rows, data, "targets/pets", update=True)
    assert result.refused == {"unknown format": 1, "file is missing": 1}
    assert (result.changed, result.already, rows_of(result)) == (0, 4, 6)
    assert files(data / "targets") == before and len(quarantined(data)) == 2
    assert ingest(rows, data, "targets/pets").differing == 1  # no image was looked at


def test_an_image_that_goes_between_two_looks_leaves_the_stored_one(source, tmp_path, monkeypatch):
    data, rows = tmp_path / "data", [label(source, i) for i in range(4)]
    ingest(rows, data, "targets/pets")
    rows[1] = label(source, 1, label="dog")
    rewritten = module.rewritten

    def gone(*given):
        Path(rows[1].locator).unlink()
        return rewritten(*given)

    monkeypatch.setattr(module, "rewritten", gone)
    result = ingest(rows, data, "targets/pets", update=True)
    assert (result.changed, result.refused, rows_of(result)) == (0, {"file is missing": 1}, 4)


def test_a_row_that_repeats_an_id_otherwise_is_counted(source, tmp_path):
    rows = [post(source, 1), post(source, 2)]
    ingest(rows, tmp_path / "data", "posts")
    rows.append(rows[0]._replace(fields=rows[0].fields | {"hashtags": ["new"]}))
    for update in (False, True):
        result = ingest(rows, tmp_path / "data", "posts", update=update)
        assert (result.differing, result.changed, result.repeated, result.already) == (0, 0, 1, 3)


def test_labels_stored_before_they_were_normalised_are_corrected(source, tmp_path):
    from corpus.store.write import write_store

    rows = [label(source, i, label=("3.0", "b")[i % 2]) for i in range(4)]
    old = [(Label(**row.fields), picture(i)) for i, row in enumerate(rows)]
    write_store(tmp_path / "data" / "targets" / "pets", old)
    assert ingest(rows, tmp_path / "data", "targets/pets").differing == 2
    assert ingest(rows, tmp_path / "data", "targets/pets", update=True).changed == 2
    lines = (tmp_path / "data" / "targets" / "pets" / "00000.jsonl").read_text().splitlines()
    assert {json.loads(line)["label"] for line in lines} == {"3", "b"}


def test_one_class_is_refused_after_a_correction_too(source, tmp_path):
    rows = [label(source, i) for i in range(2)]
    ingest(rows, tmp_path / "data", "targets/pets")
    before = files(tmp_path)
    with pytest.raises(ValueError, match="one class only, 'c0'"):
        rows[1] = label(source, 1, label="c0")
        ingest_all({"targets/pets": rows}, tmp_path / "data", update=True)
    assert files(tmp_path) == before
