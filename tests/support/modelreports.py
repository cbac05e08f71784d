"""What the stages before the report of models leave, made up: records, answers, images, curves."""

import json
import re
import shutil
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image

from engine.measure.intervals import accuracy_interval
from flows.measuring import duplicates, predictions, summary
from flows.measuring.predictions import Examined, Predicted
from flows.measuring.summary import named
from flows.reports.models.findings import Findings
from flows.reports.models.outcome import Outcome
from flows.reports.models.reading import read
from flows.running import settings
from tests.support.searches import leave, search
from tests.support.shards import write_shards

TIMES = {"latency_p50_ms": 1.3, "latency_p95_ms": 1.5, "latency_p99_ms": 1.9}
COST = {"params": 1e6, "flops": 4e6, "acts": 3e5, "images_per_second": 900.0}
COST |= TIMES | {"peak_memory_mib": 9.0, "device": "a processor", "dtype": "float32"}
COST |= {"batch": 64, "clock": "cpu wall clock", "busy": False}
RATES = [(0.8, 60.0), (1.6, 70.0), (3.2, 65.0)]
RATES = [{"rate": rate, "score": score} for rate, score in RATES]
CLASSES = ["airport", "beach", "buddha", "sunset"]


def jpeg(seed: int, side: int = 32, noise: bool = False) -> bytes:
    """A picture unlike any other: 16 patches, or the noise that makes the largest file."""
    rng, out = np.random.default_rng(seed), BytesIO()
    patch = 1 if noise else side // 4
    colours = rng.integers(0, 256, (side // patch, side // patch, 3), np.uint8)
    pixels = np.kron(colours, np.ones((patch, patch, 1)))
    Image.fromarray(pixels.astype(np.uint8)).save(out, "JPEG")
    return out.getvalue()


def answers(labels: np.ndarray, classes: int, seeds: int, top1: float, seed: int) -> tuple:
    """(guesses, scores), both (seeds, images), of a model that is right so often; class 2 less."""
    rng = np.random.default_rng(seed)
    shape = (seeds, len(labels))
    easy = rng.random(len(labels))  # of each image, so that seeds agree
    right = 0.6 * easy + 0.4 * rng.random(shape) < np.where(labels == 2, top1 / 3, top1)
    wrong = (labels + rng.integers(1, classes, shape)) % classes
    scores = np.where(right, rng.uniform(0.5, 1, shape), rng.uniform(0.3, 0.9, shape))
    return np.where(right, labels, wrong), scores


class Made:
    """The outputs of a pipeline, to be written into the present folder; change them before."""

    def __init__(self, classes: list[str] = CLASSES, test: int = 40, seeds: int = 3):
        self.side, self.noise = 32, False  # of the pictures
        self.classes, self.seeds, self.task = list(classes), seeds, "scenes"
        number = len(self.classes)
        self.counts = {"train": [50] * number, "val": [5] * number, "test": [test] * number}
        self.models: list[dict[str, Any]] = []
        self.answers: dict[str, tuple[Examined, list[Predicted]]] = {}
        self.duplicates: list[tuple[str, ...]] = []  # task, test image, post, how it was found
        self.trials = search(16)

    def images(self, copies: int = 0) -> None:
        """Writes the shards of the labelled set, and of some posts.

        copies: test images that are training images too.
        """
        rows = []
        for split, counts in self.counts.items():
            for index, count in enumerate(counts):
                keys = [f"{split}-{self.classes[index]}-{number}" for number in range(count)]
                rows += [(key, split, index) for key in keys]
        self.pictures = [jpeg(place, self.side, self.noise) for place in range(len(rows))]
        places = [place for place, row in enumerate(rows) if row[1] == "test"][:copies]
        for place in places:
            self.pictures[place] = self.pictures[0]
        self.tests = [(key, index) for key, split, index in rows if split == "test"]
        pairs = zip(rows, self.pictures, strict=True)
        folder = settings.OUT / "corpus" / "targets" / self.task
        images = [(key, split, image, [index]) for (key, split, index), image in pairs]
        write_shards(folder, images, self.classes, size=self.side)
        posts = [(f"post-{i}", "train", jpeg(1000 + i, self.side, self.noise)) for i in range(20)]
        posts = [(*post, [0]) for post in posts]
        write_shards(settings.OUT / "corpus" / "hashtags", posts, ["tag"], size=self.side)

    def model(self, candidate: str, init: str, head: str, top1: float, **more: Any) -> dict:
        """A model that is right so often, with its record; init: a pretraining, or scratch."""
        labels = np.array([index for _, index in self.tests])
        place = len(self.models)
        guesses, scores = answers(labels, len(self.classes), self.seeds, top1, place)
        init = init if init == summary.SCRATCH else f"{candidate}-{init}"
        arm = {"candidate": candidate, "task": self.task, "init": init, "head": {"name": head}}
        arm |= {"labels": 20, "size": 32, "data": f"targets/{self.task}"}
        mean, low, high = accuracy_interval(guesses == labels)
        found = {"model": named(arm), **arm, **COST, "samples": len(labels), "duplicates": 0}
        found |= {"headline": "top1", "higher": True, "unit": "%", "metric": {"name": "accuracy"}}
        found |= {
            "value": mean,
            "low": low,
            "high": high,
            "values": {"top5": 99.0, "top5_low": 98.0},
        }
        found |= {"bound": mean, "val": mean, "chosen": {"rate": 1.6}, "best": mean}
        found |= {"scores": RATES, "fit": 60, "held_out": 20, "seeds": list(range(self.seeds))}
        found |= {"network": f"{candidate}, head {head}", "costs": []}
        found |= {"pretrainings": int(init != summary.SCRATCH)} | more
        if candidate == "winner":
            found |= {"flops": 3e6, "latency_p50_ms": 1.1}
        self.models.append(found)
        ids = [key for key, _ in self.tests]
        images = Examined(ids, labels.astype(np.int16), np.zeros(len(ids), bool), self.classes)
        predicted = []
        for guess, score in zip(guesses.astype(np.int16), scores.astype(np.float32), strict=True):
            value = 100.0 * (guess == labels)
            predicted.append(Predicted(value, guess, score, {"top1": value.mean()}))
        self.answers[found["model"]] = images, predicted
        return found

    def all(self) -> "Made":
        """Two candidates, pretrained and not, fine-tuned and probed."""
        self.images()
        tops = {"winner": 0.75, "baseline": 0.62}
        for candidate, top1 in tops.items():
            for head, less in (("linear", 0), ("logistic", 0.06), ("knn", 0.12)):
                self.model(candidate, "hashtags", head, top1 - less)
                self.model(candidate, "scratch", head, top1 - less - 0.15)
        return self

    def gains(self) -> list[dict[str, Any]]:
        """What pretraining gave, model by model."""
        return summary.gains(self._answered())

    def _answered(self) -> list[tuple]:
        """(record, test images, answers of each seed) of the models that were asked."""
        asked = [record for record in self.records if record["model"] in self.answers]
        return [(record, *self.answers[record["model"]]) for record in asked]

    def outcomes(
        self, leaders: dict | None = None, decision: str = "done", name: str = "models"
    ) -> list[Outcome]:
        """What the stage register did, task by task; leaders: of the first."""
        found = []
        versions = {record["model"]: str(i + 1) for i, record in enumerate(self.records)}
        for task in dict.fromkeys(record["task"] for record in self.records):
            its = [record for record in self.records if record["task"] == task]
            gains = [gain for gain in self.gains() if gain["task"] == task]
            named = leaders or {} if not found else {}
            model = name if not found else f"{name}-{task}"
            found.append(Outcome(task, model, its, gains, versions, decision, named))
        return found

    @property
    def records(self) -> list[dict[str, Any]]:
        """As records.json holds them."""
        return [dict(model) for model in self.models]

    def write(self) -> None:
        """Everything that the report reads."""
        for of in self.outcomes():
            out = settings.OUT / "evaluate" / of.task
            out.mkdir(parents=True, exist_ok=True)
            (out / "records.json").write_text(json.dumps(of.records))
            (out / "gains.json").write_text(json.dumps(of.gains))
            asked = [model for model in self._answered() if model[0]["task"] == of.task]
            if asked:
                predictions.write(out, asked)
            pairs = [tuple(pair) for task, *pair in self.duplicates if task == of.task]
            duplicates.write(out, pairs)
        for name in ("baseline", "winner"):
            folder = settings.OUT / "pretrain" / name
            folder.mkdir(parents=True, exist_ok=True)
            steps = (f"{4 * step},{3 / (1 + step / 50):.3f},0.1\n" for step in range(400))
            (folder / "curve.csv").write_text("step,loss,learning_rate\n" + "".join(steps))
        shutil.rmtree(settings.OUT / "search", ignore_errors=True)
        leave(settings.OUT / "search", self.trials)


MAIN = (("winner", "hashtags", 0.9), ("winner", "scratch", 0.5), ("baseline", "hashtags", 0.6))


def quiet() -> Made:
    """Models and sets that there is nothing to warn of."""
    made = Made(test=60)
    remade(made)
    return made


def remade(made: Made) -> None:
    """Its three models, on its images as they are to be now."""
    made.models, made.answers = [], {}
    made.images()
    for candidate, init, top1 in MAIN:
        made.model(candidate, init, "linear", top1, pretrainings=2)


def found(made: Made, leaders: dict | None = None, decision: str = "done") -> Findings:
    """The findings of what was made, written into the present folder."""
    made.write()
    origin = {"tagdag.data": "abc.dir", "tagdag.commit": "0acf6ce"}
    links = {"all versions": "http://127.0.0.1:5000/#/models/a"}
    return read(made.outcomes(leaders, decision), origin, links)


def version(number: str, record: dict) -> SimpleNamespace:
    """A version of the registry, with the tags of versions made before there were tasks."""
    tags = {"model": record["model"], "top1": "71.5", "top1_low": "66", "top1_high": "77"}
    tags = {f"tagdag.{key}": value for key, value in tags.items()}
    return SimpleNamespace(version=number, tags=tags)


def section(text: str, title: str) -> str:
    """The HTML of one section."""
    body = text.partition(f"<h2><bdi>{title}</bdi></h2>")[2]
    assert body, title
    return body.partition("</section>")[0]


def plain(text: str) -> str:
    """The words of some HTML."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))
