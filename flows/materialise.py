"""Stage materialise: what the networks of a task say of other images, kept as a data set.

Self-training: the networks label posts, those that they are surest of join the labelled images
(Yalniz, Jégou, Chen, Paluri, Mahajan 2019, arXiv 1905.00546). Each seed's network labels for that
seed alone, so that an arm of the task that trains on both has seen no other labels than its own.
Of objects and maps of segments it is data distillation: the policy `transforms`, and `keep:
{instances: match}` (Radosavovic, Dollár, Girshick, Gkioxari, He 2018, arXiv 1712.04440).

Read in this order:

- flows/training/labelling.py: one network's labels,
- engine/inference/materialising.py: by which rule they are kept, and in which file,
- engine/inference/instances.py: which objects are,
- engine/core/materialised.py, engine/core/mixed.py: how they are joined to images, and mixed.
"""

import json
import shutil
from pathlib import Path
from typing import Any, Literal

from engine.core.digest import digest
from flows.cli.command import main
from flows.data.intact import checked_shards, named_set
from flows.data.made import SET, labelled_set
from flows.running import settings
from flows.running.code import code_files
from flows.running.orchestrate import flow, progress, task
from flows.running.pool import call_in_pool, open_pool
from flows.running.runners import map_task, named_runner, task_runner
from flows.tracking.tracking import stage_run
from models.blocks.ranges import Fraction, Labels

KIND = ("candidate", "init", "head", "labels")  # what a network is told by, but for its seed


def networks_of(section: dict[str, Any]) -> list[dict[str, Any]]:
    """The records of the arms whose networks are asked, a seed each; ValueError for none, or more.

    Of several that fit the section's init, head and labels it has to say which.
    """
    wanted = {key: section[key] for key in KIND if section[key]}
    file = settings.OUT / "finetune" / section["task"] / "records.json"
    arms = json.loads(file.read_text())
    fitting = [arm for arm in arms if wanted.items() <= _told(arm).items()]
    kinds = {" ".join(map(str, _told(arm).values())) for arm in fitting}
    if len(kinds) != 1:
        raise ValueError(
            f"materialise: of the models of {section['task']} ({', '.join(KIND)}) these fit "
            f"{wanted}: {'; '.join(sorted(kinds)) or 'none'}: name the one that is to be asked"
        )
    return fitting


def _told(arm: dict[str, Any]) -> dict[str, Any]:
    """What a network is told by, of the record of its arm."""
    return {key: arm[key] for key in KIND} | {"head": arm["head"]["name"]}


def told_of_files(files: dict[str, Path]) -> dict[str, Any]:
    """What the files of all seeds say of their objects: teachers, transforms, thresholds, counts.

    Nothing where they are of images that have a class each.
    """
    # torch, which --help need not wait for
    from engine.core.materialised import origin

    told = {seed: origin(file) for seed, file in files.items()}
    objects = {seed: each["objects"] for seed, each in told.items() if "objects" in each}
    if not objects:
        return {}
    teachers = {seed: each["weights"] for seed, each in told.items()}
    policy = next(iter(told.values()))["policy"]
    return {"policy": policy, "teachers": teachers, "objects": objects}


def objects_line(told: dict[str, Any]) -> str:
    """How many objects were kept, in words."""
    kept, wanted = told["kept"], told.get("wanted")
    short = f", {wanted} wanted" if wanted not in (None, kept) else ""
    tied = f", {told['tied']} of them at it" if told["tied"] > 1 else ""
    threshold = "no" if told["threshold"] is None else f"{told['threshold']:.4g}"
    return (
        f"{kept} of {told['found']} objects kept{short}, threshold {threshold}{tied}; "
        f"{told['none']} of {told['images']} images have none"
    )


@task(task_run_name="label by {name}")
def label_images(name: str, weights: Path, section: dict[str, Any], file: Path) -> int:
    """One network's labels in a file; how many. Those of an earlier run are taken as they are."""
    from flows.training import labelling

    return call_in_pool(labelling.label, weights, section, file)


@flow(flow_run_name="materialise@{name}", task_runner=task_runner)
def materialise(
    name: str,
    task: str,
    init: str,
    head: str,
    labels: Labels | None = None,
    candidate: str | None = None,
    of: str = "hashtags",
    policy: dict[str, Any] = {"name": "pseudo"},  # noqa: B006 - read only
    keep: dict[str, Any] = {},  # noqa: B006
    share: Fraction = 0.5,
    mixing: Literal["epoch", "batch"] = "epoch",
) -> None:
    """Have the networks of a task label images; a task trains on them as `../materialised/<name>`.

    task: of the section `tasks`: whose networks.
    init: which of them, by what they start from: a pretraining's name, or scratch.
    head: likewise, by the head's name.
    labels: likewise, by the number of labels of each class, or their share; where the task has
        several.
    candidate: likewise, by the candidate; where several start from scratch.
    of: the images: hashtags, or targets/<name>. Of them those of the split train.
    policy: how a network is asked.
    keep: the rule by which its answers are kept: `column`, `least`, `per_class`; of objects
        `instances`, `empty`.
    share: of an epoch on both, the part that is of these images; 0.4 in data distillation.
    mixing: where this share holds: in an epoch, whose order is random; or in every batch.
    """
    # before any other name is bound here: only the arguments
    section = dict(locals())
    arms = networks_of(section)
    data = settings.named("tasks", task)["data"]
    labelled = labelled_set(data)
    index = checked_shards(named_set(of)) / "index.parquet"
    out = settings.OUT / "materialised" / name
    given = []
    for arm in arms:
        weights = settings.OUT / "finetune" / task / f"{arm['name']}.safetensors"
        asked = {"of": of, "policy": policy, "keep": keep}
        known = []
        if keep.get("instances") or of == labelled:
            # whose objects are counted, and who is not to be labelled by a network that knows it
            known = [named_set(labelled) / "index.parquet"]
            objective = settings.named("tasks", task)["objective"]
            whose = {"labels": arm["labels"], "seed": arm["seed"]}
            asked["labelled"] = {"data": labelled, "objective": objective, **whose}
        # the digest of weights, policy, rule, images and code: another run with the same takes it
        key = digest(asked, weights, index, *known, *code_files("materialise", asked))
        file = settings.STATE / "state" / f"materialise-{name}.{key}.parquet"
        given.append((arm["name"], weights, asked, file))
    with (
        open_pool(not named_runner()),
        stage_run(f"materialise@{name}", section) as run,
        progress(f"materialise {name}") as show,
    ):
        counts = map_task(label_images, given, lambda done, each: show(done, len(arms), each))
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        for arm, (_, _, _, file) in zip(arms, given, strict=True):
            shutil.copyfile(file, out / f"seed-{arm['seed']}.parquet")
        kept = {str(arm["seed"]): count for arm, count in zip(arms, counts, strict=True)}
        about = {"labelled": labelled, "of": of, "share": share, "kept": kept}
        about |= {"mixing": mixing} if mixing != "epoch" else {}
        about |= told_of_files(dict(zip(kept, [file for *_, file in given], strict=True)))
        # the labelled images belong to it: where they change it is another data set
        about["index"] = digest(named_set(labelled) / "index.parquet")
        (out / SET).write_text(json.dumps(about, indent=1) + "\n")
        run.metrics({"kept_mean": sum(counts) / len(counts)})
        run.files(out)
        print(f"materialise@{name}: {min(counts)} to {max(counts)} images of {of} labelled")
        for seed, told in about.get("objects", {}).items():
            print(f"materialise@{name}: seed {seed}: {objects_line(told)}")
    settings.drop_states(f"materialise-{name}", [file for *_, file in given])


if __name__ == "__main__":
    main(materialise, "name")
