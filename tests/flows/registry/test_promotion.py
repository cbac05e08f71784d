"""A person makes a version champion, or goes back: the trail keeps all, also of two at once."""

import threading

import pytest

from flows.registry import aliases, audit, promotion
from flows.tools import promote, rollback
from flows.tracking import tracking
from tests.support.records import record, registered


@pytest.fixture
def client(place):
    """A registry whose model `models` has the versions 1 to 4 and no champion."""
    found = tracking.connect()
    found.create_registered_model("models")
    for _ in range(4):
        found.create_model_version("models", "s3://elsewhere/model")
    return found


def leader() -> str:
    return str(tracking.connect().get_registered_model("models").aliases["champion"])


def said(name: str = "models") -> list[tuple[str, str, str]]:
    return [(entry.kind, entry.before, entry.after) for entry in audit.trail(name)]


def test_rollbacks_go_back_step_by_step(client):
    for version in "123":
        promotion.promote("models", version, "better")
    assert promotion.rollback("models", "worse after all").endswith("version 2: it was version 3")
    assert leader() == "2"
    promotion.promote("models", "4", "another")
    for version in "21":
        promotion.rollback("models", "back")
        assert leader() == version
    with pytest.raises(ValueError, match="knows no champion before the present one"):
        promotion.rollback("models", "back")
    assert said()[3:] == [
        ("rollback", "3", "2"),
        ("promote", "2", "4"),
        ("rollback", "4", "2"),
        ("rollback", "2", "1"),
    ]
    assert all("@" in entry.who and entry.when.endswith("Z") for entry in audit.trail("models"))


def test_a_change_by_a_person_is_news(client, monkeypatch):
    told = []
    monkeypatch.setattr(promotion, "champion_news", lambda *given: told.append(given))
    promotion.promote("models", "1", "first")
    promotion.promote("models", "2", "better")
    (_, _, before, now), (name, why, old, new) = told
    assert (before, str(now.version)) == (None, "1")
    assert (name, str(old.version), str(new.version)) == ("models", "1", "2")
    assert why.startswith("promote by ") and why.endswith(": better")


def test_a_rollback_passes_over_versions_that_were_deleted(client):
    for version in "123":
        promotion.promote("models", version, "better")
    client.delete_model_version("models", "2")
    promotion.rollback("models", "back")
    assert leader() == "1"


def test_a_champion_that_was_set_elsewhere_is_told_and_can_be_gone_back_from(client):
    promotion.promote("models", "1", "first")
    client.set_registered_model_alias("models", "champion", "3")
    assert promotion.history("models")[-1].startswith("champion is version 3: set elsewhere")
    promotion.rollback("models", "nobody knows why")
    assert leader() == "1" and said()[-1] == ("rollback", "3", "1")


def test_the_stage_and_people_write_one_trail(place):
    first, better = record("a", 60, 60, 50), record("b", 95, 95, 85)
    registered(first)
    registered(first, better)
    assert leader() == "2"
    promotion.rollback("models", "it fails on night photographs")
    assert "is now version 2: low end 85.0 %" in registered(first, better)
    kinds = ["automatic", "automatic", "rollback", "automatic"]
    assert [kind for kind, _, _ in said()] == kinds
    assert registered(first, better).startswith("Champion stays version 2")
    assert len(said()) == 4  # what stays is no entry


@pytest.mark.parametrize(
    ("version", "reason", "told"),
    [
        ("9", "why", "has no version 9, or it was deleted"),
        ("4", "why", "has no version 4, or it was deleted"),
        ("best", "why", "has no alias 'best'"),
        ("٣", "why", "has no alias"),
        ("1", "  ", "--reason is empty"),
        ("1", "x" * 2001, "2,000 at most"),
    ],
)
def test_what_cannot_be_promoted_is_refused(client, version, reason, told):
    client.delete_model_version("models", "4")
    with pytest.raises(ValueError, match=told):
        promotion.promote("models", version, reason)
    assert said() == []


def test_the_commands(client, capsys):
    promote.main(["1", "--reason", "the first", "--name", "models"])
    promote.main(["1", "--reason", "again", "--name", "models"])
    client.set_registered_model_alias("models", "challenger", "2")
    promote.main(["challenger", "--reason", "\x1b[31m<b>red</b>", "--name", "models"])
    rollback.main(["--name", "models"])
    promote.main(["--history", "--name", "models"])
    told = capsys.readouterr().out
    assert "is version 1 already: nothing was changed" in told and "\x1b" not in told
    assert len(told.splitlines()) == 4 + 3 and "rollback" in told.splitlines()[-1]
    with pytest.raises(SystemExit) as end:
        promote.main(["1", "--reason", "why", "--name", "none"])
    assert end.value.code == 2 and "has no model 'none'" in capsys.readouterr().err


def test_two_promotions_at_once_lose_no_entry(client, monkeypatch):
    promotion.promote("models", "1", "first")
    both, point, settle = threading.Barrier(2), aliases.point_alias, audit._settle

    def together(*given):
        # each has written its entry before either sets the alias: the order that loses most
        if threading.current_thread() is not threading.main_thread():
            both.wait(20)
        point(*given)

    monkeypatch.setattr(audit, "point_alias", lambda *given: together(*given))
    monkeypatch.setattr(audit, "_settle", lambda name: name)
    threads = [
        threading.Thread(target=promotion.promote, args=("models", version, f"by {version}"))
        for version in "23"
    ]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    monkeypatch.setattr(audit, "point_alias", point)
    assert {entry.reason for entry in audit.trail("models")} == {"first", "by 2", "by 3"}
    # whoever comes last to look, and whatever the alias was set to last
    for wrong in "23":
        client.set_registered_model_alias("models", "champion", wrong)
        assert settle("models") == leader() == audit.trail("models")[-1].after


def test_tags_that_are_no_entries_are_shown_and_harm_nothing(client):
    promotion.promote("models", "1", "first")
    for key, text in (("tagdag.audit.x", "{"), ("tagdag.audit.7", '{"when": 1}'), ("other", "x")):
        client.set_registered_model_tag("models", key, text)
    promotion.promote("models", "2", "second")
    promotion.rollback("models", "back")
    assert leader() == "1" and len(promotion.history("models")) == 5
