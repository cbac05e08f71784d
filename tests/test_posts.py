"""The data store: deterministic, streamed, and loud about damage. And the images that go in."""

import tarfile
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from corpus import images
from corpus.images import BadImage, decode, open_image, square
from corpus.posts import Label, Post, read_manifest, read_store, write_store


def posts(n: int):
    for i in range(n):
        yield (
            Post(id=f"p{i}", image=f"bild-ü/{i}.jpg", hashtags=["Sea", "海"], user=f"u{i % 3}"),
            bytes([i]) * (999 + i),
        )


def picture(mode="RGB", size=(48, 32), kind="PNG", **options) -> bytes:
    out = BytesIO()
    rows = np.linspace(0, 255, size[0] * size[1]).astype(np.uint8).reshape(size[1], size[0])
    Image.fromarray(rows).convert(mode).save(out, kind, **options)
    return out.getvalue()


def test_store_round_trip_in_equal_bytes(tmp_path):
    a, b = tmp_path / "a" / "posts", tmp_path / "b" / "posts"
    assert write_store(a, posts(40), shard_bytes=10_000) == write_store(b, posts(40), shard_bytes=10_000) == 40
    names = sorted(path.name for path in a.iterdir())
    assert names[0] == "00000.tar" and len(names) > 3
    assert [(a / name).read_bytes() for name in names] == [(b / name).read_bytes() for name in names]
    assert list(read_store(a, Post)) == list(posts(40))
    assert "海" in (a / "manifest.jsonl").read_text(encoding="utf-8")
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
    with tarfile.open(folder / "00004.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("more"))


def _garble(folder):
    with (folder / "manifest.jsonl").open("a") as file:
        file.write('{"id": "x"}\n')


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_cut(1000), "00001.tar is damaged"),
        (_cut(2000), "00001.tar is damaged"),
        (_cut(1536), "00001.tar is damaged"),
        (lambda folder: (folder / "00001.tar").unlink(), "00001.tar is missing"),
        (lambda folder: (folder / "00003.tar").unlink(), r"00002.tar ends before image .*manifest.jsonl"),
        (lambda folder: (folder / "00003.tar").write_bytes(b""), "00003.tar is damaged"),
        (lambda folder: (folder / "manifest.jsonl").unlink(), "manifest.jsonl is missing"),
        (_swap, "00000.tar holds .* expects"),
        (_add, "00004.tar holds 'more'.* does not list"),
        (_garble, r"line 21 is no Post \(image: .*hashtags"),
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


@pytest.mark.parametrize("image", ["", "/etc/passwd", "a/../../b", "a\\b", "a\nb", "x" * 101, "ü" * 51])
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
        list(read_manifest(tmp_path / "posts", Label))


@pytest.mark.parametrize("kind", images.FORMATS)
def test_every_format_opens_as_rgb(kind):
    image = open_image(picture(kind=kind))
    assert image.mode == "RGB" and image.size == (48, 32)


def test_bad_images_are_refused(monkeypatch):
    whole = picture(size=(200, 200), kind="JPEG")
    for data in (b"", b"text", whole[: len(whole) // 2], picture(kind="PNG")[:-30], picture(kind="ICO", size=(32, 32))):
        with pytest.raises(BadImage, match="not decodable") as error:
            open_image(data)
        assert " at 0x" not in str(error.value)
    monkeypatch.setattr(images, "MAX_PIXELS", 48 * 32 - 1)
    with pytest.raises(BadImage, match="48 x 32 pixels"):
        open_image(picture())


def test_a_bomb_is_refused_before_decoding():
    bomb = bytearray(picture("1", size=(8, 8)))
    bomb[16:24] = (60_000).to_bytes(4, "big") * 2  # the size in PNG's IHDR; its checksum no longer fits either
    with pytest.raises(BadImage):
        open_image(bytes(bomb))


def test_orientation_alpha_and_16_bits():
    exif = Image.Exif()
    exif[images.ORIENTATION] = 6
    assert open_image(picture(kind="JPEG", exif=exif)).size == (32, 48)
    clear = BytesIO()
    Image.new("RGBA", (4, 4), (9, 9, 9, 0)).save(clear, "PNG")
    assert np.asarray(open_image(clear.getvalue())).min() == 255
    deep = BytesIO()
    Image.fromarray(np.full((4, 4), 0x80FF, np.uint16)).save(deep, "PNG")
    assert np.unique(np.asarray(open_image(deep.getvalue()))).tolist() == [0x80]
    with pytest.raises(BadImage, match="mode F"):
        open_image(picture("F", kind="TIFF"))


def test_square_crops_the_centre_once():
    pixels = np.zeros((60, 120, 3), np.uint8)
    pixels[:, 30:90] = 255  # the centre square is white, what is cropped away black
    out = BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    data = square(out.getvalue(), 32)
    assert decode(data).shape == (32, 32, 3) and decode(data)[:, 4:-4].min() > 240
    assert square(data, 32) is data
    assert decode(square(data, 16)).shape == decode(square(picture("L", kind="JPEG"), 16)).shape == (16, 16, 3)
    assert decode(square(picture(size=(1, 900)), 32)).shape == (32, 32, 3)
    with pytest.raises(BadImage):
        square(data[:-200], 32)
