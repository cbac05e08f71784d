"""The warnings of the report of models: each comes when it should, alone, and says what to do."""

import re

import pytest

from engine.measure.enough import LEAST
from flows.reports.models import cautions
from flows.reports.models.page import page
from flows.reports.models.text import markdown
from flows.running import settings
from tests.support.modelreports import Made, found, plain, quiet, remade
from tests.support.searches import search


def edge(made: Made) -> None:
    made.models[0] |= {"chosen": {"rate": 3.2}}
    made.models[0]["scores"] = [{"rate": rate, "score": rate} for rate in (0.8, 1.6, 3.2)]


def small(made: Made) -> None:
    made.counts["test"] = [60, 60, 16, 60]
    remade(made)


def absent(made: Made) -> None:
    made.counts["train"] = [50, 0, 50, 50]
    remade(made)


def rare(made: Made) -> None:
    made.counts["train"] = [50, 9, 50, 50]
    remade(made)


def near(made: Made) -> None:
    made.models[2] |= {"value": made.models[0]["value"] - 0.5}


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


def copied(made: Made) -> None:
    made.images(copies=2)


WARNINGS = [
    (edge, r"learning rate = 3\.2 is the largest .* best for winner, pretrained .* add larger"),
    (small, r"1 class has fewer than 30 test images \(buddha 16\).*label more test images"),
    (absent, r"1 class has no label in train \(beach\): no model can know them; label some"),
    (rare, r"unbalanced in training with 20 labels per class: airport has 20 labels, beach 9"),
    (near, r"first two models lie 0\.5 points apart.*cannot tell them apart; label more"),
    (repeated, r"scenes: 3 test images \(1\.2 %\) lie in the posts too: believe the lower bound"),
    (loud, r"Latencies of winner were measured while other work.*evaluate again on a quiet"),
    (
        once,
        r"Every pretraining was done with one seed.*list several seeds",
    ),
    (few, r"The search stands on 6 networks, fewer than 8.*raise search\.trials"),
    (behind, r"reference errs less than its winner \(1\.0 against .* raise search\.trials"),
    (copied, r"scenes: 2 test images are among the training images too, byte for byte.*take them"),
    (shared, r"scenes has no split val of its own: a share of its train images.*give it one"),
]


def test_few_are_as_few_as_the_statistics_say():
    assert cautions.LEAST == LEAST


NAMES = [change.__name__ for change, _ in WARNINGS]


def test_where_all_is_well_nothing_is_warned_of(place):
    findings = found(quiet())
    assert cautions.all_of(findings) == []
    assert "cautions" not in page(findings).partition("</style>")[2]


def test_a_search_that_was_skipped_is_not_warned_of(place):
    made = quiet()
    made.trials = []
    findings = found(made)
    assert findings.search is None and cautions.all_of(findings) == []


@pytest.mark.parametrize(("change", "expected"), WARNINGS, ids=NAMES)
def test_each_warning_comes_when_it_should_and_alone(place, change, expected):
    made = quiet()
    change(made)
    told = cautions.all_of(findings := found(made))
    assert len(told) == 1 and re.search(expected, told[0])
    box = page(findings).partition('class="cautions"')[2].partition("</aside>")[0]
    assert re.search(expected, plain(box)) and "- Warning: " in markdown(findings)


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
    made.models[0]["scores"] = [{"rate": rate, "score": score} for rate, score in tried.items()]
    assert any("add " in told for told in cautions.all_of(found(made))) is warned
