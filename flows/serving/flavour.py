"""The files that make a Python function of MLflow out of a weight file: MLmodel, code, example.

The weights stay the one safetensors beside them, and nothing here is a pickle. MLflow's format:
https://mlflow.org/docs/latest/ml/model/#mlmodel-file
"""

import base64
import json
import platform
from io import BytesIO
from pathlib import Path
from typing import Any

import yaml
from PIL import Image, ImageChops

from flows.serving.inputs import COLUMN, VIDEO
from flows.serving.mlflow_private import UNCHECKED

PLAIN = {"name": "plain"}
FRAMES = 16  # of the video of the example
RECORD = "record.json"  # of the stage evaluate, where there is one
CODE = "code"
EXAMPLE, SERVED_EXAMPLE = "input_example.json", "serving_input_example.json"
CONDA, VIRTUALENV, REQUIREMENTS = "conda.yaml", "python_env.yaml", "requirements.txt"


def write_flavour(
    folder: Path, weights: str, size: int, about: dict[str, Any], **more: Any
) -> None:
    """Write all but the weight file itself and its record into a folder.

    weights: name of the weight file in that folder. size: pixels of the images that the network is
    given. about: the weight file's metadata. more: further fields of MLmodel, such as model_id.
    """
    from engine.inference.scenes import finds  # torch, which --help need not
    from flows.serving.package import package

    finding, asked = finds(about["sections"]), {}
    # of clips and of objects: how a pretrained one is asked, nobody has said
    if "frame_rate" in about or finding:
        asked["policy"] = about.get("policy", PLAIN)
    made = package(about["sections"] | asked)
    if "frame_rate" in about:
        asked["frame_rate"] = about["frame_rate"]
    made.write(folder / CODE)
    function = {
        "loader_module": made.loader,
        "code": CODE,
        "data": ".",
        "config": {"paths": False},  # MLflow lets only keys that are here be set at load
        "env": {"conda": CONDA, "virtualenv": VIRTUALENV},
        "python_version": platform.python_version(),
        "streamable": False,
    }
    # files written before it was kept in them: of images that were tested as they were stored
    stored = about.get("size") or size
    ours = {"weights": weights, "stored": stored, "size": size, "record": RECORD, **asked}
    column = VIDEO if "frame_rate" in asked else COLUMN
    model = {
        "flavors": {"python_function": function, "tagdag": ours},
        "signature": _signature(column, finding),
        **UNCHECKED,
        "saved_input_example_info": _example(folder, stored, column),
        **more,
    }
    (folder / "MLmodel").write_text(yaml.safe_dump(model))
    _environment(folder, made.requirements)


def _signature(column: str, finding: bool) -> dict[str, Any]:
    """In: a column of images, or of videos; out: a row for each; top: classes that it names.

    finding: whether objects are found in them; top: how many at the most.
    """
    from mlflow.models import ModelSignature
    from mlflow.types.schema import Array, ColSpec, DataType, ParamSchema, ParamSpec, Schema

    from flows.serving.model import TOP
    from flows.serving.scenemodel import MOST

    text, number, whole = DataType.string, DataType.double, DataType.long
    kinds = {"class": text, "score": number, "classes": Array(text), "scores": Array(number)}
    if finding:
        kinds = {"width": whole, "height": whole, "boxes": Array(Array(number))}
        kinds |= {"classes": Array(text), "scores": Array(number), "masks": Array(text)}
        kinds |= {"map": text, "segments": Array(text)}
    # of a bad image there is an error and no class
    columns = [ColSpec(kind, name, required=False) for name, kind in kinds.items()]
    columns.append(ColSpec(text, "error", required=False))
    params = ParamSchema([ParamSpec("top", whole, MOST if finding else TOP)])
    return ModelSignature(
        Schema([ColSpec(DataType.binary, column)]), Schema(columns), params
    ).to_dict()


def _example(folder: Path, size: int, column: str) -> dict[str, Any]:
    """An image as MLflow shows it and as a server is asked; what MLmodel says of them."""
    out, shade = BytesIO(), Image.linear_gradient("L").resize((size, size))
    if column == COLUMN:
        shade.convert("RGB").save(out, "PNG")
    else:  # a GIF whose shade moves up: to write it needs no PyAV
        moved = [ImageChops.offset(shade, 0, -number) for number in range(FRAMES)]
        shade.save(out, "GIF", save_all=True, append_images=moved[1:], duration=100, loop=0)
    text = base64.b64encode(out.getvalue()).decode()
    (folder / EXAMPLE).write_text(json.dumps({"columns": [column], "data": [[text]]}) + "\n")
    (folder / SERVED_EXAMPLE).write_text(json.dumps({"inputs": [text]}) + "\n")
    return {
        "artifact_path": EXAMPLE,
        "type": "dataframe",
        "pandas_orient": "split",
        "serving_input_path": SERVED_EXAMPLE,
    }


def _environment(folder: Path, requirements: list[str]) -> None:
    """What has to be installed, in the three forms that MLflow's environment managers read."""
    python = platform.python_version()
    (folder / REQUIREMENTS).write_text("\n".join(requirements) + "\n")
    conda = {
        "name": "mlflow-env",
        "channels": ["conda-forge"],
        "dependencies": [f"python={python}", "pip", {"pip": requirements}],
    }
    (folder / CONDA).write_text(yaml.safe_dump(conda))
    build = ["pip", "setuptools", "wheel"]
    virtualenv = {
        "python": python,
        "build_dependencies": build,
        "dependencies": [f"-r {REQUIREMENTS}"],
    }
    (folder / VIRTUALENV).write_text(yaml.safe_dump(virtualenv))
