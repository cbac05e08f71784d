"""Names that become paths, and names of strangers on a terminal."""

from pathlib import Path

import pytest

from corpus.names import MOST, checked_name, checked_set, path_within, printable

HOSTILE = [
    "",
    ".",
    "..",
    "../x",
    "a/b",
    "/etc",
    ".hid",
    "-rf",
    "a+b(c)#",
    "a b",
    "a\n",
    "x" * (MOST + 1),
]
HOSTILE += [
    "vögel",
    "a.",
    "NUL",
    "com1.tar",
    "a\\b",
    "a\0b",
    "$HOME",
    "\x1b[2J",
    None,
    3,
    ["a"],
    "a" * 300,
]


@pytest.mark.parametrize("name", HOSTILE)
def test_what_may_not_become_a_path_is_refused_with_the_rule(name):
    with pytest.raises(ValueError, match=r"--target: .*(use 1 to 64|on Windows)") as error:
        checked_name(name, "--target")
    assert str(error.value).isprintable() and len(str(error.value)) < 400


@pytest.mark.parametrize("name", ["a", "7", "scenes", "my-birds_2.v1", "x" * MOST, "console", "a-"])
def test_plain_names_are_taken(name):
    assert checked_name(name, "--target") == name
    assert checked_set(f"targets/{name}", "search.data") == f"targets/{name}"


@pytest.mark.parametrize(
    "name", ["", "posts", "targets/", "targets/..", "hashtags/..", "../corpus", 1, None]
)
def test_images_in_the_corpus_are_named_by_two_forms_only(name):
    with pytest.raises(ValueError, match=r"^search\.data: "):
        checked_set(name, "search.data")
    assert checked_set("hashtags", "search.data") == "hashtags"


def test_a_path_stays_within_its_root_whatever_links_say(tmp_path):
    (tmp_path / "real" / "posts").mkdir(parents=True)
    (tmp_path / "data").symlink_to("real")
    root = tmp_path / "data"
    assert path_within(root / "posts", root) and path_within(root / "targets" / "new", root)
    (root / "out").symlink_to(tmp_path)
    for bad in (root, root / "..", root / "posts" / "..", root / "out" / "x", Path("/")):
        with pytest.raises(ValueError, match="nothing was changed"):
            path_within(bad, root)


def test_what_steers_a_terminal_is_escaped_and_letters_stay():
    assert printable("\x1b]0;title\x07\x1b[31m") == r"\x1b]0;title\x07\x1b[31m"
    for hostile in ("\x9b2J\x7f\r", "\u202egpj.exe\u2066", "\u2028\ud800"):
        told = printable(hostile)
        assert (
            told.isascii()
            and told.isprintable()
            and told.encode().decode("unicode_escape") == hostile
        )
    kept = "Ünïcode 海\u3000海 क\u200cष 👩\u200d👧 ❤️ नमस्ते"
    assert printable(kept) == kept
    assert printable("a\nb") == r"a\nb" and printable("a\nb", keep="\n") == "a\nb"
