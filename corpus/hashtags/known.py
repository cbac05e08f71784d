"""What a form means by itself: the rules 1 to 5 of corpus/hashtags/canonical.py."""

from collections.abc import Collection, Mapping, Sequence
from itertools import chain

from corpus.hashtags.meanings import Key, Meaning, itself
from corpus.hashtags.normal import normalise
from corpus.hashtags.plurals import Plural, plurals
from corpus.hashtags.synonyms import everyday_synonyms
from corpus.hashtags.wordnet import WordNet

SENSES = ("same", "first", "all")
Classes = tuple[tuple[Key, str], ...]


class Known:
    """Stop tags, tables, WordNet; and the plurals that a list of forms has taught."""

    def __init__(
        self,
        synonyms: Mapping[str, str],
        wordnet: WordNet | None,
        stop: Collection[str],
        everyday: bool,
        senses: str,
        lemmas: bool,
        min_posts: int,
    ):
        if senses not in SENSES:
            raise ValueError(f"senses: unknown {senses!r}; choose one of {', '.join(SENSES)}")
        if senses == "first" and wordnet and not wordnet.ordered:
            fix = "name Princeton's dict folder or the XML"
            raise ValueError(f"senses: first needs a WordNet with sense order: {fix}")
        self.everyday = everyday_synonyms(synonyms) if everyday and not wordnet else {}
        self.table = {**synonyms, **self.everyday}
        self.wordnet, self.senses, self.lemmas = wordnet, senses, lemmas
        self.min_posts = min_posts
        self.plurals: dict[str, Plural] = {}
        self.together: dict[str, int] = {}  # posts of a form and of its plurals by rule
        self._targets = set(self.table.values())
        self._stop = {normalise(tag) for tag in stop} - {None}
        self._singulars: set[str] = set()  # of stop tags that are plurals
        meant = (self._meant(self.table.get(tag, tag)) for tag in self._stop)
        self._stopped = {key for _, classes in meant for key, _ in classes}

    def _meant(self, form: str) -> tuple[str, Classes]:
        """(the form or its singular, the classes of the synsets with its letters: () if none)."""
        if self.wordnet is None:
            return form, ()
        noun, found = form, self.wordnet.find(form)
        singular = self.wordnet.singular(form) if self.lemmas and not found else None
        if singular:
            noun, found = singular, self.wordnet.find(singular)
        if not found:
            return form, ()
        if self.senses == "same":
            return noun, ((tuple(sorted(found)), form),)
        return noun, tuple(((n,), form) for n in (found[:1] if self.senses == "first" else found))

    def meaning(self, form: str) -> Meaning:
        """What the rules 1 to 5 say of a form; `itself` if nothing."""
        target = self.table.get(form, form)
        if form in self._stop or target in self._stop or form in self._singulars:
            return Meaning("stop", (), ())
        noun, classes = self._meant(target)
        table = "everyday" if form in self.everyday else "table"
        if not classes:
            if target != form:
                return Meaning(table, ((target, target),), (target,))
            plural = self.plurals.get(form)
            return self._plural(form, plural.singular) if plural else itself(form)
        classes = tuple(pair for pair in classes if pair[0] not in self._stopped)
        if not classes:
            return Meaning("stop", (), ())
        rule = table if target != form else "wordnet" if noun == form else "lemma"
        return Meaning(rule, classes, (noun if target == form else target,))

    def _plural(self, form: str, singular: str) -> Meaning:
        """A plural by rule: in its singular's classes, which it may name unless a table does."""
        meaning = self.meaning(singular)
        if meaning.rule == "stop":
            return meaning
        classes = ((key, own if own in self._targets else form) for key, own in meaning.classes)
        return Meaning("plural", tuple(classes), (singular,))

    def learned(self, posts: Mapping[str, int], more: Collection[str] = ()) -> list[Meaning]:
        """What the rules 1 to 5 make of forms, now that all are there: posts by form.

        `more` are words besides that plurals may be of, or be.
        """
        self.plurals, self.together, self._singulars = {}, {}, set()
        meanings = [self.meaning(form) for form in posts]
        if not self.lemmas:
            return meanings
        known = {*self.table, *self._targets, *self._stop, *more}
        found = plurals(self._unknown(posts, meanings, more), posts, known)
        self._singulars = {one.singular for form, one in found.items() if form in self._stop}
        self.plurals = {form: plural for form, plural in found.items() if form not in self._stop}
        for form, plural in self.plurals.items():
            self.together.setdefault(plural.singular, posts.get(plural.singular, 0))
            self.together[plural.singular] += posts.get(form, 0)
        for i, form in enumerate(posts):
            if form in self.plurals or form in self._singulars:
                meanings[i] = self.meaning(form)
        return meanings

    def undecided(self, meaning: Meaning) -> bool:
        """Whether the rules 6 and 7 may decide: no rule knows it, or it is a rare plural of such.

        #dics may be #disc misspelt, though #dic was typed too.
        """
        if meaning.rule != "plural":
            return meaning.rule == "itself"
        singular = meaning.through[0]
        rare = self.together.get(singular, 0) < self.min_posts
        return rare and self.meaning(singular).rule == "itself"

    def _unknown(
        self,
        forms: Collection[str],
        meanings: Sequence[Meaning],
        more: Collection[str],
    ) -> list[str]:
        """The forms that may be plurals by rule: stop tags, and what no rule has decided."""
        rows = chain(zip(forms, meanings, strict=True), ((one, self.meaning(one)) for one in more))
        free = [form for form, meaning in rows if meaning.rule == "itself"]
        stop = [form for form in self._stop if form in forms]
        return [form for form in free if form not in self._targets] + stop
