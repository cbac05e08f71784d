"""Params of a project in a temporary folder: the committed ones, or as few as a stage needs."""

import json
import shutil
from pathlib import Path
from typing import Any

import yaml

TOP = Path(__file__).parents[2]
# what a merge key takes over is a copy here, to be changed alone
PARAMS = json.loads(json.dumps(yaml.safe_load((TOP / "params.yaml").read_text())))
REFERENCE = yaml.safe_load((TOP / "candidates" / "resnext.yaml").read_text())


def committed(folder: Path = Path()) -> None:
    """The committed params.yaml and candidates, in a folder."""
    shutil.copyfile(TOP / "params.yaml", folder / "params.yaml")
    shutil.copytree(TOP / "candidates", folder / "candidates", dirs_exist_ok=True)


def written(params: dict[str, Any]) -> None:
    """Other params, beside the committed candidates, in the present folder."""
    committed()
    Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def named(backbones: dict[str, dict[str, Any]], trainings: dict[str, str]) -> None:
    """A params.yaml that names these candidates, and pretrainings by their candidate; no more."""
    candidates = {}
    Path("candidates").mkdir(exist_ok=True)
    for name, section in backbones.items():
        file = Path("candidates", f"{name}.yaml")
        file.write_text(yaml.safe_dump(section))
        candidates[name] = {"backbone": section["name"], "section": str(file)}
    pretrain = {}
    for name, candidate in trainings.items():
        pretrain[name] = {"candidate": candidate} | candidates[candidate]
    others = {name: {} for name in ("corpus", "search", "tasks", "evaluate", "register")}
    params = {"candidates": candidates, "pretrain": pretrain} | others
    Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
