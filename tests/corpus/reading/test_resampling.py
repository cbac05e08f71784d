"""Resampling: the paper's form and length, golden values, identities.

Lists that a generator's seed gives again.
"""

import numpy as np
import pytest
import torch

from corpus.reading.resampling import class_factors, epoch_list, rarest_class, repeat_factors


def factors(targets: list[np.ndarray], counts: np.ndarray, rule: str, length: int) -> np.ndarray:
    return repeat_factors(
        np.concatenate(targets), np.cumsum([len(tags) for tags in targets]), counts, rule, length
    )


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(1)
    weights = 1 / np.arange(1, 41)
    targets = [
        rng.choice(40, rng.integers(1, 5), replace=False, p=weights / weights.sum())
        for _ in range(3000)
    ]
    return targets, np.bincount(np.concatenate(targets), minlength=40)


@pytest.mark.parametrize(("rule", "power"), [("sqrt", 0.5), ("uniform", 1.0)])
def test_repeat_factors_have_the_papers_form_and_length(images, rule, power):
    targets, counts = images
    r = factors(targets, counts, rule, 9000)
    assert r.dtype == np.float32 and r.min() >= 1 and r.sum() == pytest.approx(9000, rel=1e-5)
    rarest = np.array([counts[t].min() for t in targets])
    t = rarest[r > 1] * r[r > 1].astype(np.float64) ** (
        1 / power
    )  # r = phi(t / f) gives one t for the whole list
    assert np.ptp(t) < 1e-4 * t.mean() and (r[rarest >= t.mean()] == 1).all()
    order = np.argsort(rarest)
    assert (np.diff(r[order]) <= 0).all()
    assert (factors(targets, counts, rule, 12000) >= r).all()
    assert (factors(targets, counts, rule, 3000) == 1).all()


def test_natural_is_one_and_wrong_calls_are_named(images):
    assert (factors(*images, "natural", 9000) == 1).all()
    with pytest.raises(ValueError, match="natural, sqrt, uniform"):
        factors(*images, "cubic", 9000)
    with pytest.raises(ValueError, match="raise the length"):
        factors(*images, "sqrt", 2999)


def test_uniform_flattens_more_than_sqrt_than_natural(images):
    targets, counts = images

    def rarest_share(rule):
        r = factors(targets, counts, rule, 9000)
        return (
            sum(f for f, tags in zip(r, targets, strict=True) if counts[tags].min() < 60) / r.sum()
        )

    assert rarest_share("natural") < rarest_share("sqrt") < rarest_share("uniform")


def test_epoch_list_rounds_to_the_expected_repeats():
    repeats = np.array([1.0, 1.25, 2.5, 3.0], np.float32)
    generator = torch.Generator().manual_seed(0)
    lists = [epoch_list(repeats, generator) for _ in range(2000)]
    counts = torch.stack([torch.bincount(images, minlength=4) for images in lists])
    assert lists[0].dtype == torch.int64
    assert ((counts >= torch.tensor([1, 1, 2, 3])) & (counts <= torch.tensor([1, 2, 3, 3]))).all()
    np.testing.assert_allclose(counts.double().mean(0), repeats, atol=0.05)
    assert any(not torch.equal(images, images.sort().values) for images in lists)
    again = epoch_list(repeats, torch.Generator().manual_seed(0))
    assert torch.equal(again, lists[0])


def test_epoch_list_of_a_seed_stays_the_same():
    repeats = np.array([1.0, 1.25, 2.5, 3.0, 1.75], np.float32)
    golden = [1, 3, 2, 2, 0, 3, 4, 4, 3]
    assert epoch_list(repeats, torch.Generator().manual_seed(3)).tolist() == golden


@pytest.mark.parametrize(
    ("rule", "golden"), [("natural", [1, 1, 1]), ("sqrt", [1, 1, 5]), ("uniform", [1, 1, 5])]
)
def test_factors_of_one_rare_class(rule, golden):
    counts, images = [100, 100, 4], [96, 100, 4]
    r = class_factors(
        counts, images, rule, 216
    )  # 200 images, 16 more places: for the four of the rare class
    np.testing.assert_allclose(r, golden, rtol=1e-6)


def test_factors_of_all_classes_follow_the_power():
    counts = images = [400, 100, 25]
    sqrt, uniform = (class_factors(counts, images, rule, 2100) for rule in ("sqrt", "uniform"))
    np.testing.assert_allclose(
        sqrt, 2100 / 350 * np.sqrt(100) / np.sqrt(counts), rtol=1e-6
    )  # sum of f sqrt(t / f)
    np.testing.assert_allclose(uniform, 2100 / 3 / np.array(counts), rtol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_rarest_class_agrees_with_a_loop(seed):
    rng = np.random.default_rng(seed)
    counts = rng.permutation(1000)[:30]
    targets = [rng.choice(30, rng.integers(0, 5), replace=False) for _ in range(200)]
    ends = np.cumsum([len(tags) for tags in targets])
    rarest = rarest_class(np.concatenate(targets).astype(np.int32), ends, counts)
    assert rarest.tolist() == [min(tags, key=counts.__getitem__, default=-1) for tags in targets]
    assert rarest_class(np.empty(0, np.int32), np.zeros(3, int), counts).tolist() == [-1, -1, -1]
