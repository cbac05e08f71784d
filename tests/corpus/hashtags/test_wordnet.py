"""WordNet nouns from each of the three formats, small files in the real formats, and the whole
real table.
"""

import gzip
import re

import pytest

from corpus.hashtags.wordnet import read_wordnet

DATA = """  1 This software and database is being provided to you, the LICENSEE, by
  2 Princeton University under the following license.
02012849 05 n 01 crane 4 001 @ 02000954 n 0000 | large long-necked wading bird
02084071 05 n 03 dog 0 domestic_dog 0 Canis_familiaris 0 001 @ 02083346 n 0000 | a member of the genus Canis
02132136 05 n 03 brown_bear 0 bruin 0 Ursus_arctos 0 001 @ 02131653 n 0000 | large ferocious bear of Eurasia
03126707 06 n 01 crane 0 001 @ 03966206 n 0000 | lifts and moves heavy objects
09886220 18 n 0a cad 0 bounder 0 blackguard 0 dog 1 hound 0 heel 0 a'b 0 c-d 0 e.f. 0 g 0 001 @ x n 0000 | a scoundrel
"""  # noqa: E501 - lines of the real file
INDEX = """  1 This software and database is being provided to you, the LICENSEE, by
brown_bear n 1 1 @ 1 0 02132136
bruin n 1 1 @ 1 0 02132136
cad n 1 1 @ 1 0 09886220
crane n 2 1 @ 2 0 03126707 02012849
dog n 2 2 @ ~ 2 1 02084071 09886220
hound n 1 1 @ 1 0 09886220
ursus_arctos n 1 1 @ 1 0 02132136
"""
LMF = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE LexicalResource SYSTEM "http://globalwordnet.github.io/schemas/WN-LMF-1.1.dtd">
<LexicalResource xmlns:dc="https://globalwordnet.github.io/schemas/dc/">
<Lexicon id="t" label="t" language="en">
<LexicalEntry id="t-crane-n"><Lemma writtenForm="crane" partOfSpeech="n"/>
  <Sense id="t-1" synset="t-03126707-n"/><Sense id="t-2" synset="t-02012849-n"/></LexicalEntry>
<LexicalEntry id="t-crane-v"><Lemma writtenForm="crane" partOfSpeech="v"/>
  <Sense id="t-3" synset="t-00000001-v"/></LexicalEntry>
<LexicalEntry id="t-ox-n"><Lemma writtenForm="ox" partOfSpeech="n"/><Form writtenForm="oxa"/>
  <Sense id="t-4" synset="t-02403454-n"/></LexicalEntry>
<LexicalEntry id="t-wild_ox-n"><Lemma writtenForm="wild ox" partOfSpeech="n"/>
  <Sense id="t-5" synset="t-02403454-n"/></LexicalEntry>
<Synset id="t-02012849-n" ili="i1" partOfSpeech="n"><Definition>a bird &amp; more</Definition>
  <Definition>second</Definition></Synset>
<Synset id="t-03126707-n" ili="i2" partOfSpeech="n"><Definition>lifts</Definition></Synset>
<Synset id="t-02403454-n" ili="i3" partOfSpeech="n"><Definition>cattle</Definition></Synset>
<Synset id="t-00000001-v" ili="i4" partOfSpeech="v"><Definition>stretch</Definition></Synset>
</Lexicon></LexicalResource>
"""
TABLE = """synset\tpwn30_wnid\tili\tlexfile\tmembers\thypernyms\tinstance_hypernyms\tdefinition
02134305-n\tn02132136\ti1\tnoun.animal\tbrown bear|bruin|Ursus arctos\t\t\tlarge "bear
86795475-n\t\ti2\tnoun.artifact\tU-boat\t\t\ta submarine
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "dict").mkdir()
    (tmp_path / "dict" / "data.noun").write_text(DATA)
    (tmp_path / "dict" / "index.noun").write_text(INDEX)
    (tmp_path / "dict" / "noun.exc").write_text("bruinae bruin\nbrown_bearoj brown_bear\n")
    return tmp_path


def test_princetons_files(folder):
    wordnet = read_wordnet(folder)
    assert (len(wordnet.synsets), wordnet.ordered) == (5, True)
    assert (
        wordnet.ids(wordnet.find("brownbear"))
        == wordnet.ids(wordnet.find("ursusarctos"))
        == ("n02132136",)
    )
    assert wordnet.ids(wordnet.find("crane")) == (
        "n03126707",
        "n02012849",
    )  # the order of index.noun
    assert (
        wordnet.synsets[0].gloss == "large long-necked wading bird"
        and len(wordnet.synsets[4].lemmas) == 10
    )
    assert wordnet.singular("bruinae") == "bruin" and wordnet.singular("brownbearoj") == "brownbear"
    assert wordnet.find("bear") == () and "dog" in wordnet and "cat" not in wordnet


def test_data_noun_alone_has_no_sense_order(tmp_path):
    (tmp_path / "data.noun").write_text(DATA)
    wordnet = read_wordnet(tmp_path / "data.noun")
    assert not wordnet.ordered and wordnet.ids(wordnet.find("crane")) == ("n02012849", "n03126707")
    assert (
        wordnet.ids(wordnet.find("ab"))
        == wordnet.ids(wordnet.find("cd"))
        == wordnet.ids(wordnet.find("ef"))
    )
    assert wordnet.find("g") == ()  # a single letter is no hashtag


@pytest.mark.parametrize("packed", [False, True])
def test_lmf(tmp_path, packed):
    path = tmp_path / ("oewn.xml.gz" if packed else "oewn.xml")
    path.write_bytes(gzip.compress(LMF.encode()) if packed else LMF.encode())
    wordnet = read_wordnet(path)
    assert [s.id for s in wordnet.synsets] == ["t-02012849-n", "t-03126707-n", "t-02403454-n"]
    assert (
        wordnet.ids(wordnet.find("crane")) == ("t-03126707-n", "t-02012849-n") and wordnet.ordered
    )
    assert wordnet.synsets[0].gloss == "a bird & more" and wordnet.synsets[2].lemmas == (
        "ox",
        "wild ox",
    )
    assert (
        wordnet.singular("wildoxen") is None
        and wordnet.singular("oxa") == wordnet.singular("oxen") == "ox"
    )


def test_table(tmp_path):
    path = tmp_path / "nouns.tsv"
    path.write_text(TABLE)
    wordnet = read_wordnet(path)
    assert [s.id for s in wordnet.synsets] == ["n02132136", "86795475-n"] and not wordnet.ordered
    assert wordnet.synsets[0].gloss == 'large "bear' and wordnet.find("uboat") == (1,)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"hello\nworld\n", "not a WordNet file"),
        ("a.xml", b"<html><body/></html>", "not GWN-LMF"),
        ("a.xml", LMF[:-40].encode(), "damaged"),
        (
            "a.xml",
            LMF.replace('WN-LMF-1.1.dtd"', 'x" [<!ENTITY a "b">]').encode(),
            "declares the entity 'a'",
        ),
        (
            "a.xml",
            LMF.replace('synset="t-03126707-n"', 'synset="t-9-n"').encode(),
            "'t-9-n', which is not there",
        ),
        ("a.xml.gz", gzip.compress(LMF.encode())[:-30], "damaged"),
        ("a.xml.gz", b"\x1f\x8b\x08\x00 no gzip at all", "damaged"),
        ("data.noun", DATA.replace("n 03 dog", "n 09 dog").encode(), "line 4: fewer words"),
        ("data.noun", DATA.replace("n 03 dog", "n zz dog").encode(), "line 4: fewer words"),
        ("data.noun", DATA.replace("05 n 03 dog", "05 v 03 dog").encode(), "line 4: expected"),
        ("data.noun", DATA.encode()[:200] + b"\xff\xfe", "damaged"),
        ("data.noun", DATA.encode()[:120], "no noun synset"),
        ("a.tsv", TABLE.replace("U-boat", "").encode(), "line 3: no synset or no members"),
        ("a.tsv", TABLE.splitlines()[0].encode(), "no noun synset"),
        ("empty", b"", "not a WordNet file"),
    ],
)
def test_a_damaged_or_unknown_file_is_refused_with_cause_and_fix(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(message)):
        read_wordnet(tmp_path / name)


def test_missing_files_and_an_index_of_another_wordnet(tmp_path, folder):
    with pytest.raises(ValueError, match="no such file"):
        read_wordnet(tmp_path / "none.xml")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no data\.noun in this folder"):
        read_wordnet(tmp_path / "empty")
    (folder / "dict" / "index.noun").write_text(INDEX.replace("02012849", "11111111"))
    with pytest.raises(ValueError, match="line 5: does not fit"):
        read_wordnet(folder)


def test_every_imagenet_class_is_in_the_real_table(pack):
    wordnet = read_wordnet(pack("wordnet_nouns") / "wordnet_nouns.tsv")
    wnids = set((pack("imagenet_info") / "imagenet_synsets.txt").read_text().split())
    ids = {synset.id for synset in wordnet.synsets}
    assert len(wordnet.synsets) == 71_873 and len(wnids) == 1000 and wnids <= ids
    assert (
        wordnet.ids(wordnet.find("brownbear"))
        == wordnet.ids(wordnet.find("ursusarctos"))
        == ("n02132136",)
    )
    plurals = {
        "dogs": "dog",
        "buses": "bus",
        "cherries": "cherry",
        "women": "woman",
        "wolves": "wolf",
        "foxes": "fox",
    }
    assert {plural: wordnet.singular(plural) for plural in plurals} == plurals
    assert [wordnet.singular(tag) for tag in ("has", "grass", "xyzzys")] == [None] * 3
