"""The model of tags over labelled images: its probabilities, its marginal, independence of order.

Photographs too.
"""

import hashlib
import json
from collections import Counter
from math import sqrt

import pytest

from corpus.sources.classes import labelled_rows
from corpus.sources.labelled import Model, labelled_posts
from corpus.sources.users import OFF_TOPIC, user_of

FORMS = {"n1": ["dog", "hound", "puppy", "doggo"], "n2": ["cat"], "n3": ["car", "auto"]}
ABOVE = {"n1": [[["animal"]], [["thing"], ["being", "life"]]], "n2": [[["animal"]]], "n3": []}
SIZES = {"n1": 2000, "n2": 1000, "n3": 1000}
SILENT = {"missing": 0.0, "noise": 0.0, "synonym": 0.0, "hypernym": 0.0, "off_topic": 0.0}


def model(**rates) -> Model:
    return Model(SIZES, FORMS, ABOVE, **(SILENT | rates))


def drawn(made: Model, name: str, number: int = 4000) -> list[list[str]]:
    return [made.post(name, f"{name}/{i}.jpg")["hashtags"] for i in range(number)]


def share(hits) -> float:
    hits = list(hits)
    return sum(hits) / len(hits)


def near(found: float, expected: float, number: int = 4000) -> bool:
    return abs(found - expected) < 4 * sqrt(expected * (1 - expected) / number) + 1e-9


def test_without_rates_every_post_has_the_usual_form():
    assert drawn(model(), "n1", 50) == [["dog"]] * 50


def test_forms_follow_zipf_after_the_usual_one():
    counts = Counter(tag for [tag] in drawn(model(synonym=0.4), "n1"))
    for form, expected in zip(
        FORMS["n1"], [0.6, 0.4 * 6 / 11, 0.4 * 3 / 11, 0.4 * 2 / 11], strict=True
    ):
        assert near(counts[form] / 4000, expected)
    assert set(Counter(tag for [tag] in drawn(model(synonym=1.0), "n2", 50))) == {"cat"}


def test_missing_hypernyms_repeats_and_off_topic_tags_come_at_their_rates():
    common = {*OFF_TOPIC}
    assert near(share("dog" not in tags for tags in drawn(model(missing=0.3), "n1")), 0.3)
    assert all(common & {*tags} for tags in drawn(model(missing=1.0), "n1", 200))
    tags = drawn(model(hypernym=0.4), "n1")
    assert near(share("animal" in post for post in tags), 0.4) and near(
        share("thing" in post for post in tags), 0.2
    )
    assert near(
        share("life" in post for post in drawn(model(hypernym=0.4, synonym=0.5), "n1")), 0.1
    )
    assert near(share(bool(common & {*post}) for post in drawn(model(off_topic=0.25), "n3")), 0.25)
    both = share(len(post) > 1 for post in drawn(model(again=0.5, synonym=0.5), "n3"))
    one = sum(
        0.5 ** (k - 1) * 0.5 * 2 * 0.5**k for k in range(1, 60)
    )  # k namings (geometric), all alike
    assert near(both, 1 - one)


def test_noise_is_a_draw_from_the_marginal():
    made = model(noise=1.0, hypernym=0.5, synonym=0.3)
    assert sum(made.marginal.values()) == pytest.approx(1)
    weights = {
        "dog": 2000 * 0.7,
        "cat": 1000,
        "animal": 3000 * 0.5,
        "thing": 2000 * 0.25,
        "life": 2000 * 0.25 * 0.3,
    }
    whole = sum(SIZES.values()) + 3000 * 0.5 + 2000 * 0.5
    assert {tag: made.marginal[tag] for tag in weights} == pytest.approx(
        {t: w / whole for t, w in weights.items()}
    )
    tags = [post[0] for post in drawn(model(noise=1.0, synonym=0.3), "n3")]
    marginal = model(noise=1.0, synonym=0.3).marginal
    assert set(tags) == set(marginal) and all(
        near(tags.count(tag) / 4000, marginal[tag]) for tag in marginal
    )
    clean = share("car" in post for post in drawn(model(noise=0.0), "n3"))
    noisy = share("car" in post for post in drawn(model(noise=0.25), "n3"))
    assert clean == 1 and near(noisy, 0.75 + 0.25 * model().marginal["car"])


def test_the_marginal_is_what_posts_without_noise_show():
    made = model(hypernym=0.4, synonym=0.4, missing=0.2)
    tags = Counter(
        tag for name, size in SIZES.items() for post in drawn(made, name, size) for tag in post
    )
    tags = Counter({tag: count for tag, count in tags.items() if tag not in OFF_TOPIC})
    for tag, expected in made.marginal.items():
        assert near(tags[tag] / tags.total(), expected, tags.total())


def test_users_have_favourites_and_zipf_activity():
    made = model(off_topic=0.5)
    names = Counter(made.post("n1", f"{i}")["user"] for i in range(4000))
    weights = [1 / (u + 10) for u in range(1, 401)]
    assert near(names[user_of(0, 0).name] / 4000, weights[0] / sum(weights)) and len(names) > 350
    post = made.post("n1", "3")
    assert post["user"] in names and post["time"].year in (2023, 2024)


def test_the_mean_number_of_tags_is_as_stated():
    rates = {"missing": 0.15, "hypernym": 0.4, "again": 0.0, "off_topic": 0.4}
    tags = drawn(model(**rates), "n1")
    stated = (1 - 0.15 + 2 * 0.4) + 0.4 / 0.6
    certain = 0.15 * 0.36 * 0.6  # a post with nothing gets one
    assert abs(sum(map(len, tags)) / len(tags) - stated - certain) < 0.08  # and repeats are dropped


@pytest.fixture
def folder(tmp_path):
    for name in FORMS:
        (tmp_path / "root" / name).mkdir(parents=True)
        for i in range(5):
            (tmp_path / "root" / name / f"{i}.jpg").write_bytes(b"x")
    return tmp_path / "root"


def test_a_post_depends_on_its_own_name_and_the_seed_only(folder):
    rates = {"forms": FORMS, "hypernyms": ABOVE, "noise": 0.0}
    before = {row.fields["id"]: row.fields for row in labelled_posts(folder, **rates)}
    for i in range(5, 50):
        (folder / "n2" / f"{i}.jpg").write_bytes(b"x")
    (folder / "n1" / "0.jpg").unlink()
    after = {row.fields["id"]: row.fields for row in labelled_posts(folder, **rates)}
    assert len(after) == 59 and all(
        after[key] == fields for key, fields in before.items() if key != "n1/0.jpg"
    )
    other = {row.fields["id"]: row.fields for row in labelled_posts(folder, seed=1, **rates)}
    assert sum(other[key]["hashtags"] != after[key]["hashtags"] for key in after) > 20
    first = next(labelled_posts(folder, **rates))
    assert (
        first.locator == f"{folder}/./n1/1.jpg"
        and first.where == "n1/1.jpg"
        and first.fields["image"] == "n1/1.jpg"
    )


@pytest.mark.parametrize(
    "rates", [{"noise": 1.5}, {"missing": -0.1}, {"off_topic": 1}, {"again": 1}, {"users": 0}]
)
def test_rates_that_are_none_are_refused(rates):
    with pytest.raises(ValueError, match="give rates from 0 to 1"):
        model(**rates)


def test_a_class_whose_name_is_no_hashtag_needs_forms():
    with pytest.raises(
        ValueError, match=r"class '007' gives no hashtag; name its hashtags in `forms`"
    ):
        Model({"007": 1})
    assert Model({"007": 1, "Golden_Retriever": 2}, {"007": ["bond"]}).forms[
        "Golden_Retriever"
    ] == ["goldenretriever"]


def test_drawn_posts_stay_as_they_are(tmp_path):
    for name in ("n1", "n2", "Größe"):
        (tmp_path / name).mkdir()
        for i in range(40):
            (tmp_path / name / f"{i}.jpg").write_bytes(b"x")
    found = hashlib.sha256()
    for row in labelled_posts(tmp_path, users=50):
        fields = {key: str(value) for key, value in row.fields.items()}
        found.update(f"{json.dumps(fields)}{row.where}\n".encode())
    assert found.hexdigest() == "46bb83c3c88615e23aa6f75de234a98f4d3cb35a6ae855213802a0c9f3b43e17"


def test_images_that_are_refused_do_not_count_in_the_marginal(folder, tmp_path):
    before = {
        row.fields["id"]: row.fields for row in labelled_posts(folder, forms=FORMS, noise=1.0)
    }
    (folder / "n1" / "more").mkdir()
    (folder / "n1" / "more" / "out.jpg").symlink_to(tmp_path / "nothing.jpg")
    (folder / "loose.jpg").write_bytes(b"x")
    found = list(labelled_posts(folder, forms=FORMS, noise=1.0))
    assert {row.fields["id"]: row.fields for row in found if not row.reason} == before
    reasons = sorted(row.reason for row in found if row.reason)
    assert reasons == ["lies in no class folder below the root", "link to nothing"]


def test_real_photographs(pack):
    root = pack("cifar10") / "test"
    found = list(labelled_posts(root, noise=0.25, hypernyms={"cat": [[["animal", "creature"]]]}))
    assert len(found) == 10_000 == len({row.fields["id"] for row in found})
    right = share(row.where.split("/")[0] in row.fields["hashtags"] for row in found)
    assert near(
        right, 0.85 * (0.75 + 0.25 * 0.1), 2500
    )  # a hypernym for one class of ten changes little
    assert sorted(row.fields["label"] for row in labelled_rows(root))[::1000] == sorted(
        p.name for p in root.iterdir()
    )
