"""The study of data distillation: equal steps for all, and what its page tells."""

import yaml

from benchmarks.distillation import STUDY, TRAININGS, gains, kept


def test_all_trainings_have_equally_many_steps():
    overlay = yaml.safe_load(STUDY.recipe.read_text())
    images, tasks = overlay["drawn"]["images"][0], overlay["tasks"]
    made = overlay["materialise"]["distilled"]
    steps, warm = set(), set()
    for name in TRAININGS:
        task, labels = tasks[name], tasks[name]["labels"][0]
        # a task of generated labels has all images in an epoch
        whole = labels == "all" or task["data"].startswith("../")
        epoch = images * (1 if whole else labels) / task["recipe"]["batch"]
        steps.add(task["epochs"] * epoch)
        warm.add(task["recipe"]["warmup"] * epoch)
    assert len(steps) == len(warm) == 1
    # six to four in whole numbers, and from the weights that the teacher began with
    batch = tasks["both"]["recipe"]["batch"]
    assert made["share"] * batch == 4 and batch == 10 and made["mixing"] == "batch"
    assert tasks["both"]["inits"] == tasks["few"]["inits"] == [made["init"]]


def test_gains_are_paired_by_seed_and_told_as_found():
    seeds = {"few": [10.0, 20.0, 30.0], "both": [9.0, 19.0, 29.0], "whole": [40.0, 50.0, 60.0]}
    records = {name: {"by_seed": each, "headline": "ap"} for name, each in seeds.items()}
    worse, better = gains(records)
    assert "-1.0 points over a tenth of the labels (-1.0 to -1.0" in worse
    assert "+30.0 points" in better
    told = {"threshold": None, "average": 0.0, "wanted": 0, "found": 5, "kept": 0}
    told |= {"tied": 0, "images": 4, "none": 4}
    assert kept({"objects": {"0": told}})[-1] == "| 0 | 4 | 5 | no | 0 | 0 | 4 | 0.00 |"
