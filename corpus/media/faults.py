"""Why a stranger's file cannot be used, with a reason to count by."""

from typing import ClassVar


class BadFile(ValueError):
    """No image or video that can be used.

    `kind`, one of `kinds`, is the reason to count by; the message says more.
    """

    kinds: ClassVar[tuple[str, ...]]

    def __init__(self, kind: str, detail: str):
        super().__init__(kind, detail)
        assert kind in self.kinds, kind
        self.kind = kind

    def __str__(self) -> str:
        return ": ".join(self.args)
