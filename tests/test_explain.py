"""`python -m flows.explain`: the story of a tag, with the settings and results there are."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from corpus.hashtags.canonical import Canon
from flows.explain import canon, lines, read_vocabulary

ROOT = Path(__file__).parents[1]
SECTION = {"stop": ["love"], "merged": True, "misspellings": True, "min_posts": 5, "size": 32}


def test_settings_and_table(tmp_path):
    table = tmp_path / "synonyms.tsv"
    table.write_text("unheard\tdog\n")
    rules = canon(SECTION, table, None)
    assert rules.explain("#Unheard").names == ("dog",) and rules.explain("love").names == () and rules.min_posts == 5
    assert canon(SECTION, tmp_path / "none.tsv", None).explain("unheard").names == ("unheard",)
    nouns = tmp_path / "nouns.tsv"
    nouns.write_text("synset\tmembers\n1-n\tbrown bear|Ursus arctos\n")
    for rules in (canon(SECTION, table, str(nouns)), canon(SECTION | {"wordnet": str(nouns)}, table, None)):
        assert [step.rule for step in rules.explain("ursusarctos").steps] == ["normalise", "wordnet"]


def test_lines_tell_the_class(tmp_path):
    path = tmp_path / "vocabulary.csv"
    assert read_vocabulary(path) == {}
    path.write_text("hashtag,posts,merged_forms\nsun,1200,\ndog,9,hund\n")
    classes = read_vocabulary(path)
    text = "\n".join(lines(Canon({"hund": "dog"}).explain("#Hund"), classes))
    assert "table      hund -> dog" in text and text.endswith("= dog: class 1, 9 posts")
    assert lines(Canon().explain("xyzzyq"), classes)[-1] == "  = xyzzyq: not in the vocabulary"
    assert lines(Canon().explain("42"), {})[-2:] == ["  normalise  42 -> dropped  (digits only)", "  = dropped"]
    path.write_text("hashtag,posts\nsun,many\n")
    with pytest.raises(ValueError, match="run the stage again"):
        read_vocabulary(path)


def test_command(tmp_path):
    sections = yaml.safe_load((ROOT / "params.yaml").read_text())
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(sections))

    def run(*arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-c", "import flows.explain as e, sys; e.main(); assert 'torch' not in sys.modules"]
        return subprocess.run(
            [*command, *arguments], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
        )

    done = run("#GoldenRetriever", "#love")
    assert done.returncode == 0 and "golden retriever" in done.stdout and "= dropped" in done.stdout, done.stderr
    failed = run("#dog", "--wordnet", "none.xml")
    assert failed.returncode == 2 and "error: none.xml: no such file" in failed.stderr
