"""Register killed between any two of its calls to MLflow: the next run leaves what an
undisturbed one does.
"""

import shutil

import pytest

from flows.reports.models import files
from flows.tracking import tracking
from tests.support.records import record, registered

READS = ("get_", "search_", "download_")


class Killed(BaseException):
    """A signal, as far as Python code can tell."""


class Client:
    """MLflow's client, which is killed before its n-th writing call."""

    def __init__(self, client, calls: int):
        self.client, self.left, self.made = client, calls, []

    def __getattr__(self, name):
        function = getattr(self.client, name)
        if name.startswith(READS) or name.startswith("_"):
            return function

        def call(*args, **kwargs):
            if not self.left:
                raise Killed
            self.left -= 1
            self.made.append(name)
            return function(*args, **kwargs)

        return call


@pytest.fixture
def store(place, empty_store, monkeypatch):
    """`store(name)`: a fresh store in the place of the one before, or a copy of that of a name."""
    monkeypatch.setattr(files, "plot", lambda path, _: path.write_bytes(b"picture"))

    def fresh(name: str, like: str = "") -> None:
        shutil.copyfile(place / f"{like}.db" if like else empty_store, place / f"{name}.db")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place / name}.db")
        tracking.connect.cache_clear()

    return fresh


def killed(monkeypatch, calls: int, *records: dict) -> list[str]:
    """Run the stage with so many calls to MLflow; the calls that it made."""
    client = Client(tracking.connect(), calls)
    with monkeypatch.context() as patch:
        patch.setattr(tracking, "connect", lambda: client)
        try:
            registered(*records)
        except Killed:
            assert client.left == 0
    return client.made


def contents() -> dict:
    """All that a person sees of the registry, without ids and times."""
    client = tracking.connect()
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT).experiment_id
    ids = {"tagdag.model_id", "mlflow.parentRunId", "mlflow.modelVersions"}
    versions = client.search_model_versions("name = 'models'")
    runs = {run.info.run_id: run for run in client.search_runs([experiment])}
    models = client.search_logged_models([experiment])
    assert {v.tags["tagdag.model_id"] for v in versions} == {m.model_id for m in models}
    found = {}
    for version in versions:
        tags = {key: value for key, value in version.tags.items() if key not in ids}
        run = runs[version.run_id].data
        found[version.version] = (tags, run.metrics, run.params)
    return {
        "aliases": client.get_registered_model("models").aliases,
        "models": sorted((m.name, str(m.status), "mlflow.modelVersions" in m.tags) for m in models),
        # as a set: a stage killed between its own end and the pipeline's runs again
        # of the pipeline's own, whose name is the time that it began, the status alone
        "runs": {(r.data.tags.get("tagdag.run"), r.info.status) for r in runs.values()},
        "versions": found,
        "files": sorted(
            file.path for m in models for file in client.list_logged_model_artifacts(m.model_id)
        ),
    }


def test_a_kill_at_any_call_leaves_nothing_over(store, monkeypatch):
    one = record("a", 60, 60, 50)
    store("whole")
    steps = killed(monkeypatch, 1000, one)
    expected = contents()
    assert steps.count("create_model_version") == 1 and steps.count("create_logged_model") == 1
    for calls in range(len(steps)):
        store(f"killed-{calls}")
        assert killed(monkeypatch, calls, one) == steps[:calls]
        registered(one)
        assert contents() == expected, f"killed before call {calls}, {steps[calls]}"


def test_a_kill_while_numbers_are_renewed_keeps_the_old_ones(store, monkeypatch):
    one = record("a", 60, 60, 50)
    other = one | {"test": "u", "value": 40.0, "low": 30.0}
    store("before")
    registered(one)
    store("whole", "before")
    steps = killed(monkeypatch, 1000, other)
    expected = contents()["versions"]
    [tags] = [tags for tags, _, _ in expected.values()]
    assert (tags["tagdag.value"], tags["tagdag.value.t"]) == ("40", "60")
    first = steps.index("set_model_version_tag")
    for calls in range(first, first + steps.count("set_model_version_tag") + 1):
        store(f"killed-{calls}", "before")
        killed(monkeypatch, calls, other)
        registered(other)
        assert contents()["versions"] == expected, f"killed before call {calls}"
