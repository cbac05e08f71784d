"""Clips: videos of one class each, to fine-tune and test on."""

from corpus.records.labelled import LabelKind

__all__ = ["Clips"]


class Clips(LabelKind):
    """One class for each video."""

    media = "video"
    columns = {
        "clip": {"read": "clip", "ends": "frame_ends"},
        "label": {"read": "class", "of": "targets"},
    }
