"""Versions in MLflow's registry: one per model; what a kill cut short is taken up again.

Order of the steps: source run, logged model, files, READY, numbers, end of the run (all in
flows/registry/sourcerun.py), version, link back. Every step finds what an earlier try has left.
"""

import json
from typing import Any

from flows.measuring.lognumbers import record_numbers
from flows.registry import evidence, modelcard, older, sourcerun
from flows.running.orchestrate import task
from flows.tracking import people, tracking
from flows.tracking.mlflow_private import VERSIONS
from flows.tracking.outage import is_away, retry

Known = dict[tuple[str | None, ...], str]


@retry
def prepare_registry(name: str) -> None:
    """Make the registered model when there is none; ValueError when the name cannot be used."""
    from mlflow.exceptions import MlflowException

    if set(name) & set("'\""):  # which would end the text in MLflow's searches
        raise ValueError(f"register.name: {name!r} holds a quotation mark: leave it out")
    try:
        tracking.connect().create_registered_model(name)
    except MlflowException as error:
        # `retry` waits for that
        if is_away(error):
            raise
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            why = str(error)[:200]
            raise ValueError(
                f"register.name: MLflow refuses {name!r} ({why}): choose another"
            ) from error


@retry
def known_versions(name: str) -> Known:
    """The versions there are by identity; of equal ones the newest."""
    found = tracking.connect().search_model_versions(f"name = '{name}'")
    # neither those of other tools nor those that were registered before versions had a run of their
    # own: they carry no task
    ours = [v for v in found if v.status == "READY" and older.is_ours(v.tags)]
    ours.sort(key=lambda version: int(version.version))
    return {modelcard.version_identity(version.tags): str(version.version) for version in ours}


@retry
def _version(name: str, source: tuple[str, str], labels: dict[str, str], line: str) -> str:
    """The version of a source run: found, or made."""
    client, (run_id, model_id) = tracking.connect(), source
    found = client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
    # of a version with another logged model that one, and its files, were deleted
    whole = [one for one in found if one.tags.get("tagdag.model_id") == model_id]
    if whole:
        return str(whole[0].version)
    labels = labels | modelcard.LOADS | {modelcard.MODEL_ID: model_id, "tagdag.by": people.who()}
    about = {"tags": labels, "description": line, "model_id": model_id}
    return str(client.create_model_version(name, f"models:/{model_id}", run_id, **about).version)


@retry
def _linked(name: str, version: str, model_id: str) -> None:
    """Tell the logged model of its version."""
    # a server does so itself; a data base, asked directly, does not
    client, link = tracking.connect(), {"name": name, "version": int(version)}
    links = json.loads(client.get_logged_model(model_id).tags.get(VERSIONS, "[]"))
    if any((each["name"], int(each["version"])) == (name, int(version)) for each in links):
        return
    client.set_logged_model_tags(model_id, {VERSIONS: json.dumps([*links, link])})


@retry
def _retagged(name: str, version: str, before: dict[str, str], labels: dict[str, str]) -> None:
    """Put new tags on a version; its numbers on an earlier split are kept under that digest."""
    client, test = tracking.connect(), before.get("tagdag.test")
    earlier = {}
    if test and test != labels["tagdag.test"]:
        earlier = {f"tagdag.{key}.{test}": older.tag(before, key) for key in modelcard.TESTED}
    # the old numbers first and `tagdag.test` last: by that a repeat after a kill sees what is
    # undone
    ordered = {key: value for key, value in earlier.items() if value and key not in before}
    ordered |= dict(sorted(labels.items(), key=lambda item: item[0] == "tagdag.test"))
    for key, value in ordered.items():
        if before.get(key) != value:
            client.set_model_version_tag(name, version, key, value)


@retry
def version_numbered(name: str, version: str) -> Any:
    """A version by its number."""
    return tracking.connect().get_model_version(name, version)


def renew_version(
    name: str, version: str, labels: dict[str, str], values: dict[str, float], data: str
) -> None:
    """Give a version new numbers, where its tags say others; NaN takes back an old one.

    labels: tags, among them task and test. values: metrics for its run and its logged model. data:
    what it was tested on.
    """
    found = version_numbered(name, version)
    # else its run is that of others too, which keep their numbers
    own = older.is_ours(found.tags)
    if not own:
        labels = {key: value for key, value in labels.items() if key != "tagdag.task"}
    changed = any(found.tags.get(key) != value for key, value in labels.items())
    if own and changed and sourcerun.is_active(found.run_id):
        tested = data, labels["tagdag.test"]
        sourcerun.log_numbers(found.run_id, found.tags["tagdag.model_id"], values, tested)
    _retagged(name, version, found.tags, labels)


@task
def register_version(
    name: str, record: dict[str, Any], versions: Known, run: tracking.Run, more: dict[str, str]
) -> str:
    """Register one model; one that is among the `versions` keeps its own, with the new numbers.

    more: further tags. Returns the number of the version.
    """
    labels = modelcard.version_tags(record, run.origin) | more
    found = versions.get(modelcard.version_identity(labels))
    if found is not None:
        model_id = version_numbered(name, found).tags.get("tagdag.model_id")
        # else its files were deleted, and it is registered once more
        if sourcerun.has_logged_model(model_id):
            own = {key: value for key, value in labels.items() if key not in run.origin}
            values = modelcard.unknown(record) | record_numbers(record)
            renew_version(name, found, own, values, record["data"])
            _linked(name, found, model_id)
            evidence.keep(version_numbered(name, found).run_id, record)
            return found
    runs = sourcerun.maker_runs(record, labels, run.experiment)
    labels |= {f"tagdag.{what}": run_id for what, run_id in runs.items()}
    source = sourcerun.source_run(record, labels, run)
    evidence.keep(source[0], record)
    line = modelcard.description(record, runs, run.experiment)
    found = _version(name, source, labels, line)
    _linked(name, found, source[1])
    return found
