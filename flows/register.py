"""Stage register: a version per model in the MLflow registry, the champion named, and the report that compares them."""

import json
import tempfile
from pathlib import Path
from typing import Any

from engine.digest import digest
from flows import settings, tracking
from flows.command import main
from flows.orchestrate import flow, task
from flows.report import write

NUMBERS = (
    *("top1", "top1_low", "top1_high", "top5", "top1_mean", "top1_mean_low", "top1_mean_high", "val_top1"),
    *("top1_lower_bound", "top1_mean_lower_bound"),
    *("params", "flops", "acts", "latency_p50_ms", "latency_p95_ms", "latency_p99_ms", "images_per_second"),
    "peak_memory_mib",
)


def tags(record: dict[str, Any], origin: dict[str, str]) -> dict[str, str]:
    """What every model version carries: its origin, what it is, what it was tested on, and its first numbers."""
    named = {key: record[key] for key in ("model", "test", "size", "device", "dtype")}
    named |= {key: f"{record[key]:.6g}" for key in ("top1", "top1_low", "top1_high", "top5", "flops", "latency_p50_ms")}
    named |= {"parameters": record["params"], "weights": digest(Path(record["weights"]))}
    return origin | {f"tagdag.{key}": str(value) for key, value in named.items()}


def identity(labels: dict[str, str]) -> tuple[str | None, ...]:
    """What makes two versions the same: weights, the pixels they are given, params and commit."""
    return tuple(labels.get(f"tagdag.{key}") for key in ("weights", "size", "params", "commit"))


@task
def version(name: str, record: dict[str, Any], known: dict[tuple[str | None, ...], str], run: tracking.Run) -> str:
    """Register one model as safetensors with its record; one that is among the `known` keeps its version."""
    import mlflow

    client, labels = tracking.connect(), tags(record, run.origin)
    if identity(labels) in known:
        return known[identity(labels)]
    model = mlflow.initialize_logged_model(name=record["model"], model_type="tagdag", source_run_id=run.id, tags=labels)
    client.log_model_artifact(model.model_id, record["weights"])
    with tempfile.TemporaryDirectory() as folder:
        card = Path(folder) / f"{record['model']}.json"
        card.write_text(json.dumps(record, indent=1) + "\n")
        client.log_model_artifact(model.model_id, str(card))
    mlflow.finalize_logged_model(model.model_id, "READY")
    mlflow.log_metrics(
        {key: record[key] for key in NUMBERS if record[key] is not None}, run_id=run.id, model_id=model.model_id
    )
    source = f"models:/{model.model_id}"
    labels["tagdag.model_id"] = model.model_id
    line = f"{record['model']}: {record['top1']:.1f} % top-1, {record['latency_p50_ms']:.1f} ms"
    return str(client.create_model_version(name, source, run.id, tags=labels, description=line).version)


def better(challenger: dict[str, str], champion: dict[str, str] | None) -> tuple[bool, str]:
    """Whether the challenger takes over, and why: its interval must lie above the champion's top-1 on the same test."""
    if champion is None:
        return True, "there was no champion"
    if champion["tagdag.test"] != challenger["tagdag.test"]:
        return True, "the champion was measured on another test split"
    low, top1 = float(challenger["tagdag.top1_low"]), float(champion["tagdag.top1"])
    relation = "above" if low > top1 else "not above"
    return low > top1, f"lower bound {low:.1f} % of the challenger is {relation} the champion's {top1:.1f} %"


@task
def name_champion(name: str, challenger: str) -> str:
    """Set the alias `challenger`, and `champion` when it is better beyond its interval; says what was decided."""
    from mlflow.exceptions import MlflowException

    client = tracking.connect()
    client.set_registered_model_alias(name, "challenger", challenger)
    try:
        champion = client.get_model_version_by_alias(name, "champion")
    except MlflowException:
        champion = None
    if champion is not None and str(champion.version) == challenger:
        return f"champion stays version {challenger}: it is the best candidate again"
    takes_over, why = better(client.get_model_version(name, challenger).tags, champion.tags if champion else None)
    if takes_over:
        client.set_registered_model_alias(name, "champion", challenger)
        return f"champion is now version {challenger}: {why}"
    return f"champion stays version {champion.version}, challenger is version {challenger}: {why}"


@flow
def register(name: str = "tagdag") -> None:
    """Register every evaluated model, name champion and challenger, write report.md, report.html and comparison.png.

    The challenger has the best validation accuracy on the first target set, which alone decides: the test split only
    says whether it takes over.
    """
    section = dict(locals())
    evaluated = settings.OUT / "evaluate"
    records, gains = (json.loads((evaluated / f"{part}.json").read_text()) for part in ("records", "gains"))
    with tracking.stage_run("register", section) as run:
        from mlflow.exceptions import MlflowException

        client = tracking.connect()
        try:
            client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        found = client.search_model_versions(f"name = '{name}'")
        known = {identity(v.tags): str(v.version) for v in reversed(found)}  # of equal ones the newest, which is first
        versions = {record["model"]: version(name, record, known, run) for record in records}
        first = [record for record in records if record["target"] == records[0]["target"]]
        challenger = max(first, key=lambda record: (record["val_top1"], -record["flops"]))["model"]
        decision = name_champion(name, versions[challenger])
        out = settings.OUT / "register"
        write(out, records, gains, versions, decision, run.origin)
        run.tags(decision=decision)
        run.files(out)


if __name__ == "__main__":
    main(register)
