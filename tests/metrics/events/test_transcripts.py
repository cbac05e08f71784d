"""WER and CER against jiwer."""

import jiwer
import numpy as np
import pytest
import torch

from metrics.blocks.bootstrap import resamples
from metrics.blocks.events.edits import KINDS, spoken
from metrics.cer import CER
from metrics.wer import WER
from tests.metrics.events.drawn import transcript

CASES = 200
WORDS = ("a", "ab", "b", "ba", "é", "日本", "c", "B")
OTHERS = {WER: jiwer.process_words, CER: jiwer.process_characters}


def case(seed: int) -> tuple[list[str], list[str]]:
    """(understood, said) of some utterances: empty ones, and more spaces than one."""
    rng = np.random.default_rng(seed)
    many = int(rng.integers(1, 6))
    sides = []
    for _ in range(2):
        texts = []
        for _ in range(many):
            space = "  " if rng.random() < 0.1 else " "
            texts.append(space.join(rng.choice(WORDS, rng.integers(0, 7))))
        sides.append(texts)
    return sides[0], sides[1]


def measured(made, given: list[str], true: list[str], **options):
    metric = made(**options)
    columns = ({"transcript": list(map(transcript, texts))} for texts in (given, true))
    metric.update(*columns)
    return metric


@pytest.mark.parametrize("made", OTHERS)
def test_it_is_that_of_jiwer(made):
    for seed in range(CASES):
        given, true = case(seed)
        expected = OTHERS[made](true, given)
        metric = measured(made, given, true, resamples=0)
        found = metric.compute()
        rate = expected.wer if made is WER else expected.cer
        assert found[made.headline] == pytest.approx(100 * rate), seed
        for kind in KINDS:
            assert sum(row[kind] for row in metric.rows()) == getattr(expected, kind), seed


def test_by_hand():
    found = measured(WER, ["a x c"], ["a b c"]).compute()
    assert found["wer"] == found["substitutions"] == pytest.approx(100 / 3)
    assert (found["words"], found["exact"]) == (3, 0)
    # one of five characters is another, one is too many
    found = measured(CER, ["a x cc"], ["a b c"]).compute()
    assert (found["cer"], found["substitutions"], found["insertions"]) == (40, 20, 20)
    assert jiwer.wer("a b c", "a x c") == pytest.approx(1 / 3)


@pytest.mark.parametrize("made", OTHERS)
def test_perfect_is_0_nothing_understood_is_100_and_insertions_may_be_more(made):
    _, true = case(3)
    assert measured(made, true, true).compute()[made.headline] == 0
    found = measured(made, [""] * len(true), true).compute()
    assert found[made.headline] == found["deletions"] == found[f"{made.headline}_high"] == 100
    long = measured(made, ["a b c d e f"] * 3, ["a", "b", "g"]).compute()
    assert 100 < long[f"{made.headline}_low"] <= long[made.headline]
    # where nothing was said, as jiwer has it
    assert measured(made, ["a"], [""]).compute()[made.headline] == 100 * jiwer.wer([""], ["a"])
    assert measured(made, [""], [""]).compute()[made.headline] == 0


def test_case_and_punctuation_count_unless_they_are_normalised():
    given, true = ["it\u2019s a well-known ﬁeld"], ["It's, a WELL known field."]
    assert measured(WER, given, true).compute()["wer"] == 80
    assert measured(WER, given, true, normalise=True).compute()["wer"] == 0
    assert spoken("  Straße;  \u201cNO\u201d") == "strasse no"
    # signs of vowels are no punctuation
    assert spoken("हिन्दी।") == "हिन्दी"


def test_the_interval_is_that_of_utterances_drawn_again():
    given, true = [], []
    for seed in range(10):
        more, said = case(seed)
        given += more
        true += said
    metric, slow = measured(WER, given, true, resamples=100), []
    for counts in np.concatenate(list(resamples(len(true), 100)), 1).T:
        rows = np.repeat(np.arange(len(true)), counts.astype(int))
        slow.append(100 * jiwer.wer([true[row] for row in rows], [given[row] for row in rows]))
    values = np.array(slow) - np.mean(slow) + metric.compute()["wer"]
    assert metric.resampled().numpy() == pytest.approx(values, abs=1e-3)
    together = WER(resamples=100)
    columns = ({"transcript": list(map(transcript, texts))} for texts in (given, true))
    whole = next(columns)
    together.update(whole, next(columns) | {"group": torch.zeros(len(true))})
    assert together.resampled().std() == 0


def test_what_is_wrong_is_told():
    metric = WER()
    broken = [transcript("a"), torch.tensor([0xC3, 0x28], dtype=torch.uint8)]
    metric.update({"transcript": broken}, {"transcript": broken[:1] * 2})
    with pytest.raises(ValueError, match=r"1 of 2 samples .* no UTF-8 \(rows 1\); give the bytes"):
        metric.compute()
    with pytest.raises(ValueError, match="given 2, true 1"):
        metric.update({"transcript": broken}, {"transcript": broken[:1]})
