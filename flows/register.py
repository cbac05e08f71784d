"""Stage register: a version per model in MLflow's registry, the champion, the report of them all.

Read in this order:

- flows/registry/modelcard.py: what a version says of itself,
- flows/registry/sourcerun.py: the run that it comes from,
- flows/registry/registry.py: the version,
- flows/registry/flavour.py: older versions, which cannot be loaded by mlflow.pyfunc yet,
- flows/registry/champion.py: who leads,
- flows/registry/evidence.py: what a version keeps to be compared by,
- flows/reports/models: the report; details.py there: what MLflow shows of each model,
- flows/reports/versions: the page of all versions.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flows.cli.command import main
from flows.measuring.dvcmetrics import compared, ranked
from flows.measuring.verdict import reference_ahead
from flows.registry import champion, evidence, flavour, registry
from flows.registry.aliases import version_of_alias
from flows.running import artifacts, settings
from flows.running.orchestrate import flow, slug
from flows.tracking import address, tracking
from flows.tracking.news import champion_news
from flows.tracking.origin import experiment
from flows.tracking.outage import retry

Links = dict[str, str]  # addresses by title
SHOWN = ("top1_mean", "top1_low", "top1_high", "val_top1", "latency_p50_ms", "params", "flops")
HEADLINE = ("top1", "top1_mean", "top1_low", "top1_high", "latency_p50_ms")


def _compared(name: str, found: dict[str, Any], experiment_id: str) -> dict[str, str]:
    """Addresses in MLflow's UI."""
    base = address.ui_address().rstrip("/") + "/#"
    runs = {str(version.version): version.run_id for version in found.values()}
    asked = f"name={quote(json.dumps(name))}&runs={quote(json.dumps(runs))}"
    shown = {
        "all versions": f"{base}/models/{quote(name)}",
        # without the workflow MLflow's UI opens in its view for language models
        "all runs": f"{address.runs_address(experiment_id)}?workflowType=machine_learning",
    }
    if len(runs) > 1:
        shown["champion and challenger compared"] = f"{base}/compare-model-versions?{asked}"
    return shown


@retry
def _headline(run: tracking.Run, name: str, found: dict[str, Any]) -> None:
    """Put the champion's and the challenger's numbers on the pipeline run: two can be compared."""
    from mlflow.entities import Metric, RunTag

    client, values, tags = tracking.connect(), [], []
    # not the present: what is logged once more by a repeated stage is then the same
    now = client.get_run(run.id).info.start_time
    for alias, version in found.items():
        tags.append(RunTag(f"tagdag.{alias}", f"{name} version {version.version}"))
        numbers = {key: champion.tag_number(version.tags, key) for key in HEADLINE}
        known = {key: value for key, value in numbers.items() if value is not None}
        busy = version.tags.get("tagdag.busy", "no") != "no"
        named = {compared(key, busy): value for key, value in known.items()}
        values += [Metric(f"{alias}_{key}", value, now, 0) for key, value in named.items()]
    client.log_batch(run.pipeline.id, metrics=values, tags=tags, synchronous=True)


def _apart(name: str, versions: dict[str, str], best: str, exp: str) -> str:
    """What is said of an experiment, which names no champion."""
    how = "`dvc exp apply` it and run `dvc repro --single-item --force register`"
    return (
        f"experiment {exp}: its best model is version {versions[best]} of {name}, "
        f"and the champion is left alone; to let it compete, {how}, "
        "or set register.experiments: true in params.yaml"
    )


def _decide(
    name: str, versions: dict[str, str], best: str, apart: str | None
) -> tuple[str, dict[str, Any]]:
    """(what was decided, the version of each alias); apart: the experiment that names no champion.

    Of an experiment its best version stands for a challenger, which has no alias.
    """
    if apart:
        challenger = registry.version_numbered(name, versions[best])
        return _apart(name, versions, best, apart), {"challenger": challenger}
    before = version_of_alias(name, "champion")
    decision = champion.name_champion(name, versions[best])
    known = ("champion", "challenger")
    # read again: a champion that was tested again has other numbers
    found = {alias: version_of_alias(name, alias) for alias in known}
    champion_news(name, decision, before, found["champion"])
    return decision, found


def _show(out: Path, ordered: list[dict[str, Any]], versions: dict[str, str], links: Links) -> None:
    """The models, the report and the way to MLflow on the flow run's page in Prefect."""
    rows = []
    for record in reversed(ordered):
        row = {"model": record["model"], "version": versions[record["model"]]}
        for key in SHOWN:
            row[key] = round(record[key], 2) if record.get(key) is not None else None
        rows.append(row)
    artifacts.table_artifact("models", rows, "Models, the best by validation accuracy first")
    artifacts.text_artifact("report", (out / "report.md").read_text(), "The report of models")
    picture = "Accuracy against latency and multiply-adds"
    artifacts.picture_artifact("comparison", out / "comparison.png", picture)
    for title, url in links.items():
        artifacts.link_artifact(slug(f"mlflow {title}"), url, f"MLflow: {title}")


def _detailed(name: str, records: list[dict[str, Any]], versions: dict[str, str]) -> None:
    """Tables, a page and metrics by class with the run of every version."""
    from flows.reports.models import details

    for record in records:
        run_id = registry.version_numbered(name, versions[record["model"]]).run_id
        write_files = partial(details.write, model=record["model"], target=record["target"])
        evidence.keep_details(run_id, record["test"], write_files)


@flow
def register(name: str = "tagdag", experiments: bool = False) -> None:
    """Register every evaluated model, name champion and challenger, write the report.

    The challenger has the best validation accuracy on the first target set, which alone decides:
    the test split only says whether it takes over.

    name: of the registered model in MLflow.
    experiments: whether those of `dvc exp run` compete; else their models are registered under
        `<name>-experiments`, without aliases.
    """
    # before any other name is bound here: only the arguments
    section = dict(locals())
    from flows.reports.models.files import write  # tables and plots, which --help need not
    from flows.reports.versions.files import text
    from flows.reports.versions.files import write as write_versions

    evaluated = settings.OUT / "evaluate"
    records = json.loads((evaluated / "records.json").read_text())
    gains = json.loads((evaluated / "gains.json").read_text())
    exp = experiment()
    # else any `dvc exp run` could change the champion
    apart, more = exp and not experiments, {"tagdag.experiment": exp} if exp else {}
    name = f"{name}-experiments" if apart else name
    registry.prepare_registry(name)  # before a run begins whose params could not be mended
    with tracking.stage_run("register", section) as run:
        # the best last: the newest version, which people take for the best, then is it
        known, ordered = registry.known_versions(name), ranked(records)
        versions = {
            r["model"]: registry.register_version(name, r, known, run, more) for r in ordered
        }
        flavour.add_flavour(name)
        _detailed(name, ordered, versions)
        decision, found = _decide(name, versions, ordered[-1]["model"], exp if apart else None)
        ahead = reference_ahead(ordered)
        decision += f"; {ahead}" if ahead else ""
        _headline(run, name, found)
        out = settings.OUT / "register"
        links = _compared(name, found, run.experiment)
        write(out, records, gains, versions, decision, run.origin, links, found)
        all_versions = text(write_versions(out / "versions.html", name))
        _show(out, ordered, versions, links)
        artifacts.text_artifact("versions", all_versions, f"Versions of {name}")
        run.tags(decision=decision)
        run.files(out)


if __name__ == "__main__":
    main(register)
