"""Fine-tuning and probing: what is trained on which labels, from which weights; kept features.

A run that goes on.
"""

import json
import multiprocessing
import shutil
from collections import Counter
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine.core.build import build
from engine.core.checkpoint import load_tensors
from engine.core.network import load_network, network, save_network
from engine.core.samples import Rows, open_split
from engine.training.predicting import PLAIN, predicted, scored
from engine.transfer import finetuning, frozen
from engine.transfer.finetuning import arm_score
from flows import finetune
from flows.predicting.weights import chosen_weights
from flows.running import processes
from flows.training import arms
from metrics.accuracy import Accuracy
from tests.support import params
from tests.support.networks import TINY
from tests.support.shards import write_shards

HEADS = {"linear": {}, "logistic": {}, "knn": {}}
SECTION = {
    "objective": {"name": "supervised", "scale": [0.75, 1]},
    "recipe": {"batch": 8, "rate": 0.2, "warmup": 0},
    "epochs": 2,
}
GRID = {"rate": [0.1, 0.4], "l2": [0.01, 10.0], "k": [1, 5]}
HUES = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200]])


class Run:
    """What the stage tells MLflow."""

    def __init__(self, name: str = "") -> None:
        self.told, self.origin, self.name = {}, {}, name

    def child(self, name: str):
        below = Run(name)
        below.told = self.told
        return nullcontext(below)

    def params(self, values: dict) -> None: ...
    def metrics(self, values: dict, step: int = 0) -> None: ...
    def files(self, *paths: Path) -> None: ...
    def tags(self, **values: str) -> None:
        self.told.setdefault(self.name, {}).update(values)


@pytest.fixture
def run(tmp_path, monkeypatch) -> Run:
    """A project with labelled sets of three hues and a candidate, `tiny`, that is pretrained on
    seven hashtags.
    """
    monkeypatch.chdir(tmp_path)
    for folder in ("engine", "models/blocks"):
        Path(folder).mkdir(parents=True)
    rng, records = np.random.default_rng(0), []
    for split, count in (("train", 24), ("val", 12), ("test", 12)):
        for number in range(count):
            image, label = BytesIO(), number % 3
            pixels = (HUES[label] + rng.integers(-60, 56, (16, 16, 3))).astype(np.uint8)
            Image.fromarray(pixels).save(image, "JPEG")
            records.append((f"{split}-{number}", split, image.getvalue(), [label]))
    for name in ("hues", "others"):
        write_shards(Path("out/corpus/targets") / name, records, ["red", "green", "blue"], size=16)
    params.named({"tiny": TINY}, {"posts": "tiny"})
    pretrained(TINY)
    frozen._kept.clear()
    monkeypatch.setattr(frozen, "_folder", None)
    monkeypatch.setenv("TAGDAG_ARMS", "1")
    told = Run()

    @contextmanager
    def stage_run(stage: str, section: dict):
        yield told

    monkeypatch.setattr(finetune, "stage_run", stage_run)
    return told


def pretrained(backbone: dict, seed: int = 7) -> None:
    """The weights that the stage before would have written."""
    torch.manual_seed(seed)
    sections = {"backbone": backbone, "objective": {"name": "hashtags"}, "head": {"name": "linear"}}
    save_network(
        Path("out/pretrain/posts/model.safetensors"),
        network(**sections, classes=7),
        sections,
        list("abcdefg"),
    )


def hues(split: str) -> Rows:
    """A split of the labelled set."""
    shards = open_split(Path("out/corpus/targets/hues"), split)
    return Rows(shards, {"image": {}, "label": {}})


def tuned(**changes) -> list[dict]:
    """Run the stage on `hues` with few labels; returns its records."""
    given = {"data": "targets/hues", "inits": ["posts", "scratch"], "heads": HEADS}
    given |= {"labels": [6], "seeds": [0, 1], "grid": GRID}
    finetune.finetune("hue", **SECTION | given | changes)
    return json.loads(Path("out/finetune/hue/records.json").read_text())


def test_every_arm_is_tuned_once_on_held_out_labels_and_trained_again_on_all(run, monkeypatch):
    seen, splits, states, train = [], [], set(), finetuning.fit_arm

    def trained(samples, section, arm, settings, report=None, state=None):
        seen.append((arm["init"], arm["head"], arm["seed"], settings, len(samples)))
        assert splits[-1] == "train" and "test" not in splits
        states.add(state)
        return train(samples, section, arm, settings, report or (lambda *_: None), state)

    def noted(folder, split):
        splits.append(split)
        return open_split(folder, split)

    monkeypatch.setattr(arms, "fit_arm", trained)
    monkeypatch.setattr(arms, "open_split", noted)
    records = tuned()
    assert len(records) == 2 * 3 * 2 and set(splits) == {"train", "val"}
    # each training goes on from a state of its own
    assert len(states) == len(seen) == 24 and None not in states
    for first in records[::2]:
        arm = (first["init"], first["head"]["name"])
        scores = [score.pop("score") for score in first["scores"]]
        assert len(scores) == 2 and first["chosen"] == first["scores"][scores.index(max(scores))]
        # of 18 labels: round(0.25 x 6) = 2 of a class
        assert (first["fit"], first["held_out"]) == (12, 6)
        rows = [row for row in seen if row[:2] == arm]
        assert rows[:2] == [(*arm, 0, settings, 12) for settings in first["scores"]]
        assert rows[2:] == [(*arm, seed, first["chosen"], 18) for seed in (0, 1)]
        name = f"{'tiny-' * (arm[0] == 'scratch')}{arm[0]}-{arm[1]}-6-1"
        assert json.loads(run.told[name]["choice"])["chosen"] == first["chosen"]
    # a score of each list of values, and the networks: what a later run takes arms from
    kept = [path.name for path in Path(".tagdag").rglob("*.safetensors")]
    assert Counter(kept) == {"score.safetensors": 12, "finished.safetensors": 12}


def test_what_is_written_predicts_as_what_was_validated(run):
    for record in tuned(seeds=[0]):
        module, names = load_network(Path(f"out/finetune/hue/{record['name']}.safetensors"))
        assert names == ["red", "green", "blue"]
        found = scored(module, hues("val"), Accuracy()).compute()
        assert found["top1"] == pytest.approx(record["val"])
        # a point per epoch, of what is trained by steps
        trained = record["head"]["name"] == "linear"
        assert (len(record["curve"]) > 1) == trained
        # hues are told even by random features
        assert trained or record["val"] > 60


def test_pretrained_backbones_are_taken_whole_under_a_new_head(run):
    [record] = tuned(inits=["posts"], heads={"logistic": {}}, seeds=[0])
    module, _ = load_network(Path(f"out/finetune/hue/{record['name']}.safetensors"))
    before, _ = load_network(Path("out/pretrain/posts/model.safetensors"))
    for (name, ours), theirs in zip(
        module.backbone.state_dict().items(), before.backbone.state_dict().values(), strict=True
    ):
        assert torch.equal(ours, theirs), name
    assert module.head.fc.out_features == 3 and before.head.fc.out_features == 7


def another(seed: int, index: int = 7) -> Path:
    """The weights of one more pretraining."""
    torch.manual_seed(index)
    sections = {"backbone": TINY, "objective": {"name": "hashtags"}, "head": {"name": "linear"}}
    file = Path(f"out/pretrain/posts/seeds/model-{seed}.safetensors")
    file.parent.mkdir(parents=True, exist_ok=True)
    save_network(file, network(**sections, classes=7), sections, list("abcdefg"))
    return file


def test_several_pretrainings_are_taken_in_turn(run, monkeypatch):
    one = tuned(heads={"logistic": {}}, seeds=[3, 4, 5])
    assert not any("pretraining" in record for record in one)
    first = written()
    second = another(seed=10, index=8), another(seed=9, index=9)
    order = ["out/pretrain/posts/model.safetensors", *map(str, reversed(second))]
    records = tuned(heads={"logistic": {}}, seeds=[3, 4, 5, 6])
    found = [record.get("pretraining") for record in records]
    assert found == [*order, order[0], None, None, None, None]
    for record, file in zip(records, [*order, order[0]], strict=False):
        module, _ = load_network(Path(f"out/finetune/hue/{record['name']}.safetensors"))
        before, _ = load_network(Path(file))
        theirs, ours = before.backbone.state_dict(), module.backbone.state_dict()
        assert all(torch.equal(value, theirs[key]) for key, value in ours.items())
    scratch = "tiny-scratch-logistic-6-4.safetensors"
    assert Path(f"out/finetune/hue/{scratch}").read_bytes() == first[scratch]


def test_weights_that_do_not_fit_are_an_error_that_lists_the_keys(run):
    pretrained(TINY | {"w_0": 24})
    with pytest.raises(ValueError, match=r"do not fit the network in \d+ keys \(.*weight"):
        tuned(inits=["posts"], heads={"linear": {}})


def test_an_unknown_target_is_told_with_those_there_are(run):
    with pytest.raises(ValueError, match="no labelled set 'birds': name one of hues, others"):
        tuned(data="targets/birds")


def test_several_numbers_of_labels(run):
    records = tuned(labels=[1, "all"], heads={"knn": {}}, inits=["posts"])
    found = [(record["labels"], record["seed"]) for record in records]
    assert found == [(1, 0), (1, 1), ("all", 0), ("all", 1)]
    assert {(r["labels"], r["fit"], r["held_out"]) for r in records} == {(1, 3, 0), ("all", 18, 6)}
    assert {(r["labels"], r["head"]["samples"]) for r in records} == {(1, 3), ("all", 24)}


def test_kept_features_are_those_of_the_network(run):
    module, _ = load_network(Path("out/pretrain/posts/model.safetensors"))
    rows = hues("train").some(torch.tensor([5, 0, 11]))
    calls, forward = [], module.backbone.forward
    module.backbone.forward = lambda inputs: calls.append(len(inputs)) or forward(inputs)
    for samples in (rows, rows, rows.some(torch.tensor([2, 1]))):
        kept = frozen.frozen_features(module, samples)
        fresh = predicted(module, samples, build("policies", {"name": "features"}))
        torch.testing.assert_close(kept, torch.cat([each["features"] for _, each, _ in fresh]))
    assert calls == [24, 3, 3, 2]  # the whole split once, else fresh
    with torch.no_grad():
        next(module.backbone.parameters()).mul_(1.5)
    changed = frozen.frozen_features(module, rows)
    larger = frozen.frozen_features(module, replace(rows, size=24))
    assert calls[4:] == [24, 24] and not torch.allclose(changed, larger)


def test_kept_features_do_not_outgrow_memory(run):
    rows = hues("val")
    module, _ = load_network(Path("out/pretrain/posts/model.safetensors"))
    for size in range(8, 8 + 2 * frozen.KEPT):
        frozen.frozen_features(module, replace(rows, size=size))
    assert len(frozen._kept) == frozen.KEPT


def test_probes_are_scored_as_the_network_predicts(run):
    train, val = hues("train"), hues("val")
    section = SECTION | {"backbone": TINY, "heads": HEADS, "metric": {"name": "accuracy"}}
    section |= {"weights": Path("out/pretrain/posts/model.safetensors"), "policy": PLAIN}
    for head, settings in (("logistic", {"l2": 0.1}), ("knn", {"k": 3})):
        arm = {"init": "posts", "head": head, "seed": 0}
        module = finetuning.fit_arm(train, section, arm, settings)
        measured = scored(module, val, Accuracy()).compute()["top1"]
        assert arm_score(module, val, section) == pytest.approx(measured)


def test_a_killed_stage_goes_on_with_the_same_result(run, monkeypatch):
    whole = tuned(heads={"linear": {}})
    files = written()
    shutil.rmtree(".tagdag")
    trained, count = finetuning.fit_arm, []

    def killed(*given, **named):
        count.append(1)
        # both settings tried for each init, and one seed done
        if len(count) == 6:
            raise KeyboardInterrupt
        return trained(*given, **named)

    monkeypatch.setattr(arms, "fit_arm", killed)
    with pytest.raises(KeyboardInterrupt):
        tuned(heads={"linear": {}})
    assert tuned(heads={"linear": {}}) == whole and len(count) == 6 + 3
    assert written() == files


def trainings(monkeypatch) -> list[tuple]:
    """The arms that are fitted from now on."""
    found, fit = [], finetuning.fit_arm

    def noted(samples, section, arm, *more, **named):
        found.append((arm["init"], arm["head"], arm["seed"]))
        return fit(samples, section, arm, *more, **named)

    monkeypatch.setattr(arms, "fit_arm", noted)
    return found


def test_a_later_run_trains_what_is_new_and_takes_the_rest_as_it_is(run, monkeypatch):
    fitted = trainings(monkeypatch)
    two = {"logistic": {}, "knn": {}}
    first = tuned(heads=two, inits=["posts"])
    files = written()
    fitted.clear()
    assert tuned(heads=two, inits=["posts"]) == first and not fitted
    # another head, init and seed: their own arms
    tuned(heads=two, inits=["posts", "scratch"])
    assert {init for init, _, _ in fitted} == {"scratch"}
    fitted.clear()
    tuned(heads=HEADS, inits=["posts"])
    assert {head for _, head, _ in fitted} == {"linear"}
    fitted.clear()
    tuned(heads=HEADS, inits=["posts"], seeds=[0, 1, 2])
    assert fitted == [("posts", head, 2) for head in HEADS]
    assert files.items() - written().items() == {("records.json", files["records.json"])}
    # a recipe is of the head that is trained by it
    fitted.clear()
    tuned(heads=HEADS, inits=["posts"], recipe=SECTION["recipe"] | {"batch": 6})
    assert {head for _, head, _ in fitted} == {"linear"}
    # what that run did not use is gone, so that the batch before trains once more
    fitted.clear()
    tuned(heads=HEADS, inits=["posts"])
    assert {head for _, head, _ in fitted} == {"linear"}


def test_the_arms_of_a_task_that_params_no_longer_name_are_dropped(run):
    tuned(heads={"knn": {}}, inits=["posts"])
    state = Path(".tagdag/state")
    mine = set(state.iterdir())
    (state / "finetune-gone.0123456789abcdef").mkdir()
    (state / "finetune-gone-training.0123456789abcdef").mkdir()
    (state / "pretrain-posts.0123456789abcdef").mkdir()
    tuned(heads={"knn": {}}, inits=["posts"])
    assert set(state.iterdir()) == mine | {state / "pretrain-posts.0123456789abcdef"}


def test_other_weights_train_the_arms_that_start_from_them(run, monkeypatch):
    tuned(heads={"knn": {}})
    fitted = trainings(monkeypatch)
    pretrained(TINY, seed=8)
    tuned(heads={"knn": {}})
    assert {init for init, _, _ in fitted} == {"posts"}


def written() -> dict[str, bytes]:
    """All files that the stage has made."""
    return {path.name: path.read_bytes() for path in Path("out/finetune/hue").iterdir()}


def test_side_by_side_gives_the_same_bytes_and_a_killed_process_is_replaced(run, monkeypatch):
    told = []
    monkeypatch.setattr(
        Run, "metrics", lambda self, values, step=0: told.append((values.get("loss"), step))
    )
    tuned()
    alone, metrics = written(), sorted(map(str, told))
    told.clear()
    shutil.rmtree(".tagdag")
    monkeypatch.setenv("TAGDAG_ARMS", "2")
    killed, ask = [], processes.Worker.ask

    def kill(worker, call, report):
        if len(killed) < 2:
            killed.append(worker.process.pid)
            worker.process.kill()
        return ask(worker, call, report)

    monkeypatch.setattr(processes.Worker, "ask", kill)
    tuned()
    assert len(set(killed)) == 2 and written() == alone and sorted(map(str, told)) == metrics
    assert not multiprocessing.active_children()


def test_a_fault_of_one_arm_ends_all_and_is_told(run, monkeypatch):
    monkeypatch.setenv("TAGDAG_ARMS", "2")
    with pytest.raises(ValueError, match="has 8 training images, fewer than"):
        tuned(labels=[9])
    assert not multiprocessing.active_children()


def test_another_resolution_and_a_frozen_stem_are_those_of_the_file(run):
    more = {"heads": {"linear": {}}, "inits": ["posts"], "seeds": [0], "grid": {}}
    tuned(**more, resolution=24, freeze="stem")
    file = Path("out/finetune/hue/posts-linear-6-0.safetensors")
    about = load_tensors(file)[1]
    assert (about["size"], about["tested"]) == (16, 24)
    chosen = chosen_weights(str(file), None, Path())
    assert (chosen.size, chosen.tested) == (16, 24)
    ours = load_network(file)[0].backbone
    theirs = load_network(Path("out/pretrain/posts/model.safetensors"))[0].backbone
    stems = ours.stem.state_dict().values(), theirs.stem.state_dict().values()
    assert all(torch.equal(*pair) for pair in zip(*stems, strict=True))
    assert not torch.equal(
        ours.stages[0][0].transform[0].weight, theirs.stages[0][0].transform[0].weight
    )
    whole = file.read_bytes()
    tuned(**more, resolution=24)
    assert file.read_bytes() != whole
