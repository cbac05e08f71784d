"""params.yaml as people write it: what is no YAML is told with its line."""

from pathlib import Path

import pytest

from flows.running.paramsfile import parsed

DEEP = "[" * 20_000


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "a: 1\nb: 2\na: 3\n",
            "p.yaml, lines 1 and 3: the key 'a' stands twice in one section: take one away",
        ),
        (
            "a: {b: 1,\n  c: {d: 2, e: 3,\n d: 3}}",
            "p.yaml, lines 2 and 3: the key 'd' stands twice",
        ),
        ("a: [{b: 1, b: 1}]", "p.yaml, lines 1 and 1: the key 'b' stands twice"),
        (
            "corpus: [1,\n",
            "p.yaml is not YAML: line 2, column 1: expected the node content, but found",
        ),
        ('a: "x\nb: 1', "that begins in line 1, column 4"),
        ("a: 1\n\tb: 2", "p.yaml is not YAML: line 2, column 1: found character"),
        ("a: 1\nb: \x01", "p.yaml is not YAML: line 2: a character that YAML does not allow"),
        ("a: *x", "p.yaml is not YAML: line 1, column 4: found undefined alias"),
        ("[1]: 2", "p.yaml is not YAML: line 1, column 1: found unhashable key"),
        (
            "a: !!python/object/apply:os.getcwd []",
            "line 1, column 4: could not determine a constructor",
        ),
        ("--- a\n--- b", "p.yaml is not YAML: line 2, column 1: but found another document"),
        (DEEP, "p.yaml is not YAML: its brackets are nested too deep"),
    ],
    ids=lambda text: text[:12],
)
def test_what_is_no_yaml_is_told_with_its_place(tmp_path, monkeypatch, text, says):
    monkeypatch.chdir(tmp_path)
    Path("p.yaml").write_text(text)
    with pytest.raises(ValueError) as told:
        parsed(Path("p.yaml"))
    assert says in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize(("encoding", "line"), [("latin-1", 2), ("utf-16", 1)])
def test_another_encoding_is_told_with_the_file_and_the_line(tmp_path, encoding, line):
    (tmp_path / "p.yaml").write_text("a: 1\nb: café\n", encoding=encoding)
    with pytest.raises(ValueError, match=f"p.yaml, line {line}: is not UTF-8: save it as UTF-8"):
        parsed(tmp_path / "p.yaml")


def test_numbers_are_those_that_dvc_reads(tmp_path):
    (tmp_path / "p.yaml").write_text(
        "\ufeffa: 1e-3\nb: '1e-3'\nc: 3.0e+6\nd: -2E5\ne: e5\nf: 7\ng: {<<: {a: 1}, a: 2}\n"
    )
    expected = {"a": 1e-3, "b": "1e-3", "c": 3e6, "d": -2e5, "e": "e5", "f": 7, "g": {"a": 2}}
    assert parsed(tmp_path / "p.yaml") == expected
