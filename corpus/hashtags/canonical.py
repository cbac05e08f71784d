"""Typed hashtags of one meaning, brought to one name: the rule in full, in the order in which it is applied.

Mahajan et al. 2018, "Exploring the Limits of Weakly Supervised Pretraining" (arXiv 1805.00932), section 2.1, from the
paper: hashtags that name the same WordNet noun synset are merged (#brownbear = #ursusarctos). Second-hand, from
readers of the paper: blanks are tried at every place, the synsets of all readings are the tag's set of synsets, and
tags are merged when these sets are equal, so #crane (bird or machine) stays a class of its own: `senses: same`.
Ours: `senses: first` and `all`, the stop tags, the mapping table, plurals, splitting merged words, repairing
misspellings, and the name of a class.

1. stop: off-topic tags, and what means the same, go.   2. table: `tag<TAB>canonical`, for synonyms and languages.
3. wordnet: the synsets with a lemma of these letters.   4. lemma: else those of its singular.
5. words: else, if rare, split into words all of which 1 to 4 know or that are frequent tags.
6. spelling: else, if rare, a frequent tag one edit away.   7. itself: else it stays what it is.
A class is called after its most frequent form (ties: the first by name), a table's tags after what the table says.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from corpus.hashtags.meanings import Decision, Key, Meaning, Step, labels, told
from corpus.hashtags.normal import checked, normalise
from corpus.hashtags.repairs import PART, SHORTEST, Speller, foreign, units
from corpus.hashtags.synonyms import read_synonyms, with_everyday
from corpus.hashtags.wordnet import WordNet, read_wordnet
from corpus.hashtags.words import Splitter

SENSES = ("same", "first", "all")
RULES = ("stop", "senses", "lemmas", "merged", "misspellings", "min_posts")  # settings of section corpus, and of Canon
SHARE = 1e-5  # of all words: what a frequent tag counts as when words are split


class Canon:
    """Canonical names of hashtags. `names` learns which forms are frequent; `explain` tells the steps of one tag."""

    def __init__(
        self,
        synonyms: Mapping[str, str] = {},
        wordnet: WordNet | None = None,
        stop: Collection[str] = (),
        senses: str = "same",
        lemmas: bool = True,
        merged: bool = True,
        misspellings: bool = True,
        min_posts: int = 20,
    ):
        if senses not in SENSES:
            raise ValueError(f"senses: unknown {senses!r}; choose one of {', '.join(SENSES)}")
        if senses == "first" and wordnet and not wordnet.ordered:
            raise ValueError("senses: first needs a WordNet with sense order: name Princeton's dict folder or the XML")
        self.table = dict(synonyms) if wordnet else with_everyday(synonyms)
        self.wordnet, self.senses, self.lemmas = wordnet, senses, lemmas
        self.merged, self.misspellings, self.min_posts = merged, misspellings, min_posts
        self.rules: list[str] = []  # of the forms of the last `names`, in their order
        self._targets, self._stop = set(self.table.values()), {normalise(tag) for tag in stop} - {None}
        self._stopped = {key for tag in self._stop for key, _ in self._meant(self.table.get(tag, tag))[1]}
        self._labels: dict[Key, str] = {}
        self._synsets: dict[str, tuple[int, ...]] = {}
        self._frequent, self._near = {}, {}

    def names(
        self, forms: Sequence[str], counts: np.ndarray, typed: Mapping[str, str] | Sequence[str] | None = None
    ) -> list[tuple[str, ...]]:
        """The canonical names of each distinct normalised form, posts per form in `counts`; () for a stop tag.

        `typed` gives forms as they are typed, with case (by form, or in the same order). The order of forms changes
        nothing. Afterwards `rules` says which rule decided each form, `synsets_of` what a name means.
        """
        forms, posts = list(forms), np.asarray(counts).tolist()
        assert len(set(forms)) == len(forms) == len(posts), "distinct forms, one count each"
        spelled = typed if isinstance(typed, Mapping) else dict(zip(forms, typed, strict=True)) if typed else {}
        meanings = [self.meaning(form) for form in forms]
        self._learn(forms, posts, meanings)
        for i, (form, meaning) in enumerate(zip(forms, meanings, strict=True)):
            if meaning.rule == "itself":
                meanings[i] = self._repaired(form, spelled.get(form, form), posts[i]) or meaning
        self._labels, self._synsets = labels(forms, posts, meanings, self.wordnet, self.senses == "all")
        self.rules = [meaning.rule for meaning in meanings]
        return [self._labelled(meaning) for meaning in meanings]

    def synsets_of(self, name: str) -> tuple[str, ...]:
        """The ids of the WordNet synsets that a name of the last `names` stands for; () if WordNet does not know it."""
        return self.wordnet.ids(self._synsets.get(name, ())) if self.wordnet else ()

    def explain(self, tag: str) -> Decision:
        """What each rule makes of a tag as typed, given the posts that the last `names` has seen."""
        form, why = checked(tag)
        steps = [Step("normalise", tag, form or "", why)]
        if not form:
            return Decision(tag, (), steps)
        meaning = self.meaning(form)
        if meaning.rule == "itself":
            meaning = self._repaired(form, tag, self._frequent.get(form, 0)) or meaning
        steps += told(self, form, meaning)
        names = self._labelled(meaning)
        renamed = [(own, self._labels[key]) for key, own in meaning.classes if self._labels.get(key, own) != own]
        steps += [Step("name", own, name, "the most frequent form of its class") for own, name in renamed]
        return Decision(tag, names, steps)

    def _meant(self, form: str) -> tuple[str, tuple[tuple[Key, str], ...]]:
        """(the form or its singular, the classes of the synsets with a lemma of these letters: () if none)."""
        noun, found = form, self.wordnet.find(form) if self.wordnet else ()
        if self.wordnet and not found and self.lemmas and (singular := self.wordnet.singular(form)):
            noun, found = singular, self.wordnet.find(singular)
        if not found:
            return form, ()
        keys = {"same": (tuple(sorted(found)),), "first": (found[:1],), "all": tuple((n,) for n in found)}[self.senses]
        return noun, tuple((key, form) for key in keys)

    def meaning(self, form: str) -> Meaning:
        """What the rules 1 to 4 say of a form; `itself` if nothing."""
        target = self.table.get(form, form)
        if form in self._stop or target in self._stop:
            return Meaning("stop", (), ())
        noun, classes = self._meant(target)
        if not classes:
            return Meaning("itself" if target == form else "table", ((target, target),), (target,))
        classes = tuple(pair for pair in classes if pair[0] not in self._stopped)
        if not classes:
            return Meaning("stop", (), ())
        rule = "table" if target != form else "wordnet" if noun == form else "lemma"
        return Meaning(rule, classes, (target if rule == "table" else noun,))

    def posts(self, form: str) -> int:
        """Posts of a frequent form of the last `names`; 0 for any other."""
        return self._frequent.get(form, 0)

    def words(self, typed: str) -> tuple[str, ...]:
        """The words of a tag, frequent tags counting as words."""
        return self._splitter(typed)

    def _known(self, form: str) -> bool:
        return form in self._frequent or form in self._targets or self.meaning(form).rule != "itself"

    def _repaired(self, form: str, typed: str, posts: int) -> Meaning | None:
        """What the rules 5 and 6 make of a form that is rare and unknown; None if nothing."""
        if posts >= self.min_posts or form in self._targets or len(form) < SHORTEST:
            return None
        if self.merged:
            words = self.words(typed)
            parts = units(words, self._known) if len(words) > 1 else ()
            if parts and form not in foreign():
                classes = (pair for part in parts for pair in self.meaning(part).classes)
                return Meaning("words", tuple(dict.fromkeys(classes)), parts)
        if self.misspellings and (other := self._speller(form, posts)):
            return Meaning("spelling", self.meaning(other).classes, (other,))
        return None

    # --- what a list of forms teaches

    def _learn(self, forms: list[str], posts: list[int], meanings: list[Meaning]) -> None:
        """Which forms are frequent, for splitting and spelling."""
        rows = [(f, n, m.rule) for f, n, m in zip(forms, posts, meanings, strict=True) if m.rule != "stop"]
        self._frequent = {form: n for form, n, _ in rows if n >= self.min_posts}
        self._near = {form: n for form, n, rule in rows if n >= self.min_posts or rule != "itself"}
        self.__dict__.pop("_splitter", None)
        self.__dict__.pop("_speller", None)

    @cached_property
    def _splitter(self) -> Splitter:
        return Splitter(dict.fromkeys((form for form in self._frequent if len(form) >= PART), SHARE))

    @cached_property
    def _speller(self) -> Speller:
        return Speller(self._near)

    def _labelled(self, meaning: Meaning) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self._labels.get(key, own) for key, own in meaning.classes))


def read_canon(table: Path, wordnet: str | None = None, **rules: Any) -> Canon:
    """The rules with the synonyms of `table`, if there is such a file, and the nouns of a WordNet file, if named."""
    synonyms = read_synonyms(table) if table.is_file() else {}
    return Canon(synonyms, read_wordnet(wordnet) if wordnet else None, **rules)
