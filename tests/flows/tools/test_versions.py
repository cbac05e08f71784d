"""The command: a page out of a real registry, with versions of other tools and damaged files."""

from pathlib import Path

import pytest

from flows.reports.versions.gitdiff import changed_lines, plain_commit
from flows.tools import versions
from flows.tracking import tracking
from tests.support.modelreports import Made, plain, section
from tests.support.records import record, registered


@pytest.fixture
def made(place):
    """Two models with answers, the better one second, and a version of another tool."""
    made = Made(test=20)
    made.images()
    names = [
        made.model(*each)["model"]
        for each in (("baseline", "hashtags", "linear", 0.5), ("winner", "hashtags", "linear", 0.9))
    ]
    made.write()
    models = [made.models[0], made.models[1]]
    records = []
    for name, val, model in zip(names, (50, 90), models, strict=True):
        numbers = {key: model[key] for key in ("candidate", "low", "high")}
        one = record(name, model["value"], val, 0) | numbers
        records.append(one)
    registered(records[0])
    registered(*records)
    client = tracking.connect()
    client.create_model_version("models", "s3://elsewhere/model", tags={"owner": "<b>"})
    return made


def test_the_stage_leaves_the_page_and_the_command_makes_it_again(made, capsys):
    stage = Path("out/register/versions.html").read_text()
    versions.main(["models", "--out", "all.html"])
    told = capsys.readouterr().out
    text = Path("all.html").read_text()
    assert "champion" in told and "the page: all.html" in told
    first = plain(section(text, "Paired test"))
    assert first == plain(section(stage, "Paired test")) and "80 test images" in first
    assert section(text, "Images where they disagree").count("<img") > 0
    assert "a model of another tool" in section(text, "Versions")
    assert "there was no champion" in section(text, "Trail of the champion")
    run = tracking.connect().search_runs(
        [tracking.connect().get_experiment_by_name(tracking.EXPERIMENT).experiment_id],
        "tags.`tagdag.run` = 'register'",
    )[0]
    listed = tracking.connect().list_artifacts(run.info.run_id, "register")
    assert "register/versions.html" in {file.path for file in listed}


def test_a_pair_that_is_named_and_files_that_are_damaged(made, capsys, place):
    versions.main(["models", "--pair", "3,champion", "--versions", "1"])
    text = Path("versions.html").read_text()
    assert "keeps no answers of version 3:" in text and "No paired test" in text
    [first, *_] = place.glob("mlruns/**/compare/answers.parquet")
    first.write_bytes(b"no parquet")
    versions.main(["models", "--pair", "1,2"])
    assert "cannot be read" in plain(Path("versions.html").read_text())
    for given, told in (
        (["none"], "has no model 'none'"),
        (["models", "--versions", "9"], "has no version 9"),
        (["models", "--pair", "1,1"], "name two versions"),
    ):
        with pytest.raises(SystemExit) as end:
            versions.main(given)
        assert end.value.code == 2 and told in capsys.readouterr().err


def test_git_is_asked_about_commits_only():
    assert plain_commit("a" * 40 + "+changes") == "a" * 40
    for other in ("--output=x", "HEAD", "a" * 39, "unknown", ""):
        assert plain_commit(other) is None
        assert changed_lines(other, "b" * 40) == []
    assert changed_lines("a" * 40, "b" * 40) == []  # neither is known here
