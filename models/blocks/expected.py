"""Rows of what is known of a plug-in before it is built: what its tests count, and print."""

from typing import Any

__all__ = ["clip_row", "network_row", "slot_row"]


def network_row(
    options: dict[str, Any], params: int, side: int = 224, classes: int = 1000, **counts: int
) -> dict[str, Any]:
    """A backbone of these options with its linear layer, for images of `side` pixels.

    params, and of counts flops and acts where they are known, by the rule pycls.
    """
    shape = {"input": (3, side, side), "classes": classes}
    return {"options": options, **shape, "rule": "pycls", "params": params, **counts}


def clip_row(
    options: dict[str, Any],
    params: int,
    frames: int,
    side: int,
    classes: int = 400,
    **counts: int,
) -> dict[str, Any]:
    """A backbone of these options with its linear layer, for clips of frames of `side` pixels.

    params, and of counts flops and acts where they are known, by the rule pycls.
    """
    shape = {"input": (3, frames, side, side), "classes": classes}
    return {"options": options, **shape, "rule": "pycls", "params": params, **counts}


def slot_row(channels: int, params: int, **options: Any) -> dict[str, Any]:
    """A slot of these options for maps of so many channels."""
    return {"options": options, "channels": channels, "params": params}
