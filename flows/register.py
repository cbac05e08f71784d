"""Stage register: a version per model in MLflow's registry, a champion per task, the report.

Every task has a registered model of its own. Read in this order:

- flows/registry/modelcard.py: what a version says of itself,
- flows/registry/sourcerun.py: the run that it comes from,
- flows/registry/registry.py: the version,
- flows/registry/flavour.py: older versions, which cannot be loaded by mlflow.pyfunc yet,
- flows/registry/champion.py: who leads,
- flows/registry/evidence.py: what a version keeps to be compared by,
- flows/reports/models: the report; details.py there: what MLflow shows of each model,
- flows/reports/models/matrix.py: candidates and pretrainings on all tasks,
- flows/reports/versions: the page of all versions of a task.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flows.cli.command import main
from flows.measuring.dvcmetrics import compared, ranked
from flows.measuring.headline import of_tags
from flows.measuring.lognumbers import NAMED
from flows.measuring.verdict import reference_ahead, roles
from flows.registry import champion, evidence, flavour, registry
from flows.registry.aliases import version_of_alias
from flows.registry.names import EXPERIMENTS, task_model
from flows.registry.older import tag_number
from flows.reports.models.outcome import Outcome
from flows.running import artifacts, settings
from flows.running.orchestrate import flow, slug
from flows.tracking import address, tracking
from flows.tracking.news import champion_news
from flows.tracking.origin import experiment
from flows.tracking.outage import retry
from flows.tracking.refusals import allowed_name

Links = dict[str, str]  # addresses by title
Records = list[dict[str, Any]]
SHOWN = ("value", "low", "high", "val", "latency_p50_ms", "params", "flops")
HEADLINE = ("best", "value", "low", "high", "latency_p50_ms")


def _compared(of: Outcome) -> Links:
    """Addresses in MLflow's UI of a task's versions."""
    base = address.ui_address().rstrip("/") + "/#"
    runs = {str(version.version): version.run_id for version in of.leaders.values() if version}
    asked = f"name={quote(json.dumps(of.name))}&runs={quote(json.dumps(runs))}"
    found = {"all versions": f"{base}/models/{quote(of.name)}"}
    if len(runs) > 1:
        found["champion and challenger compared"] = f"{base}/compare-model-versions?{asked}"
    return found


def _links(outcomes: list[Outcome], experiment_id: str) -> Links:
    """Addresses in MLflow's UI by title, those of further tasks under their names."""
    found = _compared(outcomes[0])
    for of in outcomes[1:]:
        found |= {f"{of.task}: {title}": url for title, url in _compared(of).items()}
    # without the workflow MLflow's UI opens in its view for language models
    runs = f"{address.runs_address(experiment_id)}?workflowType=machine_learning"
    return found | {"all runs": runs}


@retry
def _headline(run: tracking.Run, outcomes: list[Outcome]) -> None:
    """Put champions' and challengers' numbers on the pipeline run: two can be compared.

    Those of the first task have no prefix.
    """
    from mlflow.entities import Metric, RunTag

    client, values, tags = tracking.connect(), [], []
    # not the present: what is logged once more by a repeated stage is then the same
    now = client.get_run(run.id).info.start_time
    for of in outcomes:
        prefix = "" if of is outcomes[0] else f"{of.task}/"
        for alias, version in of.leaders.items():
            told = f"{of.name} version {version.version}"
            tags.append(RunTag(f"tagdag.{prefix.replace('/', '.')}{alias}", told))
            for key, value in _numbers(version).items():
                values.append(Metric(allowed_name(f"{prefix}{alias}_{key}"), value, now, 0))
    client.log_batch(run.pipeline.id, metrics=values, tags=tags, synchronous=True)


def _numbers(version: Any) -> dict[str, float]:
    """The numbers of a version's tags, by the names that MLflow shows them under."""
    name, busy = of_tags(version.tags).name, version.tags.get("tagdag.busy", "no") != "no"
    found = {key: tag_number(version.tags, key) for key in HEADLINE}
    named = {NAMED.get(key, key).format(name): value for key, value in found.items()}
    return {compared(key, busy): value for key, value in named.items() if value is not None}


def _apart(name: str, version: str, exp: str) -> str:
    """What is said of an experiment, which names no champion."""
    how = "`dvc exp apply` it and run `dvc repro --single-item --force register`"
    return (
        f"experiment {exp}: its best model is version {version} of {name}, "
        f"and the champion is left alone; to let it compete, {how}, "
        "or set register.experiments: true in params.yaml"
    )


def _decide(
    name: str, version: str, best: dict[str, Any], apart: str | None
) -> tuple[str, dict[str, Any]]:
    """(what was decided, the version of each alias); apart: the experiment that names no champion.

    version, best: of the challenger, its number and record. Of an experiment its best version
    stands for a challenger, which has no alias.
    """
    if apart:
        challenger = registry.version_numbered(name, version)
        return _apart(name, version, apart), {"challenger": challenger}
    before = version_of_alias(name, "champion")
    decision = champion.name_champion(name, version, best)
    known = ("champion", "challenger")
    # read again: a champion that was tested again has other numbers
    found = {alias: version_of_alias(name, alias) for alias in known}
    champion_news(name, decision, before, found["champion"])
    return decision, found


def _show(out: Path, outcomes: list[Outcome], links: Links) -> None:
    """The models, the report and the way to MLflow on the flow run's page in Prefect."""
    for of in outcomes:
        rows = []
        for record in reversed(of.records):
            row = {"model": record["model"], "version": of.versions[record["model"]]}
            for key in SHOWN:
                name = NAMED.get(key, key).format(record["headline"])
                row[name] = round(record[key], 2) if record.get(key) is not None else None
            rows.append(row)
        key = "models" if of is outcomes[0] else slug(f"models {of.task}")
        title = f"Models of {of.task}, the best on validation first"
        artifacts.table_artifact(key, rows, title)
    artifacts.text_artifact("report", (out / "report.md").read_text(), "The report of models")
    picture = "The headline against latency and multiply-adds"
    artifacts.picture_artifact("comparison", out / "comparison.png", picture)
    for title, url in links.items():
        artifacts.link_artifact(slug(f"mlflow {title}"), url, f"MLflow: {title}")


def _detailed(name: str, records: Records, versions: dict[str, str]) -> None:
    """Tables, a page and metrics by class with the run of every version."""
    from flows.reports.models import details

    for record in records:
        run_id = registry.version_numbered(name, versions[record["model"]]).run_id
        write_files = partial(details.write, model=record["model"], task=record["task"])
        evidence.keep_details(run_id, record["test"], write_files)


def evaluated(task: str) -> tuple[Records, Records]:
    """(records, gains) of a task; ValueError where it was not evaluated."""
    folder = settings.OUT / "evaluate" / task
    if not (folder / "records.json").is_file():
        fix = f"run it first: python -m flows.evaluate {task}"
        raise ValueError(f"the task {task} was not evaluated ({folder}): {fix}")
    found = [json.loads((folder / f"{name}.json").read_text()) for name in ("records", "gains")]
    return found[0], found[1]


def register_task(name: str, task: str, run: tracking.Run, exp: str | None, apart: bool) -> Outcome:
    """Register all models of a task, and name its champion.

    exp: the experiment that they are of; apart: it names no champion.
    """
    records, gains = evaluated(task)
    more = {"tagdag.experiment": exp} if exp else {}
    # the best last: the newest version, which people take for the best, then is it
    known, ordered = registry.known_versions(name), ranked(records)
    versions = {r["model"]: registry.register_version(name, r, known, run, more) for r in ordered}
    flavour.add_flavour(name)
    _detailed(name, ordered, versions)
    best = ordered[-1]
    decision, found = _decide(name, versions[best["model"]], best, exp if apart else None)
    ahead = reference_ahead(ordered, roles(settings.load_params())[1])
    decision += f"; {ahead}" if ahead else ""
    return Outcome(task, name, ordered, gains, versions, decision, found)


def _pages(out: Path, outcomes: list[Outcome]) -> None:
    """The page of versions of every task, and its text in Prefect."""
    from flows.reports.versions.files import text
    from flows.reports.versions.files import write as write_versions

    for of in outcomes:
        file = "versions" if of is outcomes[0] else f"versions-{of.task}"
        told = text(write_versions(out / f"{file}.html", of.name))
        artifacts.text_artifact(slug(file), told, f"Versions of {of.name}")


@flow
def register(name: str = "tagdag", experiments: bool = False) -> None:
    """Register every evaluated model, name champion and challenger of each task, write the report.

    The challenger of a task is its best on validation; the test split only says whether it takes
    over.

    name: of the registered model of the first task in MLflow; other tasks' are `<name>-<task>`.
    experiments: whether those of `dvc exp run` compete; else their models are registered under
        `<name>-experiments`, without aliases.
    """
    # before any other name is bound here: only the arguments
    section = dict(locals())
    from flows.reports.models import matrix  # tables and plots, which --help need not
    from flows.reports.models.files import write

    exp, tasks = experiment(), list(settings.load_params()["tasks"])
    apart = bool(exp) and not experiments
    names = {task: task_model(name, task, tasks) for task in tasks}
    if apart:
        names = {task: f"{each}-{EXPERIMENTS}" for task, each in names.items()}
    for each in names.values():
        registry.prepare_registry(each)  # before a run begins whose params could not be mended
    with tracking.stage_run("register", section) as run:
        outcomes = [register_task(names[task], task, run, exp, apart) for task in tasks]
        _headline(run, outcomes)
        out = settings.OUT / "register"
        links = _links(outcomes, run.experiment)
        write(out, outcomes, run.origin, links)
        run.metrics(matrix.numbers(outcomes))
        _pages(out, outcomes)
        _show(out, outcomes, links)
        told = "; ".join(f"{of.task}: {of.decision}" for of in outcomes)
        run.tags(decision=outcomes[0].decision if len(outcomes) == 1 else told)
        run.files(out)


if __name__ == "__main__":
    main(register)
