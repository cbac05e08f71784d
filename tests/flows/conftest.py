"""Fixtures of the stages that several of their folders need."""

from contextlib import nullcontext

import pytest
import yaml


@pytest.fixture(scope="session")
def scene_project(tmp_path_factory):
    """A folder in which the stage evaluate has tested networks of drawn scenes.

    Tasks of tests/support/scenetask.py, their answers those of an oracle that errs; and `sized`, a
    RetinaNet of random weights at two sizes, by itself.
    """
    from flows import evaluate
    from flows.measuring import records
    from flows.running import settings
    from models.blocks.methods.scenes import Scenes
    from tests.flows.measuring.test_evaluate import Run
    from tests.support import scenetask

    params = settings.load_params()
    folder = tmp_path_factory.mktemp("scenes")
    costs = {"batches": [1], "runs": 3, "seconds": 0.02}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TAGDAG_ARMS", "1")
        patch.setattr(records, "PATIENCE", 0.0)
        patch.setattr(evaluate, "stage_run", lambda stage, section: nullcontext(Run()))
        tasks = {name: scenetask.params_of(name) for name in scenetask.TASKS}
        (folder / "params.yaml").write_text(yaml.safe_dump(params | {"tasks": tasks}))
        scenetask.draw_sets(folder)
        for task in scenetask.TASKS:
            scenetask.leave_task(folder, task, seeds=1 if task == "sized" else 2)
        evaluate.evaluate("sized", sizes=[48, 64], **costs)
        oracle = scenetask.Oracle()
        patch.setattr(Scenes, "predict", lambda self, batch: oracle(self, batch))
        for task in scenetask.TASKS:
            if task != "sized":
                evaluate.evaluate(task, **costs)
    return folder
