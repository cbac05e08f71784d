"""Transcripts in lines: of Kaldi, of TRN, and in the same order."""

from pathlib import Path

import pytest

from metrics.formats.texts import read
from metrics.wer import WER


def write(folder: Path, given: str, true: str) -> tuple[Path, Path]:
    files = folder / "given", folder / "true"
    for file, text in zip(files, (given, true), strict=True):
        file.write_text(text, encoding="utf-8", newline="")
    return files


def texts(pair) -> list[list[str]]:
    """Of each utterance what was understood and what was said."""
    sides = (pair.predictions["transcript"], pair.targets["transcript"])
    return [list(map(text, rows)) for rows in zip(*sides, strict=True)]


def text(row) -> str:
    return bytes(row.tolist()).decode()


@pytest.mark.parametrize(
    "given, true, samples",
    [
        # another order, and an utterance of which nothing was understood
        ("utt2\nutt1  a  b\n", "utt1 a c\nutt2\tdé\n\n", ["utt1", "utt2"]),
        ("(utt2)\na  b (utt1)\n", "a c (utt1)\ndé (utt2)\n", ["utt1", "utt2"]),
        ("a  b\r\n\r\n", "\ufeffa c\ndé", ["line 1", "line 2"]),
        # digits that were said are no ids
        ("1 2\n\n", "1 3\n4", ["line 1", "line 2"]),
    ],
)
def test_the_forms(tmp_path, given, true, samples):
    pair = read(*write(tmp_path, given, true), WER.reads)
    assert pair.samples == samples
    found = texts(pair)
    assert found[1][0] == "" and found[0][0].split() in (["a", "b"], ["1", "2"])
    metric = WER()
    metric.update(pair.predictions, pair.targets)
    assert metric.compute()["wer"] == pytest.approx(200 / 3)


def test_other_utterances_are_told_or_left_out(tmp_path):
    files = write(tmp_path, "utt1 a\nutt3 b\n", "utt1 a\nutt2 b\n")
    with pytest.raises(
        ValueError, match=r"1 utterances of .*given .*\(utt3\); 1 .*true .*\(utt2\): .*--common"
    ):
        read(*files, WER.reads)
    assert read(*files, WER.reads, common=True).samples == ["utt1"]


@pytest.mark.parametrize(
    "given, true, message",
    [
        ("a\nb\n", "a\n", r"given has 2 lines, .*true has 1: give as many, or"),
        ("utt1 a\nutt1 b\n", "utt1 a\n", r"given: 1 ids stand more than once \(utt1\)"),
        ("a (x)\nb (x)\n", "a (x)\n", r"given: 1 ids stand more than once \(x\)"),
        ("\n", "a\n", r"given has no text"),
        ("", "a\n", r"given has no text"),
    ],
)
def test_broken_files_are_told(tmp_path, given, true, message):
    with pytest.raises(ValueError, match=message):
        read(*write(tmp_path, given, true), WER.reads)


def test_what_is_no_utf8_is_told(tmp_path):
    files = write(tmp_path, "a", "a")
    files[0].write_bytes("a\nüb\n".encode("latin1"))
    with pytest.raises(ValueError, match=r"given, line 2: no UTF-8 \(byte 0xfc\): save it as UTF"):
        read(*files, WER.reads)
