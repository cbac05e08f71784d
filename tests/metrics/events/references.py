"""The authors' own evaluation, read from the folder that METRICS_REFERENCES names and brought to
today's Python and numpy; each function skips the test where that folder is not there.
"""

import io
import os
import re
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

EVALUATION = "activitynet/ActivityNet/Evaluation"
AVA = (
    "standard_fields",
    "label_map_util",
    "np_box_ops",
    "np_box_list",
    "np_box_list_ops",
    "np_mask_ops",
    "np_box_mask_list",
    "np_box_mask_list_ops",
    "metrics",
    "per_image_evaluation",
    "object_detection_evaluation",
)


def reference(path: str) -> Path:
    """A file of a reference, below owner/repository."""
    folder = os.environ.get("METRICS_REFERENCES")
    if not folder or not (Path(folder) / path).exists():
        pytest.skip(f"METRICS_REFERENCES names no folder with {path}")
    return Path(folder) / path


def source(path: str) -> str:
    """Its text, with the names that numpy has no longer."""
    text = reference(path).read_text()
    text = re.sub(r"\bnp\.(bool|float)\b(?!_)", r"\1", text)
    return text.replace("np.NAN", "np.nan").replace("logging.warn(", "logging.warning(")


def ava() -> dict[str, Any]:
    """Names of get_ava_performance.py, and the modules that it rests on."""
    # one of them is called as a package of ours
    kept = {name: sys.modules.get(name) for name in AVA}
    made: dict[str, Any] = {}
    try:
        for name in AVA:
            made[name] = sys.modules[name] = ModuleType(name)
            exec(source(f"{EVALUATION}/ava/{name}.py"), made[name].__dict__)
    finally:
        for name, module in kept.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module
    script = re.sub(r"from ava import .*", "", source(f"{EVALUATION}/get_ava_performance.py"))
    exec(script, made)
    return made


def activitynet() -> Callable[..., np.ndarray]:
    """compute_average_precision_detection of eval_detection.py, of two data frames of pandas."""
    names: dict[str, Any] = {"np": np, "pd": pytest.importorskip("pandas")}
    helpers = source(f"{EVALUATION}/utils.py")
    exec(helpers[helpers.index("def interpolated_prec_rec") : helpers.index("def wrapper")], names)
    script = source(f"{EVALUATION}/eval_detection.py")
    exec(script[script.index("def compute_average_precision_detection") :], names)
    return names["compute_average_precision_detection"]


def gebd() -> Callable[[dict, dict, float], float]:
    """F1 by Challenge_eval_Code/eval.py, of truth, detections and distance."""
    script = source("StanLei52/GEBD/Challenge_eval_Code/eval.py")
    code = compile(script[script.index("tp_all = 0") :], "eval.py", "exec")

    def measured(true: dict, given: dict, distance: float) -> float:
        names = {"np": np, "gt_dict": true, "pred_dict": given, "threshold": distance}
        with redirect_stdout(io.StringIO()):
            exec(code, names)
        return names["f1"]

    return measured
