"""One's own posts into data/, to a real S3 server and back on another clone.

And what happens to bad ones.
"""

import contextlib
import io
import json
import os
import pty
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows import version
from flows.data import intact
from flows.tracking import tracking
from tests.flows.test_pipeline import clone
from tests.support.commands import run
from tests.support.encoded import film

TAGS = [["#Beach", "sea"], ["sunset"], ["Meer", "beach"], []]


def photograph(seed: int) -> bytes:
    """A JPEG of noise, 40 x 30 pixels."""
    pixels = np.random.default_rng(seed).integers(0, 255, (30, 40, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture
def own(tmp_path) -> Path:
    """A folder of photographs with a manifest in which half of the rows have something wrong."""
    folder = tmp_path / "own"
    folder.mkdir()
    for i in range(4):
        (folder / f"{i}.jpg").write_bytes(photograph(i))
    (folder / "short.jpg").write_bytes(photograph(9)[:200])
    rows = [{"image": f"{i}.jpg", "hashtags": tags, "user": "u"} for i, tags in enumerate(TAGS)]
    rows += [{"image": "gone.jpg", "hashtags": ["x"]}, {"image": "short.jpg", "hashtags": ["y"]}]
    (folder / "posts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "labels.csv").write_text(
        "image,label,split\n0.jpg,a,train\n1.jpg,b,val\n2.jpg,a,test\n"
    )
    (folder / "wrong.csv").write_text("picture,hashtags\n0.jpg,sea\n")
    return folder


@pytest.fixture
def place(tmp_path, empty_store) -> Path:
    """A clone without data."""
    folder = clone(tmp_path / "clone", small=False)
    shutil.copyfile(empty_store, folder / "mlflow.db")  # to make its tables takes seconds
    return folder


def add(place: Path, own: Path, *arguments: str, code: int = 0, **env: str) -> str:
    command = ("python", "-m", "flows.version", "add", "--images", str(own), *arguments)
    return run(place, *command, code=code, **env)


def test_own_posts_go_through_a_remote_to_another_clone(place, own, s3, tmp_path):
    run(place, "dvc", "remote", "add", "-q", "-d", "store", f"s3://{s3.bucket}/dvc")
    told = add(
        place,
        own,
        "--posts",
        str(own / "posts.jsonl"),
        "--labels",
        str(own / "labels.csv"),
        "--target",
        "mine",
    )
    assert "posts: 3 added, 0 there already, 3 refused" in told and "1 x truncated" in told
    assert "targets/mine: 3 added, 0 there already, 0 refused" in told and "pushed" in told
    line = "before a run: tasks.mine.data: mine has train images of 1 class, and two are the fewest"
    assert line in told
    reasons = {
        r["image"]: r["reason"] for r in map(json.loads, (place / "data/quarantine.jsonl").open())
    }
    assert set(reasons) == {"3.jpg", "gone.jpg", "short.jpg"}
    assert "secret-of-tests" not in told + (place / ".dvc/config").read_text()
    run(place, "git", "add", "-A")
    run(place, "git", "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", "own")
    run(tmp_path, "git", "clone", "-q", str(place), "other")
    run(tmp_path / "other", "python", "-m", "flows.version", "restore")
    for file in sorted((place / "data").rglob("*")):
        if file.is_file():
            assert (tmp_path / "other" / file.relative_to(place)).read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--posts", "{own}/wrong.csv"], "lacks column image"),
        (["--posts", "{own}/none.csv"], "none.csv"),
        ([], "nothing to add"),
        (["--posts", "s3://no-such-bucket/posts.csv"], "s3://"),
    ],
)
def test_bad_manifests_are_told_and_nothing_is_replaced(place, own, arguments, message):
    (place / "data").mkdir()
    (place / "data/kept").write_text("x")
    env = {
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "hidden",
    }
    told = add(place, own, *(a.format(own=own) for a in arguments), code=2, **env)
    assert message in told and "Traceback" not in told and "hidden" not in told
    assert (place / "data/kept").read_text() == "x"


def test_more_posts_are_added_and_replaced_on_demand(place, own):
    manifest = own / "posts.jsonl"
    add(place, own, "--posts", str(manifest))
    before = {path.name: path.read_bytes() for path in (place / "data/posts").iterdir()}
    with manifest.open("a") as file:
        file.write(json.dumps({"image": "0.jpg", "hashtags": ["beach"], "id": "again"}) + "\n")
    told = add(place, own, "--posts", str(manifest))
    assert "posts: 1 added, 3 there already, 3 refused" in told
    changed = [
        name for name, held in before.items() if (place / "data/posts" / name).read_bytes() != held
    ]
    assert changed == ["store.json"]
    assert "posts: 4 added, 0 there already" in add(
        place, own, "--posts", str(manifest), "--replace"
    )


def test_tar_shards_are_a_source_here_and_on_s3(place, own, s3):
    with tarfile.open(own / "00000.tar", "w") as tar:
        for i in range(3):
            tar.add(own / f"{i}.jpg", f"{i:05d}.jpg")
            about = json.dumps(
                {"caption": "a day at the #sea #sun", "key": f"{i:05d}", "status": "success"}
            ).encode()
            info = tarfile.TarInfo(f"{i:05d}.json")
            info.size = len(about)
            tar.addfile(info, io.BytesIO(about))
    told = add(place, own, "--posts", str(own / "00000.tar"))
    assert "posts: 3 added, 0 there already, 0 refused" in told
    stored = (place / "data/posts/00000.jsonl").read_text()
    assert json.loads(stored.splitlines()[0])["hashtags"] == ["sea", "sun"]
    s3.client.upload_file(str(own / "00000.tar"), s3.bucket, "shards/00000.tar")
    told = add(place, own, "--posts", f"s3://{s3.bucket}/shards/", "--replace")
    assert "posts: 3 added" in told and (place / "data/posts/00000.jsonl").read_text() == stored
    assert not (place / ".tagdag/spool").exists() and "secret-of-tests" not in told


def all_files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(paths)}


def runs(place: Path) -> int:
    with contextlib.closing(sqlite3.connect(place / "mlflow.db")) as base:
        return base.execute("SELECT count(*) FROM runs").fetchone()[0]


def test_a_correction_is_told_then_tried_then_taken(place, own):
    labels = own / "labels.csv"
    source = ("--labels", str(labels), "--target", "mine")
    assert "images: 1 train, 1 val, 1 test" in add(place, own, *source)
    labels.write_text(labels.read_text().replace("2.jpg,a,test", "2.jpg,c,train"))
    told = add(place, own, *source)
    assert "0 added, 3 there already" in told and "1 of them differs" in told and "--update" in told
    assert "id 2.jpg: label 'a' -> 'c', split 'test' -> 'train'" in told
    before, count = all_files(place / "data") | all_files(place / ".dvc"), runs(place)
    pointer = (place / "data.dvc").read_bytes()
    told = add(place, own, *source, "--update", "--dry-run", "--sheet", "sheet.html")
    assert "0 would be added, 1 would be changed, 2 there already" in told
    assert "note: no test split: 20% of train" in told
    assert all_files(place / "data") | all_files(place / ".dvc") == before and runs(place) == count
    assert (place / "data.dvc").read_bytes() == pointer
    assert "c</bdi>" in (place / "sheet.html").read_text()
    told = add(place, own, *source, "--update")
    assert "0 added, 1 changed, 2 there already" in told
    assert (place / "data.dvc").read_bytes() != pointer
    assert "files are what was written" in run(place, "python", "-m", "flows.version", "verify")


@pytest.mark.parametrize("replace", [False, True])
def test_posts_stay_when_the_labels_cannot_be_read(place, own, replace, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setattr(tracking, "connect", lambda: None)
    before = all_files(place / "data"), (place / "data.dvc").read_bytes()
    with pytest.raises(ValueError, match=r"nowhere\.csv"):
        version.version(str(own / "posts.jsonl"), "/nowhere.csv", str(own), "mine", replace)
    assert (all_files(place / "data"), (place / "data.dvc").read_bytes()) == before
    (own / "one.csv").write_text("image,label,split\n0.jpg,a,train\n1.jpg,a,test\n")
    with pytest.raises(ValueError, match="one class only, 'a'"):
        version.version(str(own / "posts.jsonl"), str(own / "one.csv"), str(own), "mine", replace)
    assert (all_files(place / "data"), (place / "data.dvc").read_bytes()) == before
    assert intact.read_note("importing") == ""


def test_options_that_contradict_are_told(own):
    with pytest.raises(ValueError, match="give one of them"):
        version.version(posts=str(own / "posts.jsonl"), replace=True, update=True)
    with pytest.raises(ValueError, match="give --dry-run too"):
        version.version(posts=str(own / "posts.jsonl"), sheet="x.html")
    with pytest.raises(ValueError, match="--posts-kind is what the posts of --posts SOURCE are of"):
        version.version(labels=str(own / "labels.csv"), posts_kind="video_posts")


STEER = "\x1b]0;title\x07\x1b[31mred\x9b2J\u202egpj\r海"


def on_a_terminal(place: Path, *command: str) -> bytes:
    """What a command writes to a terminal of its own."""
    ours, theirs = pty.openpty()
    env = {
        k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_", "TAGDAG_"))
    }
    process = subprocess.Popen(
        command, cwd=place, env=env | {"TERM": "xterm"}, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # EIO: the other side is closed
        part = os.read(ours, 1 << 16)
        while part:
            shown += part
            part = os.read(ours, 1 << 16)
    os.close(ours)
    assert process.wait() == 0, shown.decode(errors="replace")
    return shown


def test_the_kind_of_a_set_is_given_once(place, own):
    table = own / "tags.csv"
    table.write_text("image,tags,split\n0.jpg,cat;dog,train\n1.jpg,[],train\n2.jpg,,train\n")
    source = ("--labels", str(table), "--target", "pets")
    tried = add(place, own, *source, "--kind", "tags", "--dry-run")
    told = add(place, own, *source, "--kind", "tags")
    for said in (tried, told):
        assert "2 classes; images: 2 train, 0 val, 0 test" in said and "1 x no tag" in said
    assert "a task with `data: targets/pets` in params.yaml" in told
    table.write_text("image,tags,split\n3.jpg,dog,test\n")
    assert "targets/pets: 1 added" in add(place, own, *source)
    refused = add(place, own, *source, "--kind", "labels", code=2)
    assert "targets/pets holds tags, and --kind labels was asked for" in refused
    assert "Traceback" not in refused
    fault = add(place, own, "--posts", str(own / "posts.jsonl"), "--kind", "tags", code=2)
    assert "--kind is what the images of --labels SOURCE come with: give both" in fault
    (own / "film.mp4").write_bytes(film())
    posts = own / "films.csv"
    posts.write_text("video,hashtags\nfilm.mp4,#sea\n0.jpg,#sea\n")
    said = add(place, own, "--posts", str(posts), "--posts-kind", "video_posts", "--dry-run")
    assert "posts: 1 would be added" in said and "1 x an image" in said


def test_names_of_strangers_do_not_crash_a_pipe(place, own):
    """A refused row is told with its image and its reason, to a pipe that takes ASCII only."""
    with (own / "posts.jsonl").open("a") as file:
        file.write(json.dumps({"image": f"{STEER}.jpg", "hashtags": [STEER]}) + "\n")
        file.write(
            json.dumps({"image": "0.jpg", "hashtags": ["x"], "id": "z", "time": STEER}) + "\n"
        )
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    told = add(place, own, "--posts", str(own / "posts.jsonl"), **plain)
    assert r"\x1b]0;title\x07\x1b[31mred\x9b2J" in told and "data version" in told
    assert told.isascii() and all(letter.isprintable() or letter in "\n\t" for letter in told)


def test_names_of_strangers_do_not_steer_a_terminal(place, own):
    """A class folder's name is a label, a file's name is told where it is refused."""
    folder = own / "classes" / f"a{STEER}[red]"
    folder.mkdir(parents=True)
    (folder / f"{STEER}.jpg").write_bytes(b"no image")
    (folder / "good.jpg").write_bytes(photograph(5))
    (own / "classes" / "b").mkdir()
    (own / "classes" / "b" / "good.jpg").write_bytes(photograph(6))
    command = [
        sys.executable,
        "-m",
        "flows.version",
        "add",
        "--labels",
        str(own / "classes"),
        "--target",
        "mine",
    ]
    shown = on_a_terminal(place, *command).decode()
    assert r"\x1b]0;title\x07\x1b[31mred" in shown and "海" in shown
    assert not any(part in shown for part in ("\x1b]0;", "\x1b[31mred", "\x9b", "\u202e"))


@pytest.mark.parametrize("name", ["", ".", "../../benchmarks", ".hid", "x" * 300, "a+b(c)#", STEER])
def test_a_target_that_is_a_path_is_refused_before_anything(place, own, name, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setattr(tracking, "connect", lambda: pytest.fail("went on"))
    with pytest.raises(ValueError, match="--target: "):
        version.version(labels=str(own / "labels.csv"), target=name, replace=True)
    assert not (place / "data").exists() and (place / "benchmarks" / "kills.py").exists()


def test_a_folder_that_cannot_be_written_is_told(place, own):
    (place / "data").write_text("a file")
    told = add(place, own, "--posts", str(own / "posts.jsonl"), code=2)
    assert "there is a file where a folder must be" in told and "Traceback" not in told


def test_the_drawn_sample_is_what_data_dvc_names(place):
    """On a fresh clone without a remote the sample is drawn again, and its hash is the committed
    one.
    """
    committed = (place / "data.dvc").read_text()
    run(place, "python", "-m", "flows.version", "restore")
    assert (place / "data.dvc").read_text() == committed
    assert "up to date" in run(place, "dvc", "status", "data.dvc")


def test_a_damaged_file_is_found_by_the_command(place, own):
    add(place, own, "--posts", str(own / "posts.jsonl"))
    tar = place / "data/posts/00000.tar"
    data = bytearray(tar.read_bytes())
    data[700] ^= 1
    tar.write_bytes(data)
    told = run(place, "python", "-m", "flows.version", "verify", code=2)
    assert "data/posts/00000.tar: expected SHA-256" in told and "Traceback" not in told
    told = add(place, own, "--labels", str(own / "labels.csv"), code=2)
    assert "data/posts/00000.tar: expected SHA-256" in told
