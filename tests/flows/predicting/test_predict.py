"""`python -m flows.predict`: a row per image, the numbers of the stage evaluate, nothing lost."""

import csv
import json
import sys
import tarfile
from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from corpus.sources.unlabelled import Naming
from corpus.store.squares import _square
from engine.training.predicting import BATCH
from flows.data.importing import import_sources
from flows.measuring import records
from flows.predicting import images, kept, predict
from flows.predicting.weights import chosen_weights
from flows.tools import predict as command
from flows.tracking import tracking
from tests.support.photographs import encoded, photographs, picture, tiny_weights
from tests.support.records import registered, trained
from tests.support.shards import write_shards

SIZE, CLASSES = 24, ["sea", "dog", "cat, tabby", "=hill", "tree"]
PHOTOS = photographs(40)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Weights; photographs in a folder and in a tar; a table of them."""
    root = tmp_path_factory.mktemp("predict")
    tiny_weights(root / "classes.safetensors", "supervised", CLASSES, size=SIZE)
    tiny_weights(root / "hashtags.safetensors", "hashtags", CLASSES, size=SIZE)
    with tarfile.open(root / "photos.tar", "w") as tar:
        for number, (name, data) in enumerate(PHOTOS.items()):
            path = root / "photos" / f"{number % 2}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, BytesIO(data))
    (root / "photos" / "README.txt").write_text("no image")
    paths = [str(path.relative_to(root)) for path in sorted(root.glob("photos/*/*"))]
    (root / "table.csv").write_text("Photo,more\n" + "".join(f"{path},x\n" for path in paths))
    return root


def run(monkeypatch, folder: Path, *arguments: str, out: str = "out.csv") -> list[dict]:
    """Rows of the table that the command writes into the present folder."""
    weights = [] if "--model" in arguments else ["--model", str(folder / "classes.safetensors")]
    monkeypatch.setattr(sys, "argv", ["predict", *arguments, *weights, "--out", out])
    command.main()
    if out.endswith(".csv"):
        with Path(out).open(newline="") as file:
            return list(csv.DictReader(file))
    if out.endswith(".jsonl"):
        return [json.loads(line) for line in Path(out).read_text().splitlines()]
    return pq.read_table(out).to_pylist()


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_numbers_are_those_of_the_stage_evaluate_to_the_last_digit(here, made, monkeypatch):
    squares = [(Path(name).stem, _square(SIZE, (name, data))[0]) for name, data in PHOTOS.items()]
    rows = [(key, "test", jpeg, [0]) for key, jpeg in squares]
    write_shards(here / "scenes", rows, CLASSES, SIZE)
    weights = made / "classes.safetensors"
    task = {"metric": {"name": "accuracy"}}
    _, expected = records.tested(weights, here / "scenes", SIZE, set(), task, validated=0.0)
    for source in ("photos.tar", "photos/*/*", "photos"):
        found = run(monkeypatch, made, str(made / source), out="out.parquet")
        found = {Path(row["image"].replace(":", "/")).stem: row for row in found}
        assert len(found) == len(PHOTOS)
        ordered = [found[key] for key, _ in squares]
        assert [CLASSES[guess] for guess in expected.guess] == [row["class"] for row in ordered]
        scores = np.array([row["score"] for row in ordered], np.float32)
        if source == "photos.tar":
            # in the same batches: the very same floats
            assert np.array_equal(scores, expected.score)
        assert scores == pytest.approx(expected.score, rel=1e-6)


def test_a_table_and_standard_input_name_images_and_all_formats_say_the_same(
    here, made, monkeypatch
):
    parquet = run(monkeypatch, made, str(made / "photos"), "--top", "3", out="out.parquet")
    table = [str(made / "table.csv"), "--column", "photo", "--top", "3"]
    comma = run(monkeypatch, made, *table)
    names = "".join(f"{row['image']}\n" for row in parquet).encode()
    monkeypatch.setattr(sys, "stdin", type("Stdin", (), {"buffer": BytesIO(names)}))
    lines = run(monkeypatch, made, "-", "--top", "3", out="out.jsonl")
    assert [row["image"] for row in lines] == [row["image"] for row in parquet]
    for row, text, line in zip(parquet, comma, lines, strict=True):
        assert str(made / text["image"]) == row["image"]
        assert row["top"] == json.loads(text["top"]) == line["top"] and len(row["top"]) == 3
        assert row["class"] == text["class"] == line["class"] == row["top"][0]
        scores = np.array(row["top_scores"], np.float32)
        assert np.array_equal(np.array(json.loads(text["top_scores"]), np.float32), scores)
        assert np.array_equal(np.array(line["top_scores"], np.float32), scores)
        assert np.float32(text["score"]) == scores[0] and text["error"] == ""


def test_bad_images_have_a_row_with_their_reason_and_are_counted(here, made, monkeypatch, capsys):
    good = encoded(picture(50, 40), "PNG")
    files = {"a.png": good, "b.jpg": b"", "c.png": good[:-300], "d.jpg": b"no image at all"}
    for name, data in files.items():
        (here / name).write_bytes(data)
    names = [*files, "missing.jpg", "a\u001bm.png"]
    found = run(monkeypatch, made, *names, "--embed", "f.npy")
    assert [row["image"] for row in found] == names
    reasons = [row["error"].partition(":")[0] for row in found]
    assert reasons == ["", "empty", "truncated", "unknown format", *["file is missing"] * 2]
    assert [bool(row["class"]) for row in found] == [not reason for reason in reasons]
    assert np.isnan(np.load("f.npy")).any(1).tolist() == [bool(reason) for reason in reasons]
    told = capsys.readouterr()
    assert "6 images, 5 bad (1 empty, 1 truncated, 1 unknown format, 2 file is missing)" in told.out
    assert "bad: missing.jpg: file is missing" in told.err and "\u001b" not in told.err
    with pytest.raises(SystemExit) as stopped:
        run(monkeypatch, made, "b.jpg", "missing.jpg")
    assert stopped.value.code == 2 and len(Path("out.csv").read_text().splitlines()) == 3
    assert "none of the 2 images, 2 bad" in capsys.readouterr().err
    Path("empty").mkdir()
    with pytest.raises(SystemExit) as stopped:
        run(monkeypatch, made, "empty")
    assert stopped.value.code == 2 and "there is no image in empty" in capsys.readouterr().err
    assert not [path for path in here.iterdir() if path.name.startswith(".")]


def test_a_pretrained_network_gives_hashtags(here, made, monkeypatch, capsys):
    model = ["--model", str(made / "hashtags.safetensors")]
    top = run(monkeypatch, made, str(made / "photos.tar"), *model, "--top", "2", out="o.parquet")
    assert {len(row["hashtags"]) for row in top} == {2} and "class" not in top[0]
    low = run(
        monkeypatch, made, str(made / "photos.tar"), *model, "--threshold", "0.3", out="o.parquet"
    )
    assert {len(row["hashtags"]) for row in low} >= {1, 2}
    for row, other in zip(low, top, strict=True):
        assert all(score >= np.float32(0.3) for score in row["scores"])
        assert row["hashtags"][:1] == other["hashtags"][: min(1, len(row["hashtags"]))]
    tiny_weights(here / "puzzles.safetensors", "rotation", CLASSES, size=SIZE)
    puzzles = ["--model", "puzzles.safetensors"]
    with pytest.raises(SystemExit):
        run(monkeypatch, made, str(made / "photos.tar"), *puzzles)
    assert "predicts no names" in capsys.readouterr().err
    run(monkeypatch, made, str(made / "photos.tar"), *puzzles, "--embed", "features.parquet")
    assert pq.read_table("features.parquet")["features"].type.list_size > 1


def test_a_killed_command_goes_on_and_leaves_no_half_table(here, made, monkeypatch, capsys):
    tar, options = str(made / "photos.tar"), ["--batch", "8", "--embed", "f.npy"]
    expected = run(monkeypatch, made, tar, *options)
    features = Path("f.npy").read_bytes()
    Path("out.csv").unlink()
    append, seen = kept.Kept.append, []

    def killed(self, batch):
        if len(seen) == 3:
            # as a kill in the middle of a write would leave it
            self.file.write(b"half a frame")
            raise KeyboardInterrupt
        seen.append(len(batch))
        append(self, batch)

    monkeypatch.setattr(kept.Kept, "append", killed)
    with pytest.raises(SystemExit) as stopped:
        run(monkeypatch, made, tar, *options)
    assert stopped.value.code == 130 and not Path("out.csv").exists() and seen == [8] * 3
    seen.clear()
    monkeypatch.setattr(
        kept.Kept, "append", lambda self, batch: seen.append(len(batch)) or append(self, batch)
    )
    capsys.readouterr()
    assert run(monkeypatch, made, tar, *options) == expected and seen == [8, 8]
    assert "24 images are predicted already" in capsys.readouterr().err
    assert Path("f.npy").read_bytes() == features


def test_rows_of_other_images_or_another_network_are_not_taken_up(here, made):
    chosen = chosen_weights(str(made / "classes.safetensors"), None, here)
    predictor = predict.Predictor(chosen.weights, chosen.size)
    wanted = predict.Wanted(5, 0.0, False)
    schema = predict.kept_schema(predictor, wanted)
    named = images.Images([str(made / "photos")], Naming("image", None, here / "spool"))
    every = list(named)
    with kept.Kept(here / "k", schema, {"weights": 1}) as file:
        for batch in predict.look(predictor, every, wanted, 10, 2):
            file.append(batch)
    with kept.Kept(here / "k", schema, {"weights": 1}) as file:
        with pytest.raises(ValueError, match="another command is writing"):
            kept.Kept(here / "k", schema, {"weights": 1})
        assert predict._compared(file, iter(every))[0] == 40
        # the 13th has gone: the first batch stays
        done, rest = predict._compared(file, iter(every[:12] + every[13:]))
        assert done == 10 and [each.name for each in rest] == [
            each.name for each in every[10:12] + every[13:]
        ]
        assert predict._compared(file, iter(every))[0] == 10
    with kept.Kept(here / "k", schema, {"weights": 2}) as file:
        assert predict._compared(file, iter(every))[0] == 0


def test_suggested_images_go_back_into_the_data_once_they_have_labels(here, made, monkeypatch):
    photos, more = str(made / "photos"), ["--suggest", "6", "--suggest-out", "to/label.csv"]
    found = run(monkeypatch, made, photos, str(made / "photos.tar"), *more)
    with Path("to/label.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6 and {(row["label"], row["split"]) for row in rows} == {("", "train")}
    by_name = {row["image"]: row for row in found}
    for row in rows:
        assert row["guess"] == by_name[row["source"]]["class"]
        own = made / row["source"].replace("photos.tar:", "photos/0/")
        if own.is_file():
            assert Path("to", row["image"]).read_bytes() == own.read_bytes()
    # every image is there twice, and no two of those that are chosen are alike
    assert len({Path("to", row["image"]).read_bytes() for row in rows}) == 6
    tops = [json.loads(row["top_scores"]) for row in found]
    doubt = sorted(top[0] - top[1] for top in tops)
    # ten times as many are in doubt enough to be chosen from
    assert max(float(row["margin"]) for row in rows) <= doubt[59] + 1e-4
    with Path("to/label.csv").open("w", newline="") as file:
        out = csv.DictWriter(file, rows[0])
        out.writeheader()
        typed = ["", "sea", "sea", "dog", "dog", "sea"]
        out.writerows(row | {"label": label} for row, label in zip(rows, typed, strict=True))
    [account] = import_sources({"targets/more": "to/label.csv"}, None, False, False).values()
    assert account["kept"] == 5 and dict(account["refused"]) == {"no label": 1}


def test_s3_is_read_as_a_folder_is(here, made, monkeypatch, s3):
    for name in list(PHOTOS)[:3]:
        s3.client.put_object(Bucket=s3.bucket, Key=f"some/{name}", Body=PHOTOS[name])
    s3.client.put_object(Bucket=s3.bucket, Key="some/README.txt", Body=b"no image")
    s3.client.put_object(
        Bucket=s3.bucket, Key="some/x.tar", Body=(made / "photos.tar").read_bytes()
    )
    local = run(monkeypatch, made, str(made / "photos"))
    remote = run(monkeypatch, made, f"s3://{s3.bucket}/some")
    scores = {Path(row["image"]).name: row["score"] for row in local}
    assert len(remote) == 3 + len(PHOTOS)
    for row in remote:
        assert float(row["score"]) == pytest.approx(
            float(scores[row["image"].replace(":", "/").rpartition("/")[2]]), rel=1e-5
        )
    one = f"s3://{s3.bucket}/some/001.png"
    found = run(monkeypatch, made, one, f"s3://{s3.bucket}/gone.jpg")
    assert [row["error"] for row in found] == ["", "file is missing"]


def test_what_lies_in_a_folder_is_taken_by_its_ending_or_its_first_bytes(here, made):
    (here / "in").mkdir()
    (here / "in/photo").write_bytes(PHOTOS["000.jpeg"])
    (here / "in/notes").write_bytes(b"no image")
    (here / "in/.hidden.jpg").write_bytes(PHOTOS["000.jpeg"])
    (here / "in/all.tar").write_bytes((made / "photos.tar").read_bytes())
    found = images.Images(["in"], Naming("image", None, here / "spool"))
    names = [each.name for each in found]
    assert names == [*(f"in/all.tar:{name}" for name in PHOTOS), "in/photo"]
    assert found.left == Counter({"file that is no image": 1, "hidden file": 1})
    found._count()
    assert found.total == len(names)


def test_models_are_named_by_file_or_folder(here, monkeypatch):
    # a file needs no MLflow: its import would fail
    monkeypatch.setitem(sys.modules, "mlflow", None)
    folder = here / "out/pretrain/winner"
    tiny_weights(folder / "model.safetensors", "hashtags", CLASSES, size=48)
    tiny_weights(folder / "model-1.safetensors", "hashtags", CLASSES, size=48)
    chosen = chosen_weights(str(folder), None, here)
    assert (chosen.weights, chosen.size, chosen.tested) == (folder / "model.safetensors", 48, 48)
    bare = tiny_weights(here / "bare.safetensors", "hashtags", CLASSES)
    assert chosen_weights(str(bare), 40, here)[1:3] == (40, 40)
    with pytest.raises(ValueError, match="give their pixels with --size"):
        chosen_weights(str(bare), None, here)
    with pytest.raises(ValueError, match="there is no nowhere"):
        chosen_weights("nowhere", None, here)
    (here / "record.json").write_text(json.dumps({"size": 64}))
    assert chosen_weights(str(bare), None, here)[1:3] == (64, 64)
    assert chosen_weights(str(bare), 32, here)[1:3] == (32, 64)


def test_the_champion_is_taken_out_of_the_registry(place, made, monkeypatch, capsys):
    Path("out/corpus/targets/scenes").mkdir(parents=True)
    registered(trained("one", 0, size=SIZE))
    found = run(monkeypatch, made, str(made / "photos.tar"), "--model", "models:/models@champion")
    weights = ["--model", "out/one.safetensors", "--size", str(SIZE)]
    assert found == run(monkeypatch, made, str(made / "photos.tar"), *weights)
    assert chosen_weights("models:/models/1", None, place / "fetched")[1:3] == (SIZE, SIZE)
    run_id = tracking.connect().get_model_version("models", "1").run_id
    of_run = chosen_weights(f"runs:/{run_id}", None, place / "of run")
    assert of_run.weights.read_bytes() == Path("out/one.safetensors").read_bytes()
    for name, told in (("models:/models@best", "no alias 'best'"), ("models:/none/1", "no model")):
        with pytest.raises(SystemExit):
            run(monkeypatch, made, "x.jpg", "--model", name)
        assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--out", "x.txt"], "the ending tells the format"),
        (["--top", "0"], "--top 0: give 1 or more"),
        (["--threshold", "7"], "from 0 to 1"),
        (["--embed", "x.pickle"], ".parquet, .npy"),
    ],
)
def test_wrong_options_are_told_before_anything_is_read(here, monkeypatch, capsys, arguments, told):
    monkeypatch.setattr(sys, "argv", ["predict", "x.jpg", *arguments])
    with pytest.raises(SystemExit) as stopped:
        command.main()
    assert stopped.value.code == 2 and told in capsys.readouterr().err


def test_the_batch_is_that_of_the_stage_evaluate():
    assert BATCH == 512 and "(default: 512)" in Path(command.__file__).read_text()
