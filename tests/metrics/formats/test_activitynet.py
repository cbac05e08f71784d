"""ActivityNet's JSON."""

import json
from pathlib import Path

import pytest

from metrics.formats.activitynet import read
from metrics.temporal_map import TemporalMAP

DATABASE = {
    "v1": {"subset": "validation", "annotations": [{"label": "ski", "segment": [0, 10.5]}]},
    "v2": {"subset": "training", "annotations": [{"label": "row", "segment": [0, 1]}]},
    "v3": {"subset": "validation", "annotations": []},
    "v4": {
        "subset": "validation",
        "annotations": [{"label": label, "segment": [2, 4]} for label in ("ski", "dive")],
    },
}
RESULTS = {
    "v4": [{"label": "dive", "segment": [2, 4], "score": 0.5}],
    "v1": [
        {"label": "ski", "segment": [0, 10.5], "score": 0.9},
        {"label": "dive", "segment": ["1", 2], "score": 1},
    ],
}


def write(folder: Path, results=RESULTS, database=DATABASE) -> tuple[Path, Path]:
    files = folder / "results.json", folder / "truth.json"
    files[0].write_text(json.dumps({"version": "VERSION 1.3", "results": results}))
    files[1].write_text(json.dumps({"database": database}))
    return files


def test_the_validation_videos_in_the_order_of_the_results(tmp_path):
    pair = read(*write(tmp_path), TemporalMAP.reads)
    assert (pair.samples, pair.names) == (["v4", "v1", "v3"], ["dive", "ski"])
    assert [row.tolist() for row in pair.targets["segment_label"]] == [[1, 0], [1], []]
    assert pair.predictions["segments"][1].tolist() == [[0, 10.5], [1, 2]]
    assert [row.tolist() for row in pair.predictions["segment_score"]] == [[0.5], [0.9, 1], []]
    metric = TemporalMAP()
    metric.update(pair.predictions, pair.targets)
    # dive is found after a false one, ski in one of two videos
    assert metric.compute()["temporal_map"] == pytest.approx(50)


def test_a_single_subset_is_the_one(tmp_path):
    testing = {video: known | {"subset": "testing"} for video, known in DATABASE.items()}
    pair = read(*write(tmp_path, {}, testing), TemporalMAP.reads)
    assert len(pair.samples) == 4
    testing["v2"]["subset"] = "training"
    with pytest.raises(ValueError, match=r"has the subsets testing, training and no validation"):
        read(*write(tmp_path, {}, testing), TemporalMAP.reads)


def test_unknown_videos_and_labels_are_told_or_left_out(tmp_path):
    more = RESULTS | {"v2": RESULTS["v1"], "v9": []}
    files = write(tmp_path, more)
    with pytest.raises(ValueError, match=r"2 of 4 videos of .*results.* \(v2, v9\): .*--common"):
        read(*files, TemporalMAP.reads)
    assert read(*files, TemporalMAP.reads, common=True).samples == ["v4", "v1", "v3"]
    wrong = {"v1": [{"label": "skate", "segment": [0, 1], "score": 0.9}]}
    files = write(tmp_path, wrong)
    with pytest.raises(ValueError, match=r"1 of 1 labels of .* \(skate\)"):
        read(*files, TemporalMAP.reads)
    found = read(*files, TemporalMAP.reads, common=True).predictions["segments"]
    assert sum(map(len, found)) == 0


@pytest.mark.parametrize(
    "change, message",
    [
        ({"segment": [2, 1]}, r"results\.json, video v1, entry 0: its segment ends at 1.0 before"),
        ({"segment": [2]}, r"entry 0: not enough values .*; give a label, a segment"),
        ({"segment": [2, None]}, r"entry 0: None is no number"),
        ({"segment": "2, 3"}, r"entry 0: it has no segment, which is to be a list"),
        ({"score": None}, r"entry 0: None is no number; .*, and a score"),
        ({"label": 3}, r"entry 0: it has no label, which is to be a str"),
    ],
)
def test_broken_entries_are_told(tmp_path, change, message):
    files = write(tmp_path, {"v1": [RESULTS["v1"][0] | change]})
    with pytest.raises(ValueError, match=message):
        read(*files, TemporalMAP.reads)


def test_broken_files_are_told(tmp_path):
    files = write(tmp_path)
    whole = files[0].read_text()
    for text, message in (
        (whole[:-40], r"results\.json is no whole JSON: .* is it cut off\?"),
        (whole.replace("0.9", "NaN"), r"results\.json: NaN is no number"),
        (whole.replace('"v4"', '"v1"'), r"results\.json: v1 stands more than once in one object"),
        ("[" * 100_000, r"results\.json is (nested too deep|no whole JSON)"),
        ("[]", r"results\.json has no results, which is to be a dict: it has list"),
    ):
        files[0].write_text(text)
        with pytest.raises(ValueError, match=message):
            read(*files, TemporalMAP.reads)
    files[0].write_bytes(b"{\xff}")
    with pytest.raises(ValueError, match="line 1: no UTF-8"):
        read(*files, TemporalMAP.reads)
    with pytest.raises(ValueError, match="is a folder: give a file"):
        read(tmp_path, files[1], TemporalMAP.reads)
    files = write(tmp_path, database={"v1": {"annotations": []}})
    with pytest.raises(ValueError, match=r"truth\.json, video v1 has no subset"):
        read(*files, TemporalMAP.reads)
