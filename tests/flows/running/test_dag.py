"""Which code a result depends on: dvc.yaml says it, states are keyed by it, an edit during a run
is told.
"""

import shutil
from pathlib import Path

import pytest

from flows.cli.sections import complete_section
from flows.running import code, settings
from tests.support import params

TOP = Path(__file__).parents[3]
PRETRAIN = ["pretrain@baseline-hashtags", "pretrain@winner-hashtags"]
TASK = ["finetune@scenes", "evaluate@scenes"]
TRAININGS = ["search", *PRETRAIN, "finetune@scenes"]

# what is edited, and the stages that run again for it, whatever then becomes of their outputs
EDITS = {
    # search trains nothing anew: its networks are known by another key
    "engine/measure/profile.py": ["search", "evaluate@scenes"],
    "corpus/report/page.py": ["corpus"],
    "flows/reports/models/text.py": ["register"],
    "flows/reports/models/page.py": ["register"],
    "corpus/pages/charts.py": ["corpus", "register"],
    "models/objectives/hashtags.py": ["search", *PRETRAIN],
    "models/objectives/supervised.py": TASK,
    # a version of a network of clips takes along how these are read
    "corpus/reading/sampler.py": [*TRAININGS, "evaluate@scenes", "register"],
    "corpus/reading/resampling.py": ["corpus", "search", *PRETRAIN],
    "models/blocks/augment/views.py": [*TRAININGS, "evaluate@scenes", "register"],
    # a registered version takes the code along that it is served by
    "flows/serving/model.py": ["register"],
    "flows/serving/guard.py": [],
    # a search and a task name several networks and heads: they run again, and train what uses this
    "models/backbones/regnet.py": ["search", "pretrain@winner-hashtags", "finetune@scenes"],
    "models/backbones/efficientnet.py": ["search", "finetune@scenes"],
    "models/heads/knn.py": ["finetune@scenes"],
    "models/policies/plain.py": TASK,
    "metrics/accuracy.py": [*PRETRAIN, *TASK],
    "flows/evaluate.py": ["evaluate@scenes"],
    "engine/transfer/tuning.py": ["finetune@scenes"],
    "corpus/hashtags/words.json": ["corpus"],
    "models/objectives/jigsaw.py": [],
    "models/policies/features.py": [],
    "flows/tracking/tracking.py": [],
    "flows/pipeline.py": [],
}


@pytest.fixture(scope="module")
def stages() -> dict[str, set[str]]:
    """The dependencies of every stage as DVC resolves them, by its address."""
    from dvc.repo import Repo

    with Repo(str(TOP)) as repo:
        found = {}
        for stage in repo.index.stages:
            if stage.cmd:
                found[stage.addressing] = {dep.def_path for dep in stage.deps}
        return found


def reruns(stages: dict[str, set[str]], file: str) -> list[str]:
    """The stages that an edit of a file runs again."""
    places = {file, *(parent.as_posix() for parent in Path(file).parents)}
    return [name for name, deps in stages.items() if deps & places]


@pytest.mark.parametrize("file", EDITS)
def test_an_edit_reruns_the_stages_that_use_it_and_no_other(stages, file):
    assert (TOP / file).is_file()
    found = reruns(stages, file)
    print(f"| {file} | {', '.join(found) or 'none'} |")
    assert found == [name for name in stages if name in EDITS[file]]


def test_dvc_yaml_has_the_code_that_is_computed():
    text = (TOP / "dvc.yaml").read_text()
    assert code.with_code_lists(text) == text, "run `make dag`"


@pytest.fixture
def tree(tmp_path, monkeypatch) -> Path:
    """A copy of the code, to edit."""
    for room in code.ROOMS:
        shutil.copytree(TOP / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    params.committed(tmp_path)
    (tmp_path / "out/search").mkdir(parents=True)
    (tmp_path / "out/search/winner.yaml").write_text("name: regnet")
    for name in params.PARAMS["pretrain"]:
        (tmp_path / "out/pretrain" / name).mkdir(parents=True)
        (tmp_path / "out/pretrain" / name / "model.safetensors").write_bytes(b"weights")
    for data in ("hashtags", "targets/scenes"):
        folder = tmp_path / "out" / "corpus" / data
        folder.mkdir(parents=True)
        (folder / "index.parquet").write_bytes(b"an index")
    return tmp_path


PRETRAINING = params.PARAMS["pretrain"]["winner-hashtags"]
SEARCH = params.PARAMS["search"] | {"reference": params.REFERENCE}
ARMS = [f"arms of {head}" for head in params.PARAMS["tasks"]["scenes"]["heads"]]


def edit(file: Path) -> None:
    """Change what a file does, as far as anyone can know."""
    file.write_text(file.read_text() + "\n# edited\n")


def keys() -> dict[str, str]:
    """Names of the states that a kill must not lose."""
    from flows.finetune import arm_section
    from flows.pretrain import section_of, state_of
    from flows.searching.search import search_key
    from flows.training.groups import groups_of

    training = section_of(complete_section("pretrain", PRETRAINING, "winner-hashtags"))
    task = complete_section("finetune", params.PARAMS["tasks"]["scenes"], "scenes")
    found = {
        "search": search_key(SEARCH, "regnet"),
        "pretrain": state_of("winner-hashtags", training).name,
    }
    for group in groups_of("scenes", task):
        if group["candidate"] == "winner" and group["init"] == "winner-hashtags":
            found[f"arms of {group['head']}"] = arm_section(group, task)["key"]
    return found


def changed(tree: Path, file: str) -> list[str]:
    """The stages whose kept states an edit leaves behind."""
    before = keys()
    edit(tree / file)
    return [name for name, key in keys().items() if key != before[name]]


@pytest.mark.parametrize(
    ("file", "lost"),
    {
        "models/objectives/hashtags.py": ["search", "pretrain"],
        "models/objectives/supervised.py": ARMS,
        "models/heads/linear.py": ["search", "pretrain", "arms of linear"],
        "models/heads/knn.py": ["arms of knn"],
        "models/backbones/regnet.py": ["search", "pretrain", *ARMS],
        "models/backbones/resnext.py": ["search"],
        "models/blocks/augment/views.py": ["search", "pretrain", *ARMS],
        "models/spaces/regnetx.py": ["search"],
        "corpus/reading/sampler.py": ["search", "pretrain", *ARMS],
        "corpus/media/decoding.py": ["search", "pretrain", *ARMS],
        "corpus/media/images.py": [],
        "corpus/reading/resampling.py": ["search", "pretrain"],
        "engine/training/step.py": ["search", "pretrain", *ARMS],
        "engine/transfer/finetuning.py": ARMS,
        "flows/training/learning.py": ["search", "pretrain"],
        "flows/finetune.py": ARMS,
        "flows/searching/trial.py": ["search"],
        "engine/measure/profile.py": [],
        "engine/measure/load.py": [],
        "engine/twins/learnt.py": [],
        "flows/reports/models/text.py": [],
        "flows/reports/models/page.py": [],
        "flows/reports/search/page.py": [],
        "flows/tracking/tracking.py": [],
        "models/backbones/efficientnet.py": [],
        "models/objectives/jigsaw.py": [],
    }.items(),
)
def test_a_kept_state_is_left_for_an_edit_of_what_made_it_and_for_no_other(tree, file, lost):
    assert changed(tree, file) == lost


def test_a_latency_that_is_asked_for_depends_on_the_profiler(tree):
    from flows.searching.search import search_key

    section = SEARCH | {"objectives": ["error", "latency_ms"]}
    before = search_key(section)
    edit(tree / "engine/measure/profile.py")
    assert search_key(section) != before


def test_imports_of_type_checkers_and_empty_files_are_no_dependencies(tree):
    (tree / "engine" / "lean.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import engine.twins.learnt\n\n\n"
        "def late() -> None:\n    from engine.core import digest\n"
    )
    names = [file.relative_to(tree).as_posix() for file in code.closure(["engine.lean"])]
    assert names == ["engine/core/digest.py", "engine/lean.py"]


@pytest.mark.parametrize(
    "edited", ["params.yaml", "models/heads/linear.py", "engine/training/step.py"]
)
def test_what_is_edited_while_a_stage_runs_ends_it(tree, edited):
    def section() -> dict:
        return settings.stage_inputs("pretrain", "winner-hashtags")

    with (
        pytest.raises(ValueError, match=f"{edited} changed while the stage pretrain ran"),
        code.unchanged_while("pretrain", section),
    ):
        if edited == "params.yaml":
            text = Path("params.yaml").read_text()
            Path("params.yaml").write_text(text.replace("epochs: 10", "epochs: 11"))
        else:
            edit(tree / edited)


def test_what_a_stage_does_not_use_may_be_edited_meanwhile(tree):
    with code.unchanged_while(
        "pretrain", lambda: settings.stage_inputs("pretrain", "winner-hashtags")
    ):
        edit(tree / "flows/reports/models/text.py")
        edit(tree / "models/objectives/jigsaw.py")
        text = Path("params.yaml").read_text()
        Path("params.yaml").write_text(text.replace("runs: 50", "runs: 51"))
