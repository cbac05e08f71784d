"""A new kind is one file: import, stage corpus and reading know it by its name.

It is the example of docs/design.md.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from corpus.kinds.posts import Post
from corpus.store.write import write_store
from tests.corpus.kinds.test_tags import picture
from tests.docs.test_examples import EXAMPLES
from tests.support.corpora import section

TOP = Path(__file__).parents[3]
FILE = "corpus/kinds/scores.py"
SCORES = EXAMPLES[FILE]
RUN = """
import json, sys
from pathlib import Path
from corpus.build import build_corpus
from corpus.reading.shards import Shards
from corpus.sources.source import source_rows
from corpus.store.ingest import ingest_all
from corpus.store.trial import try_all

data, settings = Path("data"), json.loads(sys.argv[1])
read = lambda: {"targets/quality": source_rows("own/scores.csv", None, "scores", Path("spool"))}
tried = try_all(read(), data, Path("scratch"), kind="scores")["targets/quality"]
done = ingest_all(read(), data, kind="scores")["targets/quality"]
assert tried.result == done._replace(digest=""), (tried.result, done)
summary = build_corpus(data, Path("out"), Path("cache"), settings)
shards = Shards(Path("out/targets/quality"), "train")
found = shards.read(range(len(shards)), "scores")
print(json.dumps({
    "kind": shards.kind, "columns": shards.columns, "classes": shards.classes,
    "refused": done.refused, "images": summary["images"]["targets/quality"],
    "dropped": summary["duplicates_dropped"], "pixels": [*shards.read([0], "image").shape],
    "scores": dict(zip(shards.ids, found.tolist())),
}))
"""


@pytest.fixture
def tree(tmp_path) -> Path:
    """A copy of corpus/ with one more file, posts, and a table of what it says."""
    shutil.copytree(TOP / "corpus", tmp_path / "corpus")
    (tmp_path / FILE).write_text(SCORES)
    (tmp_path / "own").mkdir()
    rows = ["image,scores"]
    for i in range(30):
        (tmp_path / f"own/{i}.jpg").write_bytes(picture(i))
        rows.append(f'{i}.jpg,"[{i}, 0.5]"')
    (tmp_path / "own/30.jpg").write_bytes(picture(30))
    (tmp_path / "own/scores.csv").write_text("\n".join([*rows, "30.jpg,\n"]))
    posts = []
    for i in range(40):
        posts.append((Post(id=f"p{i}", image=f"{i}.jpg", hashtags=["sea"]), picture(i)))
    write_store(tmp_path / "data/posts", posts)
    return tmp_path


def test_a_kind_of_one_file_is_imported_built_and_read(tree):
    command = [sys.executable, "-c", RUN, json.dumps(section(min_posts=2))]
    env = os.environ | {"PYTHONPATH": str(tree)}
    done = subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["kind"] == "scores" and found["classes"] == [] and found["pixels"][-1] == 3
    assert found["columns"]["scores"] == {"read": "numbers", "of": "scores"}
    assert found["refused"] == {"no scores": 1} and sum(found["images"].values()) == 30
    assert found["dropped"] == 0, "twins = False: posts that repeat its images stay"
    assert found["scores"] == {f"{i}.jpg": [i, 0.5] for i in map(int, _numbers(found["scores"]))}


def _numbers(scores: dict) -> list[str]:
    assert len(scores) > 10
    return [name.removesuffix(".jpg") for name in scores]
