"""Stage pretrain: one candidate network on the hashtags (Mahajan et al. 2018, arXiv 1805.00932).

flows/learning.py says how it is trained.
"""

import json
from pathlib import Path
from typing import Any

from engine.build import options
from engine.digest import digest
from engine.training.recipe import Recipe
from flows import settings
from flows.code import code
from flows.command import main
from flows.orchestrate import flow, task
from flows.tracking import Run, stage_run
from models.blocks.ranges import Positive, Seed

HASHTAGS = settings.OUT / "corpus" / "hashtags"


def state(candidate: str, section: dict[str, Any]) -> Path:
    """Where the states of a candidate's training are kept."""
    return settings.state(f"pretrain-{candidate}", section, HASHTAGS / "index.parquet", *code("pretrain", section))


@task(task_run_name="train {candidate}", retries=1, retry_delay_seconds=5)
def weights(candidate: str, section: dict[str, Any], out: Path, run: Run) -> dict[str, float]:
    """Train, write the weights and the held-out hit rates."""
    from flows import learning

    kept, title = state(candidate, section), f"pretrain {candidate}"
    measured = learning.weights(section, kept, run, title, out / "model.safetensors")
    (out / "metrics.json").write_text(json.dumps(measured, indent=1) + "\n")
    settings.forget(f"pretrain-{candidate}")
    return measured


@flow(flow_run_name="pretrain@{candidate}")
def pretrain(
    candidate: str,
    objective: dict[str, Any],
    head: dict[str, Any],
    recipe: dict[str, Any],
    resampling: dict[str, Any],
    epochs: Positive = 10,
    seed: Seed = 0,
) -> None:
    """Train a candidate's backbone to predict hashtags; a run that was killed goes on from its last checkpoint."""
    section = dict(locals())
    section["backbone"] = settings.backbone(section.pop("candidate"))
    out = settings.OUT / "pretrain" / candidate
    with stage_run(f"pretrain@{candidate}", section) as run:
        measured = weights(candidate, section, out, run)
        run.metrics({f"val_{name}": value for name, value in measured.items()})
        run.files(out)
        run.tags(wrote=digest(out / "model.safetensors"))  # by which a registered version finds it
        print(f"pretrain@{candidate}: {Recipe(**options(Recipe, recipe, 'pretrain.recipe'))}")
        print(f"pretrain@{candidate}: held-out hit rate {measured['top1']:.1f} % (top-5 {measured['top5']:.1f} %)")


if __name__ == "__main__":
    main(pretrain, "candidate")
