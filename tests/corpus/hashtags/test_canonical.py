"""Canonical forms: each rule of corpus/hashtags/canonical.py, their order, the names of classes,
and real hashtags.
"""

import inspect
import random
from collections import Counter

import numpy as np
import pytest

from corpus.hashtags.canonical import RULES, Canon
from corpus.hashtags.normal import normalise
from corpus.hashtags.repairs import one_edit, units
from corpus.hashtags.story import explain
from corpus.hashtags.synonyms import EVERYDAY, read_synonyms
from corpus.hashtags.wordnet import Synset, WordNet
from tests.support.corpora import section

SYNSETS = [
    Synset("bear", ("brown bear", "Ursus arctos"), ""),
    Synset("bird", ("crane",), ""),
    Synset("machine", ("crane", "derrick"), ""),
    Synset("retriever", ("golden retriever",), ""),
    Synset("puppy", ("puppy",), ""),
    Synset("dog", ("dog", "domestic dog"), ""),
    Synset("cad", ("cad", "dog"), ""),
    Synset("art", ("art", "fine art"), ""),
    Synset("fine", ("fine art",), ""),
    Synset("golden", ("golden", "retriever"), ""),
]
ORDER = [(lemma, rank, n) for rank, (n, s) in enumerate(enumerate(SYNSETS)) for lemma in s.lemmas]
WORDNET = WordNet(SYNSETS, ORDER)


def canonical(canon: Canon, typed: dict[str, str] | None = None, **counts: int) -> dict[str, str]:
    """{form: its names, joined by blanks}."""
    names = canon.names(list(counts), np.array(list(counts.values())), typed)
    return {form: " ".join(found) for form, found in zip(counts, names, strict=True)}


def test_tags_of_the_same_synsets_are_one_class_named_after_the_most_frequent():
    canon = Canon(wordnet=WORDNET)
    found = canonical(
        canon, brownbear=3, ursusarctos=9, crane=5, derrick=4, dog=2, domesticdog=1, unheard=1
    )
    assert found["brownbear"] == found["ursusarctos"] == "ursusarctos"
    assert (found["crane"], found["derrick"], found["dog"]) == (
        "crane",
        "derrick",
        "dog",
    )  # sets that differ
    assert found["domesticdog"] == "domesticdog" and found["unheard"] == "unheard"
    assert canon.synsets_of("ursusarctos") == ("bear",) and canon.synsets_of("crane") == (
        "bird",
        "machine",
    )
    assert canon.synsets_of("unheard") == canon.synsets_of("brownbear") == ()
    assert canonical(canon, brownbear=7, ursusarctos=7)["ursusarctos"] == "brownbear"  # a tie


def test_senses_first_and_all():
    first = canonical(
        Canon(wordnet=WORDNET, senses="first"), crane=5, derrick=4, dog=2, domesticdog=1, cad=1
    )
    assert first == {
        "crane": "crane",
        "derrick": "derrick",
        "dog": "dog",
        "domesticdog": "dog",
        "cad": "cad",
    }
    every = canonical(Canon(wordnet=WORDNET, senses="all"), crane=5, dog=2, cad=9)
    assert every == {
        "crane": "crane",
        "dog": "dog cad",
        "cad": "cad",
    }  # nothing tells crane's two synsets apart
    assert (
        canonical(Canon(wordnet=WORDNET, senses="all"), dog=9, domesticdog=1, cad=1)["dog"]
        == "dog.dog dog.cad"
    )
    with pytest.raises(ValueError, match="same, first, all"):
        Canon(senses="best")
    with pytest.raises(ValueError, match="sense order"):
        Canon(wordnet=WordNet(SYNSETS, None), senses="first")


def test_stop_tags_go_with_what_means_the_same():
    canon = Canon({"kunst": "art"}, WORDNET, stop=["#Art", "!"])
    assert canonical(canon, art=9, arts=2, kunst=3, fineart=4) == {
        "art": "",
        "arts": "",
        "kunst": "",
        "fineart": "fineart",
    }
    assert canon.rules == ["stop", "stop", "stop", "wordnet"]


def test_table_goes_before_wordnet_and_its_sources_give_no_name():
    canon = Canon({"hund": "dog", "crane": "hund", "welpe": "hundchen"}, WORDNET)
    found = canonical(canon, hund=90, dog=1, dogs=2, welpe=5)
    assert found == {"hund": "dogs", "dog": "dogs", "dogs": "dogs", "welpe": "hundchen"}
    assert canon.rules == ["table", "wordnet", "lemma", "table"]
    assert canonical(canon, hund=90) == {"hund": "dog"}
    assert canonical(Canon(wordnet=WORDNET, lemmas=False), dog=1, dogs=2)["dogs"] == "dogs"


def test_merged_words_take_whole_compounds_and_only_rare_tags_are_split():
    canon = Canon(wordnet=WORDNET, stop=["love"])
    typed = {"puppydog": "PuppyDog"}
    found = canonical(
        canon,
        typed,
        goldenretrieverpuppies=3,
        puppydog=2,
        myloveddog=1,
        goldendog=20,
        notadog=1,
        dog=30,
    )
    assert found["goldenretrieverpuppies"] == "goldenretriever puppies"
    assert (
        found["puppydog"] == "puppies dog"
    )  # nobody typed #puppy; of the merged tags more say puppies
    assert (found["goldendog"], found["notadog"]) == (
        "goldendog",
        "notadog",
    )  # a class of its own; a negation
    assert canonical(Canon(wordnet=WORDNET, stop=["love"]), lovemydog=1) == {"lovemydog": "dog"}
    assert canonical(Canon(wordnet=WORDNET, merged=False), puppydog=1) == {"puppydog": "puppydog"}


def test_words_of_a_class_nobody_typed_have_one_name():
    found = canonical(Canon(wordnet=WORDNET), goldenpuppy=5, goldenpuppies=2, puppycrane=1)
    assert found["goldenpuppy"] == found["goldenpuppies"] == "golden puppy"


def test_frequent_tags_are_words_too_and_misspellings_are_repaired():
    counts = {
        "sunset": 100,
        "circle": 60,
        "red": 80,
        "rojo": 50,
        "sunest": 4,
        "redcircle": 3,
        "rojocircle": 2,
    }
    counts |= {
        "cirle": 7,
        "rad": 1,
        "sunset2017": 1,
        "sunsets": 3,
        "круг": 50,
        "красный": 60,
        "красныйкруг": 1,
    }
    canon = Canon({"rojo": "red"}, min_posts=20)
    found = canonical(canon, **counts)
    assert (
        found["redcircle"] == found["rojocircle"] == "red circle"
        and found["красныйкруг"] == "красный круг"
    )
    assert found["sunest"] == found["sunset2017"] == found["sunsets"] == "sunset"
    assert (found["cirle"], found["rad"]) == (
        "cirle",
        "rad",
    )  # 60 posts are not ten times 7; too short
    assert canonical(Canon(misspellings=False), **counts)["sunest"] == "sunest"


def test_real_words_are_no_misspellings():
    found = canonical(Canon(), sunny=500, bunny=3, haus=2, stern=400, sterne=3)
    assert found["bunny"] == "bunny" and found["sterne"] == "stern"  # a plural, no error


def test_the_order_of_forms_changes_nothing():
    counts = {
        "dog": 30,
        "dogs": 30,
        "puppydog": 2,
        "goldenpuppies": 1,
        "puppie": 1,
        "crane": 3,
        "unheard": 40,
        "unhaerd": 1,
    }
    orders = [list(counts), list(counts)[::-1], random.Random(0).sample(list(counts), len(counts))]
    for senses in ("same", "all"):
        found = []
        for order in orders:
            canon = Canon(wordnet=WORDNET, senses=senses)
            names = canon.names(order, [counts[form] for form in order])
            found.append(
                (dict(zip(order, names, strict=True)), dict(zip(order, canon.rules, strict=True)))
            )
        assert found[0] == found[1] == found[2]


def test_explain_agrees_with_names_and_tells_every_step():
    counts = {
        "dog": 30,
        "dogs": 40,
        "crane": 1,
        "puppydog": 1,
        "unheard": 20,
        "unhaerd": 1,
        "xyzzy": 1,
        "art": 9,
    }
    canon = Canon(wordnet=WORDNET, stop={"art"})
    names = canon.names(list(counts), list(counts.values()))
    assert [explain(canon, form).names for form in counts] == names
    rules = []
    for form in ("#Dog", "unhaerd", "art", "7", "PuppyDog"):
        rules.append([step.rule for step in explain(canon, form).steps])
    assert rules[:2] == [["normalise", "wordnet", "name"], ["normalise", "spelling", "itself"]]
    assert rules[2:] == [
        ["normalise", "stop"],
        ["normalise"],
        ["normalise", "words", "wordnet", "wordnet", "name"],
    ]
    assert explain(canon, "7") == ("7", (), [("normalise", "7", "", "digits only")])


def test_units_cover_the_words():
    known = {"golden", "retriever", "goldenretriever", "puppy", "oftheyear"}.__contains__
    assert units(("golden", "retriever", "puppy"), known) == ("goldenretriever", "puppy")
    assert units(("golden", "puppy", "of", "the", "year"), known) == (
        "golden",
        "puppy",
        "oftheyear",
    )
    assert units(("golden", "unheard"), known) == units(("of", "the"), known) == ()
    assert units(("all", "about", "through", "puppy"), known) == ()  # less than half of the letters


def test_one_edit_agrees_with_the_definition():
    def distance(a, b):
        d = np.add.outer(np.arange(len(a) + 1), np.arange(len(b) + 1))
        for i in range(1, len(a) + 1):
            for j in range(1, len(b) + 1):
                d[i, j] = min(
                    d[i - 1, j] + 1, d[i, j - 1] + 1, d[i - 1, j - 1] + (a[i - 1] != b[j - 1])
                )
                if i > 1 and j > 1 and a[i - 2 : i] == b[j - 2 : j][::-1]:
                    d[i, j] = min(d[i, j], d[i - 2, j - 2] + 1)
        return d[-1, -1]

    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("ab"), rng.integers(1, 6))) for _ in range(60)]
    assert all(one_edit(a, b) == (distance(a, b) == 1) for a in words for b in words)


def test_synonyms_follow_chains_and_refuse_rings(tmp_path):
    path = tmp_path / "synonyms.tsv"
    path.write_text("\ufeff#Hund\tdog\nwelpe\thund\n\ndog\tdog\n", encoding="utf-8")
    assert read_synonyms(path) == {"hund": "dog", "welpe": "dog", "dog": "dog"}
    for text, message in (
        (b"a1\tb1\nb1\ta1\n", "back to itself"),
        (b"ab\tx1\nab\tx2\n", "already"),
        (b"alone\n", "line 1"),
        (b"ab\t\xff\n", "UTF-8"),
    ):
        path.write_bytes(text)
        with pytest.raises(ValueError, match=message):
            read_synonyms(path)


def test_the_everyday_table_yields_to_the_users():
    table = read_synonyms(EVERYDAY)
    assert 40 < len(table) < 100 and all(normalise(tag) == tag for tag in [*table, *table.values()])
    assert not set(table) & set(table.values())
    assert canonical(Canon(), hund=3) == {"hund": "dog"}
    own = Canon({"dog": "hund", "katze": "löwe"})
    assert canonical(own, hund=3, perro=2, katze=1, dog=1, chien=2) == {
        "hund": "hund", "perro": "hund", "katze": "löwe", "dog": "hund", "chien": "hund"
    }  # fmt: skip


def test_by_itself_it_has_the_rules_of_the_stage():
    defaults = {name: each.default for name, each in inspect.signature(Canon).parameters.items()}
    stage = section()
    assert len(defaults["stop"]) == len(stage["stop"]) == 0
    assert all(defaults[rule] == stage[rule] for rule in RULES if rule != "stop")


def test_the_everyday_table_can_be_left_out_and_is_told():
    canon = Canon({"welpe": "dog"})
    assert canonical(canon, hund=30, welpe=2) == {"hund": "dog", "welpe": "dog"}
    assert canon.rules == ["everyday", "table"]
    step = explain(canon, "#Hund").steps[1]
    assert step.rule == "everyday" and "everyday.tsv" in step.why
    assert canonical(Canon(everyday=False), hund=30)["hund"] == "hund"
    assert canonical(Canon(wordnet=WORDNET), hund=30)["hund"] == "hund"


def test_real_tags_keep_their_posts(pack):
    lines = (
        (pack("hashtags") / "harrison_instagram_tags.tsv")
        .read_text(encoding="utf-8")
        .splitlines()[1:]
    )
    posts = Counter(
        form for line in lines for form in map(normalise, line.split("\t")[2].split()) if form
    )
    canon = Canon(stop=["love"])
    names = canon.names(list(posts), list(posts.values()))
    assert sum(not found for found in names) == 1 and len(posts) > 900
    whole = [found == (form,) for form, found in zip(posts, names, strict=True)]
    assert sum(whole) > 0.97 * len(posts)  # this vocabulary is clean already
