"""How pretend users tag a drawn scene, with the faults of real hashtags.

Mahajan et al. 2018 (arXiv 1805.00932, section 2) describe them: Zipf frequencies, synonyms, several
languages, merged words, misspellings, off-topic, wrong and missing tags.
"""

import numpy as np

from corpus.drawn.concepts import COLOURS, CONCEPT_OF, FORMS, MENTIONED, SETTINGS, SHAPES
from corpus.sources.users import OFF_TOPIC, User, zipf

EMOJI = "❤☀☺☕✈★"


def misspell(rng: np.random.Generator, word: str) -> str:
    """Two letters swapped, one dropped or one doubled, unless that makes another known word."""
    at = int(rng.integers(1, max(2, len(word) - 1)))
    swapped = word[:at] + word[at : at + 2][::-1] + word[at + 2 :]
    dropped = word[:at] + word[at + 1 :]
    doubled = word[:at] + word[at] + word[at:]
    wrong = (swapped, dropped, doubled)[int(rng.integers(3))]
    return word if len(word) < 4 or wrong in CONCEPT_OF else wrong


def word_for(rng: np.random.Generator, concept: str, language: int) -> str:
    """A form of a concept: English at times whoever writes, the usual word before its synonyms."""
    spoken = 0 if rng.random() < 0.35 else language
    word = zipf(rng, FORMS[concept][spoken])
    return misspell(rng, word) if rng.random() < 0.05 else word


def dress(rng: np.random.Generator, tag: str) -> str:
    """Capitals and emoji as people type them."""
    roll = rng.random()
    if roll < 0.12:
        tag = tag.capitalize()
    elif roll < 0.16:
        tag = tag.upper()
    return tag + zipf(rng, EMOJI) if rng.random() < 0.03 else tag


def merge_words(rng: np.random.Generator, named: list[str], language: int) -> str | None:
    """#redcircle: a colour run into a shape or a setting.

    Never a texture: that would name a target class.
    """
    colours = [name for name in named if name in COLOURS]
    nouns = [name for name in named if name in SHAPES or name in SETTINGS]
    if not (colours and nouns):
        return None
    pair = zipf(rng, colours), nouns[int(rng.integers(len(nouns)))]
    return "".join(zipf(rng, FORMS[concept][language]) for concept in pair)


def hashtags(rng: np.random.Generator, seen: list[str], user: User) -> list[str]:
    """What this user writes under a picture that shows the concepts seen; never an empty list."""
    silent = rng.random() < 0.02
    named = []
    for name in () if silent else seen:
        if rng.random() < MENTIONED[name] * user.verbosity:
            named.append(name)
    tags = [word_for(rng, name, user.language) for name in named]
    if named and rng.random() < 0.08:
        tags.append(merge_words(rng, named, user.language) or user.favourites[0])
    if named and rng.random() < 0.06:
        tags.append(word_for(rng, list(FORMS)[int(rng.integers(len(FORMS)))], user.language))
    while rng.random() < 0.5 or not tags:
        tags.append(zipf(rng, user.favourites if rng.random() < 0.5 else OFF_TOPIC))
    if rng.random() < 0.04:
        tags.append(zipf(rng, EMOJI))
    tags = list(dict.fromkeys(tags))
    return [dress(rng, tags[i]) for i in rng.permutation(len(tags)).tolist()]
