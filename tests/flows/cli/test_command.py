"""Command lines: how a stage that is stopped ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flows.cli.command import user_errors
from flows.tracking import tracking

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(("sent", "name"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "Ctrl-C")])
def test_a_signal_ends_a_stage_in_order(place, sent, name):
    code = """if True:
        import time
        from flows.tracking import tracking
        from flows.cli.command import user_errors

        with user_errors(), tracking.stage_run("pretrain", {}) as run:
            run.metrics({"loss": 0.5}, 7)
            print(run.id, flush=True)
            time.sleep(60)"""
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=env, stdout=-1, stderr=-1, text=True
    )
    run = process.stdout.readline().strip()
    process.send_signal(sent)
    _, told = process.communicate()
    assert (process.returncode, told) == (
        128 + sent,
        f"stopped by {name}: run the same command again to go on\n",
    )
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


HELPED = """
import contextlib, io, runpy, sys
heavy = ("torch", "mlflow", "prefect", "optuna", "dvc", "matplotlib", "scipy", "pandas")
heavy += ("torchvision", "timm", "sqlalchemy", "boto3")
for name in sys.argv[1:]:
    sys.argv, told = [name, "--help"], io.StringIO()
    try:
        with contextlib.redirect_stdout(told):
            runpy.run_module(f"flows.{name}", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        found = [each for each in heavy if each in sys.modules]
        print(name, end.code, told.getvalue()[:6], *found)
"""
COMMANDS = sorted(
    file.stem
    for file in (*(ROOT / "flows").glob("*.py"), *(ROOT / "flows" / "tools").glob("*.py"))
    if '__name__ == "__main__"' in file.read_text()
)


def test_help_imports_nothing_that_takes_seconds():
    """What a command computes with is imported when it runs: its help comes at once, and so does
    a fault.
    """
    assert {"corpus", "expand", "compare", "scale", "searcher", "worker", "watch"} < set(COMMANDS)
    clean = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"} | {
        "PYTHONPATH": str(ROOT)
    }
    command = [sys.executable, "-c", HELPED, *COMMANDS]
    done = subprocess.run(command, env=clean, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"{name} 0 usage:" for name in COMMANDS]
