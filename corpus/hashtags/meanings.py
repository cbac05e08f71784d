"""What hashtags mean, before and after the classes have names."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from corpus.hashtags.wordnet import WordNet

# a class that has no name yet: numbers of synsets, or a form itself where WordNet has none
Key = tuple[int, ...] | str


class Meaning(NamedTuple):
    """The rule that decided a form, its classes, each with a form that may name it, and the
    forms the rule led to.
    """

    rule: str
    classes: tuple[tuple[Key, str], ...]
    through: tuple[str, ...]


def itself(form: str) -> Meaning:
    """The meaning of a form that no rule knows."""
    return Meaning("itself", ((form, form),), (form,))


def merged_names(
    forms: Sequence[str],
    posts: Sequence[int],
    meanings: Sequence[Meaning],
) -> dict[Key, str]:
    """The name of each class that plurals by rule have joined: its most frequent form."""
    pairs = (pair for meaning in meanings if meaning.rule == "plural" for pair in meaning.classes)
    keys = {key for key, _ in pairs if isinstance(key, str)}
    votes: dict[Key, Counter[str]] = defaultdict(Counter)
    for form, n, meaning in zip(forms, posts, meanings, strict=True):
        for key, own in meaning.classes if meaning.rule in ("itself", "plural") else ():
            if key in keys and own == form:
                votes[key][own] += n
    return {key: min(rows, key=lambda own: (-rows[own], own)) for key, rows in votes.items()}


def name_classes(
    forms: Sequence[str],
    posts: Sequence[int],
    meanings: Sequence[Meaning],
    wordnet: WordNet | None,
    apart: bool,
) -> tuple[dict[Key, str], dict[str, tuple[int, ...]]]:
    """(name of each class of synsets, synsets of each name): its most frequent form.

    If none was typed, a word's part.

    `apart`: a form may be in several classes; those that no form tells apart are one, the others
    get the synset's id.
    """
    direct, parts = defaultdict(Counter), defaultdict(Counter)
    for form, n, meaning in zip(forms, posts, meanings, strict=True):
        repaired = meaning.rule in ("words", "spelling")
        for key, own in meaning.classes:
            if isinstance(key, tuple):
                (parts if repaired else direct)[key][own] += n if repaired or own == form else 0
    votes = {**parts, **direct}
    alike: dict[object, list[tuple[int, ...]]] = defaultdict(list)
    for key in sorted(votes):
        alike[frozenset(votes[key]) if apart else key].append(key)
    best = [
        min(votes[keys[0]].items(), key=lambda vote: (-vote[1], vote[0]))[0]
        for keys in alike.values()
    ]
    often, named, synsets = Counter(best), {}, {}
    for name, keys in zip(best, alike.values(), strict=True):
        if often[name] > 1:
            name = f"{name}.{wordnet.synsets[keys[0][0]].id}"
        named |= dict.fromkeys(keys, name)
        synsets[name] = tuple(number for key in keys for number in key)
    return named, synsets
