"""What an arm of the fine-tuning computes: scores of its values, its network, its record.

An arm is {candidate, task, init, head, labels, seed}; the section is its task's, with the backbone
of its candidate, the weights of its init and the key of the features that arms share. All of this
runs in the processes of flows/running/pool.py: functions of plain values, whose results are kept in
files that a killed run finds again.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from corpus.reading.sampler import FEW_LABELS, HELD_OUT, seeded
from engine.core import checkpoint
from engine.core.build import plugin
from engine.core.materialised import joined_by_id
from engine.core.mixed import Mixed
from engine.core.network import columns_read, save_network
from engine.core.samples import Rows, few_per_class, open_split
from engine.training.checkpoints import Checkpoints
from engine.training.meter import Diverged
from engine.training.predicting import PLAIN, metric_of
from engine.transfer import frozen
from engine.transfer.finetuning import arm_score, arm_sections, fit_arm, head_section
from engine.transfer.tuning import choose_settings, combinations, hold_out
from flows.data.made import is_made, labelled_set, made_folder, made_set
from flows.running import settings

POINTS = 60  # of a learning curve, which is kept with the record of its arm


# 3 and, below, 4: streams of the seed apart from those of the training, whose order is (seed, 1,
# ...) and whose views are (seed, 2, ...)
def few_labels(arm: dict[str, Any], section: dict[str, Any]) -> Rows:
    """The labelled training samples of an arm."""
    generator = seeded(arm["seed"], FEW_LABELS)
    return few_per_class(split_of(section, "train"), target_of(section), arm["labels"], generator)


def with_pseudo(labelled: Rows, arm: dict[str, Any], section: dict[str, Any]) -> Rows | Mixed:
    """The samples that an arm trains on: with those that a network labelled, where data has such.

    ValueError where there are none of the arm's seed.
    """
    data = section["data"]
    if not is_made(data):
        return labelled
    about, file = made_set(data), made_folder(data) / f"seed-{arm['seed']}.parquet"
    if not file.is_file():
        raise ValueError(
            f"{data} has no labels of seed {arm['seed']} (seeds: {', '.join(about['kept'])}): take "
            "the seeds of the task whose networks gave them"
        )
    posts = open_split(settings.OUT / "corpus" / about["of"], "train")
    joined = joined_by_id(Rows(posts, {}, size=labelled.size), file, labelled.reads)
    shares = [1 - about["share"], about["share"]]
    return Mixed([labelled, joined], shares, about.get("mixing", "epoch"))


def split_of(section: dict[str, Any], split: str) -> Rows:
    """A split of the task's labelled set, as its objective reads it."""
    # not `checked_shards`, which looks whether its files are sound: the flow has done so, for all
    # processes
    folder = settings.OUT / "corpus" / labelled_set(section["data"])
    columns = columns_read(section["objective"])
    return Rows(open_split(folder, split), columns, size=section.get("resolution"))


def target_of(section: dict[str, Any]) -> str:
    """The column that the task's objective predicts."""
    return plugin("objectives", section["objective"]["name"], "objective").target


def held_parts(arm: dict[str, Any], section: dict[str, Any]) -> tuple[Rows, Rows]:
    """(to fit on, held out) of an arm's training samples, while values are chosen."""
    given = target_of(section), section["held_out"], seeded(arm["seed"], HELD_OUT)
    return hold_out(few_labels(arm, section), *given)


def arm_state(kind: str, arm: dict[str, Any], *more: Any) -> Path:
    """Where something about an arm is kept until the stage has ended."""
    return settings.state_path(f"finetune-{arm['task']}{kind}", arm, *more)


def from_weights(section: dict[str, Any], arm: dict[str, Any]) -> dict[str, Any]:
    """The section with the weights of this arm's pretraining, where there are several."""
    return section | {"weights": Path(arm["pretraining"])} if "pretraining" in arm else section


def share_features(arm: dict[str, Any], key: str) -> None:
    """All processes of the stage share the features of frozen backbones."""
    # in every call: it may come to a process that has just taken the place of a dead one
    frozen.keep_in(settings.STATE / "state" / f"finetune-{arm['task']}-features.{key}")


def possible_values(section: dict[str, Any], arm: dict[str, Any]) -> list[dict[str, Any]]:
    """The hyper-parameters that an arm has to choose from."""
    heads = {name: head_section(section, {"head": name}) for name in section["heads"]}
    return combinations(section["grid"], arm["init"], arm["head"], heads)


def score_values(
    arm: dict[str, Any], section: dict[str, Any], key: str, each: dict[str, Any]
) -> dict[str, Any]:
    """{"score"}, the task's metric on held-out labels with these hyper-parameters; kept.

    {"diverged": why} where the training did.
    """
    known = arm_state("", arm, each, key) / "score.safetensors"
    if not known.exists():
        share_features(arm, section["features"])
        fit, held = held_parts(arm, section)
        if not len(held):
            return {}  # no class has a label to spare: `choose` asks for no score
        training = arm_state("-training", arm, each, key)
        try:
            fit = with_pseudo(fit, arm, section)
            module = fit_arm(fit, from_weights(section, arm), arm, each, state=training)
            found = {"score": arm_score(module, held, section)}
        except Diverged as error:
            # kept as a score is: a repeat would only diverge again
            found = {"diverged": str(error)}
        checkpoint.save_tensors(known, {}, found)
        shutil.rmtree(training, ignore_errors=True)
    return checkpoint.load_tensors(known)[1]


def best_values(arm: dict[str, Any], section: dict[str, Any], key: str) -> dict[str, Any]:
    """The hyper-parameters of an arm by the scores that are kept, with all of these."""

    def kept(each: dict[str, Any], fit: Rows, held: Rows) -> float:
        found = score_values(arm, section, key, each)
        if "diverged" in found:
            raise Diverged(found["diverged"])
        return found["score"]

    parts, higher = held_parts(arm, section), metric_of(section).higher
    return choose_settings(possible_values(section, arm), parts, kept, higher)


def learning_curve(state: Path, points: int = POINTS) -> list[list[float]]:
    """[step, mean loss] of a training at so many of its steps at most; none where none was kept.

    state: its checkpoints, the last of which has the whole curve.
    """
    found = Checkpoints(state).newest() if state.is_dir() else None
    rows = np.array(found[1]["curve"] if found else [], float).reshape(-1, 3)[:, :2]
    if not len(rows):
        return []
    parts = np.array_split(rows, min(points, len(rows)))
    return np.array([part.mean(0) for part in parts]).round(6).tolist()


def finish_arm(
    name: str,
    arm: dict[str, Any],
    choice: dict[str, Any],
    section: dict[str, Any],
    key: str,
    report: Callable[[dict[str, float], int], None],
) -> tuple[dict[str, Any], Path]:
    """Record and file of an arm's network: trained on all its labels, validated, kept."""
    file = arm_state("", arm, choice, key) / "finished.safetensors"
    if not file.exists():
        share_features(arm, section["features"])
        samples = with_pseudo(few_labels(arm, section), arm, section)
        training = arm_state("-training", arm, choice, key)
        given = from_weights(section, arm), arm, choice["chosen"], report, training
        module = fit_arm(samples, *given)
        validation = arm_score(module, split_of(section, "val"), section)
        built = arm_sections(section, arm, choice["chosen"], len(samples))
        record = arm | choice | {"name": name, "built": built["head"], "val": validation}
        record["curve"] = learning_curve(training)
        # the record in the file of the weights: a kill leaves both or neither
        shards = split_of(section, "train").shards
        about = {"record": record, "size": shards.size}
        if shards.frame_rate:  # of videos, of which several clips are asked for
            about |= {"frame_rate": shards.frame_rate, "policy": section.get("policy", PLAIN)}
        if getattr(module, "scenes", False):  # a policy may make what is told of what is found
            about["policy"] = section.get("policy", PLAIN)
        if section.get("resolution"):
            about["tested"] = section["resolution"]
        save_network(file, module, built, samples.shards.classes, **about)
        shutil.rmtree(training, ignore_errors=True)  # others may be in training at the same time
    return checkpoint.load_tensors(file)[1]["record"], file
