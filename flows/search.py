"""Stage search: networks of a design space within a flop band, each trained briefly on the hashtags.

Radosavovic et al. 2020 (arXiv 2003.13678), sections 3.1 and 3.2: draw networks at random, train them in a low-epoch
regime, look at the distribution of their errors, keep the best.
"""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from engine.build import build
from engine.complexity import measure
from engine.statistics import edf
from flows import settings
from flows.command import main
from flows.orchestrate import flow, progress, task
from flows.pretrain import HASHTAGS, fit, hit_rate
from flows.tracking import Run, stage_run


def drawn(space: Any, trials: int, seed: int) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """(Optuna params, backbone section) of `trials` networks of the space and its flop band; others are rejected."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    found: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for _ in range(4000 * trials):
        trial = study.ask()
        section = space.sample(trial)
        if space.contains(section) and section not in [s for _, s in found]:
            found.append((trial.params, section))
        if len(found) == trials:
            return found
    raise ValueError(f"search.space: {len(found)} of {trials} networks lie in the flop band: widen flops or the ranges")


def opened(path: Path, proposals: list[dict[str, Any]]) -> Any:
    """The persistent study, its proposals queued under their numbers; one that a kill cut short is queued again."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from optuna.trial import TrialState

    path.parent.mkdir(parents=True, exist_ok=True)
    storage = JournalStorage(JournalFileBackend(str(path)))
    study = optuna.create_study(study_name="search", storage=storage, load_if_exists=True)
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    kept = study.get_trials(states=(TrialState.WAITING, TrialState.COMPLETE))
    for number in sorted(set(range(len(proposals))) - {trial.user_attrs["number"] for trial in kept}):
        study.enqueue_trial(proposals[number], user_attrs={"number": number})
    return study


@task(task_run_name="{name}")
def attempt(name: str, section: dict[str, Any], study: str, run: Run, show: Callable[..., None]) -> dict[str, float]:
    """Train one network briefly; its errors on the held-out posts in percent."""
    with run.child(name) as child:
        child.params(section["backbone"])
        module, _ = fit(section, settings.state("search", study, section), child, f"search {name}", show)
        rates = hit_rate(module)
        errors = {"error": 100 - rates["top1"], "error_top5": 100 - rates["top5"]}
        child.metrics(errors)
    return errors


@task
def sweep(space: Any, reference: dict[str, Any], section: dict[str, Any], key: Path, run: Run) -> list[dict[str, Any]]:
    """Train what is left of the study; a row for the reference and for every network, the reference first."""
    from optuna.trial import TrialState

    proposals = drawn(space, section["trials"], section["seed"])
    study = opened(key.with_name(f"{key.name}.journal"), [params for params, _ in proposals])
    total = section["trials"] + 1

    with progress("search") as show:

        def train(name: str, backbone: dict[str, Any]) -> dict[str, float]:
            done = total - 1 - len(study.get_trials(states=(TrialState.WAITING, TrialState.RUNNING)))
            show_all = lambda step, steps, _: show(done * steps + step, total * steps, name)  # noqa: E731
            return attempt(name, section | {"backbone": backbone}, key.name, run, show_all)

        while study.get_trials(states=(TrialState.WAITING,)):
            trial = study.ask()
            network = space.sample(trial)
            row = train(f"trial {trial.user_attrs['number']}", network) | space.cost(network) | {"network": network}
            trial.set_user_attr("row", row)
            study.tell(trial, trial.user_attrs["row"]["error"])
        if "reference" not in study.user_attrs:
            cost = measure(
                build("backbones", reference, where="search.reference"), (3, space.resolution, space.resolution)
            )
            study.set_user_attr("reference", train("reference", reference) | cost)
    ended = [trial.user_attrs for trial in study.get_trials(states=(TrialState.COMPLETE,))]
    rows = [{"trial": trial["number"]} | trial["row"] for trial in sorted(ended, key=lambda trial: trial["number"])]
    return [{"trial": "reference"} | study.user_attrs["reference"], *rows]


@task
def analyse(out: Path, reference: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Write trials.csv and the plot of the error distribution with the reference network's error."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    lines = [{k: v for k, v in row.items() if k != "network"} | row.get("network", {}) for row in (reference, *rows)]
    with (out / "trials.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, lines[-1], lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    errors, share = edf([row["error"] for row in rows])
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    left.step(errors, share, where="post", label=f"{len(rows)} networks of the space")
    left.axvline(reference["error"], color="tab:red", linestyle="--", label="reference")
    left.set(xlabel="error on held-out posts (%)", ylabel="share of networks below", title="error distribution (EDF)")
    left.legend()
    right.scatter([r["flops"] / 1e6 for r in rows], [r["error"] for r in rows])
    right.scatter([reference["flops"] / 1e6], [reference["error"]], color="tab:red", marker="x")
    right.set(xlabel="multiply-adds (millions)", ylabel="error on held-out posts (%)", title="error against flops")
    figure.savefig(out / "edf.png", dpi=110, metadata={"Software": None})
    plt.close(figure)


@flow
def search(
    space: dict[str, Any],
    reference: dict[str, Any],
    objective: dict[str, Any],
    head: dict[str, Any],
    recipe: dict[str, Any],
    resampling: dict[str, Any],
    trials: int = 12,
    epochs: float = 2,
    seed: int = 0,
) -> None:
    """Sample a design space, train every network briefly, write trials table, EDF plot and the winner's section.

    The reference network is trained in the same regime and handed on as the baseline.
    """
    section = dict(locals())
    drawing, out = build("spaces", space, where="search.space"), settings.OUT / "search"
    key = settings.state("search", section, HASHTAGS / "index.parquet", Path("engine"), Path("models/blocks"))
    out.mkdir(parents=True, exist_ok=True)
    with stage_run("search", section) as run:
        first, *rows = sweep(drawing, reference, section, key, run)
        best = min(rows, key=lambda row: row["error"])
        (out / "winner.yaml").write_text(yaml.safe_dump(best["network"], sort_keys=False))
        (out / "baseline.yaml").write_text(yaml.safe_dump(reference, sort_keys=False))
        analyse(out, first, rows)
        run.metrics({"error_best": best["error"], "error_reference": first["error"], "trials": len(rows)})
        run.files(out)
        settings.forget("search")
        print(f"search: best error {best['error']:.1f} % of {len(rows)} networks, reference {first['error']:.1f} %")


if __name__ == "__main__":
    main(search)
