"""AVA's CSV files, and the whole of them against its own evaluation."""

from pathlib import Path

import numpy as np
import pytest

from metrics.formats.ava import read
from metrics.frame_map import FrameMAP
from tests.metrics.events.references import ava

LIST = """item {
  name: "bend/bow (at the waist)"
  id: 1
}
item {
  name: "dance"
  id: 3
}
"""
TRUE = """v1,0902,0.1,0.1,0.5,0.9,1,0
v1,0902,0.1,0.1,0.5,0.9,3,0
v1,903.0,0.2,0.1,0.5,0.9,2,1
v2,0902,0.1,0.1,0.5,0.9,3,1
v2,0905
"""
GIVEN = """v1,902,0.1,0.1,0.5,0.9,1,0.9
v1,0902.000000,0.1,0.1,0.5,0.9,3,0.8
v2,0902,0.1,0.1,0.5,0.9,3,0.7
v2,0905,0.1,0.1,0.5,0.9,1,0.6
v2,0905,0.1,0.1,0.5,0.9,2,0.6
"""


@pytest.fixture
def files(tmp_path) -> tuple[Path, Path]:
    predictions, truth = tmp_path / "given" / "mine.csv", tmp_path / "ava_val_v2.2.csv"
    predictions.parent.mkdir()
    predictions.write_text(GIVEN)
    truth.write_text(TRUE)
    return predictions, truth


def test_frames_actions_and_videos(files):
    pair = read(*files, FrameMAP.reads)
    assert pair.samples == ["v1,902.000000", "v1,903.000000", "v2,902.000000", "v2,905.000000"]
    assert [row.tolist() for row in pair.targets["box_label"]] == [[0, 2], [1], [2], []]
    assert pair.targets["boxes"][1].tolist() == [[0.2, 0.1, 0.5, 0.9]]
    assert pair.predictions["box_score"][0].tolist() == [0.9, 0.8]
    assert pair.targets["group"].tolist() == [0, 0, 1, 1]
    assert pair.names == ["1", "2", "3"]
    metric = FrameMAP()
    metric.update(pair.predictions, pair.targets)
    assert [row["ap"] for row in metric.rows()] == [100, 0, 100]


def test_the_list_of_actions_and_the_excluded_frames_beside_the_truth(files):
    beside = files[1].parent
    (beside / "ava_action_list_v2.2.pbtxt").write_text(LIST)
    (beside / "ava_val_excluded_timestamps_v2.2.csv").write_text("v2,0902\nv9,0902\n")
    pair = read(*files, FrameMAP.reads)
    assert pair.names == ["bend/bow (at the waist)", "2", "dance"]
    assert pair.samples == ["v1,902.000000", "v1,903.000000", "v2,905.000000"]
    assert [row.tolist() for row in pair.targets["box_label"]] == [[0, 2], [], []]
    assert [row.tolist() for row in pair.predictions["box_label"]] == [[0, 2], [], [0]]
    # of several the official one, and the one named as the truth
    (beside / "ava_action_list_v2.2_for_activitynet_2019.pbtxt").write_text(LIST.split("item")[1])
    (beside / "ava_train_excluded_timestamps_v2.2.csv").write_text("v1,0902\n")
    pair = read(*files, FrameMAP.reads)
    assert pair.names == ["bend/bow (at the waist)"] and len(pair.samples) == 3
    (beside / "my.pbtxt").write_text(LIST)
    (beside / "ava_action_list_v2.2_for_activitynet_2019.pbtxt").unlink()
    with pytest.raises(ValueError, match=r"several of \*\.pbtxt\* \(ava_action.*, my\.pbtxt\)"):
        read(*files, FrameMAP.reads)
    (beside / "ava_action_list_v2.2.pbtxt").unlink()
    (beside / "my.pbtxt").write_text("items")
    with pytest.raises(ValueError, match=r"my\.pbtxt has no entries of name"):
        read(*files, FrameMAP.reads)


@pytest.mark.parametrize(
    "line, message",
    [
        ("v1,902,1,1,2,2,1", r"mine\.csv, line 6: 7 columns, give 2 or 8"),
        ("v1,902,1,1,2,2,1,nan", r"line 6: 'nan' is no finite number"),
        ("v1,902,1,1,2,x,1,0.5", r"line 6: 'x' is no number"),
        ("v1,902,1,1,2,2,0,0.5", r"line 6: '0' is no action: give its number, counted from 1"),
        ("v1,902,1,1,2,2,run,0.5", r"line 6: 'run' is no action"),
        ("v1,noon,1,1,2,2,1,0.5", r"line 6: 'noon' is no second"),
        ("v1,1e999999,1,1,2,2,1,0.5", r"line 6: '1e999999' is no second"),
        ("v1,nan", r"line 6: 'nan' is no second"),
        ("v1,902,1,1,2,2,1,\xff", r"mine\.csv, line 6: no UTF-8 \(byte 0xff\)"),
        ("v7,902,1,1,2,2,1,0.5", r"1 of 4 frames of .*mine\.csv are not in .*\(v7,902\.000000\)"),
    ],
)
def test_broken_lines_are_told(files, line, message):
    files[0].write_bytes((GIVEN + line).encode("latin1"))
    with pytest.raises(ValueError, match=message):
        read(*files, FrameMAP.reads)


def test_frames_that_the_truth_does_not_name_may_be_left_out(files):
    files[0].write_text(GIVEN + "v7,902,1,1,2,2,1,0.5\n")
    assert len(read(*files, FrameMAP.reads, common=True).samples) == 4
    files[1].write_text("\n")
    with pytest.raises(ValueError, match=r"v2\.2\.csv has no lines"):
        read(*files, FrameMAP.reads)


def test_it_is_the_official_evaluation_of_the_same_files(files, capsys):
    """Up to 70 boxes of a frame, many scores equal, people that do several things."""
    modules = ava()
    for seed in range(12):
        rng = np.random.default_rng(seed)
        lines, found = [], []
        for video in ("a", "b"):
            for second in range(900, 903):
                corner = rng.random((8, 2)) / 2
                people = np.concatenate([corner, corner + 0.2 + rng.random((8, 2)) / 5], 1).round(2)
                for row in rng.integers(0, 8, rng.integers(0, 12)):
                    box = ",".join(map(str, people[row]))
                    lines.append(f"{video},{second},{box},{rng.integers(1, 5)},{row}")
                for row in rng.integers(0, 8, rng.integers(0, 70)):
                    box = ",".join(map(str, (people[row] + rng.normal(0, 0.02, 4)).round(2)))
                    score = rng.random().__round__(1 + 15 * (seed % 2))
                    found.append(f"{video},{second},{box},{rng.integers(1, 5)},{score}")
                lines.append(f"{video},{second}")
        files[0].write_text("\n".join(found))
        files[1].write_text("\n".join(lines))
        file = files[1].parent / "actions.pbtxt"
        file.write_text(LIST)
        shown = {}
        modules["pprint"].pprint = lambda found, indent, shown=shown: shown.update(found)
        with file.open() as names, files[1].open() as true, files[0].open() as given:
            modules["run_evaluation"](names, true, given)
        pair = read(*files, FrameMAP.reads)
        metric = FrameMAP()
        metric.update(pair.predictions, pair.targets)
        value = metric.compute()["frame_map"]
        assert value == pytest.approx(100 * shown["PascalBoxes_Precision/mAP@0.5IOU"], abs=1e-9)
