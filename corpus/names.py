"""Names that people and strangers give: which may become a path, and how any of them is printed."""

import re
import unicodedata
from pathlib import Path

MOST = (
    64  # letters of a name; a file name may have 255 bytes, and endings and seeds are added to ours
)
SHAPE = re.compile(rf"[A-Za-z0-9](?:[A-Za-z0-9._-]{{0,{MOST - 2}}}[A-Za-z0-9_-])?")
DEVICES = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10)),
}
RULE = (
    f"1 to {MOST} of the letters a-z and A-Z, digits, '-', '_' and '.', the first a letter or "
    "a digit, the last no '.' (these alone are allowed in a path, an MLflow metric and DVC alike)"
)
JOINERS = "\u200c\u200d"  # parts of Persian and Indic words, and of emoji


def checked_name(text: object, what: str) -> str:
    """The name, fit to be a file's or folder's.

    ValueError says that `what` is not, and the rule.
    """
    if not isinstance(text, str) or not SHAPE.fullmatch(text):
        shown = printable(repr(text))
        shown = (
            shown if len(shown) <= MOST + 20 else f"{shown[:MOST]}... ({len(str(text))} letters)"
        )
        raise ValueError(f"{what}: {shown} is no name: use {RULE}")
    if text.split(".")[0].lower() in DEVICES:
        raise ValueError(f"{what}: {text!r} is a device's name on Windows: take another")
    return text


def checked_set(text: object, what: str) -> str:
    """`hashtags` or `targets/<name>`, as images in the corpus are named; ValueError otherwise."""
    head, slash, name = text.partition("/") if isinstance(text, str) else ("", "", "")
    if (head, slash) == ("targets", "/"):
        checked_name(name, f"{what}: targets/")
    elif text != "hashtags":
        shown = printable(repr(text))[:MOST]
        raise ValueError(f"{what}: {shown} names no images: write hashtags or targets/<name>")
    return text


def path_within(path: Path, root: Path) -> Path:
    """The path, if links resolved it lies below `root`; ValueError otherwise.

    `root` itself may be a link; the path need not exist yet.
    """
    if not path.resolve().is_relative_to(root.resolve()) or path.resolve() == root.resolve():
        raise ValueError(
            f"{printable(str(path))} lies outside of {printable(str(root))}, nothing was changed: "
            "take away the link or the `..` on its way"
        )
    return path


def printable(text: str, keep: str = "") -> str:
    """Text of strangers for a terminal or a log: what steers or cannot be encoded is escaped.

    Escaped are control characters (`keep` apart), marks of writing direction and other invisible
    ones, and lone surrogates; letters of all scripts, emoji and their joiners stay.
    """
    return "".join(letter if _harmless(letter, keep) else _escaped(letter) for letter in text)


def _harmless(letter: str, keep: str) -> bool:
    if letter.isprintable() or letter in keep or letter in JOINERS:
        return True
    return unicodedata.category(letter) == "Zs"  # the wide blank of Japanese, for one


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")
