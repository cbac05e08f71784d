"""Which arms a task has: candidate by candidate, those of its inits; scratch for each of them."""

import pytest

from flows.running import settings
from flows.training.groups import arm_of, arm_run_name, groups_of
from tests.support import params
from tests.support.networks import TINY

LARGER = TINY | {"depth": 4}
TASK = {"heads": {"linear": {}, "knn": {}}, "labels": [5]}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Three candidates, two of which have pretrainings: one has two."""
    monkeypatch.chdir(tmp_path)
    backbones = {"plain": TINY, "large": LARGER, "spare": TINY}
    trainings = {"plain-tags": "plain", "plain-turned": "plain", "large-tags": "large"}
    params.named(backbones, trainings)


def told(inits: list[str], candidates: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """(candidate, init) of a task's arms, in their order."""
    section = TASK | {"inits": inits, "candidates": list(candidates)}
    found = [(group["candidate"], group["init"]) for group in groups_of("task", section)]
    assert found[::2] == found[1::2], "of both heads"
    return found[::2]


def test_scratch_stands_for_the_candidates_of_the_other_inits():
    both = [("plain", "plain-tags"), ("plain", "scratch")]
    assert told(["plain-tags", "scratch"]) == both
    assert told(["scratch", "plain-tags"]) == both[::-1]
    assert told(["large-tags", "plain-turned", "scratch"]) == [
        ("plain", "plain-turned"),
        ("plain", "scratch"),
        ("large", "large-tags"),
        ("large", "scratch"),
    ], "in the order of `candidates`, and of `inits`"
    assert told(["plain-tags"]) == both[:1]


def test_a_task_may_name_candidates_that_have_no_pretraining():
    assert told(["plain-tags", "scratch"], ("spare",)) == [
        ("plain", "plain-tags"),
        ("plain", "scratch"),
        ("spare", "scratch"),
    ]
    assert told(["scratch"], ("spare",)) == [("spare", "scratch")]
    every = [("plain", "scratch"), ("large", "scratch"), ("spare", "scratch")]
    assert told(["scratch"]) == every, "of none that is named, all"


def test_names_of_arms_are_apart():
    section = TASK | {"inits": ["plain-tags", "large-tags", "scratch"], "candidates": []}
    groups = groups_of("task", section)
    names = [arm_run_name(group) for group in groups]
    assert names[:2] == ["plain-tags-linear-5", "plain-tags-knn-5"]
    assert names[2:4] == ["plain-scratch-linear-5", "plain-scratch-knn-5"]
    assert len(set(names)) == len(groups) == 8


def test_seeds_take_several_pretrainings_in_turn():
    folder = settings.OUT / "pretrain" / "plain-tags"
    (folder / "seeds").mkdir(parents=True)
    group = {"candidate": "plain", "init": "plain-tags"}
    (folder / "model.safetensors").touch()
    assert arm_of(group, 1, 7) == group | {"seed": 7}
    for seed in (10, 2):
        (folder / "seeds" / f"model-{seed}.safetensors").touch()
    taken = [arm_of(group, place, 0)["pretraining"] for place in range(4)]
    # by number: as text, 10 comes before 2
    assert [file.rpartition("/")[2] for file in taken] == [
        "model.safetensors",
        "model-2.safetensors",
        "model-10.safetensors",
        "model.safetensors",
    ]
    assert arm_of(group | {"init": "scratch"}, 1, 7) == group | {"init": "scratch", "seed": 7}


def test_a_network_of_another_kind_than_params_say_is_told():
    (settings.PARAMS.parent / "candidates/plain.yaml").write_text("name: resnet\n")
    fault = r"candidates.plain.backbone is regnet, and candidates/plain.yaml a resnet: write that"
    with pytest.raises(ValueError, match=fault):
        settings.backbone_section("plain")
