"""RandAugment: each operation is torchvision's, and each image gets its own."""

import pytest
import torch
import torch.nn.functional as F

from models.blocks.augment.draws import Draws
from models.blocks.augment.randaugment import OPERATIONS, RandAugment


def pictures() -> torch.Tensor:
    """Noise, a dull soft picture and one of a single colour."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (4, 3, 32, 40), generator=generator)
    soft = 80 + 90 * F.interpolate(
        torch.rand(4, 3, 4, 5, generator=generator), (32, 40), mode="bicubic"
    )
    return torch.cat([noise, soft.clamp(0, 255), torch.full((1, 3, 32, 40), 170)]).to(torch.uint8)


@pytest.mark.parametrize(
    "magnitude", [0, 9, 17]
)  # at others, shears meet points between two pixels
@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_is_torchvisions(name, magnitude):
    policy = pytest.importorskip("torchvision.transforms.v2").RandAugment(1, magnitude)
    policy._AUGMENTATION_SPACE = {name: policy._AUGMENTATION_SPACE[name]}
    images, expected = pictures(), []
    for seed in range(6):  # of both signs
        torch.manual_seed(seed)
        expected.append(policy(images))
    for sign in (-1.0, 1.0):
        seen = OPERATIONS[name](images, torch.full((len(images),), sign), magnitude / 30)
        assert seen.dtype == torch.uint8
        errors = [(seen.int() - theirs.int()).abs() for theirs in expected]
        error = min(errors, key=lambda error: error.sum())
        blended = name in (
            "Brightness",
            "Color",
            "Contrast",
            "Sharpness",
        )  # cut to integers: 18.999998 is 18
        assert error.max() <= blended and error.float().mean() < 0.02


def test_operations_are_torchvisions():
    assert list(OPERATIONS) == list(
        pytest.importorskip("torchvision.transforms.v2").RandAugment._AUGMENTATION_SPACE
    )


def test_every_image_gets_its_own_operations_one_after_the_other():
    images, draws = pictures().repeat(10, 1, 1, 1), Draws(torch.Generator().manual_seed(3))
    seen, again = RandAugment(2, 9)(images, draws), Draws(torch.Generator().manual_seed(3))
    numbers = torch.stack([again.rand(len(images), 2) for _ in range(2)])
    for row, image in enumerate(images.split(1)):
        for pick, sign in numbers[:, row].tolist():
            operation = list(OPERATIONS.values())[int(pick * len(OPERATIONS))]
            image = operation(image, torch.tensor([1.0 if sign < 0.5 else -1.0]), 0.3)
        assert torch.equal(seen[row], image[0])
