"""Several pretrainings: each is what it would be alone, and a killed one goes on."""

import json
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.core.digest import digest
from engine.core.network import load_network
from flows import pretrain
from flows.training import groups, learning
from tests.support import params
from tests.support.shards import write_shards

BACKBONE = {"name": "regnet", "depth": 3, "w_0": 8, "w_a": 8, "w_m": 2, "group_width": 8}
SECTION = {
    "candidate": "small",
    "backbone": "regnet",
    "section": "candidates/small.yaml",
    "objective": {"name": "hashtags"},
    "head": {"name": "linear"},
    "recipe": {"batch": 4, "rate": 0.1, "warmup": 0},
    "resampling": {"rule": "natural", "length": 1},
    "epochs": 1,
}
OUT = Path("out/pretrain/tiny")


class Run:
    """What the stage tells MLflow, by name of the run."""

    def __init__(self, name: str = "", told: dict | None = None) -> None:
        self.name, self.told = name, {} if told is None else told

    def child(self, name: str):
        return nullcontext(Run(name, self.told))

    def metrics(self, values: dict, step: int = 0) -> None: ...
    def files(self, *paths: Path) -> None: ...
    def flush(self) -> None: ...
    def tags(self, **values: str) -> None:
        self.told.setdefault(self.name, {}).update(values)


def write_noise(name: str, classes: list[str], seed: int, held: int) -> None:
    """Twelve images of noise as a data set, the last `held` of them held out."""
    rng, images = np.random.default_rng(seed), []
    for number in range(12):
        image = BytesIO()
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(image, "JPEG")
        split = "val" if number >= 12 - held else "train"
        images.append((f"image-{number}", split, image.getvalue(), [number % len(classes)]))
    write_shards(pretrain.CORPUS / name, images, classes, size=16)


@pytest.fixture
def run(tmp_path, monkeypatch) -> Run:
    """A project with twelve posts and a training of a candidate, `tiny`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    write_noise("hashtags", ["sea", "dog"], seed=0, held=3)
    params.named({"small": BACKBONE}, {"tiny": "small"})
    told = Run()
    monkeypatch.setattr(pretrain, "stage_run", lambda stage, section: nullcontext(told))
    return told


def written() -> dict[str, bytes]:
    """All files of the stage."""
    return {str(f.relative_to(OUT)): f.read_bytes() for f in OUT.rglob("*") if f.is_file()}


def test_one_seed_has_the_files_that_it_always_had(run):
    pretrain.pretrain("tiny", **SECTION, seed=5)
    alone = written()
    assert sorted(alone) == ["curve.csv", "metrics.json", "model.safetensors", "seeds/seeds.json"]
    assert json.loads(alone["seeds/seeds.json"]) == [5]
    assert run.told == {"": {"wrote": digest(OUT / "model.safetensors")}}
    assert not any(key.startswith("seed") for key in json.loads(alone["metrics.json"]))
    pretrain.pretrain("tiny", **SECTION, seeds=[5])
    assert written() == alone


def test_each_of_several_is_what_it_would_be_alone(run):
    alone = {}
    for seed in (7, 2):
        pretrain.pretrain("tiny", **SECTION, seed=seed)
        alone[seed] = written()
    run.told.clear()
    pretrain.pretrain("tiny", **SECTION, seeds=[7, 2])
    found = written()
    names = ["curve.csv", "metrics.json", "model.safetensors"]
    names += ["seeds/curve-2.csv", "seeds/model-2.safetensors", "seeds/seeds.json"]
    assert sorted(found) == names
    assert found["model.safetensors"] == alone[7]["model.safetensors"]
    assert found["seeds/model-2.safetensors"] == alone[2]["model.safetensors"]
    assert found["seeds/curve-2.csv"] == alone[2]["curve.csv"]
    metrics = json.loads(found["metrics.json"])
    assert metrics.pop("seed 2") == json.loads(alone[2]["metrics.json"])
    assert metrics.pop("seed 7") == metrics == json.loads(alone[7]["metrics.json"])
    files = [OUT / "model.safetensors", OUT / "seeds/model-2.safetensors"]
    told = zip((7, 2), files, strict=True)
    assert run.told == {f"seed {seed}": {"wrote": digest(file)} for seed, file in told}
    assert groups.pretrained_weights("tiny") == files
    pretrain.pretrain("tiny", **SECTION, seed=7)
    assert groups.pretrained_weights("tiny") == files[:1], "the others are gone"


def test_any_objective_on_any_data_set(run, capsys):
    write_noise("targets/three", ["a", "b", "c"], seed=1, held=4)
    more = {"objective": {"name": "supervised"}, "metric": {"name": "per_class"}, "resampling": {}}
    pretrain.pretrain("tiny", **SECTION | more, data="targets/three", seed=5)
    module, names = load_network(OUT / "model.safetensors")
    assert names == ["a", "b", "c"] and module.head.fc.out_features == 3
    metrics = json.loads((OUT / "metrics.json").read_text())
    assert f"held out, per_class {metrics['per_class']:.4g} %" in capsys.readouterr().out
    # a pretext makes its own classes
    pretrain.pretrain("tiny", **SECTION | {"objective": {"name": "rotation"}}, seed=5)
    module, _ = load_network(OUT / "model.safetensors")
    assert module.head.fc.out_features == 4


def test_another_metric_leaves_the_state_of_a_training_as_it_is(run):
    section = SECTION | {"data": "hashtags", "metric": {"name": "accuracy"}}
    state = pretrain.state_of("tiny", pretrain.section_of(section))
    other = pretrain.section_of(section | {"metric": {"name": "per_class"}})
    assert pretrain.state_of("tiny", other) == state
    assert pretrain.state_of("tiny", pretrain.section_of(section | {"epochs": 2})) != state


def test_a_kill_in_the_second_keeps_the_first(run, monkeypatch):
    pretrain.pretrain("tiny", **SECTION, seeds=[7, 2])
    whole, train, trained = written(), learning.train, []

    def killed(module, samples, training, lists):
        trained.append(training.seed)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return train(module, samples, training, lists)

    monkeypatch.setattr(learning, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        pretrain.pretrain("tiny", **SECTION, seeds=[7, 2])
    assert len(list(Path(".tagdag/state").glob("pretrain-tiny.*"))) >= 1, "the first has its state"
    pretrain.pretrain("tiny", **SECTION, seeds=[7, 2])
    assert written() == whole and not list(Path(".tagdag/state").glob("pretrain-tiny.*"))
