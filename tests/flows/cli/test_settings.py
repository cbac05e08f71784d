"""Params and surroundings that are wrong end with exit code 2 and one message of cause and fix."""

import copy
import inspect
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from engine.core import checkpoint
from engine.core.digest import digest
from flows.cli import command, sections, validate, validate_names
from flows.pipeline import only_driver
from flows.running import settings
from tests.support import params

PARAMS = params.PARAMS
HASHTAGS, SCENES = "pretrain.baseline-hashtags", "tasks.scenes"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty project folder with the committed params.yaml."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TAGDAG_TRACEBACK", raising=False)
    params.committed()
    return tmp_path


def told(capsys: pytest.CaptureFixture, action: Callable[[], object]) -> str:
    """The one message with which the action ends the process."""
    with pytest.raises(SystemExit) as end, command.user_errors():
        action()
    output = capsys.readouterr()
    *lines, hint = output.err.splitlines()
    assert end.value.code == 2 and output.out == ""
    assert (
        hint == "(TAGDAG_TRACEBACK=1 shows where)"
        and sum(line.startswith("error: ") for line in lines) == 1
    )
    assert not re.search(r"Traceback|Error\b", output.err)
    return "\n".join(lines).removeprefix("error: ")


def test_committed_params_are_right():
    validate.validate()


def labelling(data: str = "targets/scenes", **more: object) -> Callable[[], None]:
    """An action that has networks of the task label posts as the set `a`; data: of that task."""

    def change() -> None:
        whole = yaml.safe_load(Path("params.yaml").read_text())
        made = {"task": "scenes", "init": "scratch", "head": "linear"}
        whole["materialise"] = {"a": made | more}
        whole["tasks"]["scenes"]["data"] = data
        Path("params.yaml").write_text(yaml.safe_dump(whole))

    return change


def changed(path: str, value: object) -> Callable[[], None]:
    """An action that sets the value at a dotted path of params.yaml, or deletes what is there
    when it is None.
    """

    def change() -> None:
        whole = yaml.safe_load(Path("params.yaml").read_text())
        *above, last = path.split(".")
        section = whole
        for key in above:
            section = section[key]
        if value is None:
            del section[last]
        else:
            section[last] = value
        Path("params.yaml").write_text(yaml.safe_dump(whole, sort_keys=False))

    return change


def candidate(**keys: object) -> Callable[[], None]:
    """An action that changes the winner of the search, and what takes it over."""

    def change() -> None:
        whole = copy.deepcopy(PARAMS)
        whole["candidates"]["winner"] |= keys
        whole["pretrain"]["winner-hashtags"] |= keys
        Path("params.yaml").write_text(yaml.safe_dump(whole, sort_keys=False))

    return change


def reference(**keys: object) -> Callable[[], None]:
    """An action that changes keys of the reference's file, or deletes those that are None."""

    def change() -> None:
        section = params.REFERENCE | keys
        kept = {key: value for key, value in section.items() if value is not None}
        Path("candidates/resnext.yaml").write_text(yaml.safe_dump(kept))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (changed("serach", {}), "params.yaml: unknown section 'serach'; did you mean search?"),
        (
            changed("tasks", None),
            "params.yaml: section 'tasks' is missing; take it from the committed file",
        ),
        (
            changed(f"{HASHTAGS}.epoch", 3),
            f"{HASHTAGS}: unknown key 'epoch', did you mean 'epochs'?",
        ),
        (changed(f"{SCENES}.inits", None), f"{SCENES}: missing key 'inits', add it"),
        (
            changed("search.trials", "many"),
            "search.trials = 'many': give a number, no word and no quotes",
        ),
        (
            changed(f"{SCENES}.heads", {"liner": {}}),
            f"{SCENES}.heads.liner: unknown name 'liner', did you mean 'linear'?",
        ),
        (changed("corpus", [1]), "corpus: found [1], expected keys and values: size, "),
        (
            changed("candidates.winner.backbone", "regnt"),
            "candidates.winner.backbone: unknown name 'regnt', did you mean 'regnet'?",
        ),
        (
            changed("search.space.name", "regnet"),
            "search.space: unknown name 'regnet', did you mean 'regnety'?",
        ),
        (reference(name=None), "candidates/resnext.yaml: found {"),
        (
            changed("candidates", ["resnext"]),
            "candidates: write {baseline: {backbone: <backbone>, ",
        ),
        (
            changed(f"{HASHTAGS}.recipe.optimizer", {"name": "adam"}),
            "recipe.optimizer: unknown name 'adam'",
        ),
        (
            changed(f"{HASHTAGS}.recipe.rat", 1),
            f"{HASHTAGS}.recipe: unknown key 'rat', did you mean 'rate'?",
        ),
        (
            changed(f"{SCENES}.recipe.schedule", "cosin"),
            f"{SCENES}.recipe.schedule = 'cosin': ",
        ),
        (
            changed(f"{SCENES}.heads", {}),
            f"{SCENES}.heads: none is named: write {{linear: {{}}}}, for one",
        ),
        (
            changed(f"{SCENES}.grid.rat", [1]),
            f"{SCENES}.grid: unknown key 'rat': give one of linear, logistic, knn, ",
        ),
        (
            changed(f"{SCENES}.grid.rate", 0.4),
            f"{SCENES}.grid.rate: found 0.4, expected a list",
        ),
        (
            changed(f"{SCENES}.grid.rate", ["fast"]),
            f"{SCENES}.grid.rate = 'fast': give a number",
        ),
        (
            changed(f"{SCENES}.grid.scratch", {"l2": ["1/2"]}),
            f"{SCENES}.grid.l2 = '1/2': give a number",
        ),
        (
            changed(f"{SCENES}.grid.k", [0]),
            f"{SCENES}.grid.k = 0: Input should be greater than",
        ),
        (
            changed(f"{SCENES}.held_out", 1),
            f"{SCENES}.held_out = 1: Input should be less than 1",
        ),
        (
            changed(f"{SCENES}.labels", [-1]),
            f"{SCENES}.labels.0 = -1: Input should be greater than or equal to 1, or ",
        ),
        (
            changed(f"{SCENES}.labels", [20, 0]),
            f"{SCENES}.labels.1 = 0: Input should be greater",
        ),
        (
            changed(f"{SCENES}.seeds", []),
            f"{SCENES}.seeds = []: List should have at least 1 item",
        ),
        (changed("corpus.min_posts", 0), "corpus.min_posts = 0: Input should be greater than"),
        (changed("corpus.max_tags", -1), "corpus.max_tags = -1: Input should be greater than"),
        (changed("corpus.user_cap", 0), "corpus.user_cap = 0: Input should be greater than"),
        (changed("corpus.holdout", 2), "corpus.holdout = 2: Input should be less than 1"),
        (
            changed("corpus.noise", -0.1),
            "corpus.noise = -0.1: Input should be greater than or equal to 0",
        ),
        (
            changed(f"{SCENES}.data", "targets/../scenes"),
            f"{SCENES}.data: targets/: '../scenes' is no name: use 1 to 64",
        ),
        (changed(f"{SCENES}.data", "hashtags"), f"{SCENES}.data: hashtags are no labels: write"),
        (changed("tasks", {"a/b": PARAMS["tasks"]["scenes"]}), "tasks: 'a/b' is no name: use 1"),
        (changed("tasks", {}), "params.yaml: tasks: found {}: write a name for each"),
        (changed("pretrain", {}), "params.yaml: pretrain: found {}: write a name for each"),
        (
            changed("tasks", {"a.b": PARAMS["tasks"]["scenes"]}),
            "tasks: 'a.b': DVC takes '.' for the end of a key",
        ),
        (changed("candidates", {"../x": {}}), "candidates: '../x' is no name: use 1 to 64"),
        (
            changed("candidates", {"nul": {}}),
            "candidates: 'nul' is a device's name on Windows",
        ),
        (
            changed("search.data", "../hashtags"),
            "search.data: '../hashtags' names no images: write hashtags or",
        ),
        (
            changed("search.data", "targets/.."),
            "search.data: targets/: '..' is no name: use 1 to 64",
        ),
        (changed("register.name", "tag/dag"), "register.name: 'tag/dag' is no name: use 1 to 64"),
        (
            changed(f"{SCENES}.inits", ["winner-hastags"]),
            f"{SCENES}.inits: unknown name 'winner-hastags', did you mean 'winner-hashtags'",
        ),
        (
            changed(f"{SCENES}.candidates", ["winer"]),
            f"{SCENES}.candidates: unknown name 'winer', did you mean 'winner'",
        ),
        (
            changed(HASHTAGS, PARAMS["pretrain"]["baseline-hashtags"] | {"candidate": "winer"}),
            f"{HASHTAGS}.candidate: unknown name 'winer', did you mean 'winner'",
        ),
        (
            changed(f"{HASHTAGS}.backbone", "regnet"),
            f"{HASHTAGS}.backbone is regnet, and candidates.baseline.backbone resnext: write that",
        ),
        (
            changed("candidates.winner.section", "candidates/gone.yaml"),
            "candidates.winner.section: candidates/gone.yaml is no file: name a committed one",
        ),
        (
            changed("candidates.baseline.backbone", "regnet"),
            "candidates.baseline.backbone is regnet, and candidates/resnext.yaml a resnext",
        ),
        (
            changed(f"{SCENES}.metric.name", "acuracy"),
            f"{SCENES}.metric: unknown name 'acuracy', did you mean 'accuracy'",
        ),
        (
            labelling(keep={"leest": 0.5}),
            "materialise.a.keep: unknown key 'leest', did you mean 'least'",
        ),
        (
            labelling(policy={"name": "pseudos"}),
            "materialise.a.policy: unknown name 'pseudos', did you mean 'pseudo'",
        ),
        (
            labelling("../materialised/a"),
            "materialise.a: the task whose networks label it trains on it: name another",
        ),
        (
            changed(f"{SCENES}.policy.name", "plane"),
            f"{SCENES}.policy: unknown name 'plane', did you mean 'plain'",
        ),
        (
            changed(f"{SCENES}.policy.name", "features"),
            f"{SCENES}.metric: accuracy reads scores, and the policy features gives",
        ),
        (changed("evaluate.sizes", [0]), "evaluate.sizes.0 = 0: Input should be greater than"),
        (changed("evaluate.batches", [0]), "evaluate.batches.0 = 0: Input should be greater than"),
        (
            changed("search.resampling.rule", "cube"),
            "search.resampling.rule = 'cube': Input should be 'natural', 'sqrt'",
        ),
        (changed(f"{HASHTAGS}.objective.scal", 1), f"{HASHTAGS}.objective: unknown key 'scal'"),
        (
            reference(stem="none"),
            "search.reference.stem = 'none': Input should be",
        ),
        (
            reference(depths=[1] * 99),
            "search.reference: no memory holds such a network",
        ),
        (
            changed("candidates", {}),
            "candidates: write {baseline: {backbone: <backbone>, ",
        ),
        (
            changed("search.sampler", {"name": "Random"}),
            "search.sampler: {'name': 'Random'} names none of Optuna's",
        ),
        (
            changed("search.sampler", {"name": "TPESampler", "n_startup_trials": -1}),
            "search.sampler.n_startup_trials = -1: Input should be greater than or equal to 0",
        ),
        (
            changed("search.sampler", {"name": "TPESampler", "x": 1}),
            "search.sampler: TPESampler does not take that",
        ),
        (
            changed("search.pruner", {"name": "PercentilePruner", "percentile": "9"}),
            "search.pruner.percentile = '9'",
        ),
        (
            changed("search.objectives", ["flops"]),
            "search.objectives: add error, by which the winner is chosen",
        ),
        (
            changed("search.retrain", {"best": 0}),
            "search.retrain.best = 0: Input should be greater than",
        ),
        (
            changed("search.warm_start", ["gone"]),
            "search.warm_start: gone holds no finished search",
        ),
        (
            changed("search.latency_ms", [2, 1]),
            "search.latency_ms = [2, 1]: give two numbers, the lower one first",
        ),
        (
            changed("search.data", "targets/scenes"),
            "search.objective: hashtags reads the column 'hashtags', and targets/scenes has",
        ),
        (
            changed(f"{HASHTAGS}.objective.name", "supervised"),
            f"{HASHTAGS}.objective: supervised reads the column 'label', and hashtags has",
        ),
        (
            changed(f"{SCENES}.objective.name", "hashtags"),
            f"{SCENES}.objective: hashtags reads the column 'hashtags', and targets/scenes has",
        ),
        (
            changed(f"{SCENES}.seeds", [1, 0, 1]),
            f"{SCENES}.seeds = [1, 0, 1]: 1 is listed twice",
        ),
        (changed(f"{HASHTAGS}.seeds", [1, 1]), f"{HASHTAGS}.seeds = [1, 1]: 1 is listed twice"),
        (
            changed(f"{SCENES}.grid.l2", [0.1, 1, 0.1]),
            f"{SCENES}.grid.l2: 0.1 is listed twice",
        ),
        (
            changed(f"{SCENES}.grid.scratch", [1]),
            f"{SCENES}.grid.scratch: found [1], expected keys and lists of values",
        ),
        (
            changed(
                f"{SCENES}.grid", {"rate": list(range(1, 201)), "weight_decay": list(range(200))}
            ),
            f"{SCENES}.grid: 40,000 combinations for linear, each a training: list fewer values",
        ),
        (
            candidate(backbone="anynet"),
            "candidates.winner.backbone: anynet, but the search makes it a regnet: write that",
        ),
        (
            changed("search.space.flops", [1000, 2000]),
            "search.reference costs 4.89 M multiply-adds at corpus.size 32",
        ),
        (changed("search.space.acts", [1, 2]), "search.space: found 0 of 6 different networks in "),
        (changed("corpus.wordnet", "gone.xml"), "corpus.wordnet: gone.xml is no file"),
        (
            changed("corpus.vocabulary", "nouns"),
            "corpus.vocabulary: nouns are WordNet's: name a file in corpus.wordnet",
        ),
        (lambda: Path("params.yaml").write_text(""), "params.yaml holds no sections"),
        (
            lambda: Path("params.yaml").write_text("corpus: [1,\n"),
            "params.yaml is not YAML: line 2, column 1: ",
        ),
        (lambda: Path("params.yaml").unlink(), "run from the project's top folder"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_params_are_told_with_their_fix(capsys, change, message):
    change()
    assert message in told(capsys, validate.validate)


@pytest.mark.parametrize("name", ["a", "9", "A.b-c_d", "x" * 64, "a..b"])
def test_mlflow_takes_every_name_that_the_check_takes(name):
    from mlflow.utils.validation import _validate_model_name

    changed("register.name", name)()
    whole = settings.load_params()
    validate_names.validate_names(whole, sections.complete_params(whole))
    for registered in (name, f"{name}-experiments"):
        _validate_model_name(registered)


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "..", " a", "a\nb", "é", "x" * 65, None, 3])
def test_names_that_a_registry_may_refuse_are_told_before_anything(name):
    params.written(PARAMS | {"register": {"name": name}})
    with pytest.raises(ValueError, match=r"register\.name"):
        validate.validate()


def test_a_candidate_of_the_command_line_is_no_path():
    with pytest.raises(ValueError, match=r"candidate: '\.\./\.\./winner' is no name"):
        settings.backbone_section("../../winner")


def test_what_strangers_named_is_escaped_in_messages(capsys):
    def fail() -> None:
        raise ValueError("class '\x1b[31m\u202ered\x9b' has no image\nof its own")

    message = told(capsys, fail)
    assert message == "class '\\x1b[31m\\u202ered\\x9b' has no image\nof its own"


def _lock() -> None:
    with only_driver():
        pass


def _save() -> None:
    checkpoint.save_tensors(settings.state_path("search"), {"a": torch.zeros(1)}, {})


@pytest.mark.parametrize("action", [_lock, _save])
def test_file_where_a_folder_must_be(capsys, action):
    settings.STATE.write_text("")
    assert ".tagdag" in told(capsys, action)


def test_unwritable_folder(capsys, folder):
    folder.chmod(0o500)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)  # root may write anywhere
        assert ".tagdag: this user may not read or write it: change its owner or mode" in told(
            capsys, _lock
        )
    finally:
        os.seteuid(user)


def test_second_pipeline_in_the_same_folder(capsys):
    with only_driver():
        assert "another pipeline runs in this folder: wait for its end" in told(capsys, _lock)
    _lock()


def _fail(error: BaseException) -> None:
    with command.user_errors():
        raise error


def test_faults_of_ours_keep_their_traceback(monkeypatch, capsys):
    for error in (KeyError("x"), AssertionError("invariant"), TypeError("t")):
        with pytest.raises(SystemExit) as end:
            _fail(error)
        told = capsys.readouterr().err
        assert (
            end.value.code == 1
            and "Traceback (most recent call last)" in told
            and type(error).__name__ in told
        )
        assert told.splitlines()[-1].startswith("this is a bug of tagdag: report it")
    monkeypatch.setenv("TAGDAG_TRACEBACK", "1")
    with pytest.raises(ValueError, match="cause and fix"):
        _fail(ValueError("cause and fix"))


def test_interrupt_says_how_to_go_on(capsys):
    with pytest.raises(SystemExit) as end:
        _fail(KeyboardInterrupt())
    assert end.value.code == 130 and "run the same command again" in capsys.readouterr().err


def pretrain(training: str, candidate: str, runs: int = 3) -> tuple:
    """As a flow of a stage: an argument of the command line, and its section."""
    return training, candidate, runs


def test_section_is_a_call():
    Path("params.yaml").write_text(yaml.safe_dump(PARAMS | {"pretrain": {"a": {"candidate": "b"}}}))
    assert command.run_stage(pretrain, "a") == ("a", "b", 3)
    changed("pretrain.a.runs", 5)()
    assert command.run_stage(pretrain, "a") == ("a", "b", 5)
    with pytest.raises(ValueError, match="pretrain: unknown name 'ab', did you mean 'a'"):
        command.run_stage(pretrain, "ab")
    with pytest.raises(ValueError, match="pretrain takes no argument 'more'"):
        command.run_stage(pretrain, "a", "b", "c", "more")


@pytest.mark.parametrize("stage", settings.STAGES)
def test_every_number_of_a_stage_is_a_parameter_of_its_flow(stage):
    flow = getattr(__import__(f"flows.{stage}", fromlist=[stage]), stage)
    parameters = inspect.signature(inspect.unwrap(flow)).parameters
    each = stage in settings.NAMED
    named = PARAMS[settings.NAMED[stage]].values() if each else [PARAMS[stage]]
    required = {name for name, p in parameters.items() if p.default is p.empty}
    for section in named:
        assert set(section) <= set(parameters)
        # the first of those that run for each name is that name
        given = list(parameters)[:1] if stage in settings.EACH else []
        assert required - set(section) <= set(given)


def test_state_is_keyed_by_every_input(folder):
    code = folder / "code"
    (code / "sub").mkdir(parents=True)
    (code / "a.py").write_text("1")
    (code / "sub" / "b.py").write_text("2")
    keys = [settings.state_path("x", {"epochs": 1}, code)]
    assert settings.state_path("x", {"epochs": 1}, code) == keys[0]
    (code / "__pycache__").mkdir()
    (code / "__pycache__" / "a.pyc").write_text("3")
    assert settings.state_path("x", {"epochs": 1}, code) == keys[0]
    keys += [
        settings.state_path("x", {"epochs": 2}, code),
        settings.state_path("y", {"epochs": 1}, code),
    ]
    (code / "a.py").write_text("2")
    keys.append(settings.state_path("x", {"epochs": 1}, code))
    (code / "sub" / "b.py").rename(code / "b.py")
    keys.append(settings.state_path("x", {"epochs": 1}, code))
    assert len(set(keys)) == 5
    assert digest(1, 23) != digest(12, 3) and digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    with pytest.raises(OSError, match="nowhere"):
        digest(Path("nowhere"))


def test_forgetting_a_stage_leaves_the_others():
    files = [
        settings.state_path(name, 1) for name in ("search", "pretrain-winner", "pretrain-baseline")
    ]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    settings.drop_states("pretrain-winner")
    settings.drop_states("finetune")
    assert [file.exists() for file in files] == [True, False, True]
