"""Networks of clips are tested, priced and probed as those of images are."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from engine.core.network import load_network, network, save_network
from engine.core.samples import Rows, open_split
from engine.measure.complexity import measure
from engine.transfer import frozen
from flows.measuring import records
from flows.reports.models import costs
from flows.training.monitoring import Monitor, measured
from models.blocks.augment.draws import Draws
from tests.support.clips import frame, write_clips
from tests.support.videos import CLIPS, TINY_CLIPS

SECTIONS = {
    "backbone": TINY_CLIPS,
    "objective": {"name": "supervised", "views": CLIPS},
    "head": {"name": "linear"},
}
VIEWS = {"name": "views", "clips": 3, "crops": 3}
TASK = {"metric": {"name": "accuracy"}, "policy": VIEWS}
COUNT = 12


def video(number: int, frames: int) -> tuple[list[bytes], list[int]]:
    """A video that shows each of its frames in one time slot."""
    return [frame(number, place) for place in range(frames)], list(range(frames))


@pytest.fixture
def folder(tmp_path) -> Path:
    """Videos of five to eight frames of 16 x 24 px, a third of each split, of two classes."""
    videos = [video(number, 5 + number % 4) for number in range(COUNT)]
    given = {"names": ["sea", "dog"], "splits": ["train", "train", "val", "val", "test", "test"]}
    return write_clips(tmp_path / "moving", videos, **given)


@pytest.fixture
def weights(tmp_path) -> Path:
    torch.manual_seed(0)
    save_network(
        tmp_path / "model.safetensors", network(**SECTIONS, classes=2), SECTIONS, ["sea", "dog"]
    )
    return tmp_path / "model.safetensors"


def test_a_network_is_tested_by_views_of_each_video(folder, weights, tmp_path):
    found, one = records.tested(weights, folder, 16, set(), TASK)
    assert found["samples"] == 4 and one.guess.shape == (4,)
    records.predict_test(weights, folder, 16, TASK, tmp_path / "said.parquet")
    said = pq.read_table(tmp_path / "said.parquet").to_pydict()
    assert set(said) == {"id", "scores", "probabilities", "label"}
    shares = np.array(said["probabilities"])
    assert (shares.argmax(1) == one.guess).all() and shares.sum(1) == pytest.approx(1)
    plain, _ = records.tested(weights, folder, 16, set(), TASK | {"policy": {"name": "plain"}})
    assert plain["samples"] == 4
    images = records.images(folder)
    assert images.pixels and not images.still and images.train == {"sea": 2, "dog": 2}


def test_costs_are_of_a_clip_and_of_a_video(weights, monkeypatch):
    monkeypatch.setattr(records, "PATIENCE", 0.0)
    given = {"batches": [2], "runs": 3, "seconds": 0.05}
    found = records.cost(weights, 16, policy=VIEWS | {"side": 20}, **given)
    module = load_network(weights)[0]
    deployed = torch.nn.Sequential(module.backbone, module.head)
    assert found["input"] == [3, 4, 20, 20] and found["views"] == 9
    assert found["latency_video_p50_ms"] == pytest.approx(9 * found["latency_p50_ms"])
    assert {key: found[key] for key in ("params", "flops", "acts")} == measure(
        deployed, (3, 4, 20, 20)
    )
    record = found | {"network": "net", "candidate": "x3d", "head": {"name": "linear"}, "size": 16}
    video = f"{found['latency_video_p50_ms']:.1f}"
    assert costs.by_video([record]) == [["x3d, fine-tuned, 16 px", "4 x 20 x 20", "9", video]]
    assert "an image stands for a clip" in costs.measured([record])
    alone = records.cost(weights, 16, **given)
    assert alone["input"] == [3, 4, 16, 16] and "views" not in alone
    assert costs.by_video([record | {"input": [3, 4, 16, 16]}])[0][1] == "4 x 16 x 16"
    del record["input"]
    assert costs.by_video([record]) == [] and "clip" not in costs.measured([record])


def test_features_of_frozen_backbones_are_those_of_middle_clips(folder, weights, monkeypatch):
    module, monkeypatched = load_network(weights)[0].eval(), {}
    monkeypatch.setattr(frozen, "_kept", monkeypatched)
    samples = Rows(open_split(folder, "train"), module.reads)
    found = frozen.frozen_features(module, samples)
    read = samples.reading({"clip": {"frames": 4, "every": 2, "place": "centre"}})
    with torch.no_grad():
        expected = module.features(module.plain(read.read(torch.arange(4))["clip"]))
    torch.testing.assert_close(found, expected)
    # other frames of the same videos are other features
    others = network(**SECTIONS | {"objective": OTHER}, classes=2).eval()
    others.load_state_dict(module.state_dict())
    frozen.frozen_features(others, Rows(samples.shards, others.reads))
    assert len(monkeypatched) == 2


OTHER = {"name": "supervised", "views": CLIPS | {"every": 1}}


def test_a_pretraining_is_monitored_by_middle_clips(folder):
    torch.manual_seed(0)
    section = {"name": "simclr", "width": 8, "views": CLIPS | {"clips": 2}}
    module = network(TINY_CLIPS, section, {"name": "linear"}, classes=2).eval()
    reads = {"clip": {"frames": 4, "every": 2, "clips": 1, "place": "centre"}, "label": {}}
    held, bank = (Rows(open_split(folder, split), reads) for split in ("val", "train"))
    found = measured(module, held, bank, Monitor(k=2))
    assert found == measured(module, held, bank, Monitor(k=2))
    assert {"knn_accuracy", "feature_spread", "embedding_rank"} <= found.keys()
    # in training several are read, and drawn
    read = Rows(held.shards, module.reads).read(torch.arange(2), Draws(torch.Generator(), 0, 2))
    assert read["clip"][0].shape == (2, 4, 16, 24, 3)
