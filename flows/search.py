"""Stage search: networks of a design space, each trained briefly, and the best of them.

Radosavovic et al. 2020 (arXiv 2003.13678), sections 3.1 and 3.2: draw networks at random, train
them in a low-epoch regime, look at the distribution of their errors, keep the best.

Read in this order:

- flows/searching/search.py: what is to be trained, until which budget,
- flows/searching/worker.py: what each worker does,
- flows/searching/trial.py: one network, measured and trained (flows/training/learning.py),
- flows/searching/study.py: who trains which one, whoever dies,
- flows/searching/samplers.py: which networks are suggested,
- flows/searching/ranking.py: who wins.
"""

from typing import Any

import yaml

from flows.cli.command import main
from flows.running import settings
from flows.running.orchestrate import flow, progress
from flows.tracking.tracking import stage_run
from models.blocks.ranges import Count, Listed, Positive, Rising, Seed, Whole


@flow
def search(
    space: dict[str, Any],
    reference: str,
    objective: dict[str, Any],
    head: dict[str, Any],
    recipe: dict[str, Any],
    resampling: dict[str, Any],
    data: str = "hashtags",
    trials: Whole | None = 12,
    hours: Positive | None = None,
    images: Count | None = None,
    epochs: Positive = 2,
    seed: Seed = 0,
    sampler: dict[str, Any] = {"name": "RandomSampler"},  # noqa: B006
    pruner: dict[str, Any] = {"name": "NopPruner"},  # noqa: B006
    objectives: Listed[str] = ["error"],  # noqa: B006
    latency_ms: Rising[Positive] | None = None,
    warm_start: list[str] = [],  # noqa: B006
    retrain: dict[str, Any] = {},  # noqa: B006
) -> None:
    """Sample a design space, train each network briefly, write trials, report and winner.

    It ends with the first budget that is used up: `trials`, `hours` or `images`. A search that is
    run again with a larger one goes on. More workers: flows/tools/searcher.py.

    space: the design space and its bands of costs.
    reference: file with the section of a backbone, which is trained in the same regime.
    objective: what the networks are trained to do.
    head: what stands on the backbone.
    recipe: how they are optimised.
    resampling: how often posts of rare hashtags are repeated.
    data: what they are trained on: hashtags, or targets/<name> with an objective for labels.
    trials: budget, in networks; 0: nothing is trained, and the reference stands for a winner.
    hours: budget, in hours of training.
    images: budget, in images trained on.
    epochs: epochs of each network.
    seed: of the draws, the weights and the order.
    sampler: a class of Optuna's that proposes networks.
    pruner: a class of Optuna's that stops poor networks early.
    objectives: what is minimised, error first of all, and costs or latency beside it; `objective`,
        the method that each network is trained by, is another thing.
    latency_ms: band of the latency of one image on this device, in milliseconds.
    warm_start: folders of earlier searches, whose results the sampler learns from.
    retrain: how many of the best are trained again, longer, for each of some seeds; means then
        decide.
    """
    # before any other name is bound here: only the arguments
    section = dict(locals()) | {"reference": settings.read_backbone(reference)}
    if trials == 0:
        skip_search(section["reference"])
        return
    from flows.searching import checks
    from flows.searching.clusters import search_workers
    from flows.searching.search import Search
    from flows.searching.worker import train_networks

    checks.check_search(section)
    out = settings.OUT / "search"
    out.mkdir(parents=True, exist_ok=True)
    most = checks.most_workers(section)
    # the other workers are started first: they import torch while the search is made ready
    with search_workers(most) as others, stage_run("search", section) as run:
        joined = Search.join(section, run)
        checks.check_winner(settings.load_params()["candidates"], joined.backbone)
        others.begin(joined)
        with progress("search") as show:
            train_networks(joined, show, others.poll)
        joined.log_reused()
        from flows.reports.search import files  # SciPy and matplotlib, which nothing before needs

        metrics, line = files.write(out, joined, section, run.origin)
        run.metrics(metrics)
        run.files(out)
        # last: a stage that is cut before has nothing to train again
        settings.drop_states("search")
        print(line)


def skip_search(reference: dict[str, Any]) -> None:
    """What the stages after find of a search that tries no network."""
    out = settings.OUT / "search"
    out.mkdir(parents=True, exist_ok=True)
    (out / "winner.yaml").write_text(yaml.safe_dump(reference, sort_keys=False))
    (out / "trials.jsonl").write_text("")
    print("search: of no trials, nothing is trained: the reference stands for a winner")


if __name__ == "__main__":
    main(search)
