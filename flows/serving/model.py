"""A registered version as a Python function of MLflow: images in, a table of classes out.

This module is what MLflow calls. With all that it imports of the project it travels in the version
(flows/serving/package.py); pandas and MLflow come with MLflow.
"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from engine.inference.fitting import Fitting
from engine.inference.predictor import Predictor
from flows.serving.inputs import COLUMN, image, listed
from flows.serving.mlflow_private import serving

if TYPE_CHECKING:
    import pandas as pd

BATCH = 256  # images whose squares are in memory at a time
TOP = 5
COLUMNS = ("class", "score", "classes", "scores", "error")


def _load_pyfunc(path: str, model_config: dict[str, Any] | None = None) -> "ServedModel":
    """The model of a folder with MLmodel and weights: MLflow's load_model calls this."""
    folder = Path(path)
    about = yaml.safe_load((folder / "MLmodel").read_text())["flavors"]["tagdag"]
    predictor = Predictor(folder / about["weights"], about["stored"], tested=about["size"])
    return ServedModel(predictor, bool((model_config or {}).get("paths")))


class ServedModel:
    """A predictor that takes whatever people call an image, and tells of bad ones by row.

    paths: texts are names of files, not base64.
    """

    column, read, batch = COLUMN, staticmethod(image), BATCH
    columns, numbers = COLUMNS, ("score",)  # of the table; those of a number

    def __init__(self, predictor: Predictor, paths: bool = False) -> None:
        self.predictor, self.paths, self.fitting = predictor, paths, Fitting(self.batch)

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> "pd.DataFrame":
        """A row per image: class, score (its probability), the best `top` classes and their scores,
        error (why there are none; None).

        model_input: see flows/serving/inputs.py. params: {"top": number of classes}. Raises an
        MlflowException for an input that is no list of images, and, where requests are answered,
        for one without a single image that can be used.
        """
        import pandas as pd

        try:
            images, top = listed(model_input, self.column), self._top(params)
        except ValueError as error:
            raise _refusal(str(error)) from None
        rows = []
        for first in range(0, len(images), self.batch):
            rows += self._rows(images[first : first + self.batch], top)
        self._answerable(rows)
        index = getattr(model_input, "index", None)
        index = None if callable(index) else index  # that of a list searches in it
        # object: None stays None, for JSON has no NaN
        found = pd.DataFrame(rows, columns=list(self.columns), index=index, dtype=object)
        return found if serving() else found.astype(dict.fromkeys(self.numbers, "float64"))

    def _top(self, params: dict[str, Any] | None) -> int:
        top, most = int((params or {}).get("top", TOP)), len(self.predictor.names)
        if top < 1:
            raise ValueError(f"top={top}: give 1 to {most}, the number of classes")
        return min(top, most)

    def _rows(self, images: list[Any], top: int) -> list[tuple]:
        pixels, errors = {}, {}
        for place, value in enumerate(images):
            try:
                pixels[place] = self.predictor.read(self.read(value, self.paths))
            except ValueError as error:  # BadImage is one
                errors[place] = str(error)
        found = dict(zip(pixels, self._best(list(pixels.values()), top), strict=True))
        bad = {place: self._bad(why) for place, why in errors.items()}
        every = found | bad
        return [every[place] for place in range(len(images))]

    def _bad(self, why: str) -> tuple:
        return (None, None, [], [], why)

    def _best(self, pixels: list[Any], top: int) -> list[tuple]:
        if not pixels:
            return []
        ranked = partial(self.predictor.ranked, count=top)
        scores, places = self.fitting(ranked, self.predictor.together(pixels))
        rows = []
        for values, indices in zip(scores.tolist(), places.tolist(), strict=True):
            names = [self.predictor.names[index] for index in indices]
            rows.append((names[0], values[0], names, values, None))
        return rows

    def _answerable(self, rows: list[tuple]) -> None:
        """In process a bad image is a row of the table; a request of nothing else is refused."""
        errors = [row[-1] for row in rows]
        if serving() and all(errors):
            first = errors[0] if errors else "there is none"
            raise _refusal(f"no {self.column} of the request can be used: {first}")


def _refusal(text: str) -> Exception:
    from mlflow.exceptions import MlflowException

    return MlflowException.invalid_parameter_value(text)  # a server answers it with 400
