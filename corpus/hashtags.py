"""Hashtags as people type them, brought to one form: letters and digits of any script, caseless."""

import re
import unicodedata

SEPARATORS = re.compile(r"[\s,;|#\uff03\uff0c\u3001]+")  # the full-width # and commas of East Asian keyboards too
WORD_SIGNS = 0x3400  # from here on one character (an ideograph, a Hangul syllable) can be a word


def _kept(character: str) -> bool:
    kind = unicodedata.category(character)  # marks are letters' parts in Indic scripts; variation selectors are emoji's
    return kind[0] in "LN" or (kind in ("Mn", "Mc") and not "\ufe00" <= character <= "\ufe0f")


def normalise(tag: str) -> str | None:
    """`#Golden_Hour🌅` -> `goldenhour`; None where nothing useful is left (digits only, a single letter).

    NFKC and case folding; then all but letters, their marks and digits goes: '#', punctuation, separators, emoji.
    """
    text = unicodedata.normalize("NFKC", tag).casefold().replace("i\u0307", "i")  # the Turkish capital I of #İstanbul
    text = unicodedata.normalize("NFKC", "".join(filter(_kept, text)))
    if not any(unicodedata.category(character)[0] == "L" for character in text):
        return None
    return text if len(text) > 1 or ord(text) >= WORD_SIGNS else None


def split_tags(text: str) -> list[str]:
    """The tags of one string, as typed: split at blanks, commas, semicolons, bars and '#'."""
    return [tag for tag in SEPARATORS.split(text) if tag]
