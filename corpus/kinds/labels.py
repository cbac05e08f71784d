"""Labels: images of one class each, to fine-tune and test on."""

from corpus.records.labelled import Label, LabelKind

__all__ = ["Label", "Labels"]


class Labels(LabelKind):
    """One class for each image."""

    columns = {"image": {"read": "jpeg"}, "label": {"read": "class", "of": "targets"}}
