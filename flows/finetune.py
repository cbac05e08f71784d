"""Stage finetune: a candidate's backbone on few labels of every target set.

Pretrained and from scratch. Hyper-parameters are chosen as in Mahajan et al. 2018 (arXiv
1805.00932), section 3: on a held-out part of the training labels; the network is then trained again
on all of them.

Read in this order:

- flows/training/arms.py: what an arm computes, and what of it is kept,
- engine/transfer/tuning.py: how values are chosen,
- engine/transfer/finetuning.py: what the modes do,
- engine/transfer/frozen.py: the features that linear probes and nearest neighbours rest on,
- flows/running/pool.py: the processes that arms are computed in.
"""

import itertools
import json
import shutil
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from corpus.progress import Progress
from engine.core.digest import digest
from flows.cli.command import main
from flows.data.intact import folder_of
from flows.running import settings
from flows.running.code import code_files
from flows.running.orchestrate import flow, progress, task
from flows.running.pool import call_in_pool, map_in_pool, open_pool
from flows.running.runners import map_task, named_runner, task_runner
from flows.tracking.again import outage_settings
from flows.tracking.tracking import Run, stage_run
from models.blocks.ranges import Count, Listed, Positive, Seed

GROUP = ("target", "init", "mode", "labels")  # what is compared; its seeds are averaged
SHARED = ("backbone", "weights", "objective", "head", "recipe", "grid", "held_out", "epochs")


def arm_run_name(arm: dict[str, Any]) -> str:
    """How files and runs of an arm are called."""
    # a group, for which values are chosen, has no seed
    return "-".join(str(arm[key]) for key in (*GROUP, "seed") if key in arm)


def pretrained_weights(candidate: str) -> list[Path]:
    """The weights of every pretraining of a candidate, the first of pretrain.seeds first."""
    out = settings.OUT / "pretrain" / candidate
    others = (out / "seeds").glob("model-*.safetensors")
    # by number: as text, seed 10 comes before seed 2
    ordered = sorted(others, key=lambda file: int(file.stem.removeprefix("model-")))
    return [out / "model.safetensors", *ordered]


def arm_of(group: dict[str, Any], place: int, seed: int, weights: list[Path]) -> dict[str, Any]:
    """An arm of a group: its seed, and of several pretrainings the one whose turn it is."""
    arm = group | {"seed": seed}
    if group["init"] != "pretrained" or len(weights) == 1:
        return arm
    return arm | {"pretraining": str(weights[place % len(weights)])}


@task(task_run_name="choose for {name}")
def choose_values(
    name: str, arm: dict[str, Any], section: dict[str, Any], key: str
) -> dict[str, Any]:
    """The hyper-parameters of an arm, with all scores.

    Those that a killed run had reckoned are taken as they are.
    """
    from flows.training import arms

    found = arms.possible_values(section, arm)
    # a single combination is taken without a score
    if len(found) > 1:
        map_in_pool(arms.score_values, [(arm, section, key, values) for values in found])
    # the scores are in files by now, from which the choice reads them
    return call_in_pool(arms.best_values, arm, section, key)


@task(task_run_name="{name}", late=outage_settings)
def finetune_arm(
    name: str,
    arm: dict[str, Any],
    choice: dict[str, Any],
    section: dict[str, Any],
    key: str,
    out: Path,
    run: Run,
) -> dict[str, Any]:
    """Train and validate one arm, or take what a killed run had finished; returns its record."""
    from flows.training import arms

    with run.child(name) as child:
        child.params(arm)
        child.tags(choice=json.dumps(choice))  # measured: another try may choose otherwise
        record, file = call_in_pool(
            arms.finish_arm, name, arm, choice, section, key, report=child.metrics
        )
        # the kept file stays until the stage has ended: a killed stage trains no arm twice
        shutil.copyfile(file, out / f"{name}.safetensors")
        child.metrics({"val_top1": record["val_top1"]})
        child.files(out / f"{name}.safetensors")
        # by this digest a registered version finds the run that wrote its weights
        child.tags(wrote=digest(out / f"{name}.safetensors"))
    return record


def train_groups(
    groups: list[dict[str, Any]],
    seeds: list[int],
    weights: list[Path],
    given: tuple[dict[str, Any], str],
    out: Path,
    run: Run,
    show: Progress,
) -> list[dict[str, Any]]:
    """The records of all arms: values are chosen for every group, then its seeds are trained.

    given: what all arms share, and the key of their states.
    """
    total = len(groups) * (1 + len(seeds))
    first = [(arm_run_name(group), arm_of(group, 0, seeds[0], weights)) for group in groups]
    choices = map_task(
        choose_values,
        [(*each, *given) for each in first],
        lambda done, name: show(done, total, f"choose for {name}"),
    )
    arms = []
    for group, choice in zip(groups, choices, strict=True):
        for place, seed in enumerate(seeds):
            arm = arm_of(group, place, seed, weights)
            arms.append((arm_run_name(arm), arm, choice, *given, out, run))
    records = map_task(finetune_arm, arms, lambda done, name: show(len(groups) + done, total, name))
    show(total, total)
    return records


def drop_arm_states(candidate: str) -> None:
    """Drop all states of a candidate's arms, also those of killed runs with other settings."""
    settings.drop_states(f"finetune-{candidate}")
    settings.drop_states(f"finetune-{candidate}-training")
    settings.drop_states(f"finetune-{candidate}-features")


@flow(flow_run_name="finetune@{candidate}", task_runner=task_runner)
def finetune(
    candidate: str,
    targets: Listed[str],
    head: dict[str, Any],
    objective: dict[str, Any],
    recipe: dict[str, Any],
    grid: dict[str, Any],
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.25,
    epochs: Positive = 40,
    labels_per_class: Listed[Count | Literal["all"]] = [20],  # noqa: B006 - read only
    inits: Listed[Literal["pretrained", "scratch"]] = ["pretrained", "scratch"],  # noqa: B006
    modes: Listed[Literal["full", "linear", "knn"]] = ["full", "linear", "knn"],  # noqa: B006
    seeds: Listed[Seed] = [0, 1, 2],  # noqa: B006
) -> None:
    """Fine-tune a candidate for every target, init, mode, number of labels and seed.

    Writes weights and records. Each combination of the grid's values is tried once, with the first
    seed, on what `held_out` leaves of the labels, and scored on the rest; all seeds are then
    trained on all labels with the best. Several pretrainings (pretrain.seeds) are taken in turn,
    the first by the first seed: what seeds tell of chance is then theirs too, best with as many
    seeds as pretrainings.

    targets: labelled sets.
    head: what stands on the backbone.
    objective: what the network is trained to do.
    recipe: how it is optimised in the mode `full`.
    grid: lists of values to choose from: of any key of the recipe (full), l2 (linear), k and
        temperature (knn), for all inits or under `pretrained`, `scratch`. Of equal scores the first
        wins.
    held_out: share of the training labels on which these values are scored.
    epochs: passes over the labelled images in the mode `full`.
    labels_per_class: how many are trained on, drawn by the seed; `all`: every one.
    inits: whether the backbone starts `pretrained` or from `scratch`.
    modes: `full` trains the whole network, `linear` fits logistic regression on frozen features,
        `knn` lets the nearest labelled images vote.
    seeds: of the draw of labels, the new weights, the order and the views.
    """
    # before any other name is bound here: only the arguments
    section = dict(locals())
    weights = pretrained_weights(candidate)
    section["weights"] = weights[0]
    section["backbone"] = settings.backbone_section(candidate)
    # without inits, modes, seeds and numbers of labels, which each arm names for itself: one more
    # of them leaves the states of the other arms as they are
    shared = {name: section[name] for name in SHARED}
    indices = [folder_of(target) / "index.parquet" for target in targets]
    # no section names the head of the mode knn: engine/transfer/finetuning.py puts it in
    used = code_files("finetune", section, "models.heads.knn")
    given = shared, digest(shared, *weights, *indices, *used)
    groups = []
    for values in itertools.product(targets, inits, modes, labels_per_class):
        groups.append({"candidate": candidate} | dict(zip(GROUP, values, strict=True)))
    out = settings.OUT / "finetune" / candidate
    out.mkdir(parents=True, exist_ok=True)
    with (
        # a task runner of Prefect's has processes of its own
        open_pool(not named_runner(), trains=True),
        stage_run(f"finetune@{candidate}", section) as run,
        progress(f"finetune {candidate}") as show,
    ):
        records = train_groups(groups, seeds, weights, given, out, run, show)
        (out / "records.json").write_text(json.dumps(records, indent=1) + "\n")
        run.files(out / "records.json")
    # after the end of the run, for which MLflow may be too long away: a repeat then takes all arms
    # as they are
    drop_arm_states(candidate)


if __name__ == "__main__":
    main(finetune, "candidate")
