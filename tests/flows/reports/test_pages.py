"""Pages for people hold only text of what anybody typed: no element, no link, no script, and a
policy against them.
"""

import json
import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from corpus.names import printable
from corpus.pages.markdown import code, table, told
from flows.reports.models import files, plots
from flows.reports.models.outcome import Outcome
from flows.reports.search.page import write_page
from flows.tools import comparison
from tests.flows.reports.test_report import NASTY, Page
from tests.support.modelreports import Made
from tests.support.records import TIMES, record

MARKDOWN = [
    "[x](javascript:alert(1))",
    "![x](http://evil/x.png)",
    "<http://evil>",
    "`code` **bold** _em_ ~~no~~",
    "a | b",
    "&lt;b&gt; &#60;",
    "# head",
    "1. one",
    "- item",
    "\\",
    "two\nlines\n\n<script>alert(1)</script>",
    '" onload="alert(1)',
    'src="comparison.png"',
    "$\\frac{$",
]
HOSTILE = [text for text in NASTY if len(text) < 100] + MARKDOWN
KNOWN = (
    "html head meta title style body h1 h2 p div table thead tbody tr th td ul li strong code "
    "figure img"
)
PLAIN = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def safe(text: str) -> Page:
    """The page as a browser sees it, with nothing in it that runs or leads elsewhere."""
    seen = Page(text.replace(" />", ">").replace("<hr>", ""))
    assert not [key for key, _ in seen.attributes if key.startswith("on")]
    kinds = ("data:image/png;base64,", "data:image/jpeg;base64,")
    assert all(source.startswith(kinds) for source in seen.values("src"))
    assert all(link.startswith(("#", "http://127.0.0.1")) for link in seen.values("href"))
    assert "default-src 'none'" in seen.values("content")[1]
    assert not re.search("[\x00-\x08\x0b-\x1f\ud800-\udfff]", text)
    return seen


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_shows_just_the_text(text):
    item = PLAIN.render(f"- {told(text)}\n")
    assert set(Page(item).tags) == {"ul", "li"}
    shown = Page(item).text.strip()
    assert shown == printable(" ".join(text.split()))
    assert set(Page(PLAIN.render(f"x {code(text)}\n")).tags) == {"p", "code"}
    cells = Page(PLAIN.render("\n".join(table(["a", "b"], [[text, text]]))))
    assert cells.tags.count("td") == 2 and set(cells.tags) <= {
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
    }


def test_names_stay_readable():
    assert (
        told("winner-my_set.v2: 53.7 ± 0.2 % (one seed)")
        == "winner-my_set.v2: 53.7 ± 0.2 % (one seed)"
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_the_report_of_models_is_safe(place, text, monkeypatch):
    monkeypatch.setattr(files, "plot", lambda path, _: path.write_bytes(b"picture"))
    cost = TIMES | {"mode": text, "batch": 8, "asked": 9, "images_per_second": 7.0}
    cost["peak_memory_mib"] = 3.0
    fields = ("candidate", "task", "init", "labels", "device", "dtype", "clock", "headline")
    fields = (*fields, "model", "busy", "network", "unit")
    one = record("a", 60, 60, 50) | dict.fromkeys(fields, text) | {"costs": [cost]}
    one |= {"chosen": {text: text}, "scores": [{text: text, "score": 3.0}]}
    one |= {"fit": 1, "held_out": 2, "head": {"name": text}, "values": {text: 1.0}}
    keys = ("task", "candidate", "init", "head", "labels", "size", "headline", "unit")
    gain = dict.fromkeys(keys, text) | {"seeds": 2}
    gain |= dict.fromkeys(("gain", "gain_low", "gain_high", "value", "scratch"), 1.0)
    origin, links = {"tagdag.data": text, text: text}, {text: f"http://127.0.0.1/{text}"}
    links["x" + text] = text
    outcome = Outcome(text, text, [one], [gain], {text: text}, text, {})
    # a second task has sections of its own
    other = Outcome("birds", text, [one | {"task": "birds"}], [], {text: text}, text, {})
    files.write(place, [outcome, other], origin, links)
    seen = safe((place / "report.html").read_text(encoding="utf-8"))
    assert set(seen.tags) <= {*KNOWN.split(), *TAGS.split()}
    assert "img" not in seen.tags  # but in svg
    # a terminal shows it
    written = (place / "report.md").read_text(encoding="utf-8")
    assert not re.search("[\x00-\x08\x0b-\x1f]", written)


def test_names_of_classes_and_images_are_safe_in_the_report_of_models(place):
    names = [text for text in HOSTILE if text.isprintable()]
    made = Made(names, test=3)
    made.images()
    made.model("winner", "hashtags", "linear", 0.5)
    texts = zip(made.tests, names, strict=False)
    made.duplicates = [("scenes", key, text, text) for (key, _), text in texts]
    made.write()
    for text in names[:3]:
        folder = Path("out/pretrain") / text.replace("/", "")
        folder.mkdir(exist_ok=True)
        (folder / "curve.csv").write_text("step,loss,learning_rate\n1,2,3\n")
    files.write(place, made.outcomes(), {})
    text = (place / "report.html").read_text(encoding="utf-8")
    seen = safe(text)
    assert set(seen.tags) <= {*KNOWN.split(), *TAGS.split()}
    shown = " ".join(seen.text.split())
    assert all(" ".join(name.split()) in shown for name in names)
    assert printable(text, keep="\n\u2068\u2069\u202e\u2066").count("\\x") == 0


def test_the_picture_takes_any_name(tmp_path):
    for text in ("$\\frac{$", "_private", "<b>", "nul\x00\ud800"):
        one = record("a", 60, 60, 50) | {"candidate": text, "task": text, "head": text}
        plots.plot(tmp_path / "picture.png", [one])
    assert (tmp_path / "picture.png").read_bytes()[:4] == b"\x89PNG"


def trials(*texts: str) -> list[dict]:
    """Rows of trials.jsonl with these texts as names of axes and in every field of text."""
    rows = []
    for i, text in enumerate([*texts, *texts]):
        values = {"depth": i} | {axis: float(i) for axis in texts}
        row = {"trial": i, "outcome": "complete", "error": 40.0 + i, "values": values}
        rows.append(
            row | {"network": {"name": text}, "flops": 3e6 + i, "params": 1e6, "stage": text}
        )
    failed = [
        {"trial": text, "outcome": text, "reason": text, "values": {text: text}} for text in texts
    ]
    return rows + failed


TAGS = "nav a h3 section dl dt dd p figcaption br small span bdi details summary mark aside b i"
TAGS += " svg g line polyline path rect text"


def test_the_report_of_a_search_is_safe(tmp_path):
    about = {text: {text: text} for text in HOSTILE} | {"seed": HOSTILE[0]}
    texts = [text for text in HOSTILE if text.isprintable()]  # as names of axes, which code gives
    write_page(tmp_path, trials(*texts), [{"trial": HOSTILE[0], "error": 3.0}], about)
    seen = safe((tmp_path / "report.html").read_text())
    assert set(seen.tags) <= {*KNOWN.split(), *TAGS.split()}


def test_the_page_of_searches_compared_is_safe(tmp_path):
    (tmp_path / "search").mkdir()
    lines = map(json.dumps, trials(*HOSTILE))
    (tmp_path / "search/trials.jsonl").write_text("\n".join(lines) + "\n")
    names, folders = HOSTILE[:6], [str(tmp_path / "search")] * 6
    comparison.compare(folders, names, tmp_path / "compare.html", "flops")
    seen = safe((tmp_path / "compare.html").read_text())
    assert set(seen.tags) <= {*KNOWN.split(), *TAGS.split()}
    assert all(name in seen.text or "\ufffd" in seen.text for name in names)
