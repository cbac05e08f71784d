"""What a rare unknown hashtag may stand for: known words typed as one, or a misspelt one.

Ours, not from a paper: Mahajan et al. 2018 drop such tags.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache

from corpus.hashtags.words import frequencies

# letters of a word that is repaired: shorter ones have too many real words one edit away
SHORTEST = 5
RATIO = 10  # a misspelling is at least this many times rarer than the word it stands for
# a form that English text has at most this many times rarer than the other is a word of its own
WORD = 100
PART = 3  # letters of each word of a merged one
COMPOUND = 4  # words of the longest compound that is looked up
# whose common words are no misspellings
LANGUAGES = ("de", "es", "fr", "id", "it", "nl", "pl", "pt", "sv", "tr")
_FUNCTION = """
    a about after all am an and any are as at be been before being between but by can could did do
    does doing down during each every few for from get got had has have having he her here hers him
    his how i if im in into is it its just let lets like may me might mine more most much must my
    new now of off on once only or other our ours out over own same shall she should so some such
    than that the their theirs them then there these they this those through to too under until up
    upon us very was we were what when where which while who whom whose why will with within would
    you your youre yours de la le el los las der die das
"""
# left out of merged words, whatever WordNet has under `in`, `as`; no negations
FUNCTION_WORDS = frozenset(_FUNCTION.split())


def units(words: Sequence[str], known: Callable[[str], bool]) -> tuple[str, ...]:
    """The known compounds and words that make up the words of a tag, longest compounds first.

    () if one is unknown.

    Function words and numbers are left out; what is left must hold half of the letters.
    """
    best: list[tuple[int, tuple[str, ...]] | None] = [None] * len(words) + [(0, ())]
    for i in reversed(range(len(words))):
        options = []
        for end in range(min(i + COMPOUND, len(words)), i, -1):
            unit, rest = "".join(words[i:end]), best[end]
            if rest and (unit in FUNCTION_WORDS or unit.isdigit()):
                options.append((rest[0] + 1, rest[1]))
            elif rest and len(unit) >= PART and known(unit):
                options.append((rest[0] + 1, (unit, *rest[1])))
        best[i] = min(options, key=lambda option: option[0], default=None)
    found = best[0][1] if best[0] else ()
    return found if 2 * sum(map(len, found)) >= sum(map(len, words)) else ()


@cache
def foreign() -> frozenset[str]:
    """Common words of other languages: #parkplatz is one, not park and platz."""
    from wordfreq import get_frequency_dict

    return frozenset(
        word for language in LANGUAGES for word in get_frequency_dict(language, wordlist="small")
    )


def is_word(form: str, other: str) -> bool:
    """Whether a form is a word itself, not `other` misspelt: usual in English, common elsewhere."""
    shares = frequencies()
    return WORD * shares.get(form, 0.0) > shares.get(other, 0.0) or form in foreign()


class Speller:
    """`sunest` -> sunset: the most frequent form one edit away.

    Damerau 1964: insert, drop, change, swap.
    """

    def __init__(self, posts: Mapping[str, int]):
        self._posts = {form: n for form, n in posts.items() if len(form) >= SHORTEST and n >= RATIO}
        # two words one edit apart share a form with one letter dropped, or one is it
        self._near = defaultdict(list)
        for form in self._posts:
            for shorter in dropped(form):
                self._near[shorter].append(form)

    def __call__(self, form: str, posts: int) -> str:
        """The word that a form of that many posts is likely to mean; "" for none.

        A plural is no misspelling.
        """
        if len(form) < SHORTEST or form in self._posts:
            return ""
        near = {other for shorter in dropped(form) for other in self._near.get(shorter, ())}
        near = {
            other for other in near if self._posts[other] >= RATIO * posts and one_edit(form, other)
        }
        near = {other for other in near if form == other + "s" or not is_word(form, other)}
        return min(near, key=lambda other: (-self._posts[other], other), default="")


def dropped(word: str) -> set[str]:
    """The word, and it without each one of its letters."""
    return {word} | {word[:i] + word[i + 1 :] for i in range(len(word))}


def one_edit(a: str, b: str) -> bool:
    """Whether the Damerau-Levenshtein distance of two words is exactly 1."""
    if len(a) != len(b):
        short, long = sorted((a, b), key=len)
        return len(long) == len(short) + 1 and short in dropped(long)
    wrong = [i for i in range(len(a)) if a[i] != b[i]]
    return len(wrong) == 1 or (
        len(wrong) == 2
        and wrong[1] == wrong[0] + 1
        and [a[i] for i in wrong] == [b[i] for i in reversed(wrong)]
    )
