"""Findings of the page of versions, made up: two versions with answers, pictures and origin."""

import numpy as np

from flows.registry.audit import Entry
from flows.reports.models.findings import Answers
from flows.reports.versions.findings import Findings, Kept, Version
from tests.support.modelreports import jpeg

TAGS = {"model": "winner", "task": "scenes", "test": "ab12", "data": "d" * 32, "by": "ann@box"}
TAGS |= {"best": "60", "value": "61", "low": "58", "high": "64", "device": "cpu"}
TAGS |= {"latency_p50_ms": "1.5", "flops": "3e6", "parameters": "2e6", "commit": "c" * 40}


def kept(classes: list[str], guesses: list[list[int]], about: dict, words: dict) -> Kept:
    """The files of a version whose test images are each of another class than the one before."""
    labels = np.arange(len(guesses[0])) % len(classes)
    ids = [f"image {index} of {classes[label]}" for index, label in enumerate(labels)]
    answered = np.array(guesses)
    scores = np.full(answered.shape, 0.7, np.float32)
    answers = Answers("winner", classes, ids, labels, answered, scores)
    pictures = {key: jpeg(place) for place, key in enumerate(ids)}
    return Kept(about=about, vocabulary=words, answers=answers, pictures=pictures)


def version(number: str, tags: dict[str, str] | None = None, **more) -> Version:
    named = {f"tagdag.{key}": value for key, value in (TAGS | (tags or {})).items()}
    given = {"when": "2026-11-28 16:00", "metrics": {"peak_memory_mib": 9.5}} | more
    return Version(number=number, tags=named, **given)


def two(classes: list[str], images: int = 40, text: str = "as usual") -> Findings:
    """The champion knows all of the first class and half of the rest, the challenger two thirds.

    text: stands wherever anybody may have written.
    """
    labels = np.arange(images) % len(classes)
    wrong = (labels + 1) % len(classes)
    first = np.where((labels == 0) | (np.arange(images) % 2 == 0), labels, wrong)
    second = np.where(np.arange(images) % 3 == 0, wrong, labels)
    about = {"params": {"corpus": {"size": 32}, text: text}, "labels": {text: 20}}
    about |= {"corpus": {"posts": 8000}, "code": {"flows/a.py": "1", "gone.py": "1"}}
    later = {"params": {"corpus": {"size": 48}}, "labels": {text: 25}}
    later |= {"corpus": {"posts": 8100}, "code": {"flows/a.py": "2", text: "1"}}
    sides = [
        kept(classes, [first.tolist(), first.tolist()], about, {"sea": 5, "old": 2, text: 3}),
        kept(classes, [second.tolist(), second.tolist()], later, {"sea": 7, "new": 2, text: 3}),
    ]
    one = version("1", aliases=("champion",), kept=sides[0], params={"rate": "0.1", text: text})
    tags = {"model": text, "by": text, "commit": text, "task": "scenes", "value": "66"}
    other = version("2", tags, aliases=("challenger", text), kept=sides[1], params={"rate": "0.2"})
    foreign = Version(number="3", tags={"owner": text})
    trail = [Entry("tagdag.audit.1", "2026-11-27T10:00:00Z", text, "promote", "", "1", text)]
    trail.append(Entry(text, "", "", "unreadable", "", "", text))
    faults = [text] if text != "as usual" else []
    address = f"http://box/{text}" if faults else "sqlite:///mlflow.db"
    return Findings(
        name=text if faults else "tagdag",
        address=address,
        versions=[foreign, other, one],
        pair=(one, other),
        trail=trail,
        champion="1",
        faults=faults,
        git=[text] if faults else [" flows/a.py | 2 +-"],
    )
