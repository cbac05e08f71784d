"""Folders that MLflow loads as Python functions, and images to ask them about."""

import base64
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from engine.core.network import network, save_network
from flows.serving.flavour import write_flavour
from tests.support.networks import TINY

LINEAR = {"name": "linear"}
PIXELS = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)


def png(pixels: np.ndarray = PIXELS) -> bytes:
    """An image's bytes."""
    out = BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def base64_of(data: bytes) -> str:
    """As JSON holds it."""
    return base64.b64encode(data).decode()


def model_folder(
    folder: Path,
    names: list[str],
    objective: str = "supervised",
    backbone: dict[str, Any] = TINY,
    head: dict[str, Any] = LINEAR,
    size: int = 32,
) -> Path:
    """A network with weights that tell images apart, as the stage register leaves it."""
    sections = {"backbone": backbone, "objective": {"name": objective}, "head": head}
    torch.manual_seed(0)
    module = network(**sections, classes=len(names))
    for weights in module.head.parameters():
        torch.nn.init.normal_(weights)
    save_network(folder / "model.safetensors", module, sections, names, size=32)
    about = {"sections": sections, "names": names, "size": 32}
    write_flavour(folder, "model.safetensors", size, about)
    return folder


def loaded(folder: Path, **config: Any) -> Any:
    """What MLflow makes of a folder."""
    from mlflow import pyfunc

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pyfunc.load_model(str(folder), model_config=config or None)
