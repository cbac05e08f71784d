"""Hashtags as people type them, brought to one form: letters and digits of any script, caseless.

Signs go before NFKC, which would make letters of them: ™ tm, ㊙ 秘. What shows nothing goes as in
Unicode's NFKC_Casefold (The Unicode Standard, section 3.13): no joiner or variation selector makes
two classes of one word.

A cell that holds a hash sign is a caption: the words after hash signs are its hashtags, all others
are text, and what stands in a link is neither. Any other cell is a list: everything between
separators is a tag. A cell written as a list of strings (JSON, or as Python and numpy print one) is
that list, each string a cell of its own.
"""

import re
import unicodedata

WORD_SIGNS = 0x3400  # from here on one character (an ideograph, a Hangul syllable) can be a word
MAX_LETTERS = 100  # of a tag; longer ones are text, or an attack
MAX_TYPED = 1000  # characters of a tag; looked at first, since NFKC can make 18 of one
LENGTHENED = "\u0640\u07fa"  # ARABIC TATWEEL, NKO LAJANYALAN: a word drawn out is the same word
_ASCII = {code: None for code in range(128) if not chr(code).isalnum()}
_INVISIBLE = re.compile(  # Default_Ignorable_Code_Point: soft hyphen, joiners, fillers, selectors
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_ENCLOSED = "\u2460-\u24ff\U0001f100-\U0001f169"  # letters and digits in circles, squares, brackets
_SIGNS = re.compile(
    f"([{_ENCLOSED}]{{2,}})"  # several are a word in fancy letters, and stay; one is a sign: Ⓡ, Ⓜ
    # SERVICE MARK, TRADE MARK SIGN; INFORMATION SOURCE, an emoji of the category of letters
    f"|[{_ENCLOSED}\u2120\u2122\u2139"
    # kanbun; ideographs and syllables in circles and brackets, ㈱ and ㊙, but not months and eras
    "\u3196-\u319f\u3200-\u32bf\u32d0-\u32fe"
    # raised marks (MC, MD), squared words and ideographs, the letters of flags
    "\U0001f16a-\U0001f2ff"
    "\u20a8\ufdfc]"  # RUPEE SIGN and RIAL SIGN, which NFKC spells out
    # ACUTE ACCENT between letters is an apostrophe (it's); at the end of a word it is an accent
    r"|(?<=\w)\u00b4(?=\w)"
)
HASHES = "#\ufe5f\uff03"  # NUMBER SIGN, SMALL, FULLWIDTH: what begins a hashtag (UAX 31, section 6)
COMMAS = (
    ",\u055d\u060c\u07f8"  # COMMA; ARMENIAN, ARABIC (Persian and Urdu too), NKO COMMA
    "\u1363\u1802\u1808\u104a"  # ETHIOPIC, MONGOLIAN, MANCHU COMMA; MYANMAR SIGN LITTLE SECTION
    "\u3001\uff0c\uff64"  # IDEOGRAPHIC (Chinese, Japanese), FULLWIDTH, HALFWIDTH IDEOGRAPHIC COMMA
    "\ufe10\ufe11\ufe50\ufe51"  # the same ones upright and SMALL
    "\ua4fe\ua60d\ua6f5"  # LISU PUNCTUATION COMMA, VAI COMMA, BAMUM COMMA
)
SEMICOLONS = (
    ";\u037e\u061b\u1364"  # SEMICOLON; GREEK QUESTION MARK (the same sign); ARABIC, ETHIOPIC
    "\uff1b\ufe14\ufe54\ua6f6"  # FULLWIDTH, upright, SMALL, BAMUM SEMICOLON
)
BARS = "|\u00a6\u2016\uff5c\uffe8"  # VERTICAL LINE, BROKEN BAR; DOUBLE, FULLWIDTH, HALFWIDTH one
BULLETS = "\u2022\u2023\u25e6\u2043"  # BULLET, TRIANGULAR, WHITE, HYPHEN BULLET: of all scripts
STOPS = (  # they stand between words or sentences without a blank
    "\u1361\u0964\u0965"  # ETHIOPIC WORDSPACE; DEVANAGARI DANDA, DOUBLE DANDA (all Indic scripts)
    "\u0f0d\u104b\u17d4"  # TIBETAN MARK SHAD, MYANMAR SIGN SECTION, KHMER SIGN KHAN
)
_HAN, _KATAKANA = "\u3400-\u9fff", "\u30a1-\u30fa\u30fc\uff66-\uff9f"
DOTS = (  # two that part words and stand within words (both in X's twitter-text): neighbours decide
    # MIDDLE DOT, GREEK ANO TELEIA; within Catalan col·lecció and foreign names in Chinese, 达·芬奇
    f"(?!(?<=[lL])\u00b7[lL]|(?<=[{_HAN}])\u00b7[{_HAN}])[\u00b7\u0387]"
    # KATAKANA MIDDLE DOT, full, half; within foreign names, ダ・ヴィンチ; 京都・大阪 are two
    f"|(?!(?<=[{_KATAKANA}])[\u30fb\uff65][{_KATAKANA}])[\u30fb\uff65]"
)
_BETWEEN = rf"\s{HASHES}{COMMAS}{SEMICOLONS}{BARS}{BULLETS}{STOPS}"
SEPARATORS = re.compile(rf"(?:[{_BETWEEN}]|{DOTS})+")
_ENDS = (  # of a caption's #words besides. A full stop ends none: #v2.0
    r"!?\u2026\u3002\u06d4\uff01\uff0e\uff1f\uff61"  # sentences' marks (CJK's and Urdu's too)
    r"()\[\]{}<>\u3008-\u3011\uff08\uff09"  # brackets
    r"\"\u201c-\u201f\u00ab\u00bb"  # quotes
    r"@\uff20"  # of the name of a user
)
_MARKED = re.compile(rf"[{HASHES}]([^{_BETWEEN}{_ENDS}]+)")
_LINK = re.compile(  # with a scheme, www. or a path, where a word begins
    rf"(?<![\w{HASHES}.-])(?:[a-z][a-z0-9+.-]*://|www\.|[\w-]+(?:\.[\w-]+)++/)\S*",
    re.IGNORECASE,
)


def composed(text: str) -> str:
    """NFKC of a text without signs and without what shows nothing; case stays."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFKC", _SIGNS.sub(r"\1", _INVISIBLE.sub("", text)))


def kept(character: str) -> bool:
    """Whether a character is a letter, a mark of one (a part of it in Indic scripts), a digit."""
    kind = unicodedata.category(character)
    return (kind[0] in "LN" or kind in ("Mn", "Mc")) and character not in LENGTHENED


def _folded(text: str) -> str:
    """One pass of NFKC, case folding and dropping; letters that compose anew may need a second."""
    text = composed(text).casefold().replace("i\u0307", "i")  # the Turkish capital I of #İstanbul
    text = unicodedata.normalize("NFKC", "".join(filter(kept, _INVISIBLE.sub("", text))))
    marks = (i for i, character in enumerate(text) if unicodedata.category(character)[0] != "M")
    return text[next(marks, len(text)) :]  # a mark that no letter carries says nothing


def letters(text: str) -> str:
    """Letters, their marks and digits of a text, caseless; all else goes: signs, blanks, emoji."""
    if text.isascii():
        return text.lower().translate(_ASCII)
    folded = _folded(text)
    while folded != text:
        text, folded = folded, _folded(folded)
    return text


def normalise_or_why(tag: str) -> tuple[str | None, str]:
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
    """`#Golden_Hour🌅` -> `goldenhour`; None where nothing useful is left."""
    return normalise_or_why(tag)[0]


def hash_words(text: str) -> list[str]:
    """The words after hash signs, as typed; those of links are none."""
    words = _MARKED.findall(_LINK.sub(" ", text))
    tags = (SEPARATORS.split(word, 1)[0] for word in words)
    return [tag for tag in tags if tag]


def split_tags(text: str) -> list[str]:
    """The hashtags of a text (a caption, or tags and separators), as typed, without '#'."""
    if any(sign in text for sign in HASHES):
        return hash_words(text)
    return [tag for tag in SEPARATORS.split(text) if tag]
