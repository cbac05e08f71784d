"""Words of a merged hashtag: `#GoldenRetriever`, `#goldenretriever` -> golden, retriever.

A unigram language model over the English frequencies of the library wordfreq, decoded exactly by
dynamic programming (Viterbi 1967). A split's score is a sum over its words and cuts; the weights in
words.json are fitted on gold splits as a log-linear model by `python -m benchmarks.words --fit`.
They know a word's frequency and length, words nobody knows, digits (#2k17, #mgp2010), which words
begin and end a tag, and the case that was typed: a cut in #USAToday is cheap before T, dear before
o. The features are ours.
"""

import json
import math
import re
import unicodedata
from bisect import bisect
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from corpus.hashtags.normal import composed, kept, letters

LONGEST = 24  # letters of a word; bounds the work per letter of a tag
WEIGHTS = Path(__file__).with_name("words.json")
CLASSES = (
    -3.0,
    -3.8,
    -4.6,
    -5.6,
    -6.8,
)  # log10 of the frequencies between the, home, guitar, retriever, rarer ones
SIZES = (2, 3, 4, 5, 6, 8, 10, 13)  # letters at which the next class of lengths begins
# letters that tell how long a known word can get: looking up all longer ones took most of the time
STEM = 5
_ASCII_GAPS = re.compile(r"[^0-9A-Za-z]+")
Features = list[tuple[str, float]]


@cache
def frequencies() -> dict[str, float]:
    """English words and their share of all words; don't is dont, as hashtags write it."""
    import wordfreq

    shares: dict[str, float] = {}
    for word, share in wordfreq.get_frequency_dict("en", wordlist="large").items():
        word = word if word.isalnum() else word.replace("'", "")
        if len(word) <= LONGEST and word.isalnum():
            shares[word] = shares.get(word, 0.0) + share
    return shares


def word_features(word: str, share: float | None) -> tuple[str, Features]:
    """(its class, its features) for a word of that share of all words, None if unknown.

    By length, not by letters.
    """
    size = bisect(SIZES, len(word))
    if word.isdigit():
        return "digits", [("digits", 1), (f"digits {min(len(word), 5)}", 1)]
    if not word.isalpha() and any(map(str.isdigit, word)):
        if share:
            return "mixed", [("mixed known", 1), ("mixed log10", math.log10(share))]
        return "mixed", [("mixed", 1), ("mixed letter", len(word))]
    if len(word) == 1:
        return "letter", [("letter", 1), *([(f"letter {word}", 1)] if word in "ai" else [])]
    if share is None:
        return "unknown", [("unknown", 1), ("unknown letter", len(word)), (f"unknown {size}", 1)]
    log = math.log10(share)
    kind = f"known {sum(log < bound for bound in CLASSES)}"
    return kind, [
        ("log10", log),
        ("known", 1),
        (kind, 1),
        (f"letters {size}", 1),
        (f"{kind} letters {size}", 1),
    ]


def case(chunk: str) -> str:
    """How a run of letters was typed: `one` case, `first` letter upper only, or `mixed`."""
    cased = [character.isupper() for character in chunk if character.isalpha()]
    upper = sum(cased)
    return "one" if upper in (0, len(cased)) else "first" if upper == 1 and cased[0] else "mixed"


def cut_feature(chunk: str, at: int, case: str) -> str | None:
    """The name of the cut before chunk[at]; None where no word can end: within a number, around
    the k of 2k17.
    """
    left, right = chunk[at - 1], chunk[at]
    if left.isdigit() or right.isdigit():
        within = right.isdigit() and (left.isdigit() or chunk[at - 2 : at - 1].isdigit())
        within |= left.isdigit() and chunk[at + 1 : at + 2].isdigit()
        return None if within else f"cut {case} {'aA1'[2 * left.isdigit()]}{'a1'[right.isdigit()]}"
    if case != "mixed":
        return f"cut {case}"
    if left.isupper() and right.isupper():
        return "cut mixed AAa" if chunk[at + 1 : at + 2].islower() else "cut mixed AA"
    return f"cut mixed {'aA'[left.isupper()]}{'aA'[right.isupper()]}"


def chunks(tag: str) -> Iterator[tuple[str, str]]:
    """(as typed, normalised) runs of letters and digits, of equal length: other signs but
    apostrophes part words.
    """
    text = composed(tag).replace("'", "").replace("\u2019", "")
    if not text.isascii():
        signs = (c if kept(c) else "" if unicodedata.category(c) == "Cf" else " " for c in text)
        runs = "".join(signs).split()
    else:
        runs = _ASCII_GAPS.split(text)
    for run in filter(None, runs):
        low = letters(run)
        if low:
            yield run if len(run) == len(low) else low, low


class Splitter:
    """`splitter(tag)`: the words of one tag as typed.

    `extra` adds words with their share of all words.
    """

    def __init__(
        self, extra: Mapping[str, float] | None = None, weights: Mapping[str, float] | None = None
    ):
        self.weights = weights or json.loads(WEIGHTS.read_text())
        shares = dict(frequencies())
        for word, share in (extra or {}).items():
            shares[word] = max(share, shares.get(word, 0.0))
        alike: dict[
            tuple, tuple[float, ...]
        ] = {}  # words of one score share one tuple: a quarter of the memory
        self._known, self._reach = {}, {}
        for word, share in shares.items():
            key = (share, len(word), word if len(word) == 1 or not word.isalpha() else "")
            self._known[word] = alike.get(key) or alike.setdefault(key, self._score(word, share))
            stem = word[:STEM]
            if len(word) > self._reach.get(stem, STEM):
                self._reach[stem] = len(word)
        self._unknown = [self._score("x" * size, None) for size in range(LONGEST + 1)]

    def _score(self, word: str, share: float | None) -> tuple[float, ...]:
        """A word's score inside a tag, as its first, as its last, as its only word."""
        get = self.weights.get
        kind, features = word_features(word, share)
        inside = sum(get(name, 0.0) * value for name, value in features)
        first, last = get(f"first {kind}", 0.0), get(f"last {kind}", 0.0)
        return inside, inside + first, inside + last, inside + first + last

    def __call__(self, tag: str) -> tuple[str, ...]:
        """The words, normalised: joined they are the normalised tag."""
        words = [word for typed, low in chunks(tag) for word in self._words(typed, low)]
        whole = letters(tag)
        if "".join(words) == whole:
            return tuple(words)
        return (whole,) if whole else ()

    def _words(self, typed: str, low: str) -> list[str]:
        """The best split of one chunk: best[j] is the best score of its first j letters, back[j]
        where a word began.
        """
        size, manner = len(low), case(typed)
        best, back = [0.0] + [-math.inf] * size, [0] * (size + 1)
        known, unknown, plain = self._known.get, self._unknown, low.isalpha()
        for i in range(size):
            base = best[i]
            if i:
                cut = cut_feature(typed, i, manner)
                if cut is None:
                    continue
                base += self.weights.get(cut, 0.0)
            place, top = int(not i), min(i + LONGEST, size)
            reach = i + self._reach.get(
                low[i : i + STEM], STEM
            )  # no known word from here is longer
            for j in range(i + 1, top + 1):
                score = known(low[i:j]) if j <= reach else None
                if score is None:
                    score = unknown[j - i] if plain else self._score(low[i:j], None)
                value = base + score[place if j < size else place + 2]
                if value > best[j]:
                    best[j], back[j] = value, i
        words, end = [], size
        while end:
            words.append(low[back[end] : end])
            end = back[end]
        return words[::-1]
