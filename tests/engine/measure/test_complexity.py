"""Counting rules: the authors' whole table, torch's own counter, and a network that stays as it
was.
"""

import json
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from engine.core.build import build
from engine.measure.complexity import by_shape, measure, summed
from tests.models.test_backbones import classifier

SCALES = [
    (1.0, 1.0),
    (1.0, 1.1),
    (1.1, 1.2),
    (1.2, 1.4),
    (1.4, 1.8),
    (1.6, 2.2),
]  # EfficientNet-B0 to B5
CIFAR = {"width": 16, "stem": "simple", "stem_stride": 1, "stem_width": 16}
# of 32 pixels and 10 classes: pycls's archived configurations, which the pack lacks
ARCHIVED = {
    "R-56": {"name": "resnet", "depths": [9] * 3, "block": "basic", **CIFAR},
    "R-110": {"name": "resnet", "depths": [18] * 3, "block": "basic", **CIFAR},
    "V-56": {"name": "resnet", "depths": [9] * 3, "block": "plain", **CIFAR},
}


def expressed(model: str, config: dict) -> dict:
    """Our section for one of pycls's configurations."""
    if config["MODEL"]["TYPE"] == "regnet":
        options = config["REGNET"]
        keys = {"depth": "DEPTH", "w_0": "W0", "w_a": "WA", "w_m": "WM", "group_width": "GROUP_W"}
        se_ratio = 0.25 if options.get("SE_ON") else 0.0
        return {"name": "regnet", "se_ratio": se_ratio} | {
            ours: options[theirs] for ours, theirs in keys.items()
        }
    if config["MODEL"]["TYPE"] == "effnet":
        width, depth = SCALES[int(model[-1])]
        return {"name": "efficientnet", "width": width, "depth": depth}
    options = config["ANYNET"]
    if model.startswith("R-"):
        return {"name": "resnet", "depths": options["DEPTHS"]}
    return {"name": "resnext", "depths": options["DEPTHS"], "group_width": options["GROUP_WS"][0]}


def model_of(path: Path) -> str:
    """R-50-1x64d of R-50-1x64d_step_8gpu.yaml: how it was trained leaves the complexity as it
    is.
    """
    return path.name.rsplit("_", 2)[0]


def test_all_rows_of_the_authors_table(pack):
    folder, found = pack("model_tables"), {}
    table = json.loads((folder / "pycls_dev/model_complexity.json").read_text())
    table = {Path(row): complexity for row, complexity in table.items() if row.endswith(".yaml")}
    for path in folder.glob("pycls_configs/**/*.yaml"):
        config = yaml.safe_load(path.read_text())
        side = config["TRAIN"]["IM_SIZE"]
        found[model_of(path)] = measure(
            classifier(expressed(model_of(path), config), 1000), (3, side, side)
        )
    found |= {
        model: measure(classifier(options, 10), (3, 32, 32)) for model, options in ARCHIVED.items()
    }
    equal = sum(found.get(model_of(row)) == complexity for row, complexity in table.items())
    print(f"{equal} of {len(table)} rows equal in params, flops and acts ({len(found)} networks)")
    assert {row: found.get(model_of(row)) for row in table} == table
    assert len(table) == 65


def test_scaled_efficientnets_have_the_authors_widths_and_depths(pack):
    for path in pack("model_tables").glob("pycls_configs/**/EN-*.yaml"):
        config = yaml.safe_load(path.read_text())
        with torch.device("meta"):
            net = build("backbones", expressed(model_of(path), config))
        assert net.channels == [*config["EN"]["WIDTHS"], config["EN"]["HEAD_W"]]
        assert [len(stage) for stage in net.stages] == [*config["EN"]["DEPTHS"], 1]


@pytest.mark.parametrize(
    "section",
    [
        {
            "name": "regnet",
            "depth": 13,
            "w_0": 24,
            "w_a": 36.44,
            "w_m": 2.49,
            "group_width": 8,
            "se_ratio": 0.25,
        },
        {"name": "resnext"},
        {"name": "efficientnet"},
        ARCHIVED["V-56"],
    ],
)
def test_torch_counts_twice_as_much_but_no_bias(section):
    net = classifier(section, 10)
    biases = sum(
        m.bias.numel()
        for m in net.modules()
        if isinstance(m, nn.Conv2d | nn.Linear) and m.bias is not None
    )
    ours, theirs = (measure(net, (3, 64, 64), rule) for rule in ("pycls", "torch"))
    assert theirs == {"params": ours["params"], "flops": 2 * (ours["flops"] - biases)}


def test_torch_counts_attention():
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    tokens, width, hidden = 5, 8, 16
    products = 4 * tokens * width**2 + 2 * tokens**2 * width + 2 * tokens * width * hidden
    assert measure(encoder, (tokens, width), "torch")["flops"] == 2 * products


def test_pycls_counts_products_and_a_bias_at_each_place():
    tokens, width, hidden, heads = 5, 8, 16, 2
    encoder = nn.TransformerEncoderLayer(width, heads, hidden, batch_first=True)
    linear = 3 * width + width + hidden + width
    biased = tokens * (4 * width**2 + 2 * width * hidden + linear)
    assert measure(encoder, (tokens, width)) == {
        "params": sum(p.numel() for p in encoder.parameters()),
        "flops": biased + 2 * tokens**2 * width,
        "acts": tokens * linear + heads * tokens**2 + tokens * width,
    }


@pytest.mark.parametrize("channels_last", [False, True])
def test_the_bias_of_a_linear_layer_counts_whatever_the_memory_format(channels_last):
    class Placed(nn.Linear):
        def forward(self, x):
            return super().forward(x.permute(0, 2, 3, 1) if channels_last else x.flatten(1))

    layer = Placed(3, 7) if channels_last else Placed(48, 7)
    assert measure(layer, (3, 4, 4))["flops"] == (16 * 7 * 4 if channels_last else 7 * 49)


@pytest.mark.parametrize("transposed", [False, True])
def test_convolutions_in_either_direction(transposed):
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    conv = kind(6, 4, 2, stride=2, groups=2)
    outputs, weights = 4 * (8 * 8 if transposed else 2 * 2), 4 * 6 * 2 * 2 // 2
    applied = 4 * 4 if transposed else 2 * 2  # places of the smaller map
    assert measure(conv, (6, 4, 4)) == {
        "params": weights + 4,
        "flops": weights * applied + outputs,
        "acts": outputs,
    }


@pytest.mark.parametrize("rule", ["pycls", "torch"])
def test_rows_by_shape_sum_to_the_whole(rule):
    backbone, head = classifier({"name": "vit", "width": 64, "heads": 2, "depth": 3}, 10)
    rows = by_shape(backbone, head, (3, 64, 64), rule)
    whole = measure(nn.Sequential(backbone, head), (3, 64, 64), rule)
    assert summed(rows) == whole | {"layers": 6}
    assert [row["shape"] for row in rows] == [(17, 64), ()]
    assert rows[-1]["params"] == 650 and rows[0]["layers"] == 5


def test_unknown_rules_are_refused():
    with pytest.raises(ValueError, match="unknown counting rule 'fvcore': choose pycls or torch"):
        measure(nn.Linear(2, 2), (2,), "fvcore")


def test_measure_copies_no_weights_and_leaves_the_network_alone():
    net = classifier(
        {"name": "resnet", "depths": (1, 1), "block": "basic"}, 10, device="cpu"
    ).train()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    in_meta = classifier({"name": "resnet", "depths": (1, 1), "block": "basic"}, 10)
    assert measure(net, (3, 64, 64)) == measure(in_meta, (3, 64, 64))
    assert net.training and not any(m._forward_hooks for m in net.modules())
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
