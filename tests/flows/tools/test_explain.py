"""`python -m flows.explain`: the story of a tag, with the settings and results there are."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from corpus.drawn import sample
from corpus.hashtags.canonical import Canon, read_canon
from corpus.hashtags.story import FormDecision, explain
from corpus.kinds.posts import Post
from corpus.store.write import write_store
from corpus.tags.tagging import tag_posts
from flows.tools.explain import CHANGED, canon, changed, read_vocabulary, stories_of, story_of
from tests.support.corpora import build_with

MORE = {"sunflower": 4, "sunflowers": 3, "city": 9, "cities": 30, "harbour": 2, "Harbours": 2}
MORE |= {"citis": 1, "gato": 6, "gatos": 5, "unheardofness": 9, "goldenretrievers": 2}
ROOT = Path(__file__).parents[3]
SECTION = {"stop": ["love"], "merged": True, "misspellings": True, "min_posts": 5, "size": 32}


def test_settings_and_table(tmp_path):
    table = tmp_path / "synonyms.tsv"
    table.write_text("unheard\tdog\n")
    rules = canon(SECTION, table, None)
    assert (
        explain(rules, "#Unheard").names == ("dog",)
        and explain(rules, "love").names == ()
        and rules.min_posts == 5
    )
    assert explain(canon(SECTION, tmp_path / "none.tsv", None), "unheard").names == ("unheard",)
    nouns = tmp_path / "nouns.tsv"
    nouns.write_text("synset\tmembers\n1-n\tbrown bear|Ursus arctos\n")
    for rules in (
        canon(SECTION, table, str(nouns)),
        canon(SECTION | {"wordnet": str(nouns)}, table, None),
    ):
        assert [step.rule for step in explain(rules, "ursusarctos").steps] == [
            "normalise",
            "wordnet",
        ]


def test_lines_tell_the_class(tmp_path):
    path = tmp_path / "vocabulary.csv"
    assert read_vocabulary(path) == {}
    path.write_text("hashtag,posts,merged_forms\nsun,1200,\ndog,9,hund\n")
    classes = read_vocabulary(path)
    text = "\n".join(story_of(explain(Canon({"hund": "dog"}), "#Hund"), classes))
    assert "table      hund -> dog" in text and text.endswith("= dog: class 1, 9 posts")
    assert story_of(explain(Canon(), "xyzzyq"), classes)[-1] == "  = xyzzyq: not in the vocabulary"
    assert story_of(explain(Canon(), "42"), {})[-2:] == [
        "  normalise  42 -> dropped  (digits only)",
        "  = dropped",
    ]
    path.write_text("hashtag,posts\nsun,many\n")
    with pytest.raises(ValueError, match="run the stage again"):
        read_vocabulary(path)


OPTIONS = {"min_posts": 6, "max_tags": 60, "stop": ["love", "friends"], "duplicates": "ignore"}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """The folder of data/ and out/corpus of 300 posts of the sample, and some of one hashtag."""
    folder = tmp_path_factory.mktemp("run")
    drawn = list(sample.post_records(0, 300, 8))
    more = [[name] for name, posts in MORE.items() for _ in range(posts)]
    image = drawn[0][1]
    rows = [(Post(id=f"m{i}", image="m.jpg", hashtags=tags), image) for i, tags in enumerate(more)]
    write_store(folder / "data" / "posts", [*drawn, *rows])
    table = "".join(f"{tag_}\t{name}\n" for tag_, name in sample.synonyms().items())
    (folder / "data" / "posts" / "synonyms.tsv").write_text(table, encoding="utf-8")
    build_with(folder / "data", folder / "out", folder / "cache", size=8, **OPTIONS)
    return folder


def told(run: Path, tags: list[str]) -> dict[str, list[str]]:
    """The lines of each tag."""
    rules = canon(OPTIONS, run / "data" / "posts" / "synonyms.tsv", None)
    found: list[list[str]] = []
    for line in stories_of(rules, tags, run / "out"):
        if not line.startswith("  "):
            found.append([])
        found[-1].append(line)
    return {story[0]: story for story in found}


def test_every_form_of_a_run_is_explained_as_the_run_decided(run, tmp_path):
    rules = read_canon(run / "data/posts/synonyms.tsv", stop=OPTIONS["stop"], min_posts=6)
    tagging = tag_posts(run / "data" / "posts", tmp_path, rules, max_tags=60)
    forms, names = tagging.table.forms.to_pylist(), tagging.names
    stories, classes = told(run, forms), tagging.vocabulary
    assert list(stories) == forms and len(forms) > 150
    ends = names.sizes.cumsum()
    for i, form in enumerate(forms):
        posts, ids = int(tagging.table.counts[i]), names.ids[ends[i] - names.sizes[i] : ends[i]]
        ends_with = []
        for name_id in ids.tolist():
            name, n = names.names[name_id].as_py(), int(tagging.name_counts[name_id])
            number = classes.names.index(name) if name in classes.names else None
            fate = f"class {number}, {n:,} posts"
            if number is None:
                rare = f"too rare for a class, {n:,} of at least 6 posts"
                fate = rare if n < 6 else f"not among the classes, {n:,} posts"
            ends_with.append(f"  = {name}: {fate}")
        typed = f"  typed in {posts:,} post{'s' * (posts > 1)}"
        assert stories[form][-1 - max(1, len(ids)) :] == [typed, *(ends_with or ["  = dropped"])]
        assert stories[form][2].split()[0] == rules.rules[i], stories[form]
    assert {"stop", "table", "plural", "words", "spelling", "itself"} <= set(rules.rules)


def test_a_story_has_the_tags_own_count_and_the_words_of_the_report(run):
    stories = told(run, ["#Cities", "sunflowers", "#Harbours", "gatos", "nobodys", "!", "citys"])
    text = {name: "\n".join(story) for name, story in stories.items()}
    assert "plural     cities -> city  (its singular, by the rules of English)" in text["#Cities"]
    assert "typed in 30 posts\n  = city: class" in text["#Cities"]  # a table names it
    assert "typed in 3 posts" in text["sunflowers"] and "class" in text["sunflowers"]
    rare = "typed in 2 posts\n  = harbour: too rare for a class, 4 of at least 6 posts"
    assert text["#Harbours"].endswith(rare)
    assert "plural     gatos -> gato" in text["gatos"] and "everyday.tsv" in text["gatos"]
    for unseen in ("nobodys", "citys"):
        assert "typed in no post: what the rules would make of it" in text[unseen]
    alone = told(run, ["xyzzyq"])["xyzzyq"]
    assert alone[-2].startswith("  typed in no post") and alone[-1].endswith(
        "not in the vocabulary"
    )
    assert "typed" not in text["!"] and text["!"].endswith("= dropped")


def test_the_run_counts_what_each_rule_merged(run):
    table = pq.read_table(run / "out" / "forms.parquet").to_pylist()
    summary = json.loads((run / "out" / "summary.json").read_text())["merged"]
    for rule, one in summary.items():
        rows = [row for row in table if row["rule"] == rule]
        assert one == {"forms": len(rows), "uses": sum(row["posts"] for row in rows)} and rows
    assert {"stop", "table", "everyday", "plural"} <= summary.keys()
    assert [row["language"] for row in table if row["form"] == "cities"] == ["en"]
    assert "What the rules did" in (run / "out" / "report.html").read_text()


def test_a_run_of_other_settings_or_a_damaged_one_is_told(run, tmp_path):
    path = run / "out" / "forms.parquet"
    defaults = {"everyday": True, "senses": "same", "lemmas": True, "merged": True}
    section = OPTIONS | defaults | {"misspellings": True, "wordnet": None}
    assert not changed(path, section) and changed(path, section | {"lemmas": False})
    assert not changed(tmp_path / "none.parquet", section) and "other settings" in CHANGED
    (tmp_path / "forms.parquet").write_bytes(b"PAR1 no table")
    with pytest.raises(ValueError, match="run the stage again"):
        stories_of(Canon(), ["sea"], tmp_path)
    with pytest.raises(ValueError, match="run the stage again"):
        changed(tmp_path / "forms.parquet", section)


def test_lines_of_a_run():
    one = FormDecision(7, "itself", ("sea",), None, ("sea",), (7,))
    text = story_of(explain(Canon(), "sea", {"sea": one}), {"dog": 9}, one, 5)
    assert text[-2:] == ["  typed in 7 posts", "  = sea: not among the classes, 7 posts"]


def test_command(tmp_path):
    sections = yaml.safe_load((ROOT / "params.yaml").read_text())
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(sections))

    def run(*arguments: str) -> subprocess.CompletedProcess:
        command = [
            sys.executable,
            "-c",
            "import flows.tools.explain as e, sys; e.main(); assert 'torch' not in sys.modules",
        ]
        return subprocess.run(
            [*command, *arguments],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )

    done = run("#GoldenRetriever", "#love")
    assert (
        done.returncode == 0 and "golden retriever" in done.stdout and "= dropped" in done.stdout
    ), done.stderr
    failed = run("#dog", "--wordnet", "none.xml")
    assert failed.returncode == 2 and "error: none.xml: no such file" in failed.stderr
