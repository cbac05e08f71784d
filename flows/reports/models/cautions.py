"""What a reader should know before believing a number: one sentence each, with what to do."""

from collections.abc import Iterator

import numpy as np

from engine.measure.enough import LEAST
from flows.measuring.alike import labels_seen
from flows.measuring.headline import of_record
from flows.measuring.summary import SCRATCH
from flows.reports.models import edges, scenetold, words
from flows.reports.models.findings import Findings

FEW_IMAGES = 30  # of a class: the interval of 50 % is 33 to 67
UNBALANCED = 2  # times as many labels in one class as in another


def all_of(findings: Findings) -> list[str]:
    """The warnings of this report, as plain text."""
    return [told for check in CHECKS for told in check(findings)]


def missing(findings: Findings) -> Iterator[str]:
    """Answers that the stage evaluate did not leave."""
    classed = findings.labels.get(findings.tasks[0])
    if classed and not classed.several and findings.tasks[0] not in findings.answers:
        fix = "run the stage evaluate again"
        yield f"There are no predictions, so nothing is told of classes and mistakes: {fix}."


def too_close(findings: Findings) -> Iterator[str]:
    """A test that cannot tell the first two models apart."""
    if len(findings.first) < 2:
        return
    one, two = findings.first[:2]
    if one["low"] is None or one["high"] is None:
        return
    headline, gap = of_record(one), abs(one["value"] - two["value"])
    half = (one["high"] - one["low"]) / 2
    if half > gap:
        gap, half = (headline.difference(each, "") for each in (gap, half))
        yield (
            f"The first two models lie {gap} apart, the interval of the first reaches "
            f"{half}: this test cannot tell them apart; label more test images, or "
            "train more seeds."
        )


def few_images(findings: Findings) -> Iterator[str]:
    """Classes with too few test images for an accuracy of their own."""
    labels = findings.labels.get(findings.tasks[0])
    if labels is None:
        return
    test = labels.of("test")
    few = [index for index in np.argsort(test, kind="stable").tolist() if test[index] < FEW_IMAGES]
    if few:
        named = [f"{labels.classes[index]} {test[index]}" for index in few]
        number = words.counted(len(few), "class has", "classes have")
        yield (
            f"{number} fewer than {FEW_IMAGES} test images ({words.listed(named)}): their own "
            "accuracies are rough; label more test images."
        )


def few_objects(findings: Findings) -> Iterator[str]:
    """Classes with too few objects in the test split for an average precision of their own."""
    task = findings.tasks[0]
    for one in scenetold.told_of(findings, task)[:1]:
        counts = {row["class"]: row["truths"] for row in one.seeds[0]["rows"] if "truths" in row}
        few = [label for label, count in counts.items() if 0 < count < FEW_IMAGES]
        if few:
            few.sort(key=lambda label: (counts[label], label))
            named = [f"{scenetold.name_of(one, label)} {counts[label]}" for label in few]
            number = words.counted(len(few), "class has", "classes have")
            yield (
                f"{number} fewer than {FEW_IMAGES} objects in the test split "
                f"({words.listed(named)}): their own average precision is rough; label more."
            )


def unbalanced(findings: Findings) -> Iterator[str]:
    """Classes that training had none of, or far fewer of than of others."""
    task = findings.tasks[0]
    labels = findings.labels.get(task)
    if labels is None:
        return
    train = labels.of("train")
    elsewhere = labels.of("val") + labels.of("test")
    absent = [labels.classes[i] for i in np.flatnonzero((train == 0) & (elsewhere > 0))]
    if absent:
        number = words.counted(len(absent), "class has", "classes have")
        yield (
            f"{number} no label in train ({words.listed(absent)}): no model can know them; label "
            "some, or take them out."
        )
    asked = dict.fromkeys(record["labels"] for record in findings.first)
    there = dict(zip(labels.classes, train.tolist(), strict=True))
    for count in asked:
        seen = np.array([*labels_seen(count, there).values()])
        most, least = int(np.argmax(seen)), int(np.argmin(np.where(seen > 0, seen, seen.max())))
        if seen[most] > UNBALANCED * seen[least]:
            yield (
                f"Classes are unbalanced in training with {words.labels(count)}: "
                f"{labels.classes[most]} has {seen[most]:,} labels, {labels.classes[least]} "
                f"{seen[least]:,}; label more of the rare ones, or set tasks.{task}.labels."
            )


def held_out(findings: Findings) -> Iterator[str]:
    """A set without a validation or test split of its own."""
    for task, labels in findings.labels.items():
        if labels.held_out:
            names = " and ".join(labels.held_out)
            yield (
                f"{task} has no split {names} of its own: a share of its train images serves, "
                "and is not trained on; give it one."
            )


def one_pretraining(findings: Findings) -> Iterator[str]:
    """Pretraining done once: the chance of its seed is in no interval."""
    pretrained = [record for record in findings.first if record["init"] != SCRATCH]
    if pretrained and all(record.get("pretrainings", 1) < 2 for record in pretrained):
        fix = "list several seeds in its section of pretrain"
        yield f"Every pretraining was done with one seed: its chance is in no interval; {fix}."


def busy(findings: Findings) -> Iterator[str]:
    """Latencies of a machine that had other work."""
    loud = dict.fromkeys(r["candidate"] for r in findings.records if r.get("busy"))
    if loud:
        yield (
            f"Latencies of {words.listed(list(loud))} were measured while other work took the "
            "processors: they may be too high; run the stage evaluate again on a quiet machine."
        )


def duplicates(findings: Findings) -> Iterator[str]:
    """Test images that the posts show too."""
    for task in findings.tasks:
        record = findings.of(task)[0]
        number = record["duplicates"]
        if number:
            share = f"{100 * number / record['samples']:.1f} %"
            images = words.counted(number, "test image")
            yield (
                f"{task}: {images} ({share}) lie in the posts too: believe the lower bound, or "
                "take them out of the test split."
            )


def trained_on(findings: Findings) -> Iterator[str]:
    """Test images that are among the labelled training images."""
    for task, number in findings.trained.items():
        if number:
            images = words.counted(number, "test image is", "test images are")
            yield (
                f"{task}: {images} among the training images too, byte for byte: the models have "
                "seen them with their labels; take them out of one of the splits."
            )


def few_networks(findings: Findings) -> Iterator[str]:
    """A winner and statistics of a search of a handful of networks."""
    if findings.search and len(findings.search.complete) < LEAST:
        number = words.counted(len(findings.search.complete), "network")
        yield (
            f"The search stands on {number}, fewer than {LEAST}: its winner is one of few, "
            "and its report withholds rank correlations; raise search.trials."
        )


def reference_ahead(findings: Findings) -> Iterator[str]:
    """A search whose reference is better than its winner."""
    search = findings.search
    if search and search.complete and search.reference:
        best, reference = search.complete[0]["error"], search.reference["error"]
        if reference < best:
            yield (
                f"The search's reference errs less than its winner ({reference:.1f} against "
                f"{best:.1f} % on held-out images): winner is the best network that was drawn, not "
                "the best of all; raise search.trials, or take the reference."
            )


CHECKS = (
    missing,
    too_close,
    few_images,
    few_objects,
    unbalanced,
    edges.told,
    held_out,
    one_pretraining,
    duplicates,
    trained_on,
    busy,
    few_networks,
    reference_ahead,
)
