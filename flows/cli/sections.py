"""A stage's section of params.yaml, held to the signature of its flow; it imports no torch."""

import importlib
import inspect
from typing import Any

from engine.core.build import options


def complete_section(stage: str, section: Any) -> dict[str, Any]:
    """The section with its defaults written out; ValueError as engine.core.build.options."""
    function = inspect.unwrap(getattr(importlib.import_module(f"flows.{stage}"), stage))
    given = options(function, section, stage, given=("candidate",))
    parameters = inspect.signature(function).parameters.items()
    return {name: p.default for name, p in parameters if p.default is not p.empty} | given
