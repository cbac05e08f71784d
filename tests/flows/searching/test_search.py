"""A search: what samplers suggest, what becomes of networks that do not end well, budgets, what
is taken up again.
"""

import contextlib
import json
import shutil
from collections import Counter
from pathlib import Path

import mlflow
import optuna
import pytest
import torch
import yaml

from benchmarks.clone import merged
from corpus.drawn.sample import draw_sample
from engine.core.allocator import OutOfMemory
from engine.core.build import build
from engine.training import launching
from flows.cli.command import run_stage
from flows.corpus import corpus
from flows.search import search
from flows.searching import search as search_module
from flows.searching import trial as trial_module
from flows.searching.samplers import member_sampler
from flows.searching.search import Search
from flows.searching.study import SlotQueue, StepBack, holders
from flows.training import learning
from tests.support import params

SPACE = {
    "name": "regnetx",
    "flops": [1e6, 2e6],
    "depth": [3, 8],
    "w_0": [8, 24],
    "w_a": [4, 24],
    "w_m": [1.5, 3],
}
SPACE |= {
    "group_width": [4, 16],
    "stages": [3, 4],
    "resolution": 32,
    "stem_width": 8,
    "stem_stride": 1,
}
SMALL = {
    "corpus": {"min_posts": 5, "holdout": 0.2},
    "search": {"space": SPACE, "trials": 3, "epochs": 2, "recipe": {"batch": 64}},
}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """out/corpus of a small sample."""
    folder = tmp_path_factory.mktemp("corpus")
    with contextlib.chdir(folder):
        params.written(merged(params.PARAMS, SMALL))
        draw_sample(Path("data"), posts=200, labelled=(8, 4, 6))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("flows.corpus.stage_run", lambda *_: contextlib.nullcontext(Silent()))
            run_stage(corpus)
    return folder


class Silent:
    """A run of which nothing is wanted."""

    def __getattr__(self, name):
        return lambda *args, **kwargs: None


def borrowed(shards):
    """That corpus, and the code that a search is named by, in the present folder."""
    shutil.copytree(shards / "out", "out")
    params.committed()
    top = Path(__file__).parents[3]
    for code in ("engine", "models", "flows", "metrics", "corpus"):
        Path(code).symlink_to(top / code)


@pytest.fixture
def searched(place, shards, one_thread, monkeypatch):
    """`searched(**changes)`: the rows of a search of the sample with changes to its section, the
    reference's first.
    """
    borrowed(shards)
    monkeypatch.setenv(
        "TAGDAG_SEARCHERS", "1"
    )  # what a test patches is patched in this process only

    def run(**changes):
        whole = yaml.safe_load((shards / "params.yaml").read_text())
        whole["search"] |= changes
        Path("params.yaml").write_text(yaml.safe_dump(whole))
        run_stage(search)
        return [
            json.loads(line) for line in Path("out/search/trials.jsonl").read_text().splitlines()
        ]

    return run


def suggestions(section, evaluate, slots=40, objectives=1, seed=0):
    """Networks that a sampler suggests for a space, when they have the errors that `evaluate`
    gives.
    """
    space = build("spaces", SPACE)
    directions = ["minimize"] * objectives
    sampler = member_sampler(section, space, slots, seed)
    study = optuna.create_study(sampler=sampler, directions=directions)
    SlotQueue(
        study, lambda trials: list(range(slots)), lambda trial, slot: evaluate(space.sample(trial))
    ).work()
    return space, [
        space.sample(optuna.trial.FixedTrial(trial.params)) for trial in study.get_trials()
    ]


@pytest.mark.parametrize(
    ("section", "objectives"),
    [
        ({"name": "RandomSampler"}, 1),
        ({"name": "TPESampler", "n_startup_trials": 5}, 1),
        ({"name": "TPESampler", "multivariate": True, "n_startup_trials": 5}, 2),
        ({"name": "NSGAIISampler", "population_size": 8}, 2),
        ({"name": "QMCSampler"}, 1),
        ({"name": "GPSampler", "n_startup_trials": 5}, 1),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else None,
)
def test_samplers_suggest_members_of_the_band_once_each(section, objectives):
    space, found = suggestions(
        section, lambda s: [s["w_0"], s["depth"]][:objectives], 24, objectives
    )
    assert all(space.contains(network) for network in found)
    assert len({json.dumps(space.as_anynet(network)) for network in found}) == 24


@pytest.mark.parametrize("seed", range(3))
def test_a_sampler_that_learns_finds_better_networks_than_chance(seed):
    def error(network):
        return [
            abs(network["depth"] - 8)
            + abs(network["w_a"] - 20) / 4
            + abs(network["group_width"] - 12) / 4
        ]

    means = {}
    for name in ("RandomSampler", "TPESampler"):
        found = suggestions({"name": name}, error, 40, seed=seed)[1]
        means[name] = sum(error(network)[0] for network in found[20:]) / 20
    assert means["TPESampler"] < 0.8 * means["RandomSampler"]


def test_a_search_of_more_trials_goes_on_from_fewer(searched, caplog):
    few = searched(trials=2)
    Path("out/search").rename("out/few")
    more = searched(trials=3)
    assert more[:3] == few and len(more) == 4
    client = mlflow.MlflowClient()
    runs = client.search_runs([client.get_experiment_by_name("tagdag").experiment_id])
    named = [
        (r.data.tags["tagdag.run"], "tagdag.reused" in r.data.tags)
        for r in runs
        if "tagdag.run" in r.data.tags
    ]
    trained = ["trial 0", "trial 1", "trial 2", "reference"]
    assert sorted(name for name, reused in named if not reused and name != "search") == sorted(
        trained
    )
    assert sorted(name for name, reused in named if reused) == ["reference", "trial 0", "trial 1"]


def test_a_budget_of_images_ends_a_search(searched):
    *_, one = searched(trials=1)
    rows = searched(trials=None, images=int(1.5 * one["images"]))
    assert [row["trial"] for row in rows] == ["reference", 0, 1]


def test_the_best_trained_again_decide_by_their_means(searched):
    searched(trials=3, retrain={"best": 2, "seeds": [0, 1], "epochs": 1})
    rows = [
        json.loads(line) for line in Path("out/search/retrained.jsonl").read_text().splitlines()
    ]
    assert [row["seed"] for row in rows] == [0, 1, 0, 1] and len(
        {row["trial"] for row in rows}
    ) == 2
    errors = Counter()
    for row in rows:
        errors[row["trial"]] += row["error"]
    best = next(row["network"] for row in rows if row["trial"] == min(errors, key=errors.get))
    assert yaml.safe_load(Path("out/search/winner.yaml").read_text()) == best


def test_a_network_that_diverges_is_counted_and_named(searched, monkeypatch):
    build_network = learning.network

    def sick(backbone, **more):
        module = build_network(backbone, **more)
        if backbone["name"] == "regnet" and not hasattr(sick, "name"):
            sick.name = json.dumps(backbone)
        if json.dumps(backbone) == getattr(sick, "name", ""):
            torch.nn.init.constant_(module.head.fc.weight, float("inf"))
        return module

    monkeypatch.setattr(learning, "network", sick)
    rows = searched(trials=3)
    assert [row["outcome"] for row in rows] == ["complete", "diverged", "complete", "complete"]
    assert (
        "the loss of step 1 is nan" in rows[1]["reason"]
        and "lower recipe.rate" in rows[1]["reason"]
    )
    assert rows[1]["error"] is None and "diverged" in Path("out/search/report.html").read_text()


def test_when_no_network_ends_well_the_search_says_why(searched, capsys):
    with pytest.raises(
        ValueError, match=r"no network was trained to the end \(2 diverged\); the loss of step"
    ):
        searched(trials=2, recipe={"batch": 64, "rate": 1e30, "warmup": 0})
    assert Path("out/search/report.html").exists()


class Hungry(torch.nn.Module):
    """Refuses batches above a size as an allocator does, in training or where it is measured."""

    def __init__(self, body, limit, error, training=True):
        super().__init__()
        self.body, self.limit, self.error, self.where = body, limit, error, training
        self.channels = body.channels

    def forward(self, x):
        if self.training == self.where and len(x) > self.limit:
            raise self.error
        return self.body(x)


@pytest.mark.parametrize(
    ("limit", "outcome", "error"),
    [
        (16, "complete", torch.OutOfMemoryError("CUDA out of memory.")),
        (0, "out of memory", RuntimeError("DefaultCPUAllocator: can't allocate memory: 1 byte")),
    ],
    ids=["on a GPU with fewer images", "on a CPU not at all"],
)
def test_a_network_that_is_too_large_is_trained_in_parts_or_named(
    searched, monkeypatch, limit, outcome, error
):
    hungry(monkeypatch, limit, error)
    with contextlib.nullcontext() if limit else pytest.raises(ValueError, match="1 out of memory"):
        searched(trials=1)
    rows = [json.loads(line) for line in Path("out/search/trials.jsonl").read_text().splitlines()]
    assert rows[1]["outcome"] == outcome
    assert rows[1].get("micro") == (16 if limit else None)


def hungry(monkeypatch, limit, error, training=True) -> list[int]:
    """Have every RegNet refuse batches above `limit`; the list grows with each that is built."""
    build_network, built = learning.network, []

    def large(backbone, **more):
        module = build_network(backbone, **more)
        if backbone["name"] == "regnet":
            module.backbone = Hungry(module.backbone, limit, error, training)
            built.append(limit)
        return module

    monkeypatch.setattr(learning, "network", large)
    return built


def test_a_recipe_without_a_batch_is_halved_from_that_of_the_recipe(searched, monkeypatch):
    hungry(monkeypatch, 64, MemoryError())
    rows = searched(trials=1, epochs=1, recipe={"rate": 0.4, "warmup": 0})
    section = yaml.safe_load(Path("params.yaml").read_text())["search"]
    section |= {"recipe": {"rate": 0.4}, "backbone": params.REFERENCE}
    images = trial_module.images_in_a_pass(section)  # 256, or the training list if it is shorter
    assert 128 < images <= 256
    assert rows[1]["outcome"] == "complete" and rows[1]["micro"] == images >> 2


@pytest.mark.parametrize("limit", [100, 0], ids=["fits in parts", "does not fit"])
def test_memory_that_runs_out_in_measuring_trains_nothing_again(searched, monkeypatch, limit):
    plain = searched(trials=1, epochs=1)
    shutil.rmtree(".tagdag/search")
    built = hungry(
        monkeypatch, limit, torch.OutOfMemoryError("CUDA out of memory."), training=False
    )
    with (
        contextlib.nullcontext()
        if limit
        else pytest.raises(ValueError, match="while it was measured")
    ):
        searched(trials=1, epochs=1)
    rows = [json.loads(line) for line in Path("out/search/trials.jsonl").read_text().splitlines()]
    assert len(built) == 1 and rows[1]["outcome"] == ("complete" if limit else "out of memory")
    assert not limit or rows == plain


def launched_row(searched, monkeypatch, **changes):
    """The row of the one network of a search whose trainings have two workers and fail."""
    monkeypatch.setenv("TAGDAG_WORKERS", "2")
    with pytest.raises(ValueError, match="no network was trained to the end"):
        searched(trials=1, epochs=1, **changes)
    return json.loads(Path("out/search/trials.jsonl").read_text().splitlines()[1])


def test_a_network_that_diverges_in_several_workers_is_counted(searched, monkeypatch):
    row = launched_row(searched, monkeypatch, recipe={"batch": 64, "rate": 1e30, "warmup": 0})
    assert row["outcome"] == "diverged" and "the loss of step" in row["reason"]


def test_a_network_too_large_for_several_workers_is_tried_in_parts_and_counted(
    searched, monkeypatch
):
    tried = []

    def launch(
        workers, work, section, *_
    ):  # what `launch` does is shown in training/test_distributed.py
        tried.append(section["recipe"].get("micro"))
        raise OutOfMemory("memory ran out in a worker (CUDA out of memory.)")

    monkeypatch.setattr(learning, "launch", launch)
    row = launched_row(searched, monkeypatch)
    assert row["outcome"] == "out of memory" and "also with 4 images in a pass" in row["reason"]
    assert tried == [None, 16, 8, 4]  # halves of a worker's 32


@pytest.mark.parametrize(
    ("exitcode", "kills", "told"),
    [
        (-11, 0, "1 killed its worker"),
        (-9, 1, "was killed for memory"),
        (-9, 0, "^the workers died 4 times$"),
    ],
)
def test_workers_that_die_of_a_network_end_it_and_by_kills_the_search(
    searched, monkeypatch, exitcode, kills, told
):
    def died(*_):
        counts.append(kills)
        raise launching.WorkersDied("the workers died 4 times", exitcode)

    counts = [0]
    monkeypatch.setattr(trial_module.deaths, "kills_for_memory", lambda: counts[-1])
    monkeypatch.setattr(trial_module, "fit_network", died)
    with pytest.raises(ValueError, match=told):
        searched(trials=1, epochs=1)


def test_latency_bands_leave_networks_out_before_they_are_trained(searched, monkeypatch):
    latencies = iter([5.0, 1.0, 9.0])
    measured = trial_module.profile_network

    def told(*args, **kwargs):
        return measured(*args, **kwargs) | {"latency_p50_ms": next(latencies)}

    monkeypatch.setattr(trial_module, "profile_network", told)
    rows = searched(trials=1, latency_ms=[0.5, 2], objectives=["error", "latency_ms"])
    assert [row["outcome"] for row in rows] == ["complete", "out of band", "complete"]
    assert [row.get("latency_ms") for row in rows] == [9, 5, 1], (
        "the reference need not be in the band"
    )
    assert rows[1]["reason"] == "latency 5.00 ms is not in 0.5 to 2.0 ms"


def test_an_impossible_latency_band_is_told(searched, monkeypatch):
    monkeypatch.setattr(search_module, "TURNED_DOWN", 2)
    with pytest.raises(
        ValueError, match=r"search.latency_ms: 3 of 3 networks measured lie outside"
    ):
        searched(trials=1, latency_ms=[1e6, 2e6])


def test_networks_that_fall_behind_are_pruned(searched):
    with pytest.raises(ValueError, match=r"\(2 pruned\); prune less"):
        searched(trials=2, epochs=4, pruner={"name": "ThresholdPruner", "upper": 0.001})


def test_pruning_keeps_the_curve_and_the_count_of_images(searched):
    rows = searched(trials=3, epochs=3, pruner={"name": "MedianPruner", "n_startup_trials": 1})[1:]
    for row in rows:
        epochs = 2 if row["outcome"] == "complete" else len(row["curve"])
        assert [epoch for epoch, _ in row["curve"]] == list(range(1, epochs + 1))
        assert row["images"] == pytest.approx(
            rows[0]["images"] * (3 if epochs == 2 else epochs) / 3, rel=0.05
        )


def test_an_earlier_search_warms_a_sampler(searched):
    searched(trials=3)
    Path("out/search").rename("earlier")
    rows = searched(
        trials=2, sampler={"name": "TPESampler", "n_startup_trials": 2}, warm_start=["earlier"]
    )
    assert len(rows) == 3
    before = [
        json.loads(line)["network"]
        for line in Path("earlier/trials.jsonl").read_text().splitlines()
    ]
    assert not [row for row in rows[1:] if row["network"] in before], "trained before"
    with pytest.raises(ValueError, match="no network of earlier is a member"):
        searched(space=SPACE | {"flops": [3e6, 4e6]}, warm_start=["earlier"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sampler": {"name": "TPE"}}, r"search.sampler: .*choose .*TPESampler"),
        (
            {"sampler": {"name": "TPESampler", "startup": 3}},
            r"search.sampler: TPESampler does not take that: .*startup",
        ),
        ({"pruner": {"name": "Median"}}, r"search.pruner: .*MedianPruner"),
        ({"objectives": ["flops"]}, "add error"),
        ({"objectives": ["error", "size"]}, "'size' is none of error"),
        (
            {"objectives": ["error", "flops"], "pruner": {"name": "MedianPruner"}},
            "several objectives cannot be pruned",
        ),
        ({"trials": None}, "name a budget"),
        (
            {"retrain": {"best": 1, "seed": [0]}},
            "search.retrain: unknown key 'seed', did you mean 'seeds'",
        ),
        (
            {"data": "targets/none"},
            r"'targets/none' is not in the corpus: choose hashtags or targets/scenes",
        ),
        ({"warm_start": ["out/search"]}, "writes out/search itself"),
        (
            {"warm_start": ["a"], "sampler": {"name": "NSGAIISampler"}},
            "NSGA-II learns from its own generations only",
        ),
        ({"reference": "params.yaml"}, r"params.yaml: found .*, expected a backbone's section"),
        ({"space": SPACE | {"flops": [1, 2]}}, r"found 0 of 3 .*too many flops.*widen"),
    ],
)
def test_what_cannot_be_searched_is_told_before_anything_is_trained(searched, changes, message):
    with pytest.raises(ValueError, match=message):
        searched(**changes)
    assert not Path(".tagdag/state").exists()


def test_a_worker_without_a_search_is_told(place, shards):
    borrowed(shards)
    shutil.copyfile(shards / "params.yaml", "params.yaml")
    from flows.cli.command import stage_arguments

    section = stage_arguments(search) | {"reference": params.REFERENCE}
    with pytest.raises(ValueError, match="start the stage search first"):
        Search.join(section)


def test_a_search_of_no_trials_trains_nothing_and_hands_the_reference_on(searched):
    assert searched(trials=0) == []
    assert yaml.safe_load(Path("out/search/winner.yaml").read_text()) == params.REFERENCE
    assert not Path(".tagdag").exists()


def test_a_network_is_expanded_step_by_step_and_goes_on_where_it_was(searched, monkeypatch, capsys):
    from flows.tools import expand

    params = yaml.safe_load(Path("params.yaml").read_text()) if Path("params.yaml").exists() else {}
    params["search"] |= {"space": SPACE, "epochs": 1, "recipe": {"batch": 64}}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    stages = {
        "depths": [1, 1, 1],
        "widths": [16, 32, 64],
        "bottleneck_ratios": [2, 2, 2],
        "group_widths": [8, 8, 8],
    }
    Path("small.yaml").write_text(
        yaml.safe_dump({"name": "anynet", "stem_width": 8, "stem_stride": 1, **stages})
    )
    monkeypatch.setattr(
        "sys.argv", ["expand", "small.yaml", "--factor", "2", "--axes", "depth", "width"]
    )
    expand.main()
    first = capsys.readouterr().out
    trained = mlflow.search_runs(
        experiment_names=["tagdag"], filter_string="tags.`tagdag.run` LIKE '%M'"
    )
    expand.main()
    assert capsys.readouterr().out == first
    again = mlflow.search_runs(
        experiment_names=["tagdag"], filter_string="tags.`tagdag.run` LIKE '%M'"
    )
    assert len(again) == len(trained) == 2, "one step along two axes"
    space = build("spaces", {"name": "anynetxa", "resolution": 32})
    costs = [
        space.cost(yaml.safe_load(Path(name).read_text()))["flops"]
        for name in ("small.yaml", "expanded.yaml")
    ]
    assert costs[1] / costs[0] == pytest.approx(2, rel=0.2)
    monkeypatch.setattr("sys.argv", ["expand", "none.yaml"])
    with pytest.raises(SystemExit):
        expand.main()
    assert "no file none.yaml" in capsys.readouterr().err


def test_a_search_of_more_networks_begins_with_those_of_fewer():
    space = build("spaces", SPACE)
    random = {"name": "RandomSampler"}
    few, many = (member_sampler(random, space, size, 0).members for size in (16, 64))
    assert many[:16] == few and len({json.dumps(values) for values in many}) == 64


def test_values_that_are_stored_one_by_one_are_no_network_yet(tmp_path):
    space = build("spaces", SPACE)
    draws = member_sampler({"name": "TPESampler", "n_startup_trials": 1}, space, 4, 0)
    study = optuna.create_study(sampler=draws)
    study.enqueue_trial({}, user_attrs={"slot": 0})
    cut = study.ask()
    cut.suggest_int("depth", *SPACE["depth"])  # killed here
    study.tell(cut, state=optuna.trial.TrialState.FAIL)
    SlotQueue(
        study, lambda trials: [0, 1], lambda trial, slot: [float(space.sample(trial)["depth"])]
    ).work()
    assert [trial.state.name for trial in study.get_trials()] == ["FAIL", "COMPLETE", "COMPLETE"]


LEARNERS = [
    {"name": "RandomSampler"},
    {"name": "TPESampler", "n_startup_trials": 2},
    {"name": "NSGAIISampler", "population_size": 2},
    {"name": "QMCSampler"},
]


def network_of(draws, killed: int | None, budget: dict) -> dict[int, dict]:
    """The network of each slot; a worker is killed -9 in the first attempt at slot `killed`."""
    space, study = build("spaces", SPACE), optuna.create_study(sampler=draws)
    run = Search(
        {"trials": None, "hours": None, "images": None} | budget, space, "", study, study, None
    )

    def fill(trial, slot):
        network = space.sample(trial)
        if slot == killed and not [t for t in study.get_trials() if t.state.name == "FAIL"]:
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)  # as whoever finds it dead
            raise StepBack
        trial.set_user_attr("row", {"images": 10})
        return [float(network["w_0"] + network["depth"])]

    plan = SlotQueue(study, run.slots, fill)
    while True:
        try:
            return plan.work() or {
                slot: trial.params for slot, trial in holders(study.get_trials()).items()
            }
        except ValueError as error:  # Optuna, of the trial that was told meanwhile
            assert "Cannot tell" in str(error)


@pytest.mark.parametrize("section", LEARNERS, ids=lambda section: section["name"])
@pytest.mark.parametrize("budget", [{"trials": 5}, {"images": 45}], ids=str)
@pytest.mark.parametrize("spare", [False, True], ids=["pool", "spare"])
@pytest.mark.parametrize("killed", [1, 4], ids=["second", "last"])
def test_a_kill_costs_a_search_no_network(section, budget, spare, killed):
    draws = [member_sampler(section, build("spaces", SPACE), 5, 0, spare) for _ in range(2)]
    whole, found = (
        network_of(draw, at, budget) for draw, at in zip(draws, (None, killed), strict=True)
    )
    assert sorted(whole) == list(range(5)) and found == whole


def test_a_thin_band_ends_a_search_with_all_that_it_holds(searched):
    thin = SPACE | {"flops": [8e5, 1e6], "depth": [3, 5], "group_width": [8, 8], "w_0": [8, 16]}
    thin |= {"w_m": [2, 2.1], "w_a": [8, 10]}
    rows = searched(space=thin, trials=None, hours=1, epochs=0.1)
    networks = {json.dumps(row["network"]) for row in rows[1:]}
    assert 2 < len(networks) == len(rows) - 1 < 10


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory.")])
def test_a_network_too_large_to_be_timed_is_counted(searched, monkeypatch, error):
    def refused(*_):
        raise error

    monkeypatch.setattr("engine.measure.profile.timed", refused)
    with pytest.raises(ValueError, match="1 out of memory"):
        searched(trials=1, latency_ms=[0.1, 100])
