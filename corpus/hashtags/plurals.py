"""Plurals by rule, where no WordNet knows them: #airplanes is #airplane, #gatti #gatto.

Ours, not from a paper. A form is the plural of another if an ending of a language makes it that,
the other was typed too, and the language's word frequencies (library wordfreq) bear it out: both
are words there, the singular is not much rarer, and neither is mainly a word of another language.
How much the posts use each language is estimated from their words. Merged words that no list has
(#goldenretrievers) are judged by their last word. What has a plural of its own is no plural.

plurals.json has the regular endings after the grammars of the languages, the closed classes (feet,
Häuser, travaux) as words, which end compounds too, and what looks like a plural or a singular and
is none: news, Spanish antes. The letters are those of normalised tags: ß is ss.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from heapq import nlargest
from pathlib import Path
from typing import NamedTuple

import numpy as np

from corpus.hashtags.languages import ALL, shares, use

WORDS = Path(__file__).with_name("plurals.json")
SHORTEST = 3  # letters of a singular: #has, #bus are no plurals
TAIL = 4  # letters of the last word of a merged one
RARER = 12  # times that a singular may be rarer than its plural: shoes and shoe, not texas and texa
SHARPER = {("de", "e"): 6}  # for endings that make other words too: schule is no plural of schul
OWN = 0.6  # of the uses of a plural, over all languages, in those where the rule holds
OWN_SINGULAR = 0.1  # the same of its singular, which others may have too: German Art, English art
INFLECTED = 50  # times rarer than a German verb or adjective its other forms may be
SAMPLE = 20_000  # forms that tell how much each language is used
Pairs = list[tuple["Rule", str]]  # a rule and the singular that it gives


class Plural(NamedTuple):
    """The singular of a form, and the language that says so."""

    singular: str
    language: str


class Rule(NamedTuple):
    """An ending of plurals and what singulars have instead; `closed`: a word of a closed class."""

    language: str
    ending: str
    instead: str
    closed: bool


class Lists(NamedTuple):
    """plurals.json: rules by ending, letters of the longest; what is no plural, no singular."""

    rules: dict[str, list[Rule]]
    longest: int
    no_plurals: dict[str, frozenset[str]]
    no_singulars: dict[str, frozenset[str]]


@cache
def read_lists() -> Lists:
    """The tables of endings and words."""
    told = json.loads(WORDS.read_text(encoding="utf-8"))
    rules = defaultdict(list)
    for kind in ("endings", "words"):
        for language, lines in told[kind].items():
            for ending, instead in (pair.split("-") for pair in " ".join(lines).split()):
                rules[ending].append(Rule(language, ending, instead, kind == "words"))
    words = [_words(told[kind]) for kind in ("no_plurals", "no_singulars")]
    return Lists(dict(rules), max(map(len, rules)), *words)


def _words(told: dict[str, list[str]]) -> dict[str, frozenset[str]]:
    return {language: frozenset(" ".join(lines).split()) for language, lines in told.items()}


def candidates(form: str) -> Iterator[tuple[Rule, str]]:
    """Each rule whose ending a form has, and the singular that it gives."""
    rules, longest, *_ = read_lists()
    for size in range(1, min(len(form), longest) + 1):
        for rule in rules.get(form[-size:], ()):
            singular = form[: len(form) - size] + rule.instead
            if len(singular) >= SHORTEST and not (rule.ending == "s" and form[-2:] == "ss"):
                yield rule, singular


def plurals(
    forms: Iterable[str],
    posts: Mapping[str, int],
    known: Collection[str] = frozenset(),
) -> dict[str, Plural]:
    """The plurals among `forms` whose singular was typed (is in `posts`, posts by form) or `known`.

    The order of forms changes nothing.
    """
    pairs = defaultdict(list)
    for form in forms:
        for rule, singular in candidates(form):
            if singular in posts or singular in known:
                pairs[form].append((rule, singular))
    if not pairs:
        return {}
    judge = Judge(pairs, _often(posts))
    judged = {form: judge(form, rows) for form, rows in pairs.items()}
    found = {form: plural for form, plural in judged.items() if plural}
    singulars = {plural.singular for plural in found.values()}
    return {form: plural for form, plural in found.items() if form not in singulars}


def _often(posts: Mapping[str, int]) -> list[str]:
    """The most frequent forms, sorted, at most SAMPLE: those that tie for the last are out."""
    least = min(nlargest(SAMPLE, posts.values())) if len(posts) > SAMPLE else -1
    return sorted(form for form, n in posts.items() if n > least)


class Judge:
    """Decides for a form among its candidates, by the frequencies of the words that these name."""

    def __init__(self, pairs: Mapping[str, Pairs], sample: Collection[str]):
        wanted = {word for form, rows in pairs.items() for word in _looked_up(form, rows)}
        self._shares = shares(wanted.union(sample))
        known = [self._shares[form] for form in sample if form in self._shares]
        self.use = use(np.array(known).reshape(-1, len(ALL)))
        self._weighted = {word: row * self.use for word, row in self._shares.items()}

    def __call__(self, form: str, rows: Pairs) -> Plural | None:
        """The singular of a form and its language; None if there is none."""
        if form in self._shares:
            return self._best(form, rows)
        for start in range(SHORTEST, len(form) - TAIL + 1):
            tail = form[start:]
            if tail in self._shares:
                ends = [(rule, one[start:]) for rule, one in rows if len(rule.ending) <= len(tail)]
                found = self._best(tail, ends)
                return found and Plural(form[:start] + found.singular, found.language)
        return None

    def _best(self, form: str, rows: Pairs) -> Plural | None:
        """The candidate that is used most in the languages that bear it out."""
        holds, found = defaultdict(set), []
        for rule, singular in rows:
            if self._holds(form, rule, singular):
                holds[singular].add(ALL.index(rule.language))
        for singular, languages in holds.items():
            where, own, one = sorted(languages), self._weighted[form], self._weighted[singular]
            weight = one[where].sum()
            if own[where].sum() >= OWN * own.sum() and weight >= OWN_SINGULAR * one.sum():
                found.append((-weight, singular, ALL[max(where, key=lambda i: own[i])]))
        return Plural(*min(found)[1:]) if found else None

    def _holds(self, form: str, rule: Rule, singular: str) -> bool:
        """Whether a language's words and their frequencies bear a pair out."""
        language = rule.language
        told = read_lists()
        if form in told.no_plurals[language] or singular in told.no_singulars.get(language, ()):
            return False
        share, own = self._share(form, language), self._share(singular, language)
        if rule.closed or not share or not own:
            return bool(share and own)
        rarer = SHARPER.get((language, rule.ending), RARER)
        if rule.ending == "s" and form[-2] in "iu":
            rarer = 1  # virus, iris; but taxis, menus
        if own * rarer < share:
            return False
        return language != "de" or not self._inflected(form, singular, share)

    def _share(self, word: str, language: str) -> float:
        row = self._shares.get(word)
        return 0.0 if row is None else float(row[ALL.index(language)])

    def _inflected(self, form: str, singular: str, share: float) -> bool:
        """Whether a German form is rather an infinitive or an adjective: machen, tiefe."""
        groups = (_verb_forms(form), 2), ((singular + "em",), 1)
        for words, enough in groups if form[-1] == "n" else groups[1:]:
            usual = (INFLECTED * self._share(word, "de") > share for word in words)
            if sum(usual) >= enough:
                return True
        return False


def _verb_forms(form: str) -> tuple[str, ...]:
    """What a German verb has beside its infinitive: macht, machst, machte, gemacht; gekommen."""
    stem = form.removesuffix("n").removesuffix("e")
    e = "e" * stem.endswith(("d", "t"))  # badet, badete, gebadet
    return f"{stem}{e}t", f"{stem}{e}st", f"{stem}{e}te", f"ge{stem}{e}t", f"ge{form}"


def _looked_up(form: str, rows: Pairs) -> Iterator[str]:
    """All words that may decide: both forms, the last words of merged ones, German inflections."""
    german = any(rule.language == "de" for rule, _ in rows)
    for word in (form, *(singular for _, singular in rows)):
        for tail in (word[start:] for start in range(len(word) - SHORTEST + 1)):
            yield tail
            if german:
                yield from (tail + "em", *_verb_forms(tail))
