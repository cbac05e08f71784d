"""Stage search: networks of a design space within a band of costs, each trained briefly, and the
best of them.

Radosavovic et al. 2020 (arXiv 2003.13678), sections 3.1 and 3.2: draw networks at random, train
them in a low-epoch regime, look at the distribution of their errors, keep the best.
"""

from typing import Any

from flows.cli.command import main
from flows.running import settings
from flows.running.orchestrate import flow, progress
from flows.tracking.tracking import stage_run
from models.blocks.ranges import Count, Listed, Positive, Rising, Seed


@flow
def search(
    space: dict[str, Any],
    reference: dict[str, Any],
    objective: dict[str, Any],
    head: dict[str, Any],
    recipe: dict[str, Any],
    resampling: dict[str, Any],
    data: str = "hashtags",
    trials: Count | None = 12,
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
    """Sample a design space, train every network briefly, write trials, report and the winner's
    section.

    It ends with the first budget: `trials`, `hours` of training or `images` trained. `sampler`,
    `pruner`: classes of Optuna. `objectives`: error first of all, and costs or latency beside it.
    `latency_ms`: band of one image on this device. `warm_start`: folders of earlier searches, whose
    results the sampler learns from. `retrain`: {best, seeds, epochs}: so many of the best are
    trained again for each seed, and means decide. `data`: hashtags, or targets/<name>. The
    reference network is trained in the same regime and handed on as the baseline.
    flows/tools/searcher.py: workers.
    """
    section = dict(locals())
    from flows.searching import searching
    from flows.searching.crew import others
    from flows.searching.sweep import Search, sweep

    searching.checked(section)
    out = settings.OUT / "search"
    out.mkdir(parents=True, exist_ok=True)
    with others(searching.networks(section)) as crew, stage_run("search", section) as run:
        joined = Search.joined(section, run)
        searching.fits(settings.load()["candidates"], joined.backbone, reference)
        crew.begin(joined)
        with progress("search") as show:
            sweep(joined, show, crew.tend)
        joined.recorded()
        from flows.reports import searchfiles  # SciPy and matplotlib, which nothing before needs

        metrics, line = searchfiles.written(out, joined, section, run.origin)
        run.metrics(metrics)
        run.files(out)
        settings.forget("search")
        print(line)


if __name__ == "__main__":
    main(search)
