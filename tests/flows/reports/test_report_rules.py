"""The corpus report on its rules: what each has merged, and the built-in table."""

from corpus.report.account import MERGING
from corpus.report.findings import Merged
from corpus.report.funnel import rules
from corpus.report.page import page
from tests.flows.reports.test_report import Page, findings


def test_the_page_tells_what_each_rule_has_merged():
    merged = {"stop": Merged(2, 700), "everyday": Merged(3, 4321)}
    text = Page(page(findings(merged=merged))).text
    assert "What the rules did" in text and "4,321" in text
    assert "What the rules did" not in Page(page(findings())).text


def test_the_built_in_table_is_told_and_whether_it_was_used():
    settings = {"min_posts": 5, "max_tags": 9, "vocabulary": "frequent", "wordnet": None}
    on = rules(settings | {"everyday": True}, ["pets"])
    assert "everyday.tsv" in on["everyday"] and "not used" not in on["everyday"]
    for off in ({"everyday": False}, {"everyday": True, "wordnet": "nouns.tsv"}):
        assert rules(settings | off, [])["everyday"].endswith("Here it was not used.")
    assert set(MERGING) - {"stop"} <= on.keys()
