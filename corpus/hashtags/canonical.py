"""Typed hashtags of one meaning, brought to one name: the rules, in the order in which they apply.

Mahajan et al. 2018, "Exploring the Limits of Weakly Supervised Pretraining" (arXiv 1805.00932),
section 2.1, from the paper: hashtags that name the same WordNet noun synset are merged
(#brownbear = #ursusarctos). Second-hand, from readers of the paper: blanks are tried at every
place, the synsets of all readings are the tag's set of synsets, and tags are merged when these sets
are equal, so #crane (bird or machine) stays a class of its own: `senses: same`. Ours: `senses:
first` and `all`, stop tags, mapping tables, plurals by rule, splitting merged words, repairing
misspellings, and the name of a class.

1. stop: off-topic tags, and what means the same, go.
2. table: `tag<TAB>canonical`, for synonyms and languages; where it says nothing and there is no
   WordNet, everyday: the same of everyday.tsv.
3. wordnet: the synsets with a lemma of these letters.
4. lemma: else those of its singular.
5. plural: else the singular by rule (plurals.py), if that was typed or a table has it. Where both
   are rare and unknown, 6 and 7 go first.
6. words: else, if rare, split into words all of which 1 to 5 know or that are frequent tags.
7. spelling: else, if rare, a frequent tag one edit away.
8. itself: else it stays what it is.
A class is called after its most frequent form (ties: the first by name), a table's tags after what
the table says. Of a plural by rule too: it is what people type and look for, as with WordNet's
classes, and where the rule errs the frequent form keeps its name.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from corpus.hashtags.known import Known
from corpus.hashtags.meanings import Key, Meaning, merged_names, name_classes
from corpus.hashtags.normal import normalise
from corpus.hashtags.repairs import PART, SHORTEST, Speller, foreign, units
from corpus.hashtags.synonyms import read_synonyms
from corpus.hashtags.wordnet import WordNet, read_wordnet
from corpus.hashtags.words import Splitter

# settings of section corpus, and of Canon
RULES = ("stop", "everyday", "senses", "lemmas", "merged", "misspellings", "min_posts")
SHARE = 1e-5  # of all words: what a frequent tag counts as when words are split


class Canon(Known):
    """Canonical names of hashtags. `names` learns from all forms."""

    def __init__(
        self,
        synonyms: Mapping[str, str] = {},
        wordnet: WordNet | None = None,
        stop: Collection[str] = (),
        everyday: bool = True,
        senses: str = "same",
        lemmas: bool = True,
        merged: bool = True,
        misspellings: bool = True,
        min_posts: int = 20,
    ):
        super().__init__(synonyms, wordnet, stop, everyday, senses, lemmas, min_posts)
        self.merged, self.misspellings = merged, misspellings
        self.rules: list[str] = []  # that decided the forms of the last `names`, in their order
        self.through: list[tuple[str, ...]] = []  # the other forms that they led to
        self._labels: dict[Key, str] = {}
        self._synsets: dict[str, tuple[int, ...]] = {}
        self._frequent, self._near = {}, {}

    def names(
        self,
        forms: Sequence[str],
        counts: np.ndarray,
        typed: Mapping[str, str] | Sequence[str] | None = None,
        more: Collection[str] = (),
    ) -> list[tuple[str, ...]]:
        """The canonical names of distinct normalised forms, `counts` posts each; () for a stop tag.

        `typed` gives forms as they are typed, with case (by form, or in the same order); `more`
        are words besides that plurals may be of, or be. The order of forms changes nothing.
        Afterwards `rules` and `through` say what decided, `synsets_of` what a name means.
        """
        forms, posts = list(forms), np.asarray(counts).tolist()
        number = dict(zip(forms, posts, strict=True))
        assert len(number) == len(forms), "distinct forms, one count each"
        if typed and not isinstance(typed, Mapping):
            typed = dict(zip(forms, typed, strict=True))
        meanings = self.learned(number, more)
        self._learn(number, meanings)
        self._repair(number, typed or {}, meanings)
        named = name_classes(forms, posts, meanings, self.wordnet, self.senses == "all")
        self._labels, self._synsets = named[0] | merged_names(forms, posts, meanings), named[1]
        self.rules = [meaning.rule for meaning in meanings]
        self.through = [() if meaning.rule == "itself" else meaning.through for meaning in meanings]
        return [self.labelled(meaning) for meaning in meanings]

    def named(self, label: str) -> tuple[str, ...]:
        """The names of the classes that a label stands for, by the rules 1 to 5; () if none."""
        form = normalise(label)
        return self.labelled(self.meaning(form)) if form else ()

    def synsets_of(self, name: str) -> tuple[str, ...]:
        """The ids of the synsets that a name of the last `names` stands for; () if none."""
        return self.wordnet.ids(self._synsets.get(name, ())) if self.wordnet else ()

    def decision(self, form: str, typed: str) -> Meaning:
        """What all rules say of a form, given the last `names`."""
        meaning = self.meaning(form)
        if not self.undecided(meaning):
            return meaning
        posts = self.together.get(meaning.through[0], self._frequent.get(form, 0))
        return self._repaired(form, typed, posts) or meaning

    def posts(self, form: str) -> int:
        """Posts of a frequent form of the last `names`; 0 for any other."""
        return self._frequent.get(form, 0)

    def words(self, typed: str) -> tuple[str, ...]:
        """The words of a tag, frequent tags counting as words."""
        return self._splitter(typed)

    def _known(self, form: str) -> bool:
        often = form in self._frequent or form in self._targets
        return often or not self.undecided(self.meaning(form))

    def _repaired(self, form: str, typed: str, posts: int) -> Meaning | None:
        """What the rules 6 and 7 make of a form that is rare and unknown; None if nothing."""
        if posts >= self.min_posts or form in self._targets or len(form) < SHORTEST:
            return None
        if self.merged:
            words = self.words(typed)
            parts = units(words, self._known) if len(words) > 1 else ()
            if parts and form not in foreign():
                classes = (pair for part in parts for pair in self.meaning(part).classes)
                return Meaning("words", tuple(dict.fromkeys(classes)), parts)
        other = self._speller(form, posts) if self.misspellings else ""
        return Meaning("spelling", self.meaning(other).classes, (other,)) if other else None

    def _repair(
        self,
        posts: Mapping[str, int],
        typed: Mapping[str, str],
        meanings: list[Meaning],
    ) -> None:
        """Adds what the rules 6 and 7 make of forms; plurals go with their singulars."""
        mended = {}
        for i, (form, n) in enumerate(posts.items()):
            if not self.undecided(meanings[i]):
                continue
            several = self.together.get(meanings[i].through[0], n)
            repaired = self._repaired(form, typed.get(form, form), several)
            if repaired is None:
                continue
            meanings[i] = repaired
            if form in self.together:
                mended[form] = repaired.classes
        if mended:
            for i, meaning in enumerate(meanings):
                if meaning.rule == "plural" and meaning.through[0] in mended:
                    meanings[i] = meaning._replace(classes=mended[meaning.through[0]])

    # --- what a list of forms teaches

    def _learn(self, number: Mapping[str, int], meanings: list[Meaning]) -> None:
        """Which forms are frequent, for splitting and spelling."""
        rows = [*zip(number.items(), meanings, strict=True)]
        rows = [(form, n, meaning) for (form, n), meaning in rows if meaning.rule != "stop"]
        self._frequent = {form: n for form, n, _ in rows if n >= self.min_posts}
        known = {form: n for form, n, meaning in rows if not self.undecided(meaning)}
        self._near = self._frequent | known
        self.__dict__.pop("_splitter", None)
        self.__dict__.pop("_speller", None)

    @cached_property
    def _splitter(self) -> Splitter:
        long = (form for form in self._frequent if len(form) >= PART)
        return Splitter(dict.fromkeys(long, SHARE))

    @cached_property
    def _speller(self) -> Speller:
        return Speller(self._near)

    def labelled(self, meaning: Meaning) -> tuple[str, ...]:
        """The names of a meaning's classes, as the last `names` gave them."""
        names = ((key, key if isinstance(key, str) else own) for key, own in meaning.classes)
        return tuple(dict.fromkeys(self._labels.get(key, name) for key, name in names))


def read_canon(table: Path, wordnet: str | None = None, **rules: Any) -> Canon:
    """The rules with the synonyms of `table`, if there is one, and the nouns of a WordNet file."""
    synonyms = read_synonyms(table) if table.is_file() else {}
    return Canon(synonyms, read_wordnet(wordnet) if wordnet else None, **rules)
