"""The corpus report: true numbers, safe with strangers' text, the same bytes twice.

The corpus as an MLflow input.
"""

import json
import re
import socket
import subprocess
import warnings
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from corpus.pages.charts import Axis
from corpus.pages.markup import el, tag
from corpus.report import findings as found
from corpus.report.findings import (
    Cooccurrence,
    Example,
    Findings,
    Form,
    Lost,
    Step,
    Twins,
    npmi,
    seriation,
    zipf_exponent,
)
from corpus.report.page import page, write_report
from corpus.report.pictures import SHEET
from corpus.report.plots import write_plots
from corpus.report.sections import REASONS
from flows.tracking import tracking

NASTY = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style></title><svg onload=alert(1)>",
    "javascript:alert(1)",
    "&lt;b&gt;",
    "\u202eevil\u2066",
    "nul\x00\x1b[31m\ud800",
    "海辺の夕日",
    "القاهرة",
    "हिन्दी",
    "😀🏳️‍🌈",
    "z" + "\u0301" * 300,
    "x" * 5000,
]


def jpeg(seed: int, side: int = 16) -> bytes:
    out = BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    Image.fromarray(pixels).save(out, "JPEG", quality=95)
    return out.getvalue()


def cooccurrence(names: list[str], posts: int = 500) -> Cooccurrence:
    rng = np.random.default_rng(0)
    hot = rng.random((posts, len(names))) < np.linspace(0.5, 0.1, len(names))
    return Cooccurrence(names, hot.T.astype(np.int64) @ hot, posts)


def findings(names: list[str] = NASTY, **changes) -> Findings:
    counts = (1000 / np.arange(1, len(names) + 1)).astype(np.int64)
    forms = [Form(other, "synset" if i % 2 else "") for i, other in enumerate(names)]
    whole = {
        "summary": {
            "posts": 1200,
            "posts_kept": 980,
            "users": 3,
            "zipf_exponent": 1.002,
            "store_digest": "ab" * 32,
        },
        "names": names,
        "counts": counts,
        "typed_counts": np.append(counts, [3, 2, 1]),
        "resampled": {
            "natural": counts * 1.0,
            "sqrt": counts**0.5 * 40,
            "uniform": counts * 0 + 70.0,
        },
        "forms": dict.fromkeys(names[:3], forms),
        "synsets": {name: name for name in names[1:3]},
        "cooccurrence": cooccurrence(names[:50]),
        "tags_per_post": np.array([100, 500, 300, 80]),
        "users": found.users(np.array([900, 200, 100])),
        "post_steps": [
            Step("imported rows", 1200, {}),
            Step("imported", 1100, dict.fromkeys(names[:13], 5) | {"": 100 - 5 * len(names[:13])}),
            Step("kept", 980, {"near empty": 120}),
        ],
        "tag_steps": [Step("typed", 3000, {}), Step("kept", 2000, {"stop": 600, NASTY[0]: 400})],
        "images": {"hashtags": {"val": 80, "train": 900}, "targets/<b>": {"test": 7}},
        "duplicates": {("corpus-corpus", "exact"): 3, ("corpus-<i>/test", "near"): 1},
        "twins": [
            Twins("near", names[-1], jpeg(i), jpeg(i + 50), names[0], names[-1]) for i in range(30)
        ],
        "examples": [
            Example(name, jpeg(i), tuple(names[:20]), tuple(names[:20]))
            for i, name in enumerate(names[:30])
        ],
        "lost": [Lost(name, 10, "stop") for name in names[:90]],
        "settings": {"min_posts": 20, names[0]: names[-1]},
        "rules": {"stop": "Off-topic <tags> go.", names[0]: NASTY[1]},
    }
    return Findings(**whole | changes)


def nothing(**changes) -> Findings:
    """A corpus of which little is known and less is left."""
    empty = {
        "summary": {"users": None},
        "names": [],
        "counts": np.zeros(0, np.int64),
        "post_steps": [],
        "tag_steps": [],
    }
    return Findings(**empty | {"tags_per_post": np.zeros(0, np.int64), "images": {}} | changes)


class Page(HTMLParser):
    """Elements, attributes and text as a browser would come to see them."""

    VOID = ("meta", "img", "br")

    def __init__(self, text: str):
        super().__init__()
        self.open, self.tags, self.attributes, self.words = [], [], [], []
        self.feed(text)
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, name, attributes):
        self.tags.append(name)
        self.attributes += attributes
        self.open += [] if name in self.VOID else [name]

    def handle_endtag(self, name):
        assert self.open.pop() == name

    def handle_data(self, data):
        self.words += [] if "style" in self.open else [data]

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.attributes if key == name]

    @property
    def text(self) -> str:
        return " ".join(self.words)


def test_strangers_text_stays_text():
    text = page(findings())
    seen = Page(text)
    known = (
        "html head meta title style body nav a h1 h2 h3 section div dl dt dd figure figcaption p b "
        "i br small code span bdi img ul li table thead tbody tr th td details summary svg line "
        "path polyline text rect"
    )
    assert set(seen.tags) <= set(known.split())
    assert not [key for key, _ in seen.attributes if key.startswith("on")]
    assert all(
        source.startswith("data:image/jpeg;base64,") for source in seen.values("src")
    ) and seen.values("src")
    assert all(
        link.startswith("#") and link[1:] in seen.values("id") for link in seen.values("href")
    )
    assert all(re.fullmatch(r"width:[\d.]+%", style) for style in seen.values("style"))
    assert NASTY[0] in seen.text and "海辺の夕日" in seen.text and "&lt;b&gt;" in seen.text
    assert not re.search("[\x00-\x08\x0b-\x1f\ud800-\udfff]", text) and "x" * 500 not in text
    assert "default-src 'none'" in seen.values("content")[1] and "http://" not in text.replace(
        "http-equiv", ""
    )


def test_names_are_isolated_from_the_direction_around_them():
    text = page(findings())
    body = text[text.index("<body>") :]
    assert (
        re.sub(r"<bdi[^>]*>[^<]*</bdi>|<(text|title)[^>]*>[^<]*|\w+=\"[^\"]*\"", "", body).count(
            "\u202e"
        )
        == 0
    )
    assert tag("<b>") == "<bdi>&lt;b&gt;</bdi>" and el("p", "a", class_="k") == '<p class="k">a</p>'


def test_the_page_tells_the_numbers():
    text = Page(page(findings())).text
    for words in (
        "1,200",
        "980 · 81.7%",
        "120 · 10.0%",
        "posts kept",
        "2,000",
        "1,000",
        "targets/<b>",
        "Off-topic <tags> go.",
    ):
        assert words in text, words
    assert (
        "10.2% of the posts keep no hashtag of the vocabulary; half of them keep 1 or fewer."
        in text
    )
    assert "The top 1 % of 3 users wrote 75.0% of the posts." in text
    assert (
        f"natural {1000 // 12 + 1000 // 13:d}" not in text and "uniform 15.4%" in text
    )  # 2 of 13 names


def test_the_page_is_bounded_and_says_what_it_leaves_out():
    names = [f"tag{i:05}" for i in range(20_000)]
    drops = {f"row {i}": 1 for i in range(5000)}
    steps = [Step("rows", 6000, {}), Step("kept", 980, drops | {"truncated": 20})]
    many = findings(
        names, post_steps=steps, cooccurrence=None, forms={names[0]: [Form(n, "") for n in names]}
    )
    text = page(many)
    assert (
        f"{5001 - REASONS:,} other reasons" in text
        and f"{5001 - REASONS:,} · " in text
        and len(text) < 500_000
    )
    assert (
        "The 40 most frequent of 20,000 names" in text
        and "tag19999" in text
        and "tag10000" not in text
    )
    assert page(findings()).count("<img") == SHEET * 2 + len(NASTY)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {
            "users": None,
            "duplicates": {},
            "twins": [],
            "cooccurrence": None,
            "resampled": {},
            "typed_counts": None,
        },
        {
            "cooccurrence": cooccurrence(["a", "b"]),
            "tags_per_post": np.array([100]),
            "examples": [],
            "lost": [],
        },
        {
            "cooccurrence": Cooccurrence(["a", "b", "c"], np.zeros((3, 3), np.int64), 0),
            "rules": {},
            "settings": {},
        },
    ],
)
@pytest.mark.parametrize("names", [NASTY, NASTY[:1]])
def test_anything_may_be_unknown(names, changes, tmp_path):
    some = findings(names, **changes)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "error"
        )  # numpy's of bad numbers, matplotlib's of letters that its font lacks
        text = page(some)
        paths = write_plots(tmp_path, some)
    Page(text)
    assert "nan" not in re.sub(r"base64,[^\"]*", "", text) and all(
        path.read_bytes()[:4] == b"\x89PNG" for path in paths
    )
    assert ("users.png" in {path.name for path in paths}) == (some.users is not None)


def test_an_empty_corpus_has_a_page(tmp_path):
    seen = Page(page(nothing()))
    assert "No hashtag is in the vocabulary." in seen.text and "unknown" in seen.text
    assert write_plots(tmp_path, nothing()) == []


def test_broken_and_large_pictures():
    large = jpeg(1, 700)
    text = page(
        findings(
            examples=[Example("a", large, (), ()), Example("b", b"x" * 50_000, (), ())], twins=[]
        )
    )
    assert text.count("<img") == 1 and "not decodable" in text and len(text) < len(large)


def test_the_same_findings_give_the_same_bytes(tmp_path):
    files = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        write_report(folder / "report.html", findings())
        write_plots(folder, findings())
        files.append({path.name: path.read_bytes() for path in folder.iterdir()})
    names = {
        "zipf.png",
        "resampling.png",
        "tags_per_post.png",
        "users.png",
        "cooccurrence.png",
        "report.html",
    }
    assert files[0] == files[1] and set(files[0]) == names


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"post_steps": [Step("rows", 1000, {}), Step("kept", 980, {"bad": 19})]},
            "rows less drops is 981",
        ),
        ({"tag_steps": [Step("typed", 10, {}), Step("kept", 10, {"stop": 1})]}, "but kept is 10"),
        ({"images": {"hashtags": {"train": 979}}}, "980 posts kept, but 979 in the shards"),
        ({"counts": np.arange(13)}, "order of their counts"),
        ({"counts": np.ones(3)}, "13 names, 3 counts"),
        ({"resampled": {"sqrt": np.ones(2)}}, "one value per name"),
    ],
)
def test_numbers_must_add_up(changes, message):
    with pytest.raises(AssertionError, match=message):
        findings(**changes)


def test_zipf_exponent_is_recovered():
    assert zipf_exponent([round(1e6 * rank**-0.8) for rank in range(1, 200)]) == pytest.approx(
        0.8, abs=0.01
    )
    assert (
        zipf_exponent([5]) == 0
        and zipf_exponent([]) == 0
        and zipf_exponent([8, 4, 0]) == pytest.approx(1)
    )


def test_npmi_is_that_of_the_formula():
    # of 100 posts: a 20, b 10, both 10; c 30, never with a; d in all of them
    counts = np.array([[20, 10, 0, 20], [10, 10, 3, 10], [0, 3, 30, 30], [20, 10, 30, 100]])
    value = npmi(Cooccurrence(list("abcd"), counts, 100))
    assert (
        value[0, 1] == pytest.approx(np.log(0.1 / 0.02) / -np.log(0.1))
        and value[0, 1] == value[1, 0]
    )
    assert value[1, 2] == pytest.approx(0, abs=1e-12)  # 3 of 100 is what chance gives
    assert value[0, 2] == -1 and value[0, 3] == pytest.approx(0) and (np.diag(value) == 1).all()


def test_seriation_puts_clusters_together():
    clusters = np.arange(24) % 3
    value = np.where(clusters[:, None] == clusters, 0.8, -0.5)
    order = seriation(value)
    assert sorted(order) == list(range(24)) and (np.diff(clusters[order]) != 0).sum() == 2
    assert seriation(np.ones((1, 1))).tolist() == [0] and (order == seriation(value)).all()


def test_users_curve_is_thinned_and_keeps_its_ends():
    posts = np.random.default_rng(0).zipf(1.8, 50_000)
    curve = found.users(posts)
    assert (
        curve.number == 50_000
        and len(curve.rank) <= found.POINTS
        and (curve.rank[0], curve.rank[-1]) == (1, 50_000)
    )
    assert curve.posts[0] == posts.max() and curve.posts[-1] == posts.min()
    assert curve.top_share == pytest.approx(np.sort(posts)[-500:].sum() / posts.sum())
    assert found.users(np.zeros(0)) is None


@pytest.mark.parametrize("values", [[1], [17, 17], [3, 7], [36, 44], [1, 9e8]])
@pytest.mark.parametrize("log", [True, False])
def test_axes_hold_their_values_and_have_ticks(values, log):
    axis = Axis(np.array(values), 0, 100, log)
    places = axis(np.array([*values, *axis.ticks()]))
    assert (places >= -1e-6).all() and (places <= 100 + 1e-6).all() and len(axis.ticks()) <= 12
    assert len(axis.ticks()) >= (1 if log else 2)


def test_real_tags(pack, tmp_path):
    lines = (
        (pack("hashtags") / "flickr_dresden_tags.tsv").read_text(encoding="utf-8").splitlines()[1:]
    )
    posts = [set(line.split("\t")[3].split(";")) for line in lines]
    names, counts = np.unique([name for tags in posts for name in tags if name], return_counts=True)
    order = np.lexsort((names, -counts))[:500]
    top = [str(name) for name in names[order][:50]]
    hot = np.zeros((len(posts), len(top)), np.int64)
    for row, tags in enumerate(posts):
        hot[row] = [name in tags for name in top]
    pairs = Cooccurrence(top, hot.T @ hot, len(posts))
    some = findings(
        [str(name) for name in names[order]],
        counts=counts[order],
        cooccurrence=pairs,
        resampled={},
        post_steps=[],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_report(tmp_path / "report.html", some)
        write_plots(tmp_path, some)
    text = Page((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert all(name in text for name in top) and f"{counts.max():,}" in text


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A started MLflow run in a store of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    tracking.connect.cache_clear()
    client = tracking.connect()
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT).experiment_id
    yield tracking.Run(client.create_run(experiment).info.run_id, experiment, {})
    tracking.connect.cache_clear()


def test_the_corpus_is_an_input_of_its_mlflow_run(run, monkeypatch):
    client = tracking.connect()
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("network"))
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("process"))
    for _ in range(2):  # a run that was killed logs it again
        run.dataset(
            "corpus",
            "0123456789abcdef" * 4,
            "data/posts",
            {"posts": 980, "hashtags": 13},
            "pretraining",
        )
    run.dataset("corpus", "fedc", "s3://bucket/posts", {"posts": 7}, "pretraining")
    other, first = sorted(
        client.get_run(run.id).inputs.dataset_inputs, key=lambda one: -ord(one.dataset.digest[0])
    )
    assert first.dataset.name == "corpus" and first.dataset.digest == ("0123456789abcdef" * 4)[:36]
    assert json.loads(first.dataset.profile) == {"posts": 980, "hashtags": 13}
    assert {tag.key: tag.value for tag in first.tags} == {"mlflow.data.context": "pretraining"}
    assert other.dataset.digest == "fedc" and other.dataset.source_type == "s3"
    found = client.search_runs(
        [run.experiment], "dataset.name = 'corpus' and dataset.digest = 'fedc'"
    )
    assert [one.info.run_id for one in found] == [run.id]


def test_mlflow_finds_the_source_again(run):
    import mlflow.data

    Path("posts").mkdir()
    run.dataset("corpus", "abc", "posts", {"posts": 1}, "pretraining")
    [logged] = tracking.connect().get_run(run.id).inputs.dataset_inputs
    assert Path(mlflow.data.get_source(logged.dataset).load()).samefile("posts")
