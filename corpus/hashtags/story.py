"""The story of one tag, for people: what each rule makes of it, and what a run made of it."""

from collections.abc import Mapping
from itertools import chain
from typing import NamedTuple

from corpus.hashtags.canonical import Canon
from corpus.hashtags.languages import LANGUAGES
from corpus.hashtags.meanings import Meaning
from corpus.hashtags.normal import normalise_or_why

SHOWN = 5  # synsets that an explanation lists
WHY = {
    "table": "the mapping table",
    "everyday": "everyday.tsv, the built-in table; the setting everyday leaves it out",
    "lemma": "its singular",
    "words": "each is known",
    "spelling": "one edit from a tag at least 10 times as frequent",
}


class RuleStep(NamedTuple):
    """One rule at work: what it made out of what, and why."""

    rule: str
    before: str
    after: str
    why: str


class Explanation(NamedTuple):
    """A typed tag, the names of its classes (none: dropped), the steps from one to the other."""

    typed: str
    names: tuple[str, ...]
    steps: list[RuleStep]


class FormDecision(NamedTuple):
    """What a run decided of a form: its posts, the rule, the forms that it led to, its names.

    `language` is that of a plural by rule, `posts_of` are the posts of each name.
    """

    posts: int
    rule: str
    through: tuple[str, ...]
    language: str | None
    names: tuple[str, ...]
    posts_of: tuple[int, ...]


def explain(canon: Canon, tag: str, run: Mapping[str, FormDecision] = {}) -> Explanation:
    """What each rule makes of a tag as typed, given the last `canon.names`.

    The forms in `run` are explained by what that run decided of them.
    """
    return _Story(canon, run).explained(tag)


class _Story:
    """The steps of tags, by the rules and by what a run decided."""

    def __init__(self, canon: Canon, run: Mapping[str, FormDecision]):
        self.canon, self.run = canon, run

    def explained(self, tag: str) -> Explanation:
        form, why = normalise_or_why(tag)
        steps = [RuleStep("normalise", tag, form or "", why)]
        if not form:
            return Explanation(tag, (), steps)
        meaning = self.decision(form, tag)
        steps += self._steps(form, meaning)
        names = self.run[form].names if form in self.run else self.canon.labelled(meaning)
        own = tuple(dict.fromkeys(own for _, own in meaning.classes))
        if names and names != own:
            why = "the most frequent form of its class"
            steps.append(RuleStep("name", " + ".join(own), " + ".join(names), why))
        return Explanation(tag, names, steps)

    def decision(self, form: str, typed: str) -> Meaning:
        """What a form means; a plural goes with its singular where that is repaired."""
        one = self.run.get(form)
        if one is None:
            meaning = self.canon.decision(form, typed)
        elif one.rule in ("plural", "words", "spelling"):
            parts = chain.from_iterable(self.decision(*2 * (part,)).classes for part in one.through)
            meaning = Meaning(one.rule, tuple(dict.fromkeys(parts)), one.through)
        else:
            meaning = self.canon.meaning(form)
        if meaning.rule != "plural":
            return meaning
        singular = self.decision(*2 * meaning.through)
        mended = singular.rule in ("words", "spelling")
        return meaning._replace(classes=singular.classes) if mended else meaning

    def _steps(self, form: str, meaning: Meaning) -> list[RuleStep]:
        """The steps of one form, those of the forms it leads to included."""
        rule, _, through = meaning
        after = " + ".join(through)
        if rule == "stop":
            return [RuleStep(rule, form, "", "off-topic, or of the same meaning as a stop tag")]
        if rule == "itself":
            return [RuleStep(rule, form, form, self._itself(form))]
        if rule in ("plural", "words", "spelling"):
            parts = (self._steps(part, self.decision(part, part)) for part in through)
            return [RuleStep(rule, form, after, self._why(form, rule)), *chain.from_iterable(parts)]
        steps = [RuleStep(rule, form, after, WHY[rule])] if rule in WHY else []
        return steps + self._synsets(after, meaning)

    def _itself(self, form: str) -> str:
        posts = self.run[form].posts if form in self.run else self.canon.posts(form)
        told = [f"a tag of {posts:,} posts"] if posts else []
        if posts < self.canon.min_posts:
            told.append(f"no rule knows it; it reads {' '.join(self.canon.words(form))!r}")
        return "; ".join(told)

    def _why(self, form: str, rule: str) -> str:
        if rule != "plural":
            return WHY[rule]
        known = self.run.get(form) or self.canon.plurals[form]
        return f"its singular, by the rules of {LANGUAGES[known.language]}"

    def _synsets(self, noun: str, meaning: Meaning) -> list[RuleStep]:
        keys = (key for key, _ in meaning.classes if isinstance(key, tuple))
        numbers = list(dict.fromkeys(chain.from_iterable(keys)))
        if not numbers:
            return []
        synsets = [self.canon.wordnet.synsets[number] for number in numbers[:SHOWN]]
        why = "; ".join(f"{synset.id} {', '.join(synset.lemmas[:3])}" for synset in synsets)
        if len(numbers) > SHOWN:
            why += f"; {len(numbers) - SHOWN} more"
        return [RuleStep("wordnet", noun, f"{len(numbers)} synset{'s' * (len(numbers) > 1)}", why)]
