"""Sections that show test images: the worst mistakes, and the duplicates among them."""

from typing import NamedTuple

import numpy as np

from corpus.pages.markup import Markup, el, join, table, tag
from corpus.pages.thumbnails import thumbnail
from flows.reports.models import words
from flows.reports.models.findings import Answers, Duplicate, Findings

MISTAKES, BEST = 24, 12
BYTES, THUMB = 12_000, 128  # a larger picture is shown as a square: all of them fit into a page
LISTED = 200  # duplicates in the table


class Mistake(NamedTuple):
    """A test image and the wrong class that was given the highest score.

    score: from 0 to 1, mean over all seeds; of a seed that did not give this answer it counts 0.
    """

    id: str
    label: int
    guess: int
    score: float
    seeds: int


def worst(answers: Answers, most: int = MISTAKES) -> list[Mistake]:
    """The mistakes of the highest scores, one per image."""
    found = []
    for image in np.flatnonzero(~answers.hits.all(0)).tolist():
        given = answers.guesses[:, image]
        wrong = np.unique(given[given != answers.labels[image]])
        scored = [float((answers.scores[:, image] * (given == guess)).mean()) for guess in wrong]
        best = int(np.argmax(scored))
        seeds = int((given == wrong[best]).sum())
        label, guess = int(answers.labels[image]), int(wrong[best])
        found.append(Mistake(answers.ids[image], label, guess, scored[best], seeds))
    return sorted(found, key=lambda mistake: (-mistake.score, mistake.id))[:most]


def surest(answers: Answers, most: int = BEST) -> list[tuple[int, float]]:
    """(test image, score from 0 to 1) of those that every seed was right and surest of.

    The best of each class, so that an easy one does not fill the page.
    """
    score = answers.scores.mean(0) * answers.hits.all(0)
    found = []
    for index in np.unique(answers.labels).tolist():
        its = np.flatnonzero(answers.labels == index)
        best = int(its[np.argmax(score[its])])
        if score[best] > 0:
            found.append((best, float(score[best])))
    return sorted(found, key=lambda each: (-each[1], each[0]))[:most]


def best(findings: Findings) -> list[Markup]:
    """The right answers that the model is surest of, one of each class."""
    answers = findings.answers.get(findings.tasks[0])
    if answers is None:
        return []
    made = []
    for place, score in surest(answers):
        key, label = answers.ids[place], answers.classes[answers.labels[place]]
        caption = [el("b", tag(label)), el("br"), f"score {score:.0%}", el("br"), tag(key, 30)]
        picture = _shown(findings.pictures.get(key), key)
        made.append(el("figure", picture, el("figcaption", *caption)))
    if not made:
        return [el("p", "There is no test image that all seeds were right about.")]
    note = (
        "The right answers of the highest score (mean over seeds), one of each class: what the "
        "model takes for typical."
    )
    return [el("p", note), el("div", *made, class_="sheet small")]


def _shown(data: bytes | None, name: str) -> Markup:
    if data is None:
        return el("p", "no picture", class_="soft")
    return thumbnail(data, name, BYTES, THUMB)


def section(findings: Findings) -> list[Markup]:
    """Wrong answers that the model was surest of."""
    task = findings.tasks[0]
    answers = findings.answers.get(task)
    if answers is None:
        return []
    seeds = len(answers.guesses)
    made = []
    for mistake in worst(answers):
        label, guess = (answers.classes[i] for i in (mistake.label, mistake.guess))
        told = join([el("b", tag(label)), " taken for ", el("b", tag(guess))])
        sure = f"score {mistake.score:.0%}, {mistake.seeds} of {words.counted(seeds, 'seed')}"
        caption = [told, el("br"), sure, el("br"), tag(mistake.id, 30)]
        picture = _shown(findings.pictures.get(mistake.id), mistake.id)
        made.append(el("figure", picture, el("figcaption", *caption)))
    if not made:
        return [el("p", "No seed was wrong about any test image.")]
    note = (
        "The wrong answers that got the highest score (mean over seeds): mislabelled images, and "
        "classes that look alike, are found here."
    )
    return [el("p", note), el("div", *made, class_="sheet small")]


def duplicates(findings: Findings) -> list[Markup]:
    """The test images that the posts repeat, beside the post, and all of them by id."""
    found = findings.duplicates.get(findings.tasks[0], [])
    if not found:
        return []
    number = words.counted(len({pair.id for pair in found}), "test image lies", "test images lie")
    note = (
        f"{number} in the posts too, so pretraining has seen them. They count as wrong in the "
        "lower bound of the accuracy."
    )
    pairs = [pair for pair in found if pair.image is not None]
    sheet = el("div", *map(_pair, pairs), class_="sheet twins")
    rows = [[tag(pair.id), tag(pair.post), tag(pair.how)] for pair in found[:LISTED]]
    left = f" (the first {LISTED} of {len(found):,})" if len(found) > LISTED else ""
    listed = table(["test image", "post", "found by"], rows)
    return [el("p", note), sheet, el("details", el("summary", f"By id{left}"), listed)]


def _pair(pair: Duplicate) -> Markup:
    sides = [_shown(pair.image, pair.id), _shown(pair.twin, pair.post)]
    caption = [el("b", tag(pair.how)), el("br"), tag(pair.id), " = ", tag(pair.post)]
    both = el("div", *sides, class_="both")
    return el("figure", both, el("figcaption", *caption))
