"""Section: whether a score of 80 % is right four times of five.

Guo, Pleiss, Sun, Weinberger 2017, "On Calibration of Modern Neural Networks", arXiv 1706.04599,
section 2: reliability diagram, and the expected calibration error over bins of equal width.
"""

from typing import NamedTuple

import numpy as np

from corpus.pages.charts import Chart, Series, figure
from corpus.pages.markup import Markup, el, table, tag
from flows.reports.models.classes import of_model
from flows.reports.models.findings import Answers, Findings

BINS = 15  # the number of the paper
CLEAR = 2.0  # points of difference that are worth a word


class Reliability(NamedTuple):
    """Of every bin that holds answers, in percent: mean score and share of right answers (bins,).

    answers: int64 (bins,). error: ECE, the mean distance of the two, weighted by answers.
    """

    score: np.ndarray
    right: np.ndarray
    answers: np.ndarray
    error: float


def reliability(scores: np.ndarray, hits: np.ndarray, bins: int = BINS) -> Reliability:
    """Reliability of scores from 0 to 1 of any shape, and hits, bool of the same shape.

    Bin m holds the scores within ((m - 1) / bins, m / bins] (equation 2 of the paper).
    """
    scores, hits = np.ravel(scores).astype(float), np.ravel(hits)
    place = np.clip(np.ceil(scores * bins).astype(int) - 1, 0, bins - 1)
    answers = np.bincount(place, minlength=bins)
    held = answers > 0
    mean = np.bincount(place, scores, bins)[held] / answers[held]
    right = np.bincount(place, hits, bins)[held] / answers[held]
    error = float((answers[held] * abs(mean - right)).sum() / len(scores))
    return Reliability(100 * mean, 100 * right, answers[held], 100 * error)


def told(answers: Answers, found: Reliability) -> str:
    """What to read from it, in words."""
    score, right = 100 * float(answers.scores.mean()), 100 * float(answers.hits.mean())
    way = "as sure as it is right"
    if abs(score - right) >= CLEAR:
        way = "over-confident" if score > right else "under-confident"
    return (
        f"Expected calibration error {found.error:.1f} points ({BINS} bins of equal width, Guo et "
        f"al. 2017). The mean score is {score:.1f} %, {right:.1f} % of the answers are right: the "
        f"model is {way}."
    )


def chart(answers: Answers, found: Reliability) -> Chart:
    """The reliability diagram."""
    whole = np.array([0.0, 100.0])
    series = [
        Series("as it should be", whole, whole, "dash"),
        Series("this model", found.score, found.right, "dots"),
    ]
    labels = ("score of the answer (%)", "right answers (%)")
    return Chart("calibration", *labels, series, told(answers, found), log=False)


def section(findings: Findings) -> list[Markup]:
    """The reliability diagram, the error, and the bins as a table."""
    answers = findings.answers.get(findings.tasks[0])
    if answers is None:
        return []
    found = reliability(answers.scores, answers.hits)
    drawn = figure(chart(answers, found))
    rows = [
        [f"{score:.1f}", f"{right:.1f}", f"{number:,}"]
        for score, right, number in zip(found.score, found.right, found.answers, strict=True)
    ]
    bins = table(["mean score %", "right %", "answers of all seeds"], rows, range(3))
    more = el("details", el("summary", "The bins"), bins)
    return [el("p", tag(of_model(findings), 300)), drawn, more]
