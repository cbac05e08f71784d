"""The page of versions: every number is what the registry says, strangers' text stays text."""

import re
from dataclasses import replace

import numpy as np
import pytest

from engine.measure.paired import mcnemar
from flows.registry.audit import Entry
from flows.reports.versions import cautions, changes, pair, table
from flows.reports.versions.findings import Findings, Kept, Values, Version, shared
from flows.reports.versions.page import page
from flows.reports.versions.reading import default_pair
from tests.flows.reports.test_report import NASTY, Page
from tests.support.modelreports import CLASSES, plain, section
from tests.support.versions import two, version


def test_the_table_shows_what_is_known_of_each_version():
    text = page(two(CLASSES))
    rows = [plain(row) for row in section(text, "Versions").split("<tr>")]
    [champion] = [row for row in rows if "champion" in row]
    for told in ("61.0 (58.0 to 64.0)", "1.50", "3.00", "2.00", "9.5", "ab12", "ann@box", "2026"):
        assert told in champion, told
    [foreign] = [row for row in rows if "a model of another tool" in row]
    assert foreign.count("-") >= 7
    assert section(text, "Accuracy against cost").count("<title>version") == 2 * 2


def test_the_paired_test_is_of_the_registered_weights():
    findings = two(CLASSES)
    of = findings.shared
    found = mcnemar(of.registered(0) == of.labels, of.registered(1) == of.labels)
    told = plain(section(page(findings), "Paired test"))
    assert f"version 1 right {found.both} {found.only_first}" in told
    assert f"version 1 wrong {found.only_second} {found.neither}" in told
    assert f"p = {found.p:.3g}" in told and "40 test images" in told
    own = replace(findings.pair[1].kept, own=1)
    own.answers.guesses[1] = own.answers.labels  # the second seed knows everything
    changed = shared(findings.pair[0].kept, own)
    assert (changed.registered(1) == changed.labels).all()
    assert pair.verdict(*findings.pair, changed).startswith("Version 2 is better")


def test_versions_are_paired_by_image_and_label():
    findings = two(CLASSES)
    one, other = (each.kept for each in findings.pair)
    order = np.arange(40)[::-1]
    answers = other.answers
    turned = replace(
        answers,
        ids=[answers.ids[i] for i in order],
        labels=answers.labels[order],
        guesses=answers.guesses[:, order],
    )
    again = shared(one, replace(other, answers=turned))
    assert again.ids == findings.shared.ids
    assert (again.guesses[1] == findings.shared.guesses[1]).all()
    turned.labels[:3] = (turned.labels[:3] + 1) % 4  # labelled anew
    assert len(shared(one, replace(other, answers=turned)).ids) == 37
    assert shared(one, replace(other, answers=replace(answers, classes=["a"]))) is None
    assert shared(one, Kept()) is None


def test_classes_confusions_and_images_of_both_sides():
    findings = two(CLASSES)
    of, text = findings.shared, page(findings)
    first = section(text, "By class").partition('class="row"')[2].partition("</div></div>")[0]
    gains = []
    for index in range(4):
        its = of.labels == index
        gains.append(100 * (of.hits(1)[:, its].mean() - of.hits(0)[:, its].mean()))
    largest = max(gains, key=abs)
    assert CLASSES[gains.index(largest)] in first
    assert f"{largest:+.1f}" in plain(section(text, "By class"))
    shown = section(text, "Images where they disagree")
    right = [of.registered(side) == of.labels for side in (0, 1)]
    for version_, only in (("1", right[0] & ~right[1]), ("2", right[1] & ~right[0])):
        assert f"Only version {version_} is right: {only.sum()} images" in shown
    assert shown.count("<img") == sum(min(12, (right[i] & ~right[1 - i]).sum()) for i in (0, 1))
    assert "taken for" in section(text, "Confusions that changed")


def test_params_data_and_code_tell_what_differs():
    text = page(two(CLASSES))
    assert re.search(r"rate 0.1 0.2", plain(section(text, "Params")))
    assert "corpus.size 32 48" in plain(section(text, "Params"))
    data = plain(section(text, "Data"))
    assert "posts 8,000 8,100" in data and "as usual 20 25" in data
    assert "New hashtags (1, with their posts): new 2" in data
    assert "Hashtags that went (1, with their posts): old 2" in data and "sea 5 7" in data
    code = plain(section(text, "Code"))
    assert "flows/a.py changed" in code and "gone.py removed" in code and "as usual added" in code
    assert "flows/a.py | 2 +-" in code


@pytest.mark.parametrize("nasty", NASTY)
def test_strangers_text_stays_text(nasty):
    findings = two([*CLASSES, nasty], text=nasty)
    seen = Page(page(findings))
    assert not {"script", "object", "iframe", "form", "input"} & set(seen.tags)
    assert not [key for key, _ in seen.attributes if key.startswith("on")]
    for value in seen.values("src"):
        assert value.startswith("data:image/jpeg;base64,")
    assert all(value.startswith(("#", "http://box/")) for value in seen.values("href"))
    assert "\x1b" not in seen.text and "\x00" not in seen.text


def test_a_registry_of_other_tools_has_a_page():
    bare = [Version(number=str(number)) for number in (2, 1)]
    text = page(Findings(name="a", address="x", versions=bare, pair=(bare[1], bare[0])))
    assert "No paired test" in text and "keeps no answers of version 1 and 2" in text
    assert "There is no version yet" in page(Findings(name="a", address="x", versions=[]))


def test_warnings():
    findings = two(CLASSES)
    assert cautions.all_of(findings) == []
    loud = version("1", {"busy": "load 3", "device": "gpu", "test": "zz"})
    told = " ".join(cautions.all_of(replace(findings, pair=(loud, findings.pair[1]), champion="2")))
    for words in ("tested on other images", "set elsewhere", "Times of version 1", "gpu and cpu"):
        assert words in told
    assert "keeps no answers of version 1:" in told
    assert "(busy)" in table.cost(loud, "latency_p50_ms")


def test_only_versions_of_one_test_split_are_plotted():
    findings = two(CLASSES)
    other = version("4", {"test": "zz"})
    versions = [other, *findings.versions]
    assert other not in table.comparable(replace(findings, versions=versions))
    assert table.comparable(replace(findings, versions=[other], pair=None)) == [other]


def of_error(findings: Findings) -> Findings:
    """Both versions by a metric in pixels of which less is better, with a value per sample."""
    pair_ = []
    for side, each in enumerate(findings.pair):
        tags = {"tagdag.headline": "pixel_error", "tagdag.higher": "False", "tagdag.unit": "px"}
        values = np.array([[3.0, 4.0, 5.0, np.nan]] * 2) - 2 * side
        # the second's samples in another order, and one more
        ids = ["a", "b", "c", "d"] if not side else ["c", "b", "a", "d"]
        values = values if not side else values[:, [2, 1, 0, 3]]
        kept = Kept(values=Values(ids, values))
        pair_.append(replace(each, tags=each.tags | tags, kept=kept))
    return replace(findings, pair=tuple(pair_), versions=[*findings.versions[:1], *pair_])


def test_versions_of_another_metric_are_compared_sample_by_sample():
    findings = of_error(two(CLASSES))
    text = page(findings)
    told = plain(section(text, "Paired test"))
    assert "On 3 samples and 2 seeds, paired, version 2 is better by +2 px" in told
    assert "(95 % interval +2 to +2)" in told
    assert "pixel error px (95 % interval)" in plain(section(text, "Versions"))
    assert "pixel error 61 px (58 to 64)" in plain(text)
    mixed = replace(findings, pair=(two(CLASSES).pair[0], findings.pair[1]))
    assert "No paired test" in plain(section(page(mixed), "Paired test"))


def test_long_lists_are_cut():
    rows = [(f"key {number}", number, None) for number in range(200)]
    parts = changes._table(two(CLASSES), rows)
    assert (
        "120 more are not shown" in parts[1] and "key 79" in parts[0] and "key 80" not in parts[0]
    )


TRAIL = [
    Entry("1", "", "", "promote", "", "1", ""),
    Entry("2", "", "", "promote", "1", "3", ""),
]


@pytest.mark.parametrize(
    ("trail", "named", "pair_"),
    [
        ([], {"champion": "1", "challenger": "3"}, ["1", "3"]),
        (TRAIL, {"champion": "3", "challenger": "3"}, ["3", "1"]),
        ([], {"champion": "3", "challenger": "3"}, ["3", "4"]),
        ([], {"challenger": "2"}, ["2", "4"]),
        ([], {}, ["4", "3"]),
        ([], {"champion": "9"}, []),
    ],
)
def test_which_two_are_compared(trail, named, pair_):
    assert default_pair(trail, named, ["4", "3", "2", "1"]) == pair_
    assert default_pair([], {}, []) == []
