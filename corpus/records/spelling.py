"""How the name of a class is stored.

Merged is only what no eye can tell apart (Unicode forms, blanks) and integers that a table of
floats made `3.0` of. Names that differ in case or signs are told, not merged: a label, unlike a
hashtag, was chosen on purpose, and `Polish` is not `polish`.
"""

import re
import unicodedata

WHOLE = re.compile(r"(-?\d+)\.0+")  # 3.0: what pandas makes of integers beside an empty cell


def spelled(label: str) -> str:
    """A label as it is stored: NFC, blanks at the ends off and one between words, 3.0 as 3."""
    text = " ".join(unicodedata.normalize("NFC", label).split())
    whole = WHOLE.fullmatch(text)
    return whole[1] if whole else text
