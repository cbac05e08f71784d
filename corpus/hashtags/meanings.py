"""What hashtags mean, before and after the classes have names; and the story of one tag, for people."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from corpus.hashtags.wordnet import WordNet

if TYPE_CHECKING:
    from corpus.hashtags.canonical import Canon

Key = (
    tuple[int, ...] | str
)  # a class that has no name yet: numbers of synsets, or the form itself where WordNet has none
SHOWN = 5  # synsets that a story tells


class Step(NamedTuple):
    """One rule at work: what it made out of what, and why."""

    rule: str
    before: str
    after: str
    why: str


class Decision(NamedTuple):
    """A typed tag, the names of its classes (none: it is dropped), and the steps from one to the other."""

    typed: str
    names: tuple[str, ...]
    steps: list[Step]


class Meaning(NamedTuple):
    """The rule that decided a form, its classes, each with a form that may name it, and the forms the rule led to."""

    rule: str
    classes: tuple[tuple[Key, str], ...]
    through: tuple[str, ...]


def labels(
    forms: Sequence[str], posts: Sequence[int], meanings: Sequence[Meaning], wordnet: WordNet | None, apart: bool
) -> tuple[dict[Key, str], dict[str, tuple[int, ...]]]:
    """(name of each class of synsets, synsets of each name): its most frequent form; if none was typed, a word's part.

    `apart`: a form may be in several classes; those that no form tells apart are one, the others get the synset's id.
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
    best = [min(votes[keys[0]].items(), key=lambda vote: (-vote[1], vote[0]))[0] for keys in alike.values()]
    often, named, synsets = Counter(best), {}, {}
    for name, keys in zip(best, alike.values(), strict=True):
        if often[name] > 1:
            name = f"{name}.{wordnet.synsets[keys[0][0]].id}"
        named |= dict.fromkeys(keys, name)
        synsets[name] = tuple(number for key in keys for number in key)
    return named, synsets


def told(canon: "Canon", form: str, meaning: Meaning) -> list[Step]:
    """The steps of one form, those of the words it leads to included."""
    rule, classes, through = meaning
    after = " + ".join(through)
    if rule == "stop":
        return [Step(rule, form, "", "off-topic, or of the same meaning as a stop tag")]
    if rule == "itself":
        n, read = canon.posts(form), " ".join(canon.words(form))
        return [Step(rule, form, form, f"a tag of {n:,} posts" if n else f"no rule knows it; it reads {read!r}")]
    if rule in ("words", "spelling"):
        why = "each is known" if rule == "words" else "one edit from a tag at least 10 times as frequent"
        return [Step(rule, form, after, why)] + [
            step for part in through for step in told(canon, part, canon.meaning(part))
        ]
    steps = [Step("table", form, after, "the mapping table")] if rule == "table" else []
    steps += [Step("lemma", form, after, "its singular")] if rule == "lemma" else []
    numbers = dict.fromkeys(number for key, _ in classes if isinstance(key, tuple) for number in key)
    if not numbers:
        return steps
    synsets = [canon.wordnet.synsets[number] for number in list(numbers)[:SHOWN]]
    why = "; ".join(f"{synset.id} {', '.join(synset.lemmas[:3])}" for synset in synsets)
    more = f"; {len(numbers) - SHOWN} more" if len(numbers) > SHOWN else ""
    return [*steps, Step("wordnet", after, f"{len(numbers)} synset{'s' * (len(numbers) > 1)}", why + more)]
