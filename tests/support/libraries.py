"""Thirty networks of timm and fifteen of torchvision: convolutions, transformers, and both.

The smallest of their families, for the smallest images that they take.
"""

from collections.abc import Iterator
from typing import Any

import pytest


def _timm(model: str, **more) -> dict:
    return {"name": "timm", "model": model, **more}


def _torchvision(model: str, **more) -> dict:
    return {"name": "torchvision", "model": model, **more}


NETWORKS = [
    *map(
        _timm,
        (
            *("resnet18", "resnet10t", "test_resnet", "regnetx_002", "regnety_002"),
            *(
                "efficientnet_b0",
                "mobilenetv3_small_050",
                "mobilenetv4_conv_small_050",
                "tinynet_e",
            ),
            *("lcnet_035", "ghostnet_050", "convnext_atto", "convnextv2_atto", "test_nfnet"),
            *("edgenext_xx_small", "mobilevit_xxs", "repvgg_a0", "fastvit_t8", "starnet_s1"),
            *("efficientvit_b0", "pvt_v2_b0", "semnasnet_050"),
        ),
    ),
    _timm("vit_tiny_patch16_224", resolution=32),
    _timm("deit_tiny_patch16_224", resolution=32),
    _timm("test_vit", resolution=32),
    _timm("xcit_nano_12_p16_224"),
    _timm("eva02_tiny_patch14_224", resolution=28),
    _timm("pit_ti_224", resolution=64),
    _timm("resmlp_12_224", resolution=32),
    _timm("swin_tiny_patch4_window7_224", resolution=32),
    *map(
        _torchvision,
        (
            *("resnet18", "resnext50_32x4d", "regnet_x_400mf", "regnet_y_400mf", "densenet121"),
            *("mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2_x0_5", "squeezenet1_1"),
            *("mnasnet0_5", "efficientnet_b0", "convnext_tiny", "googlenet", "swin_t"),
        ),
    ),
    _torchvision("vit_b_16", resolution=32),
]


def side_of(section: dict) -> int:
    """Pixels of images that the network takes."""
    return section.get("resolution", 224 if section["model"].startswith("xcit") else 64)


def few_of(networks: list[dict], of: int = 8) -> Iterator[Any]:
    """As parameters of a test: all but one `of` so many are marked `matrix`."""
    for number, section in enumerate(networks):
        marks = () if number % of == 1 else (pytest.mark.matrix,)
        yield pytest.param(section, marks=marks, id=f"{section['name']}-{section['model']}")
