"""Metrics of boxes by VOC's rule, of segments, boundaries and transcripts beside their references.

Inputs are drawn at random and are at hand before the time is taken: no file is read. References:
ActivityNet's object_detection_evaluation and eval_detection.py, eval.py of GEBD at each distance,
VOC's rule detection by detection as in voc_eval.py of py-faster-rcnn, jiwer.
"""

import os
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

IMAGES, CLASSES, OBJECTS, DETECTIONS = 5_000, 80, 36_000, 50_000
VIDEOS, LABELS, PER_VIDEO = 2_000, 200, 10
UTTERANCES, WORDS = 5_000, 3_000
Measured = Callable[[Path], float]  # the number in percent, of a folder that holds nothing


def boxes(seed: int = 0) -> tuple[dict, dict]:
    """(predictions, targets): 36,000 objects of 80 classes in 5,000 images, 50,000 detections."""
    rng = np.random.default_rng(seed)
    image = np.sort(rng.integers(IMAGES, size=OBJECTS))
    often = 1 / np.arange(1, CLASSES + 1)
    label = rng.choice(CLASSES, OBJECTS, p=often / often.sum())
    sides = np.exp(rng.normal(4, 0.9, (OBJECTS, 2))).clip(4, 400)
    corner = rng.random((OBJECTS, 2)) * 240
    true = np.concatenate([corner, corner + sides], 1)
    near = rng.integers(OBJECTS, size=DETECTIONS)
    near = near[np.argsort(image[near], kind="stable")]
    moved = true[near] + rng.normal(0, 0.1, (DETECTIONS, 4)) * np.tile(sides[near], 2)
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
    given = (label[near] + (rng.random(DETECTIONS) < 0.2)) % CLASSES
    score = rng.random(DETECTIONS)
    order = np.lexsort([-score, image[near]])
    many, counts = (np.bincount(each, minlength=IMAGES).tolist() for each in (image[near], image))
    predictions = {"boxes": moved[order], "box_label": given[order], "box_score": score[order]}
    return _split(predictions, many), _split({"boxes": true, "box_label": label}, counts)


def segments(seed: int = 0) -> tuple[dict, dict]:
    """(predictions, targets): 2,000 videos, 1 to 5 segments of each, 10 that are predicted."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 6, VIDEOS)
    label = np.repeat(rng.integers(LABELS, size=VIDEOS), counts)
    start = rng.random(len(label)) * 150
    true = np.stack([start, start + 5 + rng.random(len(label)) * 60], 1)
    ends = np.cumsum(counts)
    near = np.repeat(ends - counts, PER_VIDEO) + rng.integers(0, np.repeat(counts, PER_VIDEO))
    moved = np.sort(true[near] + rng.normal(0, 6, (len(near), 2)), 1)
    given = np.where(rng.random(len(near)) < 0.8, label[near], rng.integers(LABELS, size=len(near)))
    predictions = {
        "segments": moved,
        "segment_label": given,
        "segment_score": rng.random(len(near)),
    }
    targets = {"segments": true, "segment_label": label}
    return _split(predictions, [PER_VIDEO] * VIDEOS), _split(targets, counts.tolist())


def boundaries(seed: int = 0) -> tuple[dict, dict]:
    """(truth, detections) as GEBD's files have them: 2,000 videos of 10 s, five raters."""
    rng = np.random.default_rng(seed)
    true, given = {}, {}
    for video in map(str, range(VIDEOS)):
        times = np.sort(rng.random(rng.integers(1, 10)) * 10)
        raters = [np.sort(times[rng.random(len(times)) < 0.9]).tolist() for _ in range(5)]
        true[video] = {
            "f1_consis_avg": 0.2 + 0.8 * rng.random(),
            "video_duration": 10.0,
            "fps": 25.0,
            "substages_timestamps": raters,
        }
        given[video] = (times + rng.normal(0, 0.5, len(times))).tolist()
    return true, given


def transcripts(seed: int = 0) -> tuple[list[str], list[str]]:
    """(understood, said): 5,000 utterances of 5 to 30 words, one word in seven misunderstood."""
    rng = np.random.default_rng(seed)
    letters = list("abcdefghijklmnopqrstuvwxyz'")
    words = ["".join(rng.choice(letters, rng.integers(1, 10))) for _ in range(WORDS)]
    understood, said = [], []
    for count in rng.integers(5, 31, UTTERANCES):
        places = rng.zipf(1.3, count) % WORDS
        heard = places[rng.random(count) < 0.97]
        heard = np.where(rng.random(len(heard)) < 0.1, rng.integers(WORDS, size=len(heard)), heard)
        said.append(" ".join(words[place] for place in places))
        understood.append(" ".join(words[place] for place in heard))
    return understood, said


def _split(columns: dict[str, np.ndarray], counts: list[int]) -> dict[str, list[torch.Tensor]]:
    return {name: list(torch.from_numpy(each).split(counts)) for name, each in columns.items()}


def ours(name: str, drawn: Callable[[], tuple[dict, dict]]) -> Measured:
    """One of our metrics, without its interval."""
    from engine.core.build import build

    metric, columns = build("metrics", {"name": name, "resamples": 0}), drawn()

    def measure(_: Path) -> float:
        metric.update(*columns)
        return metric.compute()[metric.headline]

    return measure


def ava_theirs() -> Measured:
    """PascalDetectionEvaluator of ActivityNet's folder ava."""
    modules, drawn = references().ava(), boxes()
    return lambda _: ava_evaluation(modules, *drawn)


def ava_evaluation(modules: dict, given: dict, true: dict) -> float:
    names, maker = modules["standard_fields"], modules["object_detection_evaluation"]
    categories = [{"id": label + 1, "name": str(label)} for label in range(CLASSES)]
    whole = maker.PascalDetectionEvaluator(categories)
    entry = names.InputDataFields
    for image, (box, label) in enumerate(zip(true["boxes"], true["box_label"], strict=True)):
        shown = {
            entry.groundtruth_boxes: box.numpy()[:, [1, 0, 3, 2]],
            entry.groundtruth_classes: label.numpy() + 1,
            entry.groundtruth_difficult: np.zeros(len(box), bool),
        }
        whole.add_single_ground_truth_image_info(image, shown)
    entry = names.DetectionResultFields
    for image, (box, label, score) in enumerate(zip(*given.values(), strict=True)):
        shown = {
            entry.detection_boxes: box.numpy()[:, [1, 0, 3, 2]],
            entry.detection_classes: label.numpy() + 1,
            entry.detection_scores: score.numpy(),
        }
        whole.add_single_detected_image_info(image, shown)
    return 100 * whole.evaluate()["PascalBoxes_Precision/mAP@0.5IOU"]


def voc_theirs() -> Measured:
    """VOC's rule as many have written it in Python; the devkit is MATLAB's."""
    drawn = boxes()
    return lambda _: voc_evaluation(*drawn)


def voc_evaluation(given: dict, true: dict) -> float:
    """Class by class and detection by detection, overlaps with the boxes of an image at once."""
    found = []
    columns = {name: torch.cat(rows).numpy() for name, rows in given.items()}
    image = np.repeat(np.arange(IMAGES), [len(rows) for rows in given["boxes"]])
    truths = [(box.numpy(), label.numpy()) for box, label in zip(*true.values(), strict=True)]
    for label in range(CLASSES):
        objects = [box[labels == label] for box, labels in truths]
        taken = [np.zeros(len(box), bool) for box in objects]
        some = np.flatnonzero(columns["box_label"] == label)
        some = some[np.argsort(-columns["box_score"][some], kind="stable")]
        hits = np.zeros(len(some), bool)
        for place, (at, box) in enumerate(zip(image[some], columns["boxes"][some], strict=True)):
            if len(objects[at]):
                low = np.maximum(objects[at][:, :2], box[:2])
                both = np.maximum(np.minimum(objects[at][:, 2:], box[2:]) - low + 1, 0).prod(1)
                sizes = (objects[at][:, 2:] - objects[at][:, :2] + 1).prod(1)
                shares = both / (sizes + (box[2:] - box[:2] + 1).prod() - both)
                best = shares.argmax()
                hits[place] = shares[best] >= 0.5 and not taken[at][best]
                taken[at][best] |= hits[place]
        right = np.cumsum(hits)
        precision = right / np.arange(1, len(hits) + 1)
        tops = np.maximum.accumulate(precision[::-1])[::-1]
        found.append(tops[hits].sum() / sum(map(len, objects)))
    return 100 * float(np.mean(found))


def activitynet_theirs() -> Measured:
    """compute_average_precision_detection of each class."""
    script, drawn = references().activitynet(), segments()
    return lambda _: activitynet_evaluation(script, *drawn)


def activitynet_evaluation(script: Callable, given: dict, true: dict) -> float:
    import pandas

    def frame(columns: dict) -> Any:
        counts = [len(rows) for rows in columns["segments"]]
        times = torch.cat(columns["segments"]).numpy()
        table = {
            "video-id": [f"v{video}" for video in np.repeat(np.arange(VIDEOS), counts)],
            "t-start": times[:, 0],
            "t-end": times[:, 1],
            "label": torch.cat(columns["segment_label"]).numpy(),
        }
        if "segment_score" in columns:
            table["score"] = torch.cat(columns["segment_score"]).numpy()
        return pandas.DataFrame(table)

    found, predicted = [], frame(given)
    for label, truth in frame(true).groupby("label"):
        some = predicted[predicted["label"] == label].reset_index(drop=True)
        found.append(script(truth.reset_index(drop=True), some))
    return 100 * float(np.mean(found))


def boundary_columns() -> tuple[dict, dict]:
    """The boundaries as columns."""
    from tests.metrics.events.test_boundaries import columns

    return columns(*boundaries())


def gebd_theirs() -> Measured:
    """eval.py at each of the ten distances."""
    from metrics.gebd_f1 import DISTANCES

    script, (true, given) = references().gebd(), boundaries()

    def measure(_: Path) -> float:
        found = [script(true, given, distance) for distance in DISTANCES]
        return 100 * found[0]

    return measure


def transcript_columns() -> tuple[dict, dict]:
    """The transcripts as columns of their bytes."""
    from tests.metrics.events.drawn import transcript

    understood, said = ({"transcript": list(map(transcript, side))} for side in transcripts())
    return understood, said


def jiwer_theirs(name: str) -> Measured:
    """jiwer, of words or of characters."""
    import jiwer

    understood, said = transcripts()
    process = {"wer": jiwer.process_words, "cer": jiwer.process_characters}[name]
    return lambda _: 100 * getattr(process(said, understood), name)


@cache
def references() -> Any:
    """What reads the authors' code; ImportError where it is not there."""
    if "METRICS_REFERENCES" not in os.environ:
        raise ImportError("METRICS_REFERENCES names no folder of the authors' repositories")
    from tests.metrics.events import references

    return references


def nothing(_: Path) -> None:
    """No file is needed."""


BOXES = "5,000 images, 36,000 boxes, 50,000 found"
SEGMENTS = "2,000 videos, 6,000 segments, 20,000 found"
BOUNDARIES = "2,000 videos of five raters"
TEXTS = "5,000 utterances"
# size, reference, what is drawn, ours, theirs: those of rows.py
ENTRIES = {
    "voc_ap": (BOXES, "voc_eval.py's way", nothing, partial(ours, "voc_ap", boxes), voc_theirs),
    "frame_map": (BOXES, "ActivityNet", nothing, partial(ours, "frame_map", boxes), ava_theirs),
    "temporal_map": (
        SEGMENTS,
        "ActivityNet",
        nothing,
        partial(ours, "temporal_map", segments),
        activitynet_theirs,
    ),
    "gebd_f1": (
        BOUNDARIES,
        "GEBD's eval.py",
        nothing,
        partial(ours, "gebd_f1", boundary_columns),
        gebd_theirs,
    ),
    "wer": (
        TEXTS,
        "jiwer",
        nothing,
        partial(ours, "wer", transcript_columns),
        partial(jiwer_theirs, "wer"),
    ),
    "cer": (
        TEXTS,
        "jiwer",
        nothing,
        partial(ours, "cer", transcript_columns),
        partial(jiwer_theirs, "cer"),
    ),
}
