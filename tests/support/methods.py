"""Every objective that compares several views, with settings that are small enough for a test."""

import inspect
from typing import Any

from engine.core.build import choices, plugin
from models.blocks.methods.multiview import MultiView

# of those that have such settings
SMALL: dict[str, Any] = {"queue": 24, "width": 8, "hidden": 12, "bottleneck": 6, "prototypes": 10}
# so that all of a method happens in a few steps
SMALL |= {"queue_start": 1}


def methods() -> list[str]:
    """Their names, and the sum of one of them and hashtags."""
    classes = {name: plugin("objectives", name, "tests") for name in choices("objectives")}
    return [name for name, found in classes.items() if issubclass(found, MultiView)] + ["weighted"]


def section(name: str) -> dict[str, Any]:
    """The section of one, with small queues, projectors and so on."""
    if name == "weighted":
        return {"name": name, "first": {"name": "hashtags"}, "second": section("moco")}
    known = inspect.signature(plugin("objectives", name, "tests")).parameters
    return {"name": name} | {key: size for key, size in SMALL.items() if key in known}
