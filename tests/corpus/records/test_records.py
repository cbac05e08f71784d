"""The data store: deterministic, streamed, and loud about damage."""

import json
import tarfile

import pytest

from corpus.kinds.labels import Label
from corpus.kinds.posts import Post
from corpus.store.read import read_records, read_store, shards_of, total
from corpus.store.write import locked, write_store


def posts(n: int):
    for i in range(n):
        yield (
            Post(id=f"p{i}", image=f"bild-ü/{i}.jpg", hashtags=["Sea", "海"], user=f"u{i % 3}"),
            bytes([i]) * (999 + i),
        )


def test_store_round_trip_in_equal_bytes(tmp_path):
    a, b = tmp_path / "a" / "posts", tmp_path / "b" / "posts"
    assert (
        write_store(a, posts(40), shard_bytes=10_000)
        == write_store(b, posts(40), shard_bytes=10_000)
        == 40
    )
    names = sorted(path.name for path in a.iterdir())
    assert names[:2] == ["00000.jsonl", "00000.tar"] and len(names) > 6
    assert [(a / name).read_bytes() for name in names] == [
        (b / name).read_bytes() for name in names
    ]
    assert list(read_store(a, Post)) == list(posts(40))
    line = json.loads((a / "00000.jsonl").read_text(encoding="utf-8").splitlines()[1])
    with (a / "00000.tar").open("rb") as file:
        file.seek(line["offset"])
        assert file.read(line["size"]) == bytes([1]) * 1000 and line["hashtags"] == ["Sea", "海"]
    with tarfile.open(a / "00000.tar") as tar:
        member = tar.next()
    assert (member.mtime, member.uid, member.uname, member.mode) == (0, 0, "", 0o644)


def test_failed_write_keeps_the_older_store_and_its_synonyms(tmp_path):
    folder = tmp_path / "posts"
    write_store(folder, posts(3))
    (folder / "synonyms.tsv").write_text("sea\tocean\n")
    with pytest.raises(ValueError, match="'p0' occurs twice"):
        write_store(folder, [*posts(2), *posts(1)])
    assert len(list(read_store(folder, Post))) == 3
    write_store(folder, posts(2))
    assert len(list(read_store(folder, Post))) == 2 and (folder / "synonyms.tsv").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["posts"]


def _cut(end):
    def cut(folder):
        path = folder / "00001.tar"
        path.write_bytes(path.read_bytes()[:end])

    return cut


def _swap(folder):
    first, second = folder / "00000.tar", folder / "00001.tar"
    first.rename(folder / "x"), second.rename(first), (folder / "x").rename(second)


def _add(folder):
    with tarfile.open(folder / "00002.tar", "a") as tar:
        tar.addfile(tarfile.TarInfo("more"))


def _garble(folder):
    with (folder / "00002.jsonl").open("a") as file:
        file.write('{"id": "x"}\n')


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_cut(1000), "00001.tar is damaged"),
        (_cut(2000), "00001.tar (is damaged|ends before)"),
        (_cut(1536), "00001.tar (is damaged|ends before)"),
        (lambda folder: (folder / "00001.tar").unlink(), "00001.tar is missing"),
        (lambda folder: (folder / "00002.tar").write_bytes(b""), "00002.tar is damaged"),
        (lambda folder: (folder / "store.json").unlink(), "store.json is missing"),
        (
            lambda folder: (folder / "store.json").write_text('{"shards": 1}'),
            "store.json is damaged",
        ),
        (lambda folder: (folder / "00000.jsonl").write_text(""), "00000.jsonl has 0 lines"),
        (_swap, "00000.tar holds .* belongs"),
        (_add, "00002.tar holds 'more'.* does not"),
        (_garble, r"00002.jsonl line 7 is no Post \(image: .*hashtags"),
    ],
)
def test_damage_is_named_with_its_repair(tmp_path, damage, message):
    write_store(tmp_path / "posts", posts(20), shard_bytes=9_000)
    damage(tmp_path / "posts")
    with pytest.raises(ValueError, match=f"{message}.*dvc checkout"):
        list(read_store(tmp_path / "posts", Post))


def test_links_in_a_tar_are_never_followed(tmp_path):
    write_store(tmp_path / "posts", posts(1))
    with tarfile.open(tmp_path / "posts" / "00000.tar", "w") as tar:
        link = tarfile.TarInfo("bild-ü/0.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(ValueError, match="ends before image"):
        list(read_store(tmp_path / "posts", Post))


@pytest.mark.parametrize(
    "image", ["", "/etc/passwd", "a/../../b", "a\\b", "a\nb", "x" * 101, "ü" * 51]
)
def test_unsafe_names_are_no_record(image):
    with pytest.raises(ValueError):
        Post(id="1", image=image, hashtags=[])


def test_records_are_strict_but_ignore_strange_columns(tmp_path):
    assert Label(id="1", image="1.jpg", label="cat", colour="red").split == "train"
    for wrong in ({"split": "dev"}, {"label": ""}, {"id": ""}):
        with pytest.raises(ValueError):
            Label(**{"id": "1", "image": "1.jpg", "label": "cat"} | wrong)
    with pytest.raises(ValueError):
        Post(id="1", image="1.jpg", hashtags=[], time="yesterday")
    write_store(tmp_path / "posts", posts(2))
    with pytest.raises(ValueError, match="label: Field required"):
        list(read_records(tmp_path / "posts", Label))


def test_the_digest_is_of_the_records_in_any_order_and_sharding(tmp_path):
    some = list(posts(12))
    write_store(tmp_path / "a", some, shard_bytes=5_000)
    write_store(tmp_path / "b", some[::-1])
    a, b = (shards_of(tmp_path / name) for name in "ab")
    assert len(a) > 1 == len(b) and total(a) == total(b)
    for change in (
        {"hashtags": ["sea"]},
        {"user": "somebody"},
        {"id": "p99"},
        {"time": "2020-01-01"},
    ):
        write_store(tmp_path / "c", [(some[0][0].model_copy(update=change), some[0][1]), *some[1:]])
        assert total(shards_of(tmp_path / "c")) != total(a)
    write_store(tmp_path / "c", [(some[0][0], b"other"), *some[1:]])
    assert total(shards_of(tmp_path / "c")) != total(a)


def test_a_second_writer_is_told(tmp_path):
    with (
        locked(tmp_path / "data"),
        pytest.raises(ValueError, match="another process is writing"),
        locked(tmp_path / "data"),
    ):
        pass
    with locked(tmp_path / "data"):
        pass
