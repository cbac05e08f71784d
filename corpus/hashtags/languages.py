"""How usual words are in languages, and how much posts use each language, by wordfreq's lists."""

from collections import defaultdict

import numpy as np

LANGUAGES = {
    "en": "English",
    "es": "Spanish",
    "de": "German",
    "fr": "French",
    "pt": "Portuguese",
    "it": "Italian",
}
OTHERS = ("nl", "pl", "sv")  # without rules; their words may look like plurals of the others
ALL = (*LANGUAGES, *OTHERS)


def shares(words: set[str]) -> dict[str, np.ndarray]:
    """float64 (languages,) of ALL: the share of all words that each word has, where one has any.

    wordfreq would keep the whole lists, 60 MB each: but English, which it keeps for words.py, they
    are read anew and let go. Of the OTHERS the common words do.
    """
    from wordfreq import available_languages, cB_to_freq, get_frequency_dict, read_cBpack

    found: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(len(ALL)))
    for i, language in enumerate(ALL):
        if language == "en":
            known = get_frequency_dict(language, "large")
            for word in words & known.keys():
                found[word][i] = known[word]
            continue
        file = available_languages("small" if language in OTHERS else "large")[language]
        for centibels, bucket in enumerate(read_cBpack(file)):
            for word in words.intersection(bucket):
                found[word][i] = cB_to_freq(-centibels)
    return dict(found)


def use(known: np.ndarray, rounds: int = 30) -> np.ndarray:
    """How much each language is used, float64 (languages,), by shares (words, languages) of words.

    Expectation-maximisation of a mixture's weights (Dempster et al. 1977), each language given one
    more word, evenly over all.
    """
    weight = np.full(known.shape[1], 1 / known.shape[1])
    for _ in range(rounds):
        part = known * weight
        part = part / part.sum(1, keepdims=True)
        weight = (part.sum(0) + 1) / (len(known) + known.shape[1])
    return weight
