"""Data distillation without its stages: a network labels images, and another learns from them."""

import json

import pytest
import torch

from corpus.drawn.objects import draw_objects
from corpus.reading.sampler import seeded
from engine.core.digest import digest
from engine.core.materialised import materialised, origin
from engine.core.network import network, save_network
from engine.transfer.finetuning import fit_arm
from flows.data.made import SET
from flows.materialise import objects_line, told_of_files
from flows.training.arms import few_labels, with_pseudo
from flows.training.labelling import label
from models.blocks.augment.draws import Draws
from tests.corpus.test_objects import OPTIONS, posts
from tests.support.corpora import build_with
from tests.support.networks import TINY
from tests.support.scenes import head_section

HEADS = {"detection": "faster_rcnn", "instances": "mask_rcnn", "panoptic": "panoptic_fpn"}
POLICY = {"name": "transforms", "scales": [0.5, 1.0], "least_area": 0, "most": 20}
RECIPE = {"batch": 5, "rate": 0.01, "warmup": 0}
ARM = {"task": "few", "init": "scratch", "head": "own", "labels": 0.25, "seed": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a corpus of 16 training images, as boxes and as maps."""
    top = tmp_path_factory.mktemp("distilled")
    for kind, name in (("boxes", "things"), ("panoptic", "maps")):
        draw_objects(top / "data/targets" / name, kind, (16, 1, 1), size=48)
    posts(top / "data")
    build_with(top / "data", top / "out/corpus", top / "cache", size=48, **OPTIONS)
    return top


@pytest.mark.parametrize("objective", HEADS)
def test_a_network_labels_other_images_and_a_task_learns_from_both(objective, folder, monkeypatch):
    monkeypatch.chdir(folder)
    panoptic = objective == "panoptic"
    of = f"targets/{'maps' if panoptic else 'things'}"
    made = {"name": objective, "canvas": 64}
    section = {"data": of, "objective": made, "recipe": RECIPE, "epochs": 1, "freeze": None}
    learnt = few_labels(ARM, section)
    names = learnt.shards.classes
    head = head_section(HEADS[objective])
    head |= {} if panoptic else {"least_score": 0.0}
    if panoptic:
        head["things"] = [name for name in names if name not in ("sky", "water", "grass", "sand")]
    torch.manual_seed(0)
    module = network(TINY, made, head, classes=len(names), names=names)
    built = {"backbone": TINY, "objective": made, "head": head}
    weights = folder / f"{objective}.safetensors"
    save_network(weights, module, built, names)
    labelled = {"data": of, "objective": made, "labels": 0.25, "seed": 3}
    keep = {"least": 0.0} if panoptic else {"instances": "match"}
    asked = {"of": of, "policy": POLICY, "keep": keep, "labelled": labelled}
    out = folder / "out/materialised" / objective
    assert label(weights, asked, out / "seed-3.parquet") == 12
    ids, columns, _ = materialised(out / "seed-3.parquet")
    # none of the images that it has learnt from
    assert len(learnt) == 4 and not {*ids} & {*learnt.ids(torch.arange(4))}
    assert origin(out / "seed-3.parquet")["weights"] == digest(weights)
    told = told_of_files({"3": out / "seed-3.parquet"})
    if not panoptic:
        kept = told["objects"]["3"]
        own = torch.cat(learnt.column("box_crowd"))
        assert kept["average"] == int((~own).sum()) / 4 and kept["images"] == 12
        assert abs(kept["kept"] - kept["wanted"]) < max(1, kept["tied"])
        assert told["policy"] == POLICY and told["teachers"] == {"3": digest(weights)}
        assert f"{kept['kept']} of {kept['found']} objects kept" in objects_line(kept)
        assert sum(columns["boxes"].counts()) == kept["kept"]
    about = {"labelled": of, "of": of, "share": 0.4, "mixing": "batch", "kept": {"3": 12}}
    (out / SET).write_text(json.dumps(about))
    both = section | {"data": f"../materialised/{objective}"}
    mixed = with_pseudo(few_labels(ARM, both), ARM, both)
    batch = mixed.read(torch.tensor([0, 5, 9]), Draws(seeded(1), 0, 3))
    assert batch.keys() == learnt.reads.keys()
    # every batch of five has three labelled ones and two of the others
    counts = (mixed.draw_list(seeded(0)).view(-1)[:15].view(3, 5) < 4).sum(1)
    assert counts.tolist() == [3, 3, 3]
    heads = {"own": {key: value for key, value in head.items() if key != "name"}}
    taught = both | {"backbone": TINY, "heads": {head["name"]: heads["own"]}, "weights": None}
    student = fit_arm(mixed, taught, ARM | {"head": head["name"]}, {})
    assert all(torch.isfinite(tensor).all() for tensor in student.state_dict().values())
