"""Which arms a task has: networks to be fine-tuned, by candidate, init, head, labels and seed."""

import itertools
from pathlib import Path
from typing import Any

from flows.running import settings

GROUP = ("candidate", "task", "init", "head", "labels")  # what is compared; seeds are averaged


def arm_run_name(arm: dict[str, Any]) -> str:
    """How files and runs of an arm are called."""
    # the name of a pretraining is that of a candidate too
    candidate = [arm["candidate"]] if arm["init"] == settings.SCRATCH else []
    # a group, for which values are chosen, has no seed
    values = [arm[key] for key in ("init", "head", "labels", "seed") if key in arm]
    return "-".join(map(str, [*candidate, *values]))


def pretrained_weights(training: str) -> list[Path]:
    """The weights of a pretraining, the first of its seeds first."""
    out = settings.OUT / "pretrain" / training
    others = (out / "seeds").glob("model-*.safetensors")
    # by number: as text, seed 10 comes before seed 2
    ordered = sorted(others, key=lambda file: int(file.stem.removeprefix("model-")))
    return [out / "model.safetensors", *ordered]


def groups_of(task: str, section: dict[str, Any]) -> list[dict[str, Any]]:
    """The arms of a task without their seeds: candidate by candidate, init by init."""
    groups = []
    for candidate in settings.task_candidates(section):
        inits = [init for init in section["inits"] if _starts(candidate, init, section)]
        for init, head, labels in itertools.product(inits, section["heads"], section["labels"]):
            groups.append(dict(zip(GROUP, (candidate, task, init, head, labels), strict=True)))
    return groups


def _starts(candidate: str, init: str, section: dict[str, Any]) -> bool:
    """Whether a candidate's network may start from an init."""
    if init == settings.SCRATCH:
        return True
    released = section.get("released") or {}
    if init in released:
        return released[init]["candidate"] == candidate
    return settings.named("pretrain", init)["candidate"] == candidate


def arm_of(group: dict[str, Any], place: int, seed: int) -> dict[str, Any]:
    """An arm of a group: its seed, and of several pretrainings the one whose turn it is."""
    arm = group | {"seed": seed}
    # of a file of weights there is one, as of none
    if group["init"] not in settings.load_params()["pretrain"]:
        return arm
    weights = pretrained_weights(group["init"])
    if len(weights) == 1:
        return arm
    return arm | {"pretraining": str(weights[place % len(weights)])}
