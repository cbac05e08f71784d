"""The report of models: every number is what the files say, and every warning comes when it should."""

import base64
import csv
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

from flows import report, reportplot, settings
from flows.modelreport import cautions, scatter, words
from flows.modelreport.calibration import reliability
from flows.modelreport.costs import networks
from flows.modelreport.mistakes import MISTAKES, worst
from flows.modelreport.page import page
from flows.modelreport.reading import curves, read
from flows.modelreport.tradeoff import points
from tests.modelreports import CLASSES, Made, jpeg
from tests.searches import search
from tests.test_report import Page

MAIN = (("winner", "pretrained", 0.9), ("winner", "scratch", 0.5), ("baseline", "pretrained", 0.6))


def quiet() -> Made:
    """Models and sets that there is nothing to warn of."""
    made = Made(test=60)
    made.images()
    for candidate, init, top1 in MAIN:
        made.model(candidate, init, "full", top1, pretrainings=2)
    return made


def found(made: Made, leaders: dict | None = None, decision: str = "done"):
    """The findings of what was made, written into the present folder."""
    made.write()
    versions = {record["model"]: str(i + 1) for i, record in enumerate(made.records)}
    origin = {"tagdag.data": "abc.dir", "tagdag.commit": "0acf6ce"}
    given = made.records, made.gains(), versions, decision, origin
    return read(*given, {"all versions": "http://127.0.0.1:5000/#/models/a"}, leaders)


def version(number: str, record: dict) -> SimpleNamespace:
    """A version of the registry."""
    tags = {"model": record["model"], "top1": "71.5", "top1_low": "66", "top1_high": "77"}
    tags = {f"tagdag.{key}": value for key, value in tags.items()}
    return SimpleNamespace(version=number, tags=tags)


def section(text: str, title: str) -> str:
    """The HTML of one section."""
    body = text.partition(f"<h2>{title}</h2>")[2] or text.partition(f"<h2><bdi>{title}</bdi></h2>")[2]
    assert body, title
    return body.partition("</section>")[0]


def plain(text: str) -> str:
    """The words of some HTML."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


def test_champion_and_challenger_are_marked_with_their_intervals(place):
    made = quiet()
    first, _, third = made.records
    leaders = {"champion": version("1", first), "challenger": version("3", third)}
    text = page(found(made, leaders, "champion stays version 1: why"))
    table = section(text, "Models")
    ends = f"{first['top1_mean']:.1f} ({first['top1_low']:.1f} to {first['top1_high']:.1f})"
    rows = [plain(row) for row in table.split("<tr>")]
    assert [row for row in rows if "champion" in row and ends in row]
    assert [row for row in rows if "challenger" in row and "baseline, pretrained" in row]
    assert table.count("<mark>") == 2 and "Champion stays version 1: why." in plain(table)
    head = plain(text.partition("<dl")[2].partition("</dl>")[0])
    gain = made.gains()[0]
    assert f"{first['top1_mean']:.1f} %" in head and f"{gain['gain']:+.1f}" in head


def test_a_champion_of_an_earlier_run_is_told_with_its_numbers(place):
    made = quiet()
    old = {"champion": version("17", {"model": "old-model"}), "challenger": version("3", made.records[2])}
    text = page(found(made, old))
    told = "earlier run: version 17, old-model, top-1 71.5 % (66.0 to 77.0)"
    assert told in plain(section(text, "Models"))
    assert "the challenger, baseline, pretrained" in plain(section(text, "Accuracy by class"))


def test_the_text_is_short_and_says_where_the_rest_is(place):
    made = quiet()
    text = report.markdown(found(made, {"champion": version("1", made.records[0])}))
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
    made.models.append(one | {"model": "other", "target": "birds"})
    findings = found(made)
    text = report.markdown(findings)
    assert "|  | model | labels | px | top-1" in text and "| all labels | 40 |" in text
    assert "## scenes" in text and "## birds" in text
    shown = section(page(findings), "Target birds")
    assert plain(shown).count("winner, pretrained on hashtags, fine-tuned") == 1


def test_the_second_target_has_its_worst_classes_and_duplicates(place):
    made = quiet()
    first = [*made.models]
    made.target, made.models = "birds", []
    made.images()
    made.model("winner", "pretrained", "full", 0.8)
    birds = made.models
    made.models, made.target = first + birds, "scenes"
    made.duplicates = [("birds", "test-beach-1", post, "x") for post in ("post-1", "post-2")]
    shown = plain(section(page(found(made)), "Target birds"))
    assert "Least known classes of winner-birds-pretrained-full-20-32px: buddha" in shown
    assert "Seen in the posts too: 1 test image." in shown


def test_one_seed_has_the_interval_of_its_test_images(place):
    made = Made(test=60, seeds=1)
    made.images()
    record = made.model("winner", "pretrained", "full", 0.9)
    findings = found(made)
    ends = f"({record['top1_low']:.1f} to {record['top1_high']:.1f})"
    assert ends in plain(section(page(findings), "Models"))
    assert not re.search(r"\bnan\b", plain(page(findings)))
    reportplot.plot(place / "plot.png", findings.first)
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
    rows = pq.read_table(settings.OUT / "evaluate/predictions.parquet").to_pylist()
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
    # two bins of 15: (0.53, 0.6] holds 0.55 twice, one right; (0.93, 1] holds 0.95 twice, both right
    scores, hits = np.array([0.95, 0.95, 0.55, 0.55]), np.array([True, True, True, False])
    found = reliability(scores, hits)
    assert found.answers.tolist() == [2, 2] and found.right.tolist() == [50, 100]
    assert found.error == pytest.approx(100 * (0.5 * 0.05 + 0.5 * 0.05))
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
    made.models[0] |= {"duplicates": 2, "top1_mean_lower_bound": 61.2}
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
    assert list(found_) == ["baseline", "winner"] and len(found_["winner"].step) == 250
    assert found_["winner"].step[0] == np.mean([step for step, _ in rows[:2]])
    assert found_["winner"].loss[0] == pytest.approx(np.mean([loss for _, loss in rows[:2]]))
    assert "winner" in section(page(found(made)), "Learning curves")


def test_choices_are_told_in_words():
    scores = [{"k": 10, "top1": 60.0}, {"k": 5, "top1": 58.1}, {"k": 20, "top1": 57.0}]
    arm = {"candidate": "winner", "init": "pretrained", "mode": "knn", "labels": 20}
    told = words.choice_line(arm | {"chosen": {"k": 10}, "scores": scores, "held_out": 40})
    assert told == (
        "winner, pretrained on hashtags, nearest neighbours, 20 labels per class: k = 10 chosen "
        "among 5, 10, 20 (58.1, 60.0, 57.0 % on 40 held-out labels)"
    )
    tied = [{"rate": 0.8, "top1": 60.0}, {"rate": 1.6, "top1": 60.0}]
    tied += [{"rate": 9.9, "top1": 0.0, "diverged": True}]
    arm |= {"mode": "full", "init": "scratch", "labels": "all"}
    told = words.choice_line(arm | {"chosen": {"rate": 0.8}, "scores": tied, "held_out": 1})
    assert "winner, from scratch, all labels: learning rate = 0.8 chosen among" in told
    assert "(60.0, 60.0, diverged % on 1 held-out label; of equal ones the first" in told
    assert words.choice_line(arm | {"chosen": {}, "scores": []}) is None


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
    assert shown.count("winner, head linear") == 2  # once in the table, once by batch
    assert "1.1 / 1.5 / 1.9 (busy)" in shown and "(load 7.1 of 2 cores)" in shown
    assert "training 32 (memory ran out at 64) 1.1 / 1.5 / 1.9 700 3.0" in shown
    assert report.markdown(findings).count("| winner, head linear") == 1


def test_a_latency_of_a_busy_machine_is_on_no_front(place):
    made = quiet()
    made.models[0]["busy"] = "load"
    records = found(made).records
    timed = points(records, "latency_p50_ms", 1, True)
    assert [point.loud for point in timed] == [True, False, False]
    best = scatter.front(timed)
    assert best and not any(point.loud for point in best)
    counted = points(records, "flops", 1e6, False)
    assert scatter.front(counted)[0].value == records[0]["top1_mean"]  # multiply-adds stay true
    assert page(found(made)).count('class="point s0 loud"') == 1


def test_a_front_is_what_no_other_beats_in_both():
    def point(cost: float, value: float, loud: bool = False) -> scatter.Point:
        return scatter.Point("", cost, value, value, value, 0, loud=loud)

    some = [point(1, 50), point(2, 49), point(2, 60), point(3, 60), point(0.5, 99, True), point(4, 70)]
    assert [(p.cost, p.value) for p in scatter.front(some)] == [(1, 50), (2, 60), (4, 70)]


@pytest.mark.parametrize(("low", "high"), [(0, 1.3), (53.2, 88.1), (0, 4e6), (99.1, 99.4), (60, 60)])
def test_axes_have_round_ticks_within(low, high):
    scale = scatter.Scale(low, high, 0, 100)
    ticks = scale.ticks()
    assert 2 <= len(ticks) <= 12 and ticks == sorted(set(ticks))
    assert all(scale.low <= tick <= scale.high for tick in ticks)
    assert scale(low) < scale(high) or low == high


def edge(made: Made) -> None:
    made.models[0] |= {"chosen": {"rate": 3.2}}
    made.models[0]["scores"] = [{"rate": rate, "top1": rate} for rate in (0.8, 1.6, 3.2)]


def small(made: Made) -> None:
    made.counts["test"] = [60, 60, 16, 60]
    remade(made)


def remade(made: Made) -> None:
    """The same models on other images."""
    made.models, made.answers = [], {}
    made.images()
    for candidate, init, top1 in MAIN:
        made.model(candidate, init, "full", top1, pretrainings=2)


def absent(made: Made) -> None:
    made.counts["train"] = [50, 0, 50, 50]
    remade(made)


def rare(made: Made) -> None:
    made.counts["train"] = [50, 9, 50, 50]
    remade(made)


def near(made: Made) -> None:
    made.models[2] |= {"top1_mean": made.models[0]["top1_mean"] - 0.5}


def repeated(made: Made) -> None:
    made.models[0] |= {"duplicates": 3}


def loud(made: Made) -> None:
    made.models[1] |= {"busy": "load 7 of 2 cores"}


def once(made: Made) -> None:
    for model in made.models:
        model["pretrainings"] = 1


def few(made: Made) -> None:
    made.trials = search(6)


def behind(made: Made) -> None:
    made.trials = [made.trials[0] | {"error": 1.0}, *made.trials[1:]]


def shared(made: Made) -> None:
    (settings.OUT / "corpus/summary.json").write_text('{"held_out": {"targets/scenes": ["val"]}}')


WARNINGS = [
    (edge, r"best learning rate of winner, pretrained .* 3\.2, is the largest .* add larger ones"),
    (small, r"1 class has fewer than 30 test images \(buddha 16\).*label more test images"),
    (absent, r"1 class has no label in train \(beach\): no model can know them; label some"),
    (rare, r"unbalanced in training with 20 labels per class: airport has 20 labels, beach 9"),
    (near, r"first two models lie 0\.5 points apart.*cannot tell them apart; label more"),
    (repeated, r"scenes: 3 test images \(1\.2 %\) lie in the posts too: believe the lower bound"),
    (loud, r"Latencies of winner were measured while other work.*evaluate again on a quiet"),
    (once, r"Every pretraining was done with one seed.*name several in pretrain\.seeds"),
    (few, r"The search stands on 6 networks, fewer than 8.*raise search\.trials"),
    (behind, r"reference errs less than its winner \(1\.0 against .* raise search\.trials"),
    (shared, r"scenes has no split val of its own: a share of its train images.*give it one"),
]


def test_where_all_is_well_nothing_is_warned_of(place):
    findings = found(quiet())
    assert cautions.all_of(findings) == []
    assert "cautions" not in page(findings).partition("</style>")[2]


@pytest.mark.parametrize(("change", "expected"), WARNINGS, ids=[change.__name__ for change, _ in WARNINGS])
def test_each_warning_comes_when_it_should_and_alone(place, change, expected):
    made = quiet()
    change(made)
    told = cautions.all_of(findings := found(made))
    assert len(told) == 1 and re.search(expected, told[0])
    box = page(findings).partition('class="cautions"')[2].partition("</aside>")[0]
    assert re.search(expected, plain(box)) and "- Warning: " in report.markdown(findings)


@pytest.mark.parametrize(
    ("tried", "chosen", "warned"),
    [
        ({0.8: 60, 1.6: 70, 3.2: 65}, 1.6, False),
        ({0.8: 70, 1.6: 70, 3.2: 65}, 0.8, False),  # an inner value is as good
        ({0.8: 70, 1.6: 65, 3.2: 60}, 0.8, True),
        ({0: 70, 1e-4: 60, 1e-3: 50}, 0, False),  # there is nothing below zero
        ({0.8: 70}, 0.8, False),
        ({0.8: 60, 1.6: 70}, 1.6, True),
    ],
)
def test_an_edge_is_one_where_something_lies_beyond(place, tried, chosen, warned):
    made = quiet()
    made.models[0] |= {"chosen": {"rate": chosen}}
    made.models[0]["scores"] = [{"rate": rate, "top1": top1} for rate, top1 in tried.items()]
    assert any("add " in told for told in cautions.all_of(found(made))) is warned


def test_without_predictions_the_page_says_what_is_missing(place):
    made = quiet()
    made.write()
    (settings.OUT / "evaluate/predictions.parquet").unlink()
    findings = read(made.records, [], {}, "done", {})
    assert "no predictions" in cautions.all_of(findings)[0]
    assert "Accuracy by class" not in page(findings) and "Costs" in page(findings)
    (settings.OUT / "evaluate/predictions.parquet").write_bytes(b"PAR1 damaged")
    with pytest.raises(ValueError, match=r"predictions\.parquet cannot be read.*evaluate again"):
        read(made.records, [], {}, "done", {})


def test_a_page_of_large_pictures_stays_small(place):
    made = Made(test=40, side=256)
    made.noise = True
    made.images()
    made.model("winner", "pretrained", "full", 0.3)
    ids = [key for key, _ in made.tests]
    made.duplicates = [("scenes", key, f"post-{i}", "x") for i, key in enumerate(ids[:20])]
    text = page(found(made))
    assert text.count("data:image/jpeg") == MISTAKES + 2 * 12
    assert 0.2e6 < len(text) < 1.5e6


def test_two_hundred_classes_fit(place):
    names = [f"class-{number:03d}" for number in range(200)]
    made = Made(names, test=2)
    made.counts["train"] = [1] * 200
    made.counts["val"] = [0] * 200
    made.images()
    made.model("winner", "pretrained", "full", 0.5)
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
    versions = {record["model"]: "1" for record in made.records}
    for name in ("a", "b"):
        report.write(Path(name), made.records, made.gains(), versions, "done", {})
    for file in ("report.html", "report.md", "comparison.png"):
        assert Path("a", file).read_bytes() == Path("b", file).read_bytes()
    assert json.loads(Path("out/evaluate/records.json").read_text()) == made.records
