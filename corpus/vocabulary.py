"""From typed hashtags to the classes of pretraining.

Mahajan et al. 2018, "Exploring the Limits of Weakly Supervised Pretraining" (arXiv 1805.00932), section 2.1:
hashtags of one meaning are merged into a canonical one, the most frequent are the vocabulary, an image keeps its tags
within it. The paper merges by WordNet synset; here a table `tag<TAB>canonical` does, and a tag of several senses has
the one sense that the table gives it. Ours, not the paper's: repairing rare misspellings, splitting rare merged words.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from corpus.hashtags import normalise

SHORTEST = 5  # letters of a word that is repaired: shorter ones have too many real words one edit away
RATIO = 10  # a misspelling is at least this many times rarer than the word it stands for
PART = 3  # letters of each word of a merged one


class Vocabulary(NamedTuple):
    """Names in the order of their class index, posts per name, and the names that each typed form stands for."""

    names: list[str]
    counts: list[int]
    canonical: dict[str, tuple[str, ...]]

    def encoder(self) -> Callable[[Iterable[str]], list[int]]:
        """A function from one post's normalised tags to its sorted class indices."""
        index = {name: i for i, name in enumerate(self.names)}
        codes = {form: [index[name] for name in names] for form, names in self.canonical.items()}
        return lambda tags: sorted({code for tag in tags for code in codes.get(tag, ())})


def read_synonyms(path: Path) -> dict[str, str]:
    """The table `tag<TAB>canonical`, normalised, chains followed; ValueError for a second sense or a ring."""
    table: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        tag, *others = (normalise(cell) for cell in line.split("\t"))
        if len(others) != 1 or not tag or not others[0]:
            raise ValueError(f"{path} line {number}: expected `tag<TAB>canonical`, found {line!r}")
        if table.setdefault(tag, others[0]) != others[0]:
            raise ValueError(f"{path} line {number}: {tag!r} already means {table[tag]!r}; keep one of its senses")
    for tag in table:
        seen, end = {tag}, table[tag]
        while end in table and table[end] != end:
            if end in seen:
                raise ValueError(f"{path}: {tag!r} leads back to itself; remove one line of that ring")
            seen.add(end)
            end = table[end]
        table[tag] = end
    return table


def choose(
    tags_per_post: Iterable[Iterable[str]],
    min_posts: int,
    max_size: int,
    synonyms: Mapping[str, str],
    stop: Collection[str] = (),
    misspellings: bool = True,
    merged: bool = True,
) -> Vocabulary:
    """The `max_size` most frequent canonical tags with at least `min_posts` posts, most frequent first, ties by name.

    Tags come normalised. `stop` removes off-topic tags in either form. A tag too rare for the vocabulary is, if
    `merged`, split into two words of it, else, if `misspellings`, mapped to the word one edit away.
    """
    posts = [set(tags) for tags in tags_per_post]
    typed = Counter(tag for tags in posts for tag in tags)
    meaning = {tag: synonyms.get(tag, tag) for tag in sorted(typed)}
    meaning = {tag: name for tag, name in meaning.items() if tag not in stop and name not in stop}
    counts = Counter(name for tags in posts for name in {meaning[tag] for tag in tags if tag in meaning})
    frequent = [name for name, count in _ranked(counts)[:max_size] if count >= min_posts]
    if not frequent:
        top = max(counts.values(), default=0)
        raise ValueError(f"no hashtag is in min_posts = {min_posts} posts (the top one is in {top}); lower min_posts")
    canonical = {tag: (name,) for tag, name in meaning.items() if name in set(frequent)}
    rare = [tag for tag, name in meaning.items() if counts[name] < min_posts]
    repairs = [r for r, wanted in ((_splitter, merged), (_speller, misspellings)) if wanted]
    for repair in [make(canonical.copy(), typed) for make in repairs]:
        canonical |= {tag: names for tag in rare if tag not in canonical and (names := repair(tag))}
    counts = Counter(name for tags in posts for name in {n for tag in tags for n in canonical.get(tag, ())})
    return Vocabulary(*map(list, zip(*_ranked(counts), strict=True)), canonical)


def _ranked(counts: Counter) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


Repair = Callable[[str], tuple[str, ...]]


def _splitter(known: dict[str, tuple[str, ...]], typed: Counter) -> Repair:
    """`redcircle` -> (red, circle), at the place whose rarer word is the most frequent."""

    def split(tag: str) -> tuple[str, ...]:
        pairs = [(tag[:i], tag[i:]) for i in range(PART, len(tag) - PART + 1)]
        pairs = [pair for pair in pairs if pair[0] in known and pair[1] in known]
        left, right = max(pairs, key=lambda pair: (min(typed[pair[0]], typed[pair[1]]), pair), default=("", ""))
        return tuple(dict.fromkeys(known[left] + known[right])) if left else ()

    return split


def _speller(known: dict[str, tuple[str, ...]], typed: Counter) -> Repair:
    """`sunest` -> (sunset,), the most frequent known form one edit away (Damerau 1964: insert, drop, change, swap)."""
    near = defaultdict(list)  # two words one edit apart share a form with one letter dropped, or one is that form
    for form in known:
        if len(form) >= SHORTEST:
            for shorter in _dropped(form):
                near[shorter].append(form)

    def respell(tag: str) -> tuple[str, ...]:
        forms = {form for shorter in _dropped(tag) for form in near[shorter]} if len(tag) >= SHORTEST else ()
        forms = [form for form in forms if typed[form] >= RATIO * typed[tag] and one_edit(tag, form)]
        return known[max(forms, key=lambda form: (typed[form], form))] if forms else ()

    return respell


def _dropped(word: str) -> set[str]:
    return {word} | {word[:i] + word[i + 1 :] for i in range(len(word))}


def one_edit(a: str, b: str) -> bool:
    """Whether the Damerau-Levenshtein distance of two words is exactly 1."""
    if len(a) != len(b):
        short, long = sorted((a, b), key=len)
        return len(long) == len(short) + 1 and short in _dropped(long)
    wrong = [i for i in range(len(a)) if a[i] != b[i]]
    return len(wrong) == 1 or (
        len(wrong) == 2 and wrong[1] == wrong[0] + 1 and [a[i] for i in wrong] == [b[i] for i in reversed(wrong)]
    )
