"""The whole DAG in a small clone, by both drivers, with the real DVC, MLflow, Optuna and
Prefect.
"""

import csv
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from base64 import b64encode
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml

from benchmarks.clone import SMALL, overlaid, sampled
from benchmarks.screens import mlflow_page, prefect_page, see_mlflow, see_prefect
from benchmarks.services import bare_environment, free_port
from engine.core import checkpoint
from flows.running.services import answers
from tests.support.commands import run
from tests.support.readme import commands
from tests.support.servers import wait_for

STAGES = ["corpus", "search", "pretrain@baseline-hashtags", "pretrain@winner-hashtags"]
STAGES += ["finetune@scenes", "evaluate@scenes", "register"]
TRAINING = "pretrain@winner-hashtags"
WEIGHTS = "out/pretrain/winner-hashtags/model.safetensors"
SHA = "tagdag.commit"
PLANTED = {  # credentials that nothing may write down
    "AWS_ACCESS_KEY_ID": "AKIAPLANTED0000",
    "AWS_SECRET_ACCESS_KEY": "planted/secret+key",
    "AWS_SESSION_TOKEN": "planted-session-token",
    "MLFLOW_TRACKING_USERNAME": "planted-user",
    "MLFLOW_TRACKING_PASSWORD": "planted-mlflow-password",
    "PREFECT_API_AUTH_STRING": "admin:planted-auth-string",
    "PGPASSWORD": "planted-pg-password",
    "TAGDAG_WEBHOOK": "http://127.0.0.1:9/planted-webhook",
}


def edit(folder: Path, section: str, **values) -> None:
    """Change values of a section of a clone's params.yaml, or of each that stands in it."""
    overlaid(folder, {section: {"*": values} if section in ("pretrain", "tasks") else values})


def pipeline(folder: Path, *arguments: str, **env: str) -> list[str]:
    """Run the pipeline; returns the stages that ran."""
    return stages_of(run(folder, "python", "-m", "flows.pipeline", *arguments, **env))


def stages_of(printed: str) -> list[str]:
    """The stages that a pipeline's output says ran."""
    return [
        line[1:].partition("]")[0]
        for line in printed.splitlines()
        if line.startswith("[") and "] python" in line
    ]


def clone(folder: Path, small: bool = True) -> Path:
    """The working tree's files in a repository of their own, with a small sample as its data."""
    top = Path(__file__).parents[2]
    files = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=top, capture_output=True, text=True
    )
    for name in filter(
        lambda name: (top / name).is_file() and name != "dvc.lock", files.stdout.splitlines()
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(top / name, folder / name)
    run(folder, "git", "init", "-q")
    if small:
        overlaid(folder, SMALL)
        sampled(folder)
    run(folder, "git", "add", "-A")
    run(
        folder, "git", "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", "start"
    )
    return folder


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> SimpleNamespace:
    """A clone in which the pipeline has run once."""
    folder = clone(tmp_path_factory.mktemp("clone"))
    printed = run(folder, "python", "-m", "flows.pipeline", new=True, **PLANTED)
    lock = (folder / "dvc.lock").read_bytes()
    return SimpleNamespace(folder=folder, ran=stages_of(printed), lock=lock, printed=printed)


def test_all_stages_run_once_and_both_drivers_then_skip_everything(done):
    assert done.ran == STAGES
    assert pipeline(done.folder) == []
    assert "Data and pipelines are up to date" in run(done.folder, "dvc", "status")
    assert "Running stage" not in run(done.folder, "dvc", "repro")
    assert (done.folder / "dvc.lock").read_bytes() == done.lock


def test_credentials_of_the_environment_are_written_nowhere(done):
    """Neither printed, nor in a log, param, tag, artifact, report, state or lock file."""
    secrets = [secret.encode() for secret in PLANTED.values()]
    # but for the tests, which have them from here
    ours = done.folder / "tests"
    paths = (path for path in done.folder.rglob("*") if not path.is_relative_to(ours))
    files = [path for path in paths if path.is_file()]
    assert {"mlflow.db", "dvc.lock", "report.html", "records.json"} <= {p.name for p in files}
    for secret in secrets:
        assert secret not in done.printed.encode()
        assert [path for path in files if secret in path.read_bytes()] == []


@pytest.fixture
def stranger(done, tmp_path) -> SimpleNamespace:
    """A moved copy of the clone with a folder of photographs; `tagdag(...)` runs a command in it.

    Servers are on free ports, Prefect's with a home of its own; they end with the test.
    """
    folder = tmp_path / "clone"
    shutil.copytree(done.folder, folder, symlinks=True)
    tar = min((folder / "data" / "posts").glob("*.tar"))
    with tarfile.open(tar) as posts:
        for member in itertools.islice(posts, 3):
            (folder / "photos").mkdir(exist_ok=True)
            (folder / "photos" / member.name).write_bytes(posts.extractfile(member).read())
    ports = {name: str(free_port()) for name in ("prefect", "mlflow", "serve")}
    env = {"PREFECT_HOME": str(tmp_path / "prefect"), "MLFLOW_PORT": ports["mlflow"]}

    def tagdag(*arguments: str, **more: str) -> str:
        return run(folder, "python", "-m", "flows.cli.tagdag", *arguments, **env, **more)

    yield SimpleNamespace(folder=folder, tagdag=tagdag, ports=ports, env=bare_environment() | env)
    tagdag("down")


def answered(url: str, body: bytes | None = None) -> bytes | None:
    """What a server answers; None as long as it does not."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()
    except urllib.error.URLError:
        return None


def test_the_commands_of_the_readme_do_what_it_says(stranger):
    """From the champion of `make repro` to predictions, a nightly schedule and a served model."""
    asked, folder, ports = commands(), stranger.folder, stranger.ports
    # the first two are the fixture's, and `make test`'s own
    assert asked[:2] == [["make", "repro"], [".", ".venv/bin/activate"]] and len(asked) == 10
    assert all(name == "tagdag" for name, *_ in asked[2:])
    said = {command: arguments for _, command, *arguments in asked[2:]}
    assert list(said)[-2:] == ["up", "serve"]
    for _, command, *arguments in asked[2:-2]:
        stranger.tagdag(command, *arguments)
    photos = sorted(path.name for path in (folder / "photos").iterdir())
    for table, column in (("classes.csv", "class"), ("hashtags.csv", "hashtags")):
        rows = list(csv.DictReader((folder / table).open()))
        assert [Path(row["image"]).name for row in rows] == photos and all(
            row[column] and not row["error"] for row in rows
        )
    assert "a smaller" in (folder / "versions.html").read_text() or "smaller, as good" in (
        stranger.tagdag("promote", "--history")
    )
    assert (folder / "champion.onnx").stat().st_size > 10_000

    places = ("--prefect", ports["prefect"], "--mlflow", ports["mlflow"])
    assert "runs at 0 3 * * *" in stranger.tagdag("up", *said["up"], *places)
    assert answered(f"http://127.0.0.1:{ports['mlflow']}/health")
    serving = [sys.executable, "-m", "flows.serve", *said["serve"], "--port", ports["serve"]]
    url = f"http://127.0.0.1:{ports['serve']}"
    with subprocess.Popen(serving, cwd=folder, env=stranger.env) as server:
        wait_for(lambda: answered(f"{url}/ping") is not None, 120)
        image = b64encode((folder / "photos" / photos[0]).read_bytes()).decode()
        told = answered(f"{url}/invocations", json.dumps({"inputs": [image]}).encode())
        server.terminate()
    first = next(csv.DictReader((folder / "classes.csv").open()))
    assert json.loads(told)["predictions"][0]["class"] in json.loads(first["top"])


@pytest.mark.parametrize("kept", [0, 700])
def test_a_lock_file_that_a_kill_left_broken_is_put_aside_and_made_again(done, kept):
    lock = done.folder / "dvc.lock"
    lock.write_bytes(done.lock[:kept] + b"\n  'cut" * bool(kept))
    printed = run(done.folder, "python", "-m", "flows.pipeline")
    assert "dvc.lock was broken, and is now dvc.lock.damaged" in printed
    assert "] python" not in printed, "a stage ran although DVC's run cache has its outputs"
    assert "is trained meanwhile" not in printed, "and so did a training beside it"
    assert lock.read_bytes() == done.lock
    (done.folder / "dvc.lock.damaged").unlink()


def test_dvc_shows_the_test_accuracy_of_every_model_and_its_pictures(done):
    records = json.loads((done.folder / "out/evaluate/scenes/records.json").read_text())
    shown = json.loads(run(done.folder, "dvc", "metrics", "show", "--json"))[""]["data"]
    shown = shown["out/evaluate/scenes/metrics.json"]["data"]
    best = max(records, key=lambda record: (record["val"], -record["flops"]))
    assert shown["challenger"] == shown[best["model"]] and len(shown) == len(records) + 1
    for record in records:
        told = shown[record["model"]]
        assert told["top1"] == record["value"]
        assert told["top1_low"] <= record["value"] <= told["top1_high"]
    plots = json.loads(run(done.folder, "dvc", "plots", "show", "--json"))["data"]
    curve = "out/pretrain/winner-hashtags/curve.csv"
    assert {"out/evaluate/scenes/confusion.csv", curve} <= plots.keys()
    rows = (done.folder / "out/evaluate/scenes/confusion.csv").read_text().splitlines()
    pairs = [row.split(",") for row in rows[1:]]
    right = sum(actual == guess for actual, guess in pairs)
    assert 100 * right / len(pairs) == pytest.approx(best["best"])
    assert "challenger.top1" in run(done.folder, "dvc", "exp", "show", "--csv")


def test_report_compares_every_model(done):
    report = (done.folder / "out/register/report.md").read_text()
    trained = ("fine-tuned", "linear probe", "nearest neighbours")
    models = [
        f"{c}, pretrained on hashtags, {mode}" for c in ("baseline", "winner") for mode in trained
    ]
    models += [
        f"{c}, not pretrained, {mode}" for c in ("baseline", "winner") for mode in trained[1:]
    ]
    models += ["baseline, from scratch", "winner, from scratch"]
    assert all(f"| {model} |" in report for model in models)
    assert "Champion is now version" in report and "make mlflow" in report
    page = (done.folder / "out/register/report.html").read_text()
    assert "data:image/jpeg;base64" in page and "http://" not in page.replace(
        "http://127.0.0.1", ""
    )
    for title in (
        "Accuracy by class",
        "Confusion",
        "Calibration",
        "Worst mistakes",
        "Learning curves",
    ):
        assert f"{title}</bdi></h2>" in page
    assert "fewer than 30 test images" in page and "fewer than 8" in page


def test_every_run_and_version_carries_its_origin_in_one_tree(done):
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{done.folder}/mlflow.db")
    runs = client.search_runs(
        [client.get_experiment_by_name("tagdag").experiment_id], max_results=1000
    )
    by_id = {r.info.run_id: r for r in runs}
    data = yaml.safe_load((done.folder / "data.dvc").read_text())["outs"][0]["md5"]
    commit = run(done.folder, "git", "rev-parse", "HEAD").strip()
    for r in runs:
        assert (r.data.tags["tagdag.data"], r.data.tags[SHA]) == (data, commit) and r.data.tags[
            "tagdag.params"
        ]
        assert r.info.status == "FINISHED"
    depth = {"pipeline": [], "stage": [], "leaf": []}
    for r in runs:
        parent = by_id.get(r.data.tags.get("mlflow.parentRunId"))
        kind = (
            "pipeline"
            if parent is None
            else "stage"
            if "tagdag.pipeline" in parent.data.tags
            else "leaf"
        )
        depth[kind].append(r.data.tags.get("tagdag.run"))
    assert len(depth["pipeline"]) == 1 and sorted(depth["stage"]) == sorted(STAGES)
    assert {
        "trial 0",
        "trial 1",
        "reference",
        "winner-hashtags-linear-4-0",
        "winner-scenes-scratch-logistic-4-32px",
    } <= set(depth["leaf"])
    [corpus] = [r for r in runs if r.data.tags.get("tagdag.run") == "corpus"]
    [posts] = [entry.dataset for entry in corpus.inputs.dataset_inputs]
    digest = json.loads((done.folder / "data/posts/store.json").read_text())["digest"]
    assert (posts.name, posts.digest) == ("posts", digest[:36])
    versions = client.search_model_versions("name = 'tagdag'")
    assert len(versions) == 12
    for version in versions:
        assert (version.tags["tagdag.data"], version.tags[SHA]) == (data, commit)
        assert version.tags["tagdag.params"] == runs[0].data.tags["tagdag.params"]
        assert float(version.tags["tagdag.value"]) >= 0 and by_id[version.run_id]
    champion = client.get_model_version_by_alias("tagdag", "champion")
    assert champion.version == client.get_model_version_by_alias("tagdag", "challenger").version


def test_registered_weights_rebuild_the_model_that_was_evaluated(done, tmp_path):
    import mlflow

    from engine.core.network import load_network

    mlflow.set_tracking_uri(f"sqlite:///{done.folder}/mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(done.folder)
        mlflow.artifacts.download_artifacts("models:/tagdag@champion", dst_path=str(tmp_path))
    (weights,) = tmp_path.rglob("*.safetensors")
    module, names = load_network(weights)
    assert len(names) == 10 and sum(p.numel() for p in module.parameters()) > 10_000


def test_editing_an_unused_plug_in_trains_nothing(done):
    unused = done.folder / "models/objectives/unused.py"
    unused.write_text('"""Not used."""\n')
    assert pipeline(done.folder) == []
    unused.unlink()
    # of these a search and a task may name several: they look what they have, and nothing follows
    unused = done.folder / "models/heads/unused.py"
    unused.write_text('"""Not used."""\n')
    kept = {path: path.stat().st_mtime for path in (done.folder / ".tagdag/state").iterdir()}
    assert pipeline(done.folder) == ["finetune@scenes"]
    assert kept == {path: path.stat().st_mtime for path in kept}
    unused.unlink()
    assert pipeline(done.folder) == []


def test_a_pretraining_without_labels_trains_its_own_arms_and_no_other(done, tmp_path):
    import mlflow

    folder = tmp_path / "another"
    shutil.copytree(done.folder, folder, symlinks=True)
    params = yaml.safe_load((folder / "params.yaml").read_text())
    moco = {"objective": {"name": "moco", "queue": 64}, "monitor": {"data": "targets/scenes"}}
    moco = params["pretrain"]["winner-hashtags"] | moco
    inits = [*params["tasks"]["scenes"]["inits"], "winner-moco"]
    another = {"pretrain": {"winner-moco": moco}, "tasks": {"scenes": {"inits": inits}}}
    overlaid(folder, another)
    state = folder / ".tagdag" / "state"
    before = set(state.glob("finetune-scenes.*"))
    ran = pipeline(folder)
    assert ran == ["pretrain@winner-moco", *STAGES[4:]]
    new = set(state.glob("finetune-scenes.*")) - before
    # of three heads: two scores and two seeds each; what was there stays as it is
    assert before <= set(state.glob("finetune-scenes.*")) and len(new) == 3 * (2 + 2)
    weights = {path.name: path for path in (folder / "out/finetune/scenes").iterdir()}
    for path in (done.folder / "out/finetune/scenes").glob("*.safetensors"):
        assert weights[path.name].read_bytes() == path.read_bytes()
    assert "winner-moco-knn-4-1.safetensors" in weights
    # neither a teacher nor a queue goes on
    kept, _ = checkpoint.load_tensors(folder / "out/pretrain/winner-moco/model.safetensors")
    assert {name.partition(".")[0] for name in kept} == {"backbone", "head"}
    assert "knn_accuracy" in (folder / "out/pretrain/winner-moco/monitor.csv").read_text()
    records = json.loads((folder / "out/evaluate/scenes/records.json").read_text())
    assert [record["init"] for record in records].count("winner-moco") == 3
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    versions = client.search_model_versions("name = 'tagdag'")
    assert sum("winner-moco" in version.tags["tagdag.model"] for version in versions) == 3


def test_a_stage_without_a_name_stands_for_all_of_its_trainings(done):
    assert pipeline(done.folder, "pretrain", "finetune") == []
    edit(done.folder, "pretrain", seed=1)
    assert pipeline(done.folder, "pretrain") == STAGES[2:4]
    edit(done.folder, "pretrain", seed=0)
    assert pipeline(done.folder) == []


def test_both_drivers_record_the_same(done):
    """A stage whose outputs are the same bytes on every run: dvc.lock must be byte-identical
    after either driver.
    """
    pipeline(done.folder)
    before = (done.folder / "dvc.lock").read_bytes()
    run(done.folder, "dvc", "repro", "--force", "--single-item", "corpus")
    assert (done.folder / "dvc.lock").read_bytes() == before
    assert pipeline(done.folder) == []


def test_labels_that_there_are_not_are_told_before_a_stage_begins(done):
    edit(done.folder, "corpus", holdout=0.21)
    edit(done.folder, "tasks", labels=[900])
    printed = run(done.folder, "python", "-m", "flows.pipeline", code=2)
    assert "tasks.scenes.labels: 900, and class '" in printed and "Traceback" not in printed
    assert "] python" not in printed and (done.folder / "out/corpus/summary.json").exists()
    edit(done.folder, "corpus", holdout=0.2)
    edit(done.folder, "tasks", labels=[4])
    assert pipeline(done.folder) == []


def test_a_failing_stage_is_told_in_one_line_and_the_rest_is_kept(done):
    before = yaml.safe_load((done.folder / "params.yaml").read_text())["tasks"]["scenes"]
    edit(done.folder, "tasks", grid={"rate": [1e30]}, epochs=3)
    printed = run(done.folder, "python", "-m", "flows.pipeline", code=2)
    assert "lower recipe.rate" in printed and "Traceback" not in printed
    edit(done.folder, "tasks", **before)
    assert TRAINING not in pipeline(done.folder)


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (
            {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"},
            "MLflow server named by MLFLOW_TRACKING_URI does not answer",
        )
    ],
)
def test_a_dead_server_is_told(done, env, message):
    edit(done.folder, "corpus", holdout=0.21)
    env |= {"TAGDAG_MLFLOW_PATIENCE": "1"}
    printed = run(done.folder, "python", "-m", "flows.pipeline", code=2, **env)
    assert message in printed and "Traceback" not in printed
    edit(done.folder, "corpus", holdout=0.2)
    assert pipeline(done.folder) == []


def test_workers_of_torchrun_leave_a_state_that_the_stage_goes_on_from(done):
    """Two workers train to the end.

    The stage takes the finished state and trains no step itself.
    """
    edit(done.folder, "pretrain", epochs=2)
    torchrun = (
        "python",
        "-m",
        "torch.distributed.run",
        "--nproc-per-node=2",
        "--standalone",
        "-m",
        "flows.worker",
    )
    run(done.folder, *torchrun, "winner-hashtags", GLOO_SOCKET_IFNAME="lo")
    kept, about = checkpoint.load_tensors(
        max(done.folder.glob(".tagdag/state/pretrain-winner-hashtags.*/*.safetensors"))
    )
    assert about["world"] == 2
    run(done.folder, "dvc", "repro", TRAINING)
    weights = checkpoint.load_tensors(done.folder / WEIGHTS)[0]
    assert all(torch.equal(kept[f"module.{name}"], tensor) for name, tensor in weights.items())
    edit(done.folder, "pretrain", epochs=1)


def test_killed_pretraining_goes_on_to_the_same_weights(done, tmp_path):
    """kill -9 of `dvc repro` in the middle of pretrain, then `dvc repro`: bit for bit what an
    undisturbed run gives.
    """
    import mlflow

    folder = tmp_path / "killed"
    shutil.copytree(done.folder, folder, symlinks=True)
    edit(folder, "pretrain", epochs=6)
    undisturbed = tmp_path / "undisturbed"
    shutil.copytree(folder, undisturbed, symlinks=True)
    run(undisturbed, "dvc", "repro", TRAINING)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = os.environ | {"PATH": path, "TAGDAG_CHECKPOINT_SECONDS": "0", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        ["dvc", "repro", TRAINING],
        cwd=folder,
        env=env,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not [
        f
        for f in folder.glob(".tagdag/state/pretrain-winner-hashtags.*/*.safetensors")
        if int(f.stem)
    ]:
        assert process.poll() is None and time.monotonic() < deadline, (
            "pretrain ended before it could be killed"
        )
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (folder / WEIGHTS).exists()
    run(folder, "dvc", "repro", TRAINING)
    assert (folder / WEIGHTS).read_bytes() == (undisturbed / WEIGHTS).read_bytes()
    assert not list(folder.glob(".tagdag/state/pretrain-winner-hashtags.*"))
    # `dvc repro` gives the same tree, and the killed run is taken up, not doubled
    for place in (undisturbed, folder):
        client = mlflow.MlflowClient(f"sqlite:///{place}/mlflow.db")
        experiment = client.get_experiment_by_name("tagdag").experiment_id
        wanted = "params.epochs = '6.0' and tags.`tagdag.stage` = 'pretrain@winner-hashtags'"
        (found,) = client.search_runs([experiment], wanted)
        parent = client.get_run(found.data.tags["mlflow.parentRunId"])
        assert found.info.status == "FINISHED" and parent.data.tags["tagdag.pipeline"]


@pytest.fixture(scope="module")
def prefect(tmp_path_factory, empty_prefect):
    """A real Prefect server with a data base of its own; yields its API's address."""
    home, port = tmp_path_factory.mktemp("prefect"), free_port()
    shutil.copyfile(empty_prefect, home / "prefect.db")
    bin_ = Path(sys.executable).parent / "prefect"
    env = os.environ | {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "true",
    }
    # relative: by itself the page asks port 4200
    env |= {"PREFECT_UI_STATIC_DIRECTORY": str(home / "ui"), "PREFECT_UI_API_URL": "/api"}
    command = [bin_, "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
    url = f"http://127.0.0.1:{port}/api"
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{url}/health", timeout=1).close()
                break
            except OSError:
                assert server.poll() is None, (home / "log").read_text()
                time.sleep(0.5)
        yield SimpleNamespace(url=url, home=home)
    finally:
        os.killpg(server.pid, signal.SIGKILL)


def ask(url: str, what: str) -> list[dict]:
    """Read all rows of one kind from the Prefect API."""
    request = urllib.request.Request(
        f"{url}/{what}/filter", b"{}", {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def retuned(done, prefect) -> SimpleNamespace:
    """What ran, watched by Prefect, after a number of a task was changed, and once it was back."""
    env = {"PREFECT_API_URL": prefect.url, "PREFECT_HOME": str(prefect.home)}
    edit(done.folder, "tasks", held_out=0.75)
    changed = pipeline(done.folder, **env)
    status = [run(done.folder, "dvc", "status")]
    edit(done.folder, "tasks", held_out=0.25)
    restored = pipeline(done.folder)
    status.append(run(done.folder, "dvc", "status"))
    return SimpleNamespace(changed=changed, restored=restored, status=status)


def test_changed_params_of_a_task_rerun_finetune_and_what_follows(retuned):
    assert retuned.changed == STAGES[4:]
    # restored from DVC's run cache
    assert retuned.restored in ([], ["register"], STAGES[5:])
    assert all("up to date" in told for told in retuned.status)


def test_prefect_shows_stages_as_sub_flows_and_skipped_ones_as_unchanged(retuned, prefect, browser):
    flows = {row["name"]: row for row in ask(prefect.url, "flow_runs")}
    assert {"finetune@scenes", "evaluate@scenes"} <= flows.keys()
    assert flows["finetune@scenes"]["parent_task_run_id"]
    assert flows["finetune@scenes"]["state_name"] == "Completed"
    tasks = {row["name"]: row["state_name"] for row in ask(prefect.url, "task_runs")}
    assert (
        tasks["corpus"] == tasks[TRAINING] == "Unchanged"
        and tasks["evaluate@scenes"] == "Completed"
    )
    made = ask(prefect.url, "artifacts")
    assert {
        row["key"]: row["data"] for row in made if row["type"] == "progress" and row["data"] != 100
    } == {}
    kinds = {(row["type"], row["key"]) for row in made}
    assert {("markdown", "mlflow-finetune-scenes"), ("progress", "finetune-scenes")} <= kinds
    assert {"choose for winner-hashtags-linear-4", "winner-hashtags-linear-4-0"} <= tasks.keys()
    address = prefect.url.removesuffix("/api")
    # closed: one that is left open takes a quarter of a core for its moving background
    with closing(prefect_page(browser, address, "")) as page:
        see_prefect(page, address, "")


def test_mlflows_page_shows_the_tree_the_aliases_and_its_own_comparison(done, browser):
    port = free_port()
    command = [sys.executable, "-m", "flows.mlflowserver", "--port", str(port)]
    server = subprocess.Popen(
        command, cwd=done.folder, env=bare_environment(), start_new_session=True
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: answers(f"{url}/health"), 120)
        with closing(mlflow_page(browser)) as page:
            see_mlflow(page, url, done.folder / "mlflow.db")
    finally:
        os.killpg(server.pid, signal.SIGKILL)


def test_a_worker_of_a_work_pool_runs_the_deployed_flow_side_by_side_to_the_same_bytes(
    done, prefect, tmp_path
):
    folder = tmp_path / "deployed"
    shutil.copytree(done.folder, folder, symlinks=True)
    shutil.rmtree(folder / ".dvc/cache/runs")  # from which it would take the result
    lock = yaml.safe_load((folder / "dvc.lock").read_text())
    del lock["stages"]["finetune@scenes"]
    shutil.rmtree(folder / ".tagdag/state")  # likewise
    (folder / "dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False))
    # of what was trained, a part: an arm is the same, whatever else there is
    edit(folder, "tasks", inits=["winner-hashtags"])
    env = {
        "PREFECT_API_URL": prefect.url,
        "PREFECT_HOME": str(prefect.home),
        "TAGDAG_RUNNER": "processes:2",
    }
    run(folder, "prefect", "work-pool", "create", "tagdag", "--type", "process", **env)
    run(folder, "prefect", "--no-prompt", "deploy", "--all", **env)
    run(
        folder,
        "prefect",
        "deployment",
        "run",
        "pipeline/tagdag",
        "--param",
        'targets=["finetune@scenes"]',
        **env,
    )
    worker = (
        "prefect",
        "worker",
        "start",
        "--pool",
        "tagdag",
        "--run-once",
        "--install-policy",
        "never",
    )
    printed = run(tmp_path, *worker, **env, PREFECT_LOGGING_LEVEL="DEBUG")
    # arms of three heads to choose for, and of two seeds
    assert printed.count("to process pool executor") == 3 * (1 + 2)
    made = list((folder / "out/finetune/scenes").glob("*.safetensors"))
    assert len(made) == 3 * 2
    for path in made:
        assert path.read_bytes() == (done.folder / "out/finetune/scenes" / path.name).read_bytes()
    [flow] = [row for row in ask(prefect.url, "flow_runs") if row["work_pool_name"]]
    assert (flow["name"], flow["state_name"]) == ("pipeline", "Completed")
    assert "Running stage 'finetune@scenes'" not in run(folder, "dvc", "repro", "finetune@scenes")
