"""Stage finetune: the networks of a task on few labels, from pretrainings and from scratch.

Hyper-parameters are chosen as in Mahajan et al. 2018 (arXiv
1805.00932), section 3: on a held-out part of the training labels; the network is then trained again
on all of them.

Read in this order:

- flows/training/groups.py: which arms a task has,
- flows/training/arms.py: what an arm computes, and what of it is kept,
- engine/transfer/tuning.py: how values are chosen,
- engine/transfer/finetuning.py: how a network is fitted,
- engine/transfer/frozen.py: the features that linear probes and nearest neighbours rest on,
- flows/running/pool.py: the processes that arms are computed in.
"""

import json
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from corpus.progress import Progress
from engine.core.digest import digest
from flows.cli.command import main
from flows.data.intact import folder_of
from flows.data.made import data_files, labelled_set
from flows.running import settings
from flows.running.code import closure, code_files, plugins
from flows.running.orchestrate import flow, progress, task
from flows.running.pool import call_in_pool, map_in_pool, open_pool
from flows.running.runners import map_task, named_runner, task_runner
from flows.tracking.again import outage_settings
from flows.tracking.tracking import Run, stage_run
from flows.training.groups import arm_of, arm_run_name, groups_of, pretrained_weights
from models.blocks.ranges import (
    Fraction,
    Frozen,
    Labels,
    Listed,
    Pixels,
    Positive,
    Seed,
    Unique,
)

# by all arms of a task
SHARED = ("data", "objective", "recipe", "metric", "policy", "held_out", "epochs")
SHARED += ("freeze", "resolution")


def arm_section(group: dict[str, Any], section: dict[str, Any]) -> dict[str, Any]:
    """What the arms of a group are made from; `key` and `features`: of what is kept of them.

    Nothing of other candidates, inits and heads is in it: one more of them leaves these arms as
    they are, in this run and in later ones.
    """
    from engine.transfer.finetuning import head_section
    from engine.transfer.tuning import is_fitted
    from engine.transfer.weights import init_keys

    own = {name: section[name] for name in SHARED}
    own["backbone"] = settings.backbone_section(group["candidate"])
    own["heads"] = {group["head"]: section["heads"][group["head"]]}
    released = section["released"].get(group["init"])
    if released:
        own["released"] = init_keys(released)
        weights = [Path(released["file"])]
        _there(released, group["init"], own["backbone"])
    elif group["init"] == settings.SCRATCH:
        weights = []
    else:
        weights = pretrained_weights(group["init"])
    index = data_files(section["data"])
    # a head that is fitted knows no recipe
    fitted = is_fitted(head_section(own, group))
    aside = {"recipe", "epochs", "freeze"} if fitted else set()
    kept = {name: value for name, value in own.items() if name not in aside}
    own["key"] = digest(kept, *weights, *index, *code_files("finetune", own))
    # those of one backbone lie in one folder, for all heads: their files tell weights and images
    own["features"] = digest(*index, *code_files("finetune", {"backbone": own["backbone"]}))
    # by this the evaluation runs again where the code of a network has changed
    own["code"] = digest(*closure(plugins(own)))
    own["weights"] = weights[0] if weights else None
    # for the values, each of which has states of its own
    own |= {"grid": section["grid"], "heads": section["heads"]}
    return own


def _there(released: dict[str, Any], name: str, backbone: dict[str, Any]) -> None:
    """ValueError where a file of weights is missing, with what to fetch."""
    from engine.transfer.weights import check_section, init_keys

    where = f"released.{name}"
    check_section(init_keys(released), backbone, where)


@task(task_run_name="choose for {name}")
def choose_values(name: str, arm: dict[str, Any], section: dict[str, Any]) -> dict[str, Any]:
    """The hyper-parameters of an arm, with all scores.

    Those that an earlier run had reckoned are taken as they are.
    """
    from flows.training import arms

    found, key = arms.possible_values(section, arm), section["key"]
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
    out: Path,
    run: Run,
) -> dict[str, Any]:
    """Train and validate one arm, or take what an earlier run had finished; returns its record."""
    from flows.training import arms

    with run.child(name) as child:
        child.params(arm)
        child.tags(choice=json.dumps(choice))  # measured: another try may choose otherwise
        record, file = call_in_pool(
            arms.finish_arm, name, arm, choice, section, section["key"], report=child.metrics
        )
        # the kept file stays: neither a killed stage nor a later one trains an arm twice
        weights = out / f"{name}.safetensors"
        share_file(file, weights)
        child.metrics({"val": record["val"]})
        child.files(weights)
        # by this digest a registered version finds the run that wrote its weights
        child.tags(wrote=digest(weights))
    head = record.pop("built") | {"name": arm["head"]}
    return record | {"head": head, "code": section["code"]}


def share_file(file: Path, to: Path) -> None:
    """The same file at a second place, without its bytes twice on the disk where that goes."""
    to.unlink(missing_ok=True)
    try:
        to.hardlink_to(file)
    except OSError:  # another disk, or a file system without links
        shutil.copyfile(file, to)


def train_groups(
    groups: list[tuple[dict[str, Any], dict[str, Any]]],
    seeds: list[int],
    out: Path,
    run: Run,
    show: Progress,
) -> tuple[list[dict[str, Any]], list[Path]]:
    """The records of all arms: values are chosen for every group, then its seeds are trained.

    groups: each with its section. The states that a later run may take arms from are returned too.
    """
    from flows.training import arms

    total = len(groups) * (1 + len(seeds))
    first = []
    for group, section in groups:
        first.append((arm_run_name(group), arm_of(group, 0, seeds[0]), section))
    choices = map_task(
        choose_values, first, lambda done, name: show(done, total, f"choose for {name}")
    )
    given, kept = [], []
    for _, arm, section in first:
        values = arms.possible_values(section, arm)
        kept += [arms.arm_state("", arm, each, section["key"]) for each in values]
    for (group, section), choice in zip(groups, choices, strict=True):
        for place, seed in enumerate(seeds):
            arm = arm_of(group, place, seed)
            given.append((arm_run_name(arm), arm, choice, section, out, run))
            kept.append(arms.arm_state("", arm, choice, section["key"]))
    records = map_task(
        finetune_arm, given, lambda done, name: show(len(groups) + done, total, name)
    )
    show(total, total)
    return records, kept


def drop_arm_states(task: str, but: Collection[Path] = ()) -> None:
    """Drop the states of a task's arms, also of killed runs; but: what the next run may take.

    Those of tasks that params.yaml no longer names go too.
    """
    kept = {f"finetune-{name}" for name in (task, *settings.load_params()["tasks"])}
    working = {f"{name}-{kind}" for name in kept for kind in ("training", "features")}
    mine = {f"finetune-{task}-{kind}" for kind in ("training", "features")} - kept
    for state in (settings.STATE / "state").glob("finetune-*"):
        name = state.name.partition(".")[0]
        if name in mine or name not in kept | working:
            settings.drop_states(name)
    settings.drop_states(f"finetune-{task}", but)


@flow(flow_run_name="finetune@{task}", task_runner=task_runner)
def finetune(
    task: str,
    data: str,
    inits: Listed[str],
    heads: dict[str, dict[str, Any]],
    objective: dict[str, Any],
    recipe: dict[str, Any],
    grid: dict[str, Any],
    candidates: Unique[str] = [],  # noqa: B006 - read only
    labels: Listed[Labels] = [20],  # noqa: B006
    seeds: Listed[Seed] = [0, 1, 2],  # noqa: B006
    metric: dict[str, Any] = {"name": "accuracy"},  # noqa: B006
    policy: dict[str, Any] = {"name": "plain"},  # noqa: B006
    held_out: Fraction = 0.25,
    epochs: Positive = 40,
    released: dict[str, dict[str, Any]] = {},  # noqa: B006
    freeze: Frozen = None,
    resolution: Pixels | None = None,
) -> None:
    """Fine-tune networks for a task: every init, head, number of labels and seed.

    Writes weights and records. Each combination of the grid's values is tried once, with the first
    seed, on what `held_out` leaves of the labels, and scored on the rest; all seeds are then
    trained on all labels with the best. Several pretrainings (their `seeds`) are taken in turn,
    the first by the first seed: what seeds tell of chance is then theirs too, best with as many
    seeds as pretrainings. An arm that has been trained before is taken as it is.

    data: what is learnt: targets/<a labelled set>, or ../materialised/<a set> with the labels that
        networks gave.
    inits: names of the section `pretrain` or of `released`, and `scratch`: new weights, for the
        candidates of the others and for those that `candidates` names.
    heads: heads by name, each with its options: one with `fit` is fitted on frozen features, any
        other trained with the whole network.
    objective: what the network is trained to do.
    recipe: how it is optimised where it is trained whole.
    grid: lists of values to choose from: of any key of the recipe or of a head, for all arms or
        below the name of a head or an init, or below
        `pretrained`. Of equal scores the first wins.
    candidates: names of the section `candidates`, also without any pretraining.
    labels: how many are trained on, drawn by the seed: a number of each class, a share of the
        training samples, 0.1 for a tenth, or `all`. Of images that show several objects there is
        no number of each class.
    seeds: of the draw of labels, the new weights, the order and the views.
    metric: what values are chosen by, and networks compared by.
    policy: how a network is asked for predictions.
    held_out: share of the training labels on which these values are scored.
    epochs: passes over the labelled images.
    released: weights of others to start from, by the name that `inits` has for them, each
        {candidate, file, format, inflate}, the last for weights of images in a network of clips,
        repeat or centre. Nothing is downloaded.
    freeze: what of a backbone that is trained stays as it is: `stem`, a number of stages (the stem
        with them), or `but_norms`, all but the scales and shifts of norms. Norms of frozen stages
        keep their statistics.
    resolution: pixels that the images are resized to, for training and tests, where not those
        that they are stored with.
    """
    # before any other name is bound here: only the arguments
    section = dict(locals())
    folder_of(labelled_set(data).removeprefix("targets/"))
    groups = [(group, arm_section(group, section)) for group in groups_of(task, section)]
    out = settings.OUT / "finetune" / task
    out.mkdir(parents=True, exist_ok=True)
    with (
        # a task runner of Prefect's has processes of its own
        open_pool(not named_runner(), trains=True),
        stage_run(f"finetune@{task}", section) as run,
        progress(f"finetune {task}") as show,
    ):
        records, kept = train_groups(groups, seeds, out, run, show)
        (out / "records.json").write_text(json.dumps(records, indent=1) + "\n")
        run.files(out / "records.json")
    # after the end of the run, for which MLflow may be too long away: a repeat then takes all arms
    # as they are
    drop_arm_states(task, kept)


if __name__ == "__main__":
    main(finetune, "task")
