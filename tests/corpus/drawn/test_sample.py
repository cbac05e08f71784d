"""The drawn data set: its bytes repeat, its tags have the promised faults, its classes hide from
the tags.
"""

import hashlib
import io
import os
import re
import subprocess
import sys
from collections import Counter
from itertools import combinations, islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from corpus.drawn import painting, sample
from corpus.drawn.concepts import CLASSES, CONCEPT_OF, FORMS, SETTINGS, SHAPES, TEXTURES
from corpus.drawn.scenes import compose, concepts_in
from corpus.drawn.tagging import misspell
from corpus.kinds.labels import Label
from corpus.kinds.posts import Post
from corpus.sources.users import OFF_TOPIC, stream
from corpus.store.read import read_records, read_store
from corpus.store.write import write_store

ROOT = Path(__file__).parents[3]
SMALL = {"posts": 60, "labelled": (2, 1, 1)}


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sample") / "data"
    sample.draw_sample(folder, **SMALL)
    return folder


@pytest.fixture(scope="module")
def posts() -> list[Post]:
    return [post for post, _ in sample.post_records(0, 2500, 16)]


def forms(concept: str) -> set[str]:
    return {form for words in FORMS[concept] for form in words}


def known(post: Post) -> list[str]:
    return [CONCEPT_OF[tag.casefold()] for tag in post.hashtags if tag.casefold() in CONCEPT_OF]


def test_same_bytes_in_another_process(small, tmp_path):
    imports = "from pathlib import Path; from corpus.drawn.sample import draw_sample"
    call = f"{imports}; draw_sample(Path('again'), **{SMALL})"
    env = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7", "LC_ALL": "C"}
    subprocess.run([sys.executable, "-c", call], cwd=tmp_path, env=env, check=True)
    assert digests(tmp_path / "again") == digests(small)
    assert {"posts/synonyms.tsv", "posts/store.json", "targets/scenes/00000.tar"} <= digests(
        small
    ).keys()


def test_pixels_before_jpeg_are_the_known_ones():
    """A golden value: fails on a machine, or with a NumPy, that would not reproduce the
    committed data.dvc.
    """
    drawn = hashlib.sha256()
    for index in range(64):
        rng = stream(0, sample.SCENE, index)
        drawn.update(painting.expose(rng, *compose(rng), 32).tobytes())
    assert drawn.hexdigest()[:16] == "50d385d0070ba2df"


def labels_drawn(*counts: int) -> dict[str, bytes]:
    return {record.id: data for record, data in sample.label_records(0, counts, 32)}


def test_more_begin_with_the_same(small):
    longer = list(islice(sample.post_records(0, 1000, 32), 60))
    assert longer == list(read_store(small / "posts", Post))
    few, many = labels_drawn(2, 1, 1), labels_drawn(5, 2, 1)
    assert few.items() <= many.items()
    other = list(sample.post_records(1, 60, 32))
    assert not {data for _, data in other} & {data for _, data in longer}


def test_images_and_labels(small):
    labels = list(read_store(small / "targets" / "scenes", Label))
    per_class = Counter((label.label, label.split) for label, _ in labels)
    assert len(labels) == 40 and per_class.keys() >= {
        ("striped star", split) for split in sample.SPLITS
    }
    assert (
        set(per_class.values()) == {1, 2}
        and len({name for name, _ in per_class}) == len(CLASSES) >= 8
    )
    for data in [data for _, data in [*read_store(small / "posts", Post), *labels]]:
        image = Image.open(io.BytesIO(data))
        assert (image.format, image.mode, image.size) == (
            "JPEG",
            "RGB",
            (32, 32),
        ) and not image.getexif()
        assert np.asarray(image).std() > 5


@pytest.mark.parametrize("size", [16, 32, 96])
@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_scale_and_differ(shape, size):
    """Each shape covers a fair part of its disc, the same part at each size, and no two cover
    the same points.
    """
    axis = (np.arange(3 * size) + 0.5) / (1.5 * size) - 1
    inside = {name: test(axis[None], axis[:, None]) for name, test in painting.INSIDE.items()}
    assert 0.15 < inside[shape].mean() < 0.65
    for other in inside.keys() - {shape}:
        assert (inside[shape] ^ inside[other]).mean() > 0.08, other


@pytest.mark.parametrize("texture", [name for name in TEXTURES if name != "plain"])
def test_textures_mark_a_part(texture):
    axis = (np.arange(90) + 0.5) / 15
    marks = {name: mark(axis[None], axis[:, None]) for name, mark in painting.MARKED.items()}
    assert 0.2 < marks[texture].mean() < 0.6 and marks[texture].shape == (90, 90)
    assert all((marks[texture] ^ marks[other]).mean() > 0.15 for other in marks.keys() - {texture})


def test_settings_are_told_apart_by_their_mean_columns():
    """Nearest neighbour on blurred backdrops alone names the setting, so it can be learned."""
    drawn = [
        (name, painting.backdrop(stream(9, i), name, 32)) for i in range(12) for name in SETTINGS
    ]
    flat = np.array([canvas.reshape(4, 8, 4, 8, 3).mean((1, 3)).ravel() for _, canvas in drawn])
    distance = np.linalg.norm(flat[:, None] - flat[None], axis=-1) + np.diag(
        np.full(len(flat), np.inf)
    )
    hits = [drawn[i][0] == drawn[j][0] for i, j in enumerate(distance.argmin(1))]
    assert np.mean(hits) > 0.9


def test_classes_hide_from_the_posts(posts):
    scenes = [compose(stream(0, sample.SCENE, index)) for index in range(8000)]
    shown, parts = Counter(), Counter()
    for _, things in scenes:
        pairs = {(thing.shape, thing.texture) for thing in things}
        shown.update(pairs)
        parts.update({part for pair in pairs for part in pair})
    for pair in CLASSES:
        assert shown[pair] < 0.01 * len(scenes), pair
        assert min(parts[part] for part in pair) > 0.05 * len(scenes), pair
    combined = {
        one + two
        for shape, texture in CLASSES
        for a in forms(shape)
        for b in forms(texture)
        for one, two in ((a, b), (b, a))
    }
    assert not combined & {tag.casefold() for post in posts for tag in post.hashtags}


def test_tags_have_the_promised_faults(posts):
    tags = Counter(tag.casefold() for post in posts for tag in post.hashtags)
    counts = sorted(tags.values(), reverse=True)
    assert counts[0] > 20 * counts[len(counts) // 4], "a long tail"
    assert counts.count(1) > len(counts) / 4
    for languages in FORMS.values():
        for words in languages[:2]:
            assert tags.keys() & {*words}, words
    off_topic = np.mean([tag in OFF_TOPIC for tag in tags.elements()])
    spelt = np.mean([tag in CONCEPT_OF for tag in tags.elements()])
    useless = np.mean([not known(post) for post in posts])
    assert 0.15 < off_topic < 0.4 and 0.5 < spelt < 0.8 and 0.01 < useless < 0.12
    assert tags["redcircle"] + tags["redstar"] + tags["bluecircle"] > 0
    assert all(post.hashtags and len(set(post.hashtags)) == len(post.hashtags) for post in posts)


def test_tags_tell_of_the_picture_but_miss_things(posts):
    seen = [set(concepts_in(*compose(stream(0, sample.SCENE, i)))) for i in range(len(posts))]
    right = [
        concept in there for post, there in zip(posts, seen, strict=True) for concept in known(post)
    ]
    found = [
        concept in known(post) for post, there in zip(posts, seen, strict=True) for concept in there
    ]
    assert 0.93 < np.mean(right) < 0.999 and 0.35 < np.mean(found) < 0.75


def test_users_are_zipf_and_keep_to_a_language(posts):
    by_user = Counter(post.user for post in posts)
    assert 150 < len(by_user) <= sample.USERS
    assert by_user.most_common(1)[0][1] > 3 * np.median(list(by_user.values()))
    cyrillic = re.compile("[\u0430-\u044f]")
    scripts = {post.user for post in posts if cyrillic.search(" ".join(post.hashtags))}
    assert 0 < len(scripts) < 0.25 * len(by_user)
    assert len({post.time[:4] for post in posts}) == 2


def test_synonyms_are_right_and_incomplete(small):
    lines = (small / "posts" / "synonyms.tsv").read_text(encoding="utf-8").splitlines()
    table = dict(line.split("\t") for line in lines)
    assert (
        table["estrella"] == "star"
        and len(table) == len(lines)
        and not table.keys() & set(table.values())
    )
    truth = {form.casefold(): name for form, name in CONCEPT_OF.items()}
    assert table.items() < truth.items() and "звезда" not in table
    clashes = [(a, b) for a, b in combinations(FORMS, 2) if forms(a) & forms(b)]
    assert not clashes


def test_a_misspelling_is_one_edit_and_no_other_word():
    for number in range(300):
        wrong = misspell(stream(number, 0), "triangle")
        assert wrong not in CONCEPT_OF or wrong == "triangle"
        assert (
            abs(len(wrong) - 8) <= 1
            and wrong[0] == "t"
            and sum((Counter(wrong) - Counter("triangle")).values()) <= 1
        )


def test_redraws_a_sample_and_spares_other_data(small, tmp_path):
    folder = tmp_path / "data"
    sample.draw_sample(folder, posts=3, labelled=(1, 0, 0))
    (folder / ".posts.part").mkdir()
    (folder / ".posts.part" / "00000.jsonl").write_text("{")  # as a killed draw leaves it
    sample.draw_sample(folder, **SMALL)
    assert digests(folder) == digests(small)
    image = next(read_store(folder / "posts", Post))[1]
    for kept in (
        folder / "notes.txt",
        folder / "posts" / "mine.jpg",
        folder / "targets" / "birds" / "00000.jsonl",
    ):
        kept.parent.mkdir(exist_ok=True)
        kept.write_text("mine")
        with pytest.raises(ValueError, match="name an empty folder"):
            sample.draw_sample(folder, **SMALL)
        kept.unlink()
    write_store(folder / "posts", [(Post(id="1", image="1.jpg", hashtags=["a"]), image)])
    command = [sys.executable, "-m", "corpus.drawn.sample", str(folder)]
    refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (
        refused.returncode == 1
        and "not a drawn sample" in refused.stderr
        and "Traceback" not in refused.stderr
    )
    assert [post.id for post in read_records(folder / "posts", Post)] == ["1"]
