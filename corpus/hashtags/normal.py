"""Hashtags as people type them, brought to one form: letters and digits of any script, caseless."""

import re
import unicodedata

SEPARATORS = re.compile(r"[\s,;|#\uff03\uff0c\u3001]+")  # the full-width # and commas of East Asian keyboards too
WORD_SIGNS = 0x3400  # from here on one character (an ideograph, a Hangul syllable) can be a word
MAX_LETTERS = 100  # of a tag; longer ones are text, or an attack
MAX_TYPED = 1000  # characters of a tag as typed; looked at before anything else, since NFKC can make 18 of one
_ASCII = {code: None for code in range(128) if not chr(code).isalnum()}


def kept(character: str) -> bool:
    """Whether a character is a letter, a mark of one, or a digit."""
    kind = unicodedata.category(character)  # marks are letters' parts in Indic scripts; variation selectors are emoji's
    return kind[0] in "LN" or (kind in ("Mn", "Mc") and not "\ufe00" <= character <= "\ufe0f")


def _folded(text: str) -> str:
    """One pass of NFKC, case folding and dropping; letters that compose anew may need a second."""
    text = unicodedata.normalize("NFKC", text).casefold().replace("i\u0307", "i")  # the Turkish capital I of #İstanbul
    text = unicodedata.normalize("NFKC", "".join(filter(kept, text)))
    start = next((i for i, character in enumerate(text) if unicodedata.category(character)[0] != "M"), len(text))
    return text[start:]  # a mark that no letter carries says nothing


def letters(text: str) -> str:
    """Letters, their marks and digits of a text, caseless; all else goes: '#', blanks, punctuation, emoji, controls."""
    if text.isascii():
        return text.lower().translate(_ASCII)
    while (again := _folded(text)) != text:
        text = again
    return text


def checked(tag: str) -> tuple[str | None, str]:
    """(the normalised tag, "") or (None, why nothing useful is left)."""
    if len(tag) > MAX_TYPED:
        return None, f"more than {MAX_LETTERS} letters"
    text = letters(tag)
    if not text:
        return None, "no letter or digit"
    if len(text) > MAX_LETTERS:
        return None, f"more than {MAX_LETTERS} letters"
    if not (text.isalpha() or any(map(str.isalpha, text))):  # the Unicode categories L*
        return None, "digits only"
    if len(text) == 1 and ord(text) < WORD_SIGNS:
        return None, "a single letter"
    return text, ""


def normalise(tag: str) -> str | None:
    """`#Golden_Hour🌅` -> `goldenhour`; None where nothing useful is left: `checked` says why."""
    return checked(tag)[0]


def split_tags(text: str) -> list[str]:
    """The tags of one string, as typed: split at blanks, commas, semicolons, bars and '#'."""
    return [tag for tag in SEPARATORS.split(text) if tag]
