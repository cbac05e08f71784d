"""The predictor that a weight file needs: of classes of images, of videos, or of objects."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.core import checkpoint
from engine.inference.predictor import Predictor
from engine.inference.scenes import ScenePredictor, finds
from engine.inference.videos import PLAIN, VideoPredictor, sees_clips


def predictor_for(
    weights: Path,
    size: int,
    tested: int | None = None,
    frame_rate: int | None = None,
    policy: Mapping[str, Any] | None = None,
) -> Predictor:
    """The predictor of a weight file; ValueError with cause and fix."""
    sections = checkpoint.load_tensors(weights)[1]["sections"]
    if finds(sections):
        if (policy or PLAIN)["name"] == "views":
            raise ValueError("--views are of videos, and this network finds objects in images")
        return ScenePredictor(weights, size, tested=tested, policy=policy)
    if not sees_clips(sections):
        return Predictor(weights, size, tested=tested)
    if frame_rate is None:
        raise ValueError(
            f"{weights} does not say how many frames a second its videos had: give it with "
            "--frame-rate (corpus.frame_rate where it was trained)"
        )
    known = {"frame_rate": frame_rate, "policy": policy or PLAIN}
    return VideoPredictor(weights, size, tested=tested, **known)
