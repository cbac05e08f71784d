"""The report of models: every number is what the files say, every picture the right one."""

import base64
import csv
import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from flows.reports.models import cautions, files, plots, scatter, words
from flows.reports.models.calibration import reliability
from flows.reports.models.costs import networks
from flows.reports.models.mistakes import MISTAKES, surest, worst
from flows.reports.models.page import page
from flows.reports.models.reading import curves, read
from flows.reports.models.text import markdown
from flows.reports.models.tradeoff import points
from flows.running import settings
from tests.flows.reports.test_report import Page
from tests.support.modelreports import CLASSES, Made, found, jpeg, plain, quiet, section, version


def test_champion_and_challenger_are_marked_with_their_intervals(place):
    made = quiet()
    first, _, third = made.records
    leaders = {"champion": version("1", first), "challenger": version("3", third)}
    text = page(found(made, leaders, "champion stays version 1: why"))
    table = section(text, "Models")
    ends = f"{first['value']:.1f} ({first['low']:.1f} to {first['high']:.1f})"
    rows = [plain(row) for row in table.split("<tr>")]
    assert [row for row in rows if "champion" in row and ends in row]
    assert [row for row in rows if "challenger" in row and "baseline, pretrained" in row]
    assert table.count("<mark>") == 2 and "Champion stays version 1: why." in plain(table)
    head = plain(text.partition("<dl")[2].partition("</dl>")[0])
    gain = made.gains()[0]
    assert f"{first['value']:.1f} %" in head and f"{gain['gain']:+.1f}" in head


def test_a_champion_of_an_earlier_run_is_told_with_its_numbers(place):
    made = quiet()
    old = {"champion": version("17", {"model": "old-model"})}
    old["challenger"] = version("3", made.records[2])
    text = page(found(made, old))
    told = "earlier run: version 17, old-model, top-1 71.5 % (66.0 to 77.0)"
    assert told in plain(section(text, "Models"))
    assert "the challenger: baseline, pretrained" in plain(section(text, "Accuracy by class"))


def test_the_text_is_short_and_says_where_the_rest_is(place):
    made = quiet()
    text = markdown(found(made, {"champion": version("1", made.records[0])}))
    assert "| champion | winner, pretrained on hashtags, fine-tuned |" in text
    assert "over seeds and test images together" in text and "report.html beside this text" in text
    gain = made.gains()[0]
    ends = f"{gain['gain_low']:+.1f} to {gain['gain_high']:+.1f}"
    assert f"{gain['gain']:+.1f} points (95 % interval {ends}; 3 seeds)" in text
    assert len(text.splitlines()) < 45 and "lower bound" not in text


def test_targets_sizes_and_labels_are_told_where_there_are_several(place):
    made = quiet()
    one = made.models[0]
    made.models.append(one | {"model": "larger", "size": 40, "labels": "all"})
    made.models.append(one | {"model": "other", "task": "birds"})
    findings = found(made)
    text = markdown(findings)
    assert "|  | model | labels | px | top-1" in text and "| all labels | 40 |" in text
    assert "## scenes" in text and "## birds" in text
    shown = section(page(findings), "Task birds")
    assert plain(shown).count("winner, pretrained on hashtags, fine-tuned") == 1


def test_the_second_target_has_its_worst_classes_and_duplicates(place):
    made = quiet()
    first = [*made.models]
    made.task, made.models = "birds", []
    made.images()
    made.model("winner", "hashtags", "linear", 0.8)
    birds = made.models
    made.models, made.task = first + birds, "scenes"
    made.duplicates = [("birds", "test-beach-1", post, "x") for post in ("post-1", "post-2")]
    shown = plain(section(page(found(made)), "Task birds"))
    assert "Least known classes of winner-birds-winner-hashtags-linear-20-32px: buddha" in shown
    assert "Seen in the posts too: 1 test image." in shown


def test_one_seed_has_the_interval_of_its_test_images(place):
    made = Made(test=60, seeds=1)
    made.images()
    record = made.model("winner", "hashtags", "linear", 0.9)
    findings = found(made)
    ends = f"({record['low']:.1f} to {record['high']:.1f})"
    assert ends in plain(section(page(findings), "Models"))
    assert not re.search(r"\bnan\b", plain(page(findings)))
    plots.plot(place / "plot.png", findings.first)
    assert (place / "plot.png").stat().st_size > 1000


def test_every_class_has_its_own_accuracy_the_worst_first(place):
    made = quiet()
    shown = plain(section(page(found(made)), "Accuracy by class"))
    images, seeds = made.answers[made.models[0]["model"]]
    hits, labels = np.stack([one.guess == images.label for one in seeds]), images.label
    right = {name: 100 * hits[:, labels == i].mean() for i, name in enumerate(CLASSES)}
    order = sorted(right, key=right.get)
    assert order[0] == "buddha"  # of which the made-up models know least
    assert re.findall("|".join(CLASSES), shown) == order
    for name, mean in right.items():
        assert re.search(rf"{name} .{{0,40}}{mean:.1f} \([\d.]+ to [\d.]+\), n = 60", shown)


def answers_of(made: Made) -> list[dict]:
    """The rows of predictions.parquet of the first model."""
    rows = pq.read_table(settings.OUT / "evaluate/scenes/answers.parquet").to_pylist()
    return [row for row in rows if row["model"] == made.records[0]["model"]]


def test_confusion_counts_the_answers_of_all_seeds(place):
    made = quiet()
    findings = found(made)
    counted = np.zeros((4, 4), int)
    for row in answers_of(made):
        counted[row["label"], row["guess"]] += 1
    assert (findings.answers["scenes"].confusion == counted).all()
    wrong = counted - np.diag(np.diag(counted))
    true, guess = np.unravel_index(wrong.argmax(), wrong.shape)
    shown = plain(section(page(findings), "Confusion").partition("Most confused")[2])
    share = wrong.max() / counted[true].sum()
    assert f"{CLASSES[true]} {CLASSES[guess]} {wrong.max()} {share:.0%}" in shown


def test_calibration_is_that_of_the_paper():
    # two bins of 15: (0.53, 0.6] holds 0.55 twice, one right; (0.93, 1] 0.95 twice, both right
    scores, hits = np.array([0.95, 0.95, 0.55, 0.55]), np.array([True, True, True, False])
    found = reliability(scores, hits)
    assert found.answers.tolist() == [2, 2] and found.right.tolist() == [50, 100]
    assert found.error == pytest.approx(100 * (0.5 * 0.05 + 0.5 * 0.05))
    scores = np.array([0.9, 0.95, 0.19, 0.2])  # 0.9 is in bin 14 of 15, 0.2 the end of bin 3
    assert reliability(scores, scores > 0).answers.tolist() == [2, 1, 1]
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.2, 1, 20_000)
    assert reliability(sure, rng.random(20_000) < sure).error < 1.5
    assert reliability(sure, np.zeros(20_000, bool)).error == pytest.approx(100 * sure.mean())
    assert reliability(np.array([0.0, 1.0]), np.array([False, True])).error == 0  # both ends count


def test_the_worst_mistakes_are_those_of_the_highest_score_with_their_pictures(place):
    made = quiet()
    findings = found(made)
    found_ = worst(findings.answers["scenes"])
    given: dict[tuple, list[float]] = {}
    for row in answers_of(made):
        if row["guess"] != row["label"]:
            given.setdefault((row["id"], row["guess"]), []).append(row["score"])
    mean, (key, guess) = max((sum(scores) / 3, pair) for pair, scores in given.items())
    assert (found_[0].id, found_[0].guess) == (key, guess)
    assert found_[0].score == pytest.approx(mean) and len(found_) == MISTAKES
    assert [m.score for m in found_] == sorted((m.score for m in found_), reverse=True)
    place_ = [test for test, _ in made.tests].index(key)
    before = sum(sum(made.counts[split]) for split in ("train", "val"))
    picture = Page(page(findings)).values("src")[0]
    expected = base64.b64encode(findings.pictures[key]).decode()
    assert picture == f"data:image/jpeg;base64,{expected}"
    assert findings.pictures[key] == made.pictures[before + place_]


def test_duplicates_stand_beside_the_post_that_they_repeat(place):
    made = quiet()
    ids = [key for key, _ in made.tests]
    made.duplicates = [
        ("scenes", ids[7], "post-3", "fingerprint"),
        ("scenes", ids[7], "post-4", "learnt"),
        ("scenes", ids[8], "gone", "learnt"),
    ]
    made.models[0] |= {"duplicates": 2, "bound": 61.2}
    findings = found(made)
    pair, _, gone = findings.duplicates["scenes"]
    assert pair.twin == jpeg(1003) and gone.twin is None and gone.image is not None
    shown = plain(section(page(findings), "Duplicates among the test images"))
    assert "2 test images lie in the posts too" in shown and f"{ids[7]} = post-3" in shown
    assert "no picture" in shown and "61.2" in plain(section(page(findings), "Models"))


def test_learning_curves_are_means_of_neighbouring_steps(place):
    made = quiet()
    made.write()
    found_ = curves(settings.OUT / "pretrain")
    with Path("out/pretrain/winner/curve.csv").open() as file:
        rows = [(float(row["step"]), float(row["loss"])) for row in csv.DictReader(file)]
    (Path("out/pretrain/winner/seeds")).mkdir()
    for seed in range(1, 6):
        text = "step,loss,learning_rate\n1,2,0.1\n2,1,0.1\n"
        Path(f"out/pretrain/winner/seeds/curve-{seed}.csv").write_text(text)
    more = curves(settings.OUT / "pretrain")
    assert more["winner, seed 3"].loss.tolist() == [2, 1]
    shown = section(page(found(made)), "Learning curves")
    lines = re.findall(r'class="line (s\d)"', shown)
    assert len(lines) == len(more) == 7 and set(lines) == {f"s{i}" for i in range(5)}
    assert list(found_) == ["baseline", "winner"] and len(found_["winner"].step) == 250
    assert found_["winner"].step[0] == np.mean([step for step, _ in rows[:2]])
    assert found_["winner"].loss[0] == pytest.approx(np.mean([loss for _, loss in rows[:2]]))
    assert "winner" in section(page(found(made)), "Learning curves")


def test_choices_are_told_in_words():
    scores = [{"k": 10, "score": 60.0}, {"k": 5, "score": 58.1}, {"k": 20, "score": 57.0}]
    arm = {"candidate": "winner", "init": "winner-hashtags", "head": "knn", "labels": 20}
    told = words.choice_line(arm | {"chosen": {"k": 10}, "scores": scores, "held_out": 40})
    assert told == (
        "winner, pretrained on hashtags, nearest neighbours, 20 labels per class: k = 10 chosen "
        "among 5, 10, 20 (58.1, 60.0, 57.0 % on 40 held-out labels)"
    )
    tied = [{"rate": 0.8, "score": 60.0}, {"rate": 1.6, "score": 60.0}]
    tied += [{"rate": 9.9, "score": None, "diverged": True}]
    arm |= {"head": {"name": "linear"}, "init": "scratch", "labels": "all"}
    told = words.choice_line(arm | {"chosen": {"rate": 0.8}, "scores": tied, "held_out": 1})
    assert "winner, from scratch, all labels: learning rate = 0.8 chosen among" in told
    assert "(60.0, 60.0, diverged % on 1 held-out label; of equal ones the first" in told
    assert words.choice_line(arm | {"chosen": {}, "scores": []}) is None
    shares = [words.labels(share) for share in (0.1, 0.025, 0.07, 20, "all")]
    assert shares[:3] == ["10 % of the labels", "2.5 % of the labels", "7 % of the labels"]
    assert shares[3:] == ["20 labels per class", "all labels"]


def test_costs_stand_once_per_network_and_busy_ones_are_marked(place):
    made = quiet()
    cost = {key: value for key, value in made.models[0].items() if "_ms" in key}
    cost |= {"mode": "training", "batch": 32, "asked": 64, "images_per_second": 700.4}
    cost |= {"peak_memory_mib": 3.0, "busy": False}
    for model in made.models[:2]:
        model |= {"network": "winner, head linear", "busy": "load 7.1 of 2 cores", "costs": [cost]}
    findings = found(made)
    assert [len(shared) for shared in networks(findings.records)] == [2, 1]
    shown = plain(section(page(findings), "Costs"))
    assert shown.count("winner, fine-tuned, 32 px") == 2  # once in the table, once by batch
    assert "1.1 / 1.5 / 1.9 (busy)" in shown and "(load 7.1 of 2 cores)" in shown
    assert "training 32 (memory ran out at 64) 1.1 / 1.5 / 1.9 700 3.0" in shown
    assert markdown(findings).count("| winner, fine-tuned, 32 px |") == 1
    for place_, model in enumerate(made.models[:2]):
        model["network"] = f"winner, head knn samples {place_}"
    shown = plain(section(page(found(made)), "Costs"))  # two that would be called the same
    assert all(f"winner, head knn samples {place_}" in shown for place_ in (0, 1))


def test_a_latency_of_a_busy_machine_is_on_no_front(place):
    made = quiet()
    made.models[0]["busy"] = "load"
    findings = found(made)
    timed = points(findings, "latency_p50_ms", 1, True)
    assert [point.loud for point in timed] == [True, False, False]
    best = scatter.front(timed)
    assert best and not any(point.loud for point in best)
    counted = points(findings, "flops", 1e6, False)
    assert scatter.front(counted)[0].value == made.records[0]["value"]  # they stay true
    assert page(findings).count('class="point s0 loud"') == 1


def test_a_front_is_what_no_other_beats_in_both():
    def point(cost: float, value: float, loud: bool = False) -> scatter.Point:
        return scatter.Point("", cost, value, value, value, 0, loud=loud)

    some = [point(1, 50), point(2, 49), point(2, 60), point(3, 60), point(4, 70)]
    some.append(point(0.5, 99, loud=True))
    assert [(p.cost, p.value) for p in scatter.front(some)] == [(1, 50), (2, 60), (4, 70)]


ENDS = [(0, 1.3), (53.2, 88.1), (0, 4e6), (99.1, 99.4), (60, 60)]


@pytest.mark.parametrize(("low", "high"), ENDS)
def test_axes_have_round_ticks_within(low, high):
    scale = scatter.Scale(low, high, 0, 100)
    ticks = scale.ticks()
    assert 2 <= len(ticks) <= 12 and ticks == sorted(set(ticks))
    assert all(scale.low <= tick <= scale.high for tick in ticks)
    assert scale(low) < scale(high) or low == high


def test_without_predictions_the_page_says_what_is_missing(place):
    made = quiet()
    made.write()
    (settings.OUT / "evaluate/scenes/answers.parquet").unlink()
    findings = read(made.outcomes(), {})
    assert "no predictions" in cautions.all_of(findings)[0]
    assert "Accuracy by class" not in page(findings) and "Costs" in page(findings)
    (settings.OUT / "evaluate/scenes/answers.parquet").write_bytes(b"PAR1 damaged")
    with pytest.raises(ValueError, match=r"answers\.parquet cannot be read.*evaluate again"):
        read(made.outcomes(), {})


def test_a_page_of_large_pictures_stays_small(place):
    made = Made()
    made.side, made.noise = 256, True
    made.images()
    made.model("winner", "hashtags", "linear", 0.3)
    ids = [key for key, _ in made.tests]
    made.duplicates = [("scenes", key, f"post-{i}", "x") for i, key in enumerate(ids[:20])]
    findings = found(made)
    text, best = page(findings), surest(findings.answers["scenes"])
    assert text.count("data:image/jpeg") == MISTAKES + 2 * 12 + len(best)
    assert 0.2e6 < len(text) < 1.5e6


def test_two_hundred_classes_fit(place):
    names = [f"class-{number:03d}" for number in range(200)]
    made = Made(names, test=2)
    made.counts["train"] = [1] * 200
    made.counts["val"] = [0] * 200
    made.images()
    made.model("winner", "hashtags", "linear", 0.5)
    findings = found(made)
    text = page(findings)
    shown = section(text, "Accuracy by class")
    assert shown.count('class="row"') == 200 and "175 more classes" in shown
    assert "160 classes of the fewest mistakes are left out" in section(text, "Confusion")
    assert "(class-" in cautions.all_of(findings)[0] and "195 more" in cautions.all_of(findings)[0]
    assert len(text) < 1.5e6


def test_the_same_findings_give_the_same_bytes(place):
    made = quiet()
    made.write()
    for name in ("a", "b"):
        files.write(Path(name), made.outcomes(), {})
    for file in ("report.html", "report.md", "comparison.png", "matrix.csv"):
        assert Path("a", file).read_bytes() == Path("b", file).read_bytes()
    assert json.loads(Path("out/evaluate/scenes/records.json").read_text()) == made.records


def test_the_surest_right_answers_are_one_of_each_class(place):
    made = quiet()
    findings = found(made)
    answers = findings.answers["scenes"]
    shown = section(page(findings), "Surest right answers")
    score = answers.scores.mean(0) * answers.hits.all(0)
    for index, name in enumerate(answers.classes):
        its = np.where(answers.labels == index, score, -1)
        if its.max() > 0:  # else no image of the class was right by every seed
            assert f"score {its.max():.0%}" in shown, name
            assert answers.ids[int(its.argmax())] in shown, name
    assert shown.count("<img") == len(surest(answers)) == 3
    answers.guesses[:] = (answers.labels + 1) % 4
    vars(answers).pop("hits")
    assert "no test image that all seeds were right about" in page(findings)


def test_nearest_neighbours_of_a_pretraining_are_drawn_where_it_was_monitored(place):
    made = quiet()
    made.write()
    assert "k-NN accuracy" not in section(page(found(made)), "Learning curves")
    lines = "epoch,step,knn_accuracy,feature_spread\n1,4,20.5,0.5\n2,8,30,0.6\n"
    Path("out/pretrain/winner/monitor.csv").write_text(lines)
    # without a labelled set there is no such number
    Path("out/pretrain/baseline/monitor.csv").write_text("epoch,step,feature_spread\n1,4,0.5\n")
    findings = found(made)
    assert list(findings.neighbours) == ["winner"]
    assert findings.neighbours["winner"].loss.tolist() == [20.5, 30]
    assert "k-NN accuracy, %" in section(page(findings), "Learning curves")


def test_every_fine_tuning_has_its_curve(place):
    made = quiet()
    arm = {"task": "scenes", "head": "linear", "labels": 20, "candidate": "winner"}
    arms = [
        arm | {"init": init, "seed": seed, "curve": [[4, 2.0 + seed], [8, 1.0], [12, 0.5]]}
        for init in ("winner-hashtags", "scratch")
        for seed in range(7)
    ]
    arms += [arm | {"init": "scratch", "seed": 9, "head": "knn", "curve": []}]
    arms += [arm | {"init": "scratch", "seed": 8}]
    folder = settings.OUT / "finetune" / "scenes"
    folder.mkdir(parents=True)
    (folder / "records.json").write_text(json.dumps(arms))
    findings = found(made)
    curves_of = findings.arms["winner, 20 labels per class"]
    assert len(curves_of) == 14
    assert curves_of["not pretrained, seed 3"].loss.tolist() == [5.0, 1.0, 0.5]
    shown = section(page(findings), "Learning curves")
    assert shown.count("polyline") >= 12 and 'class="dash' in shown
    assert "winner, 20 labels per class." in shown and "2 more are in MLflow" in shown


def erring(made: Made) -> None:
    """The models of a metric in pixels of which less is better; the second has no interval."""
    for place, model in enumerate(made.models):
        value = 3.0 + place
        model |= {"headline": "pixel_error", "higher": False, "unit": "px", "values": {}}
        model |= {"value": value, "low": value - 0.5, "high": value + 0.75, "val": value}
        model |= {"best": value, "scores": []}
        model.pop("bound")
    made.models[1] |= {"low": None, "high": None}


def test_a_metric_of_which_less_is_better_is_told_in_its_unit(place):
    made = quiet()
    erring(made)
    made.models.reverse()
    findings = found(made, decision="high end 3.75 px is below")
    assert [record["value"] for record in findings.records] == [3.0, 4.0, 5.0]
    assert findings.shown["value"] == 3.0
    text, told = page(findings), markdown(findings)
    assert "| pixel error px (95 % interval) |" in told
    assert "3 (2.5 to 3.75)" in told and "4 (no interval)" in told
    assert "top-1" not in told and "top-5" not in told and "accuracy" not in told.split("report")[0]
    gain = findings.gain_of(findings.shown)
    assert f"{gain['gain']:+.3g} px (95 % interval" in told
    assert "Pixel error against cost" in text and "pixel error (px)" in text
    assert [
        point.value for point in scatter.front(points(findings, "flops", 1e6, False), False)
    ] == [3]
    assert not re.search(r"\bnan\b", plain(text))
    plots.plot(place / "plot.png", findings.first)
    assert (place / "plot.png").stat().st_size > 1000
