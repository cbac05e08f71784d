"""Where tar shards are: in patterns, packed, cut off, on S3."""

import gzip

import numpy as np
import pytest

from corpus.sources.archives import archive_rows
from corpus.sources.patterns import expand_braces
from corpus.sources.source import fetch
from tests.support.archives import JPEG, kept, pack, posts, read, reasons
from tests.support.faults import proxy


def test_shard_names(tmp_path):
    assert list(expand_braces("a{08..11}b{x,y}")) == [
        f"a{n}b{c}" for n in ("08", "09", "10", "11") for c in "xy"
    ]
    assert list(expand_braces("{2..0}")) == ["2", "1", "0"] and list(expand_braces("plain{}")) == [
        "plain{}"
    ]
    for i in range(3):
        pack(tmp_path / f"0000{i}.tar", posts([i]))
    (tmp_path / "00003.tar.gz").write_bytes(
        gzip.compress(pack(tmp_path / "x", posts([3])).read_bytes())
    )
    (tmp_path / "00000_stats.json").write_text("{}")
    first = [f"0000{i}/00{i}" for i in range(3)]
    assert kept(read(tmp_path)) == [*first, "00003/003"]
    assert kept(read(tmp_path / "{00000..00002}.tar")) == kept(read(tmp_path / "*.tar")) == first
    assert fetch(read(tmp_path / "00003.tar.gz")[0].locator) == JPEG + b"3"
    for wrong in ("{00001..00005}.tar", "none*.tar", "none.tar"):
        with pytest.raises(ValueError, match=r"there is no shard .*check the path or the pattern"):
            next(archive_rows(str(tmp_path / wrong), "posts", tmp_path))


def test_a_gzip_that_was_cut_keeps_the_good_part(tmp_path):
    rng = np.random.default_rng(0)
    files = [
        (f"{i:02d}.{end}", rng.bytes(3000) if end == "jpg" else b"x")
        for i in range(50)
        for end in ("jpg", "txt")
    ]
    packed = gzip.compress(pack(tmp_path / "x", files).read_bytes())
    (tmp_path / "s.tgz").write_bytes(packed[: len(packed) // 2])
    rows = read(tmp_path / "s.tgz")
    assert 15 < len(kept(rows)) < 35 and len(reasons(rows)) == 1 and "cut off" in reasons(rows)[0]


def test_shards_on_s3(tmp_path, s3, monkeypatch):
    monkeypatch.setattr("corpus.sources.s3.PAUSE", 0.01)
    monkeypatch.setattr("corpus.sources.s3.PAGE", 2)
    monkeypatch.setattr("corpus.sources.downloads.PART", 3000)
    local = [pack(tmp_path / f"0000{i}.tar", posts(range(i, i + 3))) for i in range(3)]
    for path in local:
        s3.client.upload_file(str(path), s3.bucket, f"shards/{path.name}")
    s3.client.put_object(Bucket=s3.bucket, Key="shards/00000_stats.json", Body=b"{}")
    s3.client.put_object(Bucket=s3.bucket, Key="shards/deeper/9.tar", Body=b"x")
    base, spool = f"s3://{s3.bucket}/shards", tmp_path / "spool"
    with proxy(s3.endpoint) as faulty:
        faulty.fault = lambda request: (
            ("drop", 503, "cut")[request.number % 9 // 3] if request.number % 3 == 0 else None
        )
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", faulty.endpoint)
        rows = read(base, spool=spool)
        assert [row.fields for row in rows] == [row.fields for path in local for row in read(path)]
        assert [fetch(row.locator) for row in rows] == [
            fetch(row.locator) for path in local for row in read(path)
        ]
        assert kept(read(f"{base}/*1.tar", spool=spool)) == kept(
            read(f"{base}/{{00001..00001}}.tar", spool=spool)
        )
        for wrong in ("/{00002..00003}.tar", "/none/", "/none*.tar"):
            with pytest.raises(ValueError, match=r"no shard|not found"):
                read(base + wrong, spool=spool)
