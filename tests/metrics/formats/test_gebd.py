"""GEBD's pickles, of which nothing but containers, numbers and arrays is made."""

import json
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from metrics.formats.gebd import read
from metrics.gebd_f1 import GebdF1

TRUE = {
    "v1": {
        "f1_consis_avg": 0.8,
        "video_duration": 10.0,
        "fps": 25.0,
        "substages_timestamps": [[1.0, 2.0], [], [3.0]],
    },
    "v2": {"f1_consis_avg": 0.1, "video_duration": 5.0, "substages_timestamps": [[1.5]]},
}
GIVEN = {"v1": [2.0, 1.0]}


def write(folder: Path, given=GIVEN, true=TRUE, kind: str = "pkl") -> tuple[Path, Path]:
    files = folder / f"given.{kind}", folder / f"true.{kind}"
    for file, table in zip(files, (given, true), strict=True):
        whole = json.dumps(table).encode() if kind == "json" else pickle.dumps(table)
        file.write_bytes(whole)
    return files


@pytest.mark.parametrize("kind", ["pkl", "json"])
def test_videos_of_the_truth_in_its_order(tmp_path, kind):
    pair = read(*write(tmp_path, kind=kind), GebdF1.reads)
    assert pair.samples == ["v1", "v2"]
    assert [row.tolist() for row in pair.predictions["boundaries"]] == [[2, 1], []]
    assert pair.targets["rater_boundaries"][0].shape == (3, 2)
    assert pair.targets["rater_boundaries"][0].isnan().sum() == 3
    assert pair.targets["duration"].tolist() == [10, 5]
    metric = GebdF1()
    metric.update(pair.predictions, pair.targets)
    assert (metric.compute()["gebd_f1"], metric.compute()["disagreed"]) == (100, 1)


def test_arrays_and_numbers_of_numpy_of_any_protocol(tmp_path):
    arrays = OrderedDict(v1=np.array([2.0, 1.0]), v2=(np.float32(1.5),))
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        files = write(tmp_path)
        files[0].write_bytes(pickle.dumps(arrays, protocol))
        pair = read(*files, GebdF1.reads)
        assert [row.tolist() for row in pair.predictions["boundaries"]] == [[2, 1], [1.5]]


class Harmful:
    """What a pickle can do: here it would leave a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return (Path.touch, (self.file,))


def test_another_class_is_refused_by_name_and_nothing_is_run(tmp_path):
    files = write(tmp_path)
    for whole, name in (
        (pickle.dumps({"v1": Harmful(tmp_path / "left")}), r"pathlib\.\S*Path\S*"),
        (b"cos\nsystem\n(S'true'\ntR.", r"os\.system"),
        (b"cbuiltins\neval\n(S'1'\ntR.", r"builtins\.eval"),
        (b"cnumpy\nload\n(S'1'\ntR.", r"numpy\.load"),
    ):
        files[0].write_bytes(whole)
        with pytest.raises(ValueError, match=rf"given\.pkl names {name}, which is no container"):
            read(*files, GebdF1.reads)
    assert not (tmp_path / "left").exists()


def test_broken_files_are_told(tmp_path):
    files = write(tmp_path)
    whole = files[0].read_bytes()
    for text, message in (
        (whole[:-9], r"given\.pkl is no whole pickle .* is it cut off"),
        (
            b'{"v1": [1]}',
            r"given\.pkl is no whole pickle .*, or JSON whose name does not end in \.json",
        ),
        (pickle.dumps([1, 2]), r"given\.pkl holds list: give \{video: \.\.\.\}"),
        (pickle.dumps({"v1": ["a"]}), r"given\.pkl, video v1: 'a' is no number; give seconds"),
        (pickle.dumps({"v1": 3}), r"given\.pkl, video v1: .*not iterable; give seconds"),
        (pickle.dumps({"v1": [float("nan")]}), r"video v1: nan is no finite number"),
    ):
        files[0].write_bytes(text)
        with pytest.raises(ValueError, match=message):
            read(*files, GebdF1.reads)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"substages_timestamps": []}, r"true\.pkl, video v1 has no rater"),
        ({"substages_timestamps": None}, r"video v1 has no substages_timestamps, .* a list"),
        ({"video_duration": None}, r"video v1, video_duration: None is no number"),
        ({"f1_consis_avg": "high"}, r"video v1, f1_consis_avg: 'high' is no number"),
    ],
)
def test_a_broken_truth_is_told(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        read(*write(tmp_path, true={"v1": TRUE["v1"] | change}), GebdF1.reads)


def test_unknown_videos_are_told_or_left_out_and_json_has_none_twice(tmp_path):
    files = write(tmp_path, GIVEN | {"v9": [1.0]})
    with pytest.raises(ValueError, match=r"1 of 2 videos of .*given\.pkl are not in .* \(v9\)"):
        read(*files, GebdF1.reads)
    assert read(*files, GebdF1.reads, common=True).samples == ["v1", "v2"]
    file = tmp_path / "twice.json"
    file.write_text('{"v1": [1], "v1": [2]}')
    with pytest.raises(ValueError, match=r"twice\.json: v1 stands more than once"):
        read(file, files[1], GebdF1.reads)
    with pytest.raises(ValueError, match=r"true\.pkl, video v1: list, give the official file"):
        read(files[0], write(tmp_path, true={"v1": [1.0]})[1], GebdF1.reads)
