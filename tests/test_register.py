"""The registry: who becomes champion, with a real MLflow store; and the report's cells."""

import json
from pathlib import Path

import torch

from engine import checkpoint
from flows import register, report, settings, tracking

COST = {"params": 1e6, "flops": 2e6, "acts": 3e5, "latency_p50_ms": 1.0, "latency_p95_ms": 2.0, "latency_p99_ms": 3.0}
COST |= {"images_per_second": 900.0, "peak_memory_mib": 9.0, "device": "x", "dtype": "float32", "batch": 64}
COST |= {"clock": "cpu wall clock", "costs": []}


def record(name: str, top1: float, val: float, low: float, test: str = "t", seeds: int = 3) -> dict:
    """The evaluation record of one model, its weight file written."""
    weights = Path("out") / f"{name}.safetensors"
    checkpoint.save(weights, {"w": torch.full((2,), top1)}, {"name": name})
    spread = (
        {"top1_mean_low": low, "top1_mean_high": 2 * top1 - low}
        if seeds > 1
        else dict.fromkeys(("top1_mean_low", "top1_mean_high"))
    )
    accuracy = {
        "top1": top1,
        "top1_low": low,
        "top1_high": 2 * top1 - low,
        "top5": 99.0,
        "top1_mean": top1,
        "val_top1": val,
        "top1_lower_bound": top1,
        "top1_mean_lower_bound": top1,
    }
    what = {
        "candidate": name,
        "target": "scenes",
        "size": 32,
        "init": "pretrained",
        "mode": "full",
        "labels": 20,
        "samples": 100,
        "duplicates": 0,
        "weights": str(weights),
        "chosen": {},
        "scores": [],
    }
    return {"model": name, "test": test, "seeds": list(range(seeds))} | accuracy | spread | what | COST


def registered(*records: dict) -> str:
    """Run the stage on these records; returns the decision."""
    (settings.OUT / "evaluate").mkdir(parents=True, exist_ok=True)
    (settings.OUT / "evaluate/records.json").write_text(json.dumps(records))
    (settings.OUT / "evaluate/gains.json").write_text("[]")
    register.register(name="models")
    return (settings.OUT / "register/report.md").read_text().split("**")[1]


def test_the_champion_changes_only_beyond_the_interval(place):
    first = record("a", top1=60, val=60, low=50)
    assert "is now version 1" in registered(first)
    assert "stays version 1: it is the best candidate again" in registered(first)
    close = record("b", top1=65, val=65, low=55)
    assert "stays version 1, challenger is version 2" in registered(first, close)
    clear = record("c", top1=80, val=80, low=70)
    assert "is now version 3" in registered(first, close, clear)
    assert "is now version 4" in registered(record("d", top1=40, val=40, low=30, test="other"))
    client = tracking.connect()
    assert client.get_model_version_by_alias("models", "champion").tags["tagdag.model"] == "d"
    assert len(client.search_model_versions("name = 'models'")) == 4


def test_validation_names_the_challenger_and_test_does_not(place):
    lucky, better = record("lucky", top1=90, val=50, low=85), record("better", top1=70, val=60, low=60)
    registered(lucky, better)
    assert tracking.connect().get_model_version_by_alias("models", "challenger").tags["tagdag.model"] == "better"


def test_the_first_target_decides_and_each_size_is_a_version(place):
    first, other = record("a", top1=60, val=60, low=50), record("b", top1=99, val=99, low=98) | {"target": "birds"}
    larger = first | {"model": "a-40px", "size": 40, "val_top1": 70}
    registered(first, larger, other)
    client = tracking.connect()
    assert client.get_model_version_by_alias("models", "champion").tags["tagdag.model"] == "a-40px"
    assert len(client.search_model_versions("name = 'models'")) == 3


def test_targets_sizes_and_choices_are_told_where_there_are_any(place):
    one = record("a", 60, 60, 50)
    choice = {"chosen": {"rate": 0.8}, "fit": 150, "held_out": 50}
    choice["scores"] = [{"rate": 0.4, "top1": 66.0}, {"rate": 0.8, "top1": 70.0}]
    records = [one, one | choice | {"model": "a-40px", "size": 40}, one | {"model": "c", "target": "birds"}]
    text = report.markdown(records, [], dict.fromkeys(("a", "a-40px", "c"), "1"), "done", {})
    assert "| model | target | px | top-1 %" in text and "| a-pretrained-full-20 | scenes | 40 | 60.0" in text
    assert "full-20: rate 0.8 of rate 0.4 (66.0 %), rate 0.8 (70.0 %); fitted on 150 labels, scored on 50 held" in text
    alone = report.markdown([one], [], {"a": "1"}, "done", {})
    assert "| model | top-1 %" in alone and "held out" not in alone


def test_one_seed_has_no_interval(place):
    text = report.markdown([one := record("a", 60, 60, 50, seeds=1)], [], {"a": "1"}, "done", {})
    assert "| 60.0 (one seed) |" in text
    report.plot(place / "plot.png", [one])
    assert (place / "plot.png").stat().st_size > 1000


def test_the_lower_bound_is_a_column(place):
    one = record("a", 60, 60, 50) | {"duplicates": 2, "top1_lower_bound": 58.0, "top1_mean_lower_bound": 57.3}
    text = report.markdown([one], [], {"a": "1"}, "done", {})
    head, _, cells, *_ = text.splitlines()[2:]
    assert dict(zip(head.split(" | "), cells.split(" | "), strict=True))["lower bound %"] == "57.3"
    assert "duplicates of posts count as wrong" in text and "scenes: 100 test images, 2 duplicates" in text
    registered(one)
    version = tracking.connect().get_model_version("models", "1")
    assert tracking.connect().get_run(version.run_id).data.metrics["top1_lower_bound"] == 58


def test_costs_are_told_by_batch_and_where_memory_ran_out(place):
    def cost(mode: str, batch: int, asked: int) -> dict:
        times = {f"latency_p{p}_ms": p / 10 for p in (50, 95, 99)}
        return times | {
            "mode": mode,
            "batch": batch,
            "asked": asked,
            "images_per_second": 700.4,
            "peak_memory_mib": 3.0,
        }

    one = record("a", 60, 60, 50) | {"costs": [cost("inference", 1, 1), cost("training", 32, 64)]}
    text = report.markdown([one, one | {"model": "b", "mode": "linear"}], [], {"a": "1", "b": "2"}, "done", {})
    lines = text.partition("## Cost by batch")[2].splitlines()[4:6]
    assert lines == [
        "| a, scenes, full and linear, 32 px | inference | 1 | 5.0 / 9.5 / 9.9 | 700 | 3.0 |",
        "| a, scenes, full and linear, 32 px | training | 32 (memory ran out at 64) | 5.0 / 9.5 / 9.9 | 700 | 3.0 |",
    ]
    assert "x by cpu wall clock, float32" in text
