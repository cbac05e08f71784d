"""Command lines: how a stage that is stopped ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flows import tracking
from flows.command import user_errors

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(("sent", "name"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "Ctrl-C")])
def test_a_signal_ends_a_stage_in_order(place, sent, name):
    code = """if True:
        import time
        from flows import tracking
        from flows.command import user_errors

        with user_errors(), tracking.stage_run("pretrain", {}) as run:
            run.metrics({"loss": 0.5}, 7)
            print(run.id, flush=True)
            time.sleep(60)"""
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", code], env=env, stdout=-1, stderr=-1, text=True)
    run = process.stdout.readline().strip()
    process.send_signal(sent)
    _, told = process.communicate()
    assert (process.returncode, told) == (128 + sent, f"stopped by {name}: run the same command again to go on\n")
    found = tracking.connect().get_run(run)
    assert found.info.status == "KILLED" and found.data.metrics == {"loss": 0.5}


def test_a_stopped_training_says_so_itself(capsys):
    class Stopped(KeyboardInterrupt):
        signal = signal.SIGTERM

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended, user_errors():
        raise Stopped("stopped at iteration 7")
    assert (ended.value.code, capsys.readouterr().err) == (143, "stopped at iteration 7\n")
    assert signal.getsignal(signal.SIGTERM) is before


STARTED = """
import importlib, sys
heavy = ("torch", "mlflow", "prefect", "optuna", "matplotlib", "scipy", "torchvision", "timm", "sqlalchemy", "boto3")
for name in sys.argv[1:]:
    importlib.import_module(f"flows.{name}")
    print(name, *(each for each in heavy if each in sys.modules))
"""


def test_no_stage_imports_what_takes_seconds_before_it_runs():
    """`--help` and a fault in params.yaml come at once: what a stage computes with is imported when its flow runs."""
    stages = [
        "corpus",
        "search",
        "pretrain",
        "finetune",
        "evaluate",
        "register",
        "pipeline",
        "version",
        "watch",
        "explain",
    ]
    clean = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"} | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", STARTED, *stages]
    done = subprocess.run(command, env=clean, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == stages
