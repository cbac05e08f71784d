"""Damaged data stops a stage with its files and the cure, and data.dvc does not follow the damage.

Restore compares.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

import corpus.drawn.sample
from corpus.drawn.sample import draw_sample
from corpus.store import squares
from corpus.store.ingest import ingest
from flows.data import intact, pointer
from flows.data.restore import restore_data
from flows.running import settings
from tests.corpus.store.test_ingest import post
from tests.corpus.test_checksums import flip
from tests.support.corpora import build_with

ROOT = Path(__file__).parents[3]
TAR, SECOND = Path("data/posts/00000.tar"), Path("data/targets/scenes/00000.jsonl")


def dvc(*arguments: str) -> str:
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A DVC repository with a small drawn sample as its data."""
    from dvc.repo import Repo

    folder = tmp_path_factory.mktemp("made") / "project"
    folder.mkdir()
    draw_sample(folder / "data", posts=40, labelled=(2, 1, 1))
    with Repo.init(str(folder), no_scm=True) as repo:
        (folder / ".dvcignore").write_text((ROOT / ".dvcignore").read_text())
        repo.add(str(folder / "data"))
    return folder


@pytest.fixture
def place(made, tmp_path, monkeypatch) -> Path:
    """A copy of it to work in."""
    shutil.copytree(made, tmp_path / "project", symlinks=True)
    monkeypatch.chdir(tmp_path / "project")
    few = partial(draw_sample, posts=40, labelled=(2, 1, 1))
    monkeypatch.setattr(corpus.drawn.sample, "draw_sample", few)
    return tmp_path / "project"


@pytest.mark.parametrize("file", [TAR, SECOND])
def test_a_flip_in_the_data_stops_with_file_and_cure_and_the_cure_helps(place, file):
    intact.check_data()
    good = file.read_bytes()
    flip(file)
    for _ in range(2):
        with pytest.raises(
            ValueError, match=rf"{file}: expected SHA-256 \w{{64}}, found \w{{64}}\n.*`dvc checkout"
        ):
            intact.check_data()
    dvc("checkout", "--force", "data.dvc")
    intact.check_data()
    assert file.read_bytes() == good


def test_another_import_in_its_place_is_a_cure(place, tmp_path):
    flip(TAR)
    ingest([post(tmp_path, number) for number in range(3)], Path("data"), "posts", replace=True)
    intact.check_data()


def test_a_flip_is_not_taken_into_data_dvc_by_dvc_repro(place):
    """`dvc repro` hashes data/ and writes data.dvc before any stage of ours runs."""
    command = f"{sys.executable} -c 'from flows.data import intact; intact.check_data()'"
    Path("dvc.yaml").write_text(f"stages:\n  corpus:\n    cmd: {command}\n    deps: [data]\n")
    before, good = pointer.pointer_text(), TAR.read_bytes()
    assert "error" not in dvc("repro").lower()
    flip(TAR)
    told = dvc("repro")
    assert (
        f"{TAR}: expected SHA-256" in told
        and "data.dvc up to the damage, it is as before again" in told
    )
    assert pointer.pointer_text() == before
    assert "failed to reproduce" in dvc("repro") and pointer.pointer_text() == before
    dvc("checkout", "--force", "data.dvc")
    assert TAR.read_bytes() == good and "failed" not in dvc("repro")


def test_without_a_note_the_committed_data_dvc_is_taken_back(place):
    subprocess.run(
        "git init -q && git add data.dvc && git -c user.name=t -c user.email=t@t commit -qm x",
        shell=True,
    )
    before = pointer.pointer_text()
    flip(TAR)
    dvc("add", "data")
    assert pointer.pointer_text() != before
    with pytest.raises(ValueError, match="as before again"):
        intact.check_data()
    assert pointer.pointer_text() == before


def test_a_damaged_list_of_shards_is_told(place):
    store = Path("data/posts/store.json")
    about = json.loads(store.read_text())
    about["shards"][0]["digest"] = "0" * 64
    store.write_text(json.dumps(about))
    with pytest.raises(
        ValueError, match=r"store\.json is damaged, its digest is not that of its shards"
    ):
        intact.check_data()


def test_a_store_with_the_name_of_no_set_is_told(place):
    shutil.copytree("data/targets/scenes", "data/targets/a+b(c)#")
    with pytest.raises(ValueError, match=r"data/targets: a labelled set: 'a\+b\(c\)#' is no name"):
        intact.check_data()


def test_nothing_is_hashed_again_where_nothing_has_changed(place, monkeypatch):
    intact.check_data()
    monkeypatch.setattr(intact, "stores", lambda: pytest.fail("looked at again"))
    intact.check_data()


@pytest.fixture(scope="module")
def corpus_of_made(made, tmp_path_factory) -> Path:
    """A folder with the training shards and the square images of that data."""
    folder = tmp_path_factory.mktemp("corpus")
    with contextlib.chdir(folder):
        build_with(made / "data", settings.OUT / "corpus", settings.STATE / "squares", min_posts=2)
    return folder


@pytest.fixture
def built(place, corpus_of_made) -> Path:
    """Training shards and square images in the place."""
    # in one call, which keeps what is linked in both linked
    whole = [corpus_of_made / settings.OUT, corpus_of_made / settings.STATE]
    subprocess.run(["cp", "-a", *whole, "."], check=True)
    [shards] = settings.OUT.glob("corpus/hashtags/*.tar")
    assert shards.stat().st_nlink > 1, "the square images are no hard links of it"
    return settings.OUT / "corpus"


@pytest.mark.parametrize("name", ["00000.tar", "index.parquet"])
def test_a_flip_in_the_training_shards_stops_with_file_and_cure(built, name):
    for folder in (built / "hashtags", built / "targets" / "scenes"):
        assert intact.checked_shards(folder) == folder
        flip(folder / name)
        with pytest.raises(
            ValueError, match=rf"{folder / name}: expected SHA-256 .*\n.*dvc repro --force corpus"
        ):
            intact.checked_shards(folder)
    (folder / "sha256.json").unlink()
    with pytest.raises(ValueError, match=r"sha256\.json is missing: `dvc checkout`"):
        intact.checked_shards(folder)


def test_every_reader_of_training_shards_looks_at_them_first(built):
    from flows.training import learning

    flip(built / "hashtags" / "00000.tar")
    flip(built / "targets" / "scenes" / "00000.tar")
    for read in (
        lambda: learning.split_samples("hashtags", "train", {"name": "hashtags"}),
        lambda: learning.split_samples("targets/scenes", "train", {"name": "supervised"}),
        lambda: intact.folder_of("scenes"),
    ):
        with pytest.raises(ValueError, match="expected SHA-256"):
            read()
    for name in ("../corpus/hashtags", "targets/../hashtags", "posts"):
        with pytest.raises(ValueError, match="data: "):
            learning.split_samples(name, "train", {"name": "hashtags"})


@pytest.mark.parametrize("name", ["images.tar", "index.parquet", "sha256.json"])
def test_a_flip_in_the_square_images_is_made_good(built, name, caplog):
    """They are hard links of the training shards: a flip there is one here."""
    before = {path.name: path.read_bytes() for path in (built / "hashtags").iterdir()}
    [victim, *_] = sorted((settings.STATE / "squares").glob(f"*/{name}"))
    if name == "sha256.json":
        victim.write_text("{")
    else:
        flip(victim)
    build_with(Path("data"), built, settings.STATE / "squares", min_posts=2)
    assert {path.name: path.read_bytes() for path in (built / "hashtags").iterdir()} == before
    assert "the square images are made again" in caplog.text
    caplog.clear()
    made_again = []
    squares_make = squares.make_squares
    try:
        squares.make_squares = lambda *given: made_again.append(given) or squares_make(*given)
        build_with(Path("data"), built, settings.STATE / "squares", min_posts=2)
    finally:
        squares.make_squares = squares_make
    assert not made_again and not caplog.text


def test_verify_hashes_all_and_lists_every_bad_file(built):
    shown = []
    assert (
        intact.verify_files(lambda done, total, text: shown.append((done, total)))
        == len(shown)
        > 10
    )
    assert shown[-1][0] == shown[-1][1]
    [square] = list(settings.STATE.glob("squares/*/images.tar"))[:1]
    victims = [TAR, SECOND, built / "hashtags" / "index.parquet", square]
    intact.check_data()
    for victim in victims:
        flip(victim, keep_time=True)
    intact.check_data()  # nothing tells: that is what `verify` is for
    with pytest.raises(ValueError) as error:
        intact.verify_files(lambda *_: None)
    told = str(error.value)
    assert all(f"{victim}: expected SHA-256" in told for victim in victims)
    assert all(
        cure in told
        for cure in ("dvc checkout data.dvc", "dvc repro --force corpus", "images are made again")
    )
    with pytest.raises(ValueError, match="expected SHA-256"):  # what was found is not forgotten
        intact.check_data()


# ---- restore


def other_pointer() -> str:
    """Have data.dvc name other data that nobody has."""
    md5 = pointer.md5()
    text = pointer.pointer_text().replace(md5, f"{'0' * 32}.dir")
    pointer.POINTER.write_text(text)
    return text


def test_other_data_without_a_remote_is_refused_each_time_and_nothing_is_left(place):
    shutil.rmtree("data")
    text = other_pointer()
    for _ in range(3):
        with pytest.raises(
            ValueError, match=rf"data\.dvc names other data \(md5 {'0' * 32}\.dir\) than the drawn"
        ):
            restore_data()
        assert pointer.pointer_text() == text and not Path("data").exists()


def test_a_kill_after_the_drawing_is_no_second_chance(place):
    text = other_pointer()  # and data/ is the drawn sample
    for _ in range(2):
        with pytest.raises(ValueError, match=r"data/ is not what data\.dvc names \(md5 0+\.dir\)"):
            restore_data()
        assert pointer.pointer_text() == text and TAR.exists()


def test_data_that_is_as_named_is_compared_once(place, monkeypatch):
    restore_data()
    monkeypatch.setattr(pointer, "open_output", lambda: pytest.fail("compared again"))
    restore_data()
    Path("data/targets/scenes/00000.tar").touch()
    with pytest.raises(pytest.fail.Exception, match="compared again"):
        restore_data()


def test_what_is_not_there_comes_from_the_cache_or_is_drawn(place):
    before, good = pointer.pointer_text(), TAR.read_bytes()
    shutil.rmtree("data")
    restore_data()
    assert TAR.read_bytes() == good and pointer.pointer_text() == before
    shutil.rmtree("data")
    shutil.rmtree(".dvc/cache")
    restore_data()
    assert TAR.read_bytes() == good and pointer.pointer_text() == before
    SECOND.unlink()  # half pulled
    restore_data()
    assert SECOND.exists()


def test_half_of_the_data_without_cache_or_remote_is_told(place):
    SECOND.unlink()
    max(
        (path for path in Path(".dvc/cache").rglob("*") if path.is_file()),
        key=lambda path: path.stat().st_size,
    ).unlink()
    with pytest.raises(
        ValueError, match=r"of data/ 1 files lack, such as targets/scenes/00000\.jsonl"
    ):
        restore_data()


def test_an_edit_by_hand_is_told_and_stays(place, capsys):
    table = Path("data/posts/synonyms.tsv")
    table.write_text("seaside\tbeach\n")
    restore_data()
    assert table.read_text() == "seaside\tbeach\n"
    assert (
        "data/ has changed since data.dvc was written (posts/synonyms.tsv)"
        in capsys.readouterr().err
    )


def test_other_data_than_data_dvc_names_is_told(place):
    """As after `git pull` without `dvc checkout`: DVC would write data.dvc back."""
    text = pointer.pointer_text()
    draw_sample(Path("data"), posts=41, labelled=(2, 1, 1))
    with pytest.raises(ValueError, match=r"other data is in posts/00000\.jsonl"):
        restore_data()
    assert pointer.pointer_text() == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        *[
            ("", "it is empty"),
            ("outs: [", "no list of"),
            ("outs: []", "no list of"),
            ("- 1", "no list of"),
        ],
        *[
            ("x: 1", "no list of"),
            ("outs:\n- path: data\n", "no list of"),
            ("\udcff", "cannot be read"),
        ],
    ],
)
def test_a_damaged_data_dvc_is_told(place, text, message):
    pointer.POINTER.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=rf"data\.dvc .*{message}.*git checkout data\.dvc"):
        restore_data()


def test_data_that_is_a_file_or_a_link_to_nothing_or_a_cut_import_is_told(place):
    shutil.rmtree("data")
    Path("data").write_text("x")
    with pytest.raises(ValueError, match="data is no folder"):
        restore_data()
    Path("data").unlink()
    Path("data").symlink_to("nowhere")
    with pytest.raises(ValueError, match="link to nothing"):
        restore_data()
    Path("data").unlink()
    Path("data/.posts.part").mkdir(parents=True)
    Path("data/.posts.part/plan.sqlite").touch()
    with pytest.raises(ValueError, match="an import was cut"):
        restore_data()


def test_data_may_be_a_link(place):
    Path("data").rename("disk")
    Path("data").symlink_to("disk")
    intact.check_data()
    flip(TAR)
    with pytest.raises(ValueError, match="expected SHA-256"):
        intact.check_data()


def test_an_import_that_was_cut_is_left_to_go_on_where_it_is_started_again(place):
    """A schedule restores, then imports: what a kill has left must not stop it for ever."""
    draw_sample(Path("data"), posts=41, labelled=(2, 1, 1))  # stored, and not yet named by data.dvc
    pointer.POINTER.write_text("")
    intact.write_note(importing="yes")
    restore_data(cut=True)
    assert not pointer.POINTER.exists() and Path("data.dvc.damaged").exists() and TAR.exists()
    intact.write_note(importing="")
    Path("data.dvc.damaged").rename("data.dvc")
    with pytest.raises(ValueError, match=r"data\.dvc is damaged"):
        restore_data(cut=True)
