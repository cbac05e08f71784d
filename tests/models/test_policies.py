"""What every policy has to keep: a row per sample, the same whatever batch it is asked in."""

import pytest
import torch

from corpus.reading.sampler import TEST_VIEWS, seeded
from engine.core.batch import COLUMNS, length
from engine.core.build import build, choices
from engine.core.network import network
from models.blocks.augment.draws import Draws
from tests.support.networks import TINY

CLASSES, COUNT = 3, 5
TARGETS = {
    "supervised": {"label": torch.arange(COUNT) % CLASSES},
    "multilabel": {"tags": (torch.arange(COUNT * CLASSES).reshape(COUNT, -1) % 2).float()},
    "hashtags": {"hashtags": (torch.arange(COUNT * CLASSES).reshape(COUNT, -1) % 2).float()},
}


def batch_of(objective: str) -> dict[str, torch.Tensor]:
    pixels = torch.randint(0, 256, (COUNT, 32, 32, 3), generator=seeded(5)).to(torch.uint8)
    return {"image": pixels} | TARGETS[objective]


@pytest.mark.parametrize("objective", TARGETS)
@pytest.mark.parametrize("name", [name for name in choices("policies") if name != "views"])
def test_each_sample_has_a_row_that_its_neighbours_do_not_change(name, objective):
    policy = build("policies", {"name": name})
    torch.manual_seed(0)
    module = network(TINY, {"name": objective}, {"name": "linear"}, classes=CLASSES).eval()
    batch = batch_of(objective)

    def asked(part: slice) -> tuple[dict, dict]:
        draws = Draws(seeded(0, TEST_VIEWS), part.start, COUNT)
        with torch.no_grad():
            return policy(module, {key: column[part] for key, column in batch.items()}, draws)

    whole, parts = asked(slice(0, COUNT)), [asked(slice(0, 2)), asked(slice(2, COUNT))]
    for columns, *split in zip(whole, *parts, strict=True):
        assert columns.keys() <= COLUMNS.keys()
        for key, column in columns.items():
            joined = torch.cat([part[key] for part in split])
            torch.testing.assert_close(joined, column, rtol=1e-5, atol=1e-6)
            assert len(column) == COUNT
    assert length(whole[0]) == COUNT


def test_plain_gives_what_the_objective_predicts_and_what_is_true():
    module = network(TINY, {"name": "supervised"}, {"name": "linear"}, classes=CLASSES).eval()
    batch, draws = batch_of("supervised"), Draws(seeded(0), 0, COUNT)
    with torch.no_grad():
        predictions, targets = build("policies", {"name": "plain"})(module, batch, draws)
        expected = module.logits(module.plain(batch["image"]))
    assert torch.equal(predictions["scores"], expected) and targets == {"label": batch["label"]}
    torch.testing.assert_close(predictions["probabilities"], expected.softmax(1))


def test_pseudo_labels_of_tags_are_those_as_probable_as_the_threshold():
    module = network(TINY, {"name": "multilabel"}, {"name": "linear"}, classes=CLASSES).eval()
    policy = build("policies", {"name": "pseudo", "threshold": 0.4})
    with torch.no_grad():
        found, targets = policy(module, batch_of("multilabel"), Draws(seeded(0), 0, COUNT))
    soft = found["soft"]
    assert targets == {} and torch.equal(found["tags"], (soft >= 0.4).float())
    torch.testing.assert_close(found["confidence"], soft.maximum(1 - soft).mean(1))


def test_a_pretext_task_has_no_pseudo_labels():
    module = network(TINY, {"name": "rotation"}, {"name": "linear"}, classes=CLASSES).eval()
    with pytest.raises(ValueError, match="objective rotation gives no probabilities"):
        build("policies", {"name": "pseudo"})(module, batch_of("supervised"), Draws(seeded(0)))
