"""`python -m flows.predict` of videos: the numbers of the stage evaluate, and nothing lost."""

import csv
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from corpus.drawn.motions import Film, encoded, label_videos
from corpus.progress import unseen
from corpus.sources.source import source_rows
from corpus.spread import in_turn
from corpus.store.ingest import ingest
from corpus.store.squares import open_store
from corpus.targets import write_labelled
from engine.core.network import load_network, network, save_network
from engine.core.samples import open_split
from engine.training.predicting import policy_of, predicted
from flows.measuring import records
from flows.predicting.weights import chosen_weights
from flows.registry.loading import load_function
from flows.tools import predict as command
from tests.support.photographs import tiny_weights
from tests.support.records import record, registered
from tests.support.videos import TINY_CLIPS

SIZE, RATE, CLASSES = 24, 10, ["down", "left", "right", "up"]
VIEWS = {"name": "views", "clips": 3, "crops": 3}
OBJECTIVE = {"name": "supervised", "views": {"name": "clips", "frames": 4, "every": 2}}


def video_weights(file: Path, backbone: dict = TINY_CLIPS, **about) -> Path:
    """A weight file of an untrained network of clips, whose head tells them apart."""
    torch.manual_seed(0)
    sections = {"backbone": backbone, "objective": OBJECTIVE, "head": {"name": "linear"}}
    module = network(**sections, classes=len(CLASSES))
    torch.nn.init.normal_(module.head.fc.weight)
    known = {"size": SIZE, "frame_rate": RATE, "policy": VIEWS} | about
    save_network(file, module, sections, CLASSES, **known)
    return file


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Weights, videos, and the same videos as the test split of a corpus."""
    root = tmp_path_factory.mktemp("videos")
    (root / "in").mkdir()
    rows = []
    for number in range(6):
        film = Film(32, 6 + 5 * number, 15)
        _, data = next(iter(label_videos(number, 1, film)))
        rows.append((f"{number}.mp4", data))
    noise = np.random.default_rng(0).integers(0, 255, (9, 10, 18, 3), np.uint8)
    rows.append(("wide.mp4", encoded(noise.repeat(4, 1).repeat(4, 2), 7)))
    for name, data in rows:
        (root / "in" / name).write_bytes(data)
    still = [Image.fromarray(frame).resize((36, 20)) for frame in noise]
    still[0].save(root / "in/small.gif", save_all=True, append_images=still[1:], duration=90)
    names = sorted(path.name for path in (root / "in").iterdir())
    with (root / "in/table.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["id", "video", "label", "split"])
        out.writerows(
            [name, name, CLASSES[number % 4], "test"] for number, name in enumerate(names)
        )
    found = source_rows(str(root / "in/table.csv"), None, "clips", root / "spool")
    ingest(found, root / "data", "targets/motions", kind="clips")
    given = SIZE, root / "cache", in_turn, unseen, RATE
    store = open_store("targets/motions", root / "data/targets/motions", *given)
    write_labelled(store, root / "shards", {"val": 0.2, "test": 0.2})
    (root / "in/table.csv").unlink()
    video_weights(root / "clips.safetensors")
    tiny_weights(root / "images.safetensors", "supervised", CLASSES, size=SIZE)
    return root


def run(monkeypatch, weights: Path, *arguments: str, out: str = "out.parquet") -> list[dict]:
    """Rows of the table that the command writes into the present folder."""
    given = ["predict", *arguments, "--model", str(weights), "--out", out]
    monkeypatch.setattr(sys, "argv", given)
    command.main()
    if out.endswith(".csv"):
        with Path(out).open(newline="") as file:
            return list(csv.DictReader(file))
    return pq.read_table(out).to_pylist()


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("policy", [VIEWS, {"name": "plain"}])
def test_the_numbers_are_those_of_the_stage_evaluate(here, made, monkeypatch, policy):
    weights = video_weights(here / "own.safetensors", policy=policy)
    module, samples = load_network(weights)[0], open_split(made / "shards", "test")
    rows = records.samples_of(module, samples, SIZE)
    [(_, wanted, _)] = predicted(module, rows, policy_of({"policy": policy}))
    found = run(monkeypatch, weights, str(made / "in"), "--top", "4")
    by_name = {Path(row["video"]).name: row for row in found}
    assert len(by_name) == len(samples) == 8 and not any(row["error"] for row in found)
    for key, probabilities in zip(samples.ids, wanted["probabilities"].tolist(), strict=True):
        row = by_name[key.rpartition("/")[2]]
        given = dict(zip(row["top"], row["top_scores"], strict=True))
        assert [given[name] for name in CLASSES] == pytest.approx(probabilities, abs=2e-6)
        assert row["class"] == CLASSES[int(np.argmax(probabilities))]
    assert wanted["probabilities"].std(0).max() > 0.01


def test_bad_videos_have_a_row_with_their_reason_and_are_counted(here, made, monkeypatch, capsys):
    good = (made / "in/3.mp4").read_bytes()
    files = {"a.mp4": good, "b.mp4": good[: len(good) // 2], "c.avi": b"", "d.mkv": b"no video"}
    for name, data in files.items():
        (here / name).write_bytes(data)
    Image.new("RGB", (40, 30), "red").save("e.png")
    names = [*files, "e.png", "missing.webm"]
    found = run(monkeypatch, made / "clips.safetensors", *names, "--embed", "f.npy", out="o.csv")
    assert [row["video"] for row in found] == names
    reasons = [row["error"].partition(":")[0] for row in found]
    wanted = ["", "truncated", "empty", "unknown format", "an image", "file is missing"]
    assert reasons == wanted
    assert [bool(row["class"]) for row in found] == [not reason for reason in reasons]
    assert np.isnan(np.load("f.npy")).any(1).tolist() == [bool(reason) for reason in reasons]
    assert "6 videos, 5 bad (1 truncated, 1 empty" in capsys.readouterr().out
    # a network of images has no use for a video, and says so
    found = run(monkeypatch, made / "images.safetensors", "a.mp4", "e.png")
    assert [bool(row["class"]) for row in found] == [False, True]
    assert "a video (mp4), and this is a network of images" in found[0]["error"]


def scores_by_name(rows: list[dict]) -> dict[str, float]:
    """The score of each video by its file's name, in a folder or a tar."""
    return {row["video"].replace(":", "/").rpartition("/")[2]: row["score"] for row in rows}


def test_folders_tars_and_what_lies_between_them(here, made, monkeypatch, capsys):
    shutil.copytree(made / "in", "in")
    Path("in/notes.txt").write_text("no video")
    shutil.copy("in/0.mp4", "in/film")
    shutil.make_archive("films", "tar", "in")
    weights = made / "clips.safetensors"
    folder = run(monkeypatch, weights, "in")
    assert "left alone: 1 file that is no video" in capsys.readouterr().err
    tar = run(monkeypatch, weights, "films.tar", "--views", "3x3")
    by_name = [scores_by_name(rows) for rows in (folder, tar)]
    assert by_name[0].pop("film") == pytest.approx(by_name[0]["0.mp4"])
    assert by_name[0] == pytest.approx(by_name[1], abs=2e-6) and len(by_name[0]) == 8
    # one clip tells something else than nine views of it
    one = run(monkeypatch, weights, "in/4.mp4", "--views", "1x1")
    assert one[0]["score"] != pytest.approx(by_name[0]["4.mp4"], abs=1e-4)


def test_features_and_what_to_label_next(here, made, monkeypatch):
    asked = str(made / "in"), "--embed", "f.parquet", "--suggest", "3"
    run(monkeypatch, made / "clips.safetensors", *asked)
    features = pq.read_table("f.parquet")
    assert features.column_names == ["video", "features"] and len(features) == 8
    with Path("suggested.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 and list(rows[0])[:2] == ["video", "label"]
    for row in rows:
        assert Path(row["video"]).read_bytes() == Path(row["source"]).read_bytes()
        assert Path(row["video"]).suffix == Path(row["source"]).suffix


def test_a_weight_file_says_what_videos_it_wants(here, made, monkeypatch, capsys):
    chosen = chosen_weights(str(made / "clips.safetensors"), None, here)
    assert (chosen.size, chosen.frame_rate, chosen.policy) == (SIZE, RATE, VIEWS)
    bare = video_weights(here / "bare.safetensors", frame_rate=None, policy=None)
    with pytest.raises(SystemExit):
        run(monkeypatch, bare, str(made / "in/0.mp4"))
    assert "how many frames a second its videos had: give it with --frame-rate" in (
        capsys.readouterr().err
    )
    given = "--frame-rate", str(RATE), "--views", "3x3"
    own = run(monkeypatch, made / "clips.safetensors", str(made / "in/0.mp4"))
    assert run(monkeypatch, bare, str(made / "in/0.mp4"), *given) == own
    with pytest.raises(SystemExit):
        run(monkeypatch, bare, "x.mp4", "--views", "ten")


def test_a_killed_command_goes_on_where_it_was(here, made, monkeypatch, capsys):
    weights = made / "clips.safetensors"
    whole = run(monkeypatch, weights, str(made / "in"), "--batch", "2")
    from flows.predicting.kept import Kept

    append, count = Kept.append, []

    def dying(self, batch):
        append(self, batch)
        count.append(len(batch))
        if len(count) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Kept, "append", dying)
    with pytest.raises(SystemExit):
        run(monkeypatch, weights, str(made / "in"), "--batch", "2", out="again.parquet")
    monkeypatch.setattr(Kept, "append", append)
    again = run(monkeypatch, weights, str(made / "in"), "--batch", "2", out="again.parquet")
    assert again == whole and "4 videos are predicted already" in capsys.readouterr().err


def test_a_registered_version_predicts_videos_as_it_was_evaluated(place, made, monkeypatch):
    Path("out/corpus/targets").mkdir(parents=True)
    shutil.copytree(made / "shards", "out/corpus/targets/scenes")
    given = record("clips", value=50, val=50, low=40, policy=VIEWS)
    weights = video_weights(Path(given["weights"]))
    registered(given | {"size": SIZE, "input": [3, 4, SIZE, SIZE], "views": 9})
    films = sorted((made / "in").iterdir())
    own = run(monkeypatch, weights, *map(str, films))
    named = ["predict", *map(str, films), "--model", "models:/models@champion"]
    monkeypatch.setattr(sys, "argv", [*named, "--out", "champion.parquet"])
    command.main()
    assert pq.read_table("champion.parquet").to_pylist() == own
    served = load_function("models:/models@champion").predict(films, params={"top": 4})
    assert served["class"].tolist() == [row["class"] for row in own]
    assert served["score"].to_numpy() == pytest.approx([row["score"] for row in own], abs=2e-6)
