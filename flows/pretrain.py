"""Stage pretrain: a candidate's network trained by any objective, on posts or on labelled images.

The hashtags of posts are what Mahajan et al. 2018 (arXiv 1805.00932) pretrain on.

Read in this order, each from top to bottom:

- flows/training/learning.py: a network trained, from its last state on, and measured,
- engine/core/network.py: the network out of its sections of params.yaml,
- engine/training/recipe.py: the learning-rate rule and its schedules,
- engine/training/schedule.py: what the recipe comes to on the data: steps, order and rates,
- engine/training/loop.py: the training loop,
- engine/training/step.py: one step of it,
- engine/training/loader.py: the batches that it takes.
"""

import json
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from engine.core.build import build, options
from engine.core.digest import digest
from engine.training.recipe import Recipe
from flows.cli.command import main
from flows.running import settings
from flows.running.code import code_files
from flows.running.orchestrate import flow, task
from flows.tracking.again import outage_settings
from flows.tracking.tracking import Run, stage_run
from models.blocks.ranges import Pixels, Positive, Seed, Unique

CORPUS = settings.OUT / "corpus"
NATURAL = {"rule": "natural", "length": 1}  # each post once an epoch
# of a section, what the weights do not follow from: names, and how they are measured
NAMES = ("training", "candidate", "section", "metric", "monitor")


def section_of(arguments: dict[str, Any]) -> dict[str, Any]:
    """What the weights of a training follow from, out of the arguments of the stage."""
    own = {key: value for key, value in arguments.items() if key not in NAMES}
    own["resampling"] = own["resampling"] or NATURAL
    return own | {"backbone": settings.backbone_section(arguments["candidate"])}


def state_of(training: str, section: dict[str, Any]) -> Path:
    """Where the states of a training are kept."""
    return settings.state_path(
        f"pretrain-{training}",
        section,
        CORPUS / section["data"] / "index.parquet",
        *code_files("pretrain", section),
        # by its content: another file of the name is another start
        *([Path(section["init"]["file"])] if section.get("init") else []),
    )


def trainings(section: dict[str, Any]) -> list[dict[str, Any]]:
    """A section for each seed of a stage's: `seeds` where it lists any, else `seed`."""
    seeds = section["seeds"] or [section["seed"]]
    # without the list: one more seed leaves the states and weights of the others as they are
    own = {key: value for key, value in section.items() if key != "seeds"}
    return [own | {"seed": seed} for seed in seeds]


def weight_files(training: str, seeds: list[int]) -> list[Path]:
    """The weights of each seed: those of the first are the model, the others lie in `seeds`."""
    out = settings.OUT / "pretrain" / training
    others = [out / "seeds" / f"model-{seed}.safetensors" for seed in seeds[1:]]
    return [out / "model.safetensors", *others]


def training_title(training: str, section: dict[str, Any], parts: list[dict[str, Any]]) -> str:
    """What a training is called where it is shown."""
    return f"pretrain {training}{_which_seed(section, parts)}"


def _which_seed(section: dict[str, Any], parts: list[dict[str, Any]]) -> str:
    """What tells a training from the others of its stage; empty where it is the only one."""
    return f", seed {section['seed']}" if len(parts) > 1 else ""


@task(task_run_name="train {name}", late=outage_settings)
def train_weights(
    name: str,
    training: str,
    section: dict[str, Any],
    file: Path,
    run: Run,
    metric: dict[str, Any],
    monitor: dict[str, Any] | None = None,
) -> dict[str, float]:
    """Train, write weights and learning curve; what the metric tells of the samples held out."""
    from flows.training import learning
    from flows.training.monitoring import Monitoring

    state = state_of(training, section)
    if monitor is None:
        return learning.write_weights(section, state, run, name, file, metric)
    watch = Monitoring(monitor, section, state, run, name)
    found = learning.write_weights(section, state, run, name, file, metric, watch)
    watch.write(file.with_name(file.stem.replace("model", "monitor") + ".csv"))
    return found


def train_all(
    training: str,
    parts: list[dict[str, Any]],
    metric: dict[str, Any],
    run: Run,
    monitor: dict[str, Any] | None = None,
) -> list[dict[str, float]]:
    """What is measured of every training; of several each has a run below the stage's."""
    found, shown = [], build("metrics", metric)
    seeds = [part["seed"] for part in parts]
    for section, file in zip(parts, weight_files(training, seeds), strict=True):
        below = run.child(f"seed {section['seed']}") if len(parts) > 1 else nullcontext(run)
        with below as own:
            name = training_title(training, section, parts)
            measured = train_weights(name, training, section, file, own, metric, monitor)
            own.metrics({f"val_{key}": value for key, value in measured.items()})
            # flows/registry/sourcerun.py finds the run that wrote a version's weights by this
            own.tags(wrote=digest(file))
        number = f"{shown.headline} {measured[shown.headline]:.4g} {shown.unit}".strip()
        print(f"pretrain@{training}{_which_seed(section, parts)}: held out, {number}")
        found.append(measured)
    return found


def renew_seeds_folder(folder: Path, listed: list[int]) -> None:
    """An empty folder for the weights of the other trainings, but for the list of the seeds."""
    # DVC has done so, `python -m flows.pretrain` has not: the fine-tuning takes all that lie there
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    # dvc.yaml names the folder, also where there is one seed; with a file in it, as DVC warns of an
    # empty output every time
    (folder / "seeds.json").write_text(json.dumps(listed) + "\n")


@flow(flow_run_name="pretrain@{training}")
def pretrain(
    training: str,
    candidate: str,
    backbone: str,
    section: str,
    objective: dict[str, Any],
    head: dict[str, Any],
    recipe: dict[str, Any],
    data: str = "hashtags",
    resampling: dict[str, Any] = {},  # noqa: B006 - read only
    metric: dict[str, Any] = {"name": "accuracy"},  # noqa: B006
    epochs: Positive = 10,
    seed: Seed = 0,
    seeds: Unique[Seed] = [],  # noqa: B006
    init: dict[str, Any] | None = None,
    resolution: Pixels | None = None,
    monitor: dict[str, Any] | None = None,
) -> None:
    """Train a candidate's network; a killed run goes on from its last state.

    candidate: of the section `candidates`: the network.
    backbone: the kind of that network, as `candidates` has it: dvc.yaml makes a dependency of it.
    section: the file of that network, likewise.
    objective: what the network is trained to do.
    head: what stands on the backbone.
    recipe: how it is optimised.
    data: what it is trained on: hashtags, or targets/<name>.
    resampling: how often posts of rare hashtags are repeated; not at all where it is left out.
    metric: what it is measured by on the images held out.
    epochs: passes over the training list.
    seed: of the weights, the order and the views.
    seeds: several pretrainings in the place of one with `seed`. The fine-tuning takes them in turn,
        and its intervals then hold what another pretraining would have given.
    init: weights that its backbone starts from, of another's release: {file, format,
        inflate}, the last for weights of images in a network of clips, repeat or centre. Nothing is
        downloaded.
    resolution: pixels that the images are resized to, where not those that they are stored with.
    monitor: what is measured after epochs, beside the loss; nothing where it is left out.
    """
    # before any other name is bound here: only the arguments
    whole = section_of(dict(locals()))
    parts, out = trainings(whole), settings.OUT / "pretrain" / training
    listed = [part["seed"] for part in parts]
    renew_seeds_folder(out / "seeds", listed)
    # named as flows/tools/worker.py names it: what that logs is of the same run
    with stage_run(f"pretrain@{training}", whole if seeds else parts[0]) as run:
        where = f"pretrain.{training}.recipe"
        print(f"pretrain@{training}: {Recipe(**options(Recipe, recipe, where))}")
        found = train_all(training, parts, metric, run, monitor)
        metrics = dict(found[0])
        if len(parts) > 1:
            metrics |= {f"seed {seed}": rates for seed, rates in zip(listed, found, strict=True)}
        (out / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
        run.files(out)
        settings.drop_states(f"pretrain-{training}")


if __name__ == "__main__":
    main(pretrain, "training")
