"""A registered version of objects as a Python function of MLflow: images in, boxes and masks out.

What flows/serving/model.py is for classes of images; all places are px of the image as it came.
"""

import base64
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from engine.inference.scenes import Answer, Picture, ScenePredictor
from flows.serving.model import ServedModel

MOST = 100  # objects of an image, the surest ones, as COCO counts them
COLUMNS = ("width", "height", "boxes", "classes", "scores", "masks", "map", "segments", "error")


def _load_pyfunc(path: str, model_config: dict[str, Any] | None = None) -> "ServedScenes":
    """The model of a folder with MLmodel and weights: MLflow's load_model calls this."""
    folder = Path(path)
    about = yaml.safe_load((folder / "MLmodel").read_text())["flavors"]["tagdag"]
    known = {"size": about["stored"], "tested": about["size"], "policy": about["policy"]}
    predictor = ScenePredictor(folder / about["weights"], **known)
    return ServedScenes(predictor, bool((model_config or {}).get("paths")))


class ServedScenes(ServedModel):
    """A predictor of objects, a row per image.

    width, height: px. boxes: of each object x, y, width, height. classes, scores: of each.
    masks: of each the JSON of COCO's run lengths, {"size", "counts"}. map: base64 of a PNG, a pixel
    the number of its class, 255: none; or of segments red + 256 green + 65,536 blue, from 1 on, 0:
    none. segments: the class of each segment; of a map of classes the names by their number. What
    a network does not tell is empty.
    """

    columns, numbers = COLUMNS, ()

    def __init__(self, predictor: ScenePredictor, paths: bool = False) -> None:
        self.batch = predictor.at_once
        super().__init__(predictor, paths)

    def _top(self, params: dict[str, Any] | None) -> int:
        top = int((params or {}).get("top", MOST))
        if top < 1:
            raise ValueError(f"top={top}: give 1 or more, the number of objects")
        return top

    def _bad(self, why: str) -> tuple:
        return (None, None, [], [], [], [], None, [], why)

    def _best(self, pixels: list[Picture], top: int) -> list[tuple]:
        if not pixels:
            return []
        [answers] = self.fitting(lambda some: (self.predictor.found(some, most=top),), pixels)
        return [self._row(one, each) for one, each in zip(answers, pixels, strict=True)]

    def _row(self, answer: Answer, picture: Picture) -> tuple:
        names, (width, height) = self.predictor.names, picture.sides
        boxes = answer.boxes.copy()
        boxes[:, 2:] -= boxes[:, :2]
        runs = [{"size": [height, width], "counts": each} for each in answer.masks or ()]
        drawn, segments = None, []
        if answer.segments is not None:
            numbers = answer.segments
            drawn = _png(np.stack([numbers >> shift & 255 for shift in (0, 8, 16)], 2))
            segments = [names[label] for label in answer.segment_labels]
        elif answer.classes is not None:
            drawn, segments = _png(answer.classes), names
        labels = [names[label] for label in answer.labels.tolist()]
        told = boxes.tolist(), labels, answer.scores.tolist(), list(map(json.dumps, runs))
        return (width, height, *told, drawn, segments, None)


def _png(pixels: np.ndarray) -> str:
    out = BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()
