"""A registered version of clips as a Python function of MLflow: videos in, a table of classes out.

What flows/serving/model.py is for images; it travels in the version with PyAV as a requirement.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from engine.inference.videos import SECONDS, VideoPredictor
from flows.serving.inputs import VIDEO, video
from flows.serving.mlflow_private import serving
from flows.serving.model import ServedModel

if TYPE_CHECKING:
    import pandas as pd

ANSWERING = 60.0  # seconds of computing for a video of a request: a stranger's may take an hour


def _load_pyfunc(path: str, model_config: dict[str, Any] | None = None) -> "ServedVideos":
    """The model of a folder with MLmodel and weights: MLflow's load_model calls this."""
    folder = Path(path)
    about = yaml.safe_load((folder / "MLmodel").read_text())["flavors"]["tagdag"]
    videos = {"frame_rate": about["frame_rate"], "policy": about["policy"]}
    sizes = {"size": about["stored"], "tested": about["size"]}
    predictor = VideoPredictor(folder / about["weights"], **sizes, **videos)
    return ServedVideos(predictor, bool((model_config or {}).get("paths")))


class ServedVideos(ServedModel):
    """A predictor of videos: bytes of files, base64 or paths, as many clips of each as tested."""

    column, read = VIDEO, staticmethod(video)

    def __init__(self, predictor: VideoPredictor, paths: bool = False) -> None:
        self.batch = predictor.at_once
        super().__init__(predictor, paths)

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> "pd.DataFrame":
        """As of images, a row per video."""
        self.predictor.seconds = ANSWERING if serving() else SECONDS
        return super().predict(model_input, params)
