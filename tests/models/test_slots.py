"""Every slot: its contract, its cost in closed form, and what its paper or a library has."""

import copy
import math
import pickle
from importlib import import_module

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from engine.core.build import build, choices, plugin
from engine.core.network import load_network, network, save_network
from engine.measure.complexity import measure
from models.blocks.layers.attention import relative_logits
from models.blocks.layers.gnconv import global_filter
from models.blocks.layers.norms import renormalised
from models.blocks.layers.pairwise import pairwise
from tests.models.test_backbones import classifier, copied

SLOTS = {name: import_module(f"models.slots.{name}").expected for name in choices("slots")}
ROWS = [{"name": name} | row for name, rows in SLOTS.items() for row in rows]
# small ones, of every kind that there is
MORE = [
    *(
        {"name": "non_local", "kind": kind, "subsample": True}
        for kind in ("embedded_gaussian", "gaussian", "dot_product", "concatenation")
    ),
    {"name": "denoise", "kind": "softmax", "embed": False},
    {"name": "gnconv", "order": 4, "kind": "global"},
    {"name": "halo_attention", "heads": 2, "block": 4, "halo": 1, "scaled": False},
]
SECTIONS = [{"name": name} for name in SLOTS] + MORE
BLOCKS = [one for one in SECTIONS if one["name"] != "group_norm"]
SIDE = 6  # of a map, which no block of the halo divides


def ids(sections: list[dict]) -> list[str]:
    return ["-".join(map(str, section.values())) for section in sections]


every = pytest.mark.parametrize("section", SECTIONS, ids=ids(SECTIONS))


def made(section: dict, channels: int = 16, side: int = SIDE, **more) -> nn.Module:
    """A slot for maps of so many channels, before and after it."""
    place = plugin("slots", section["name"], "slots").place
    if place == "spatial":
        facts = {"inputs": channels, "outputs": channels, "stride": 1, "size": (side, side)}
        return build("slots", section, **facts | more)
    return build("slots", section, channels=channels)


def wave(*shape: int, start: float = 0) -> torch.Tensor:
    """The closed-form numbers of the goldens."""
    numbers = torch.arange(math.prod(shape), dtype=torch.float64)
    return torch.sin(0.37 * numbers + start).reshape(shape)


def stirred(module: nn.Module) -> nn.Module:
    """With other weights than those of the start, which hide wrong branches by zeros."""
    torch.manual_seed(1)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module


@every
def test_contract(section):
    torch.manual_seed(0)
    slot, x = made(section), torch.randn(2, 16, SIDE, SIDE)
    assert slot.place in {"norm", "spatial", "branch", "after"}
    # bit by bit: nothing of the slot is there at its start
    assert slot(x).equal(x) == slot.identity_at_init
    stirred(slot)
    wide = x.clone().to(memory_format=torch.channels_last)
    found = slot(wide)
    assert found.shape == x.shape and found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found, slot(x), atol=1e-4, rtol=1e-4)
    found.square().mean().backward()
    grads = {name: p.grad for name, p in slot.named_parameters()}
    assert all(g is not None and g.isfinite().all() for g in grads.values())
    assert [name for name, g in grads.items() if not g.any()] == []
    slot.eval()
    for twin in (copy.deepcopy(slot), pickle.loads(pickle.dumps(slot))):
        assert twin(x).equal(slot(x))


@every
def test_batches_sizes_and_numbers(section):
    slot, x = stirred(made(section)).eval(), torch.randn(3, 16, SIDE, SIDE)
    torch.testing.assert_close(slot(x)[:1], slot(x[:1]), atol=1e-4, rtol=1e-4)
    for shape in [(1, 2), (5, 9), (14, 14)]:
        y = torch.randn(1, 16, *shape)
        assert slot(y).shape == y.shape
    exact = copy.deepcopy(slot).double()(x.double())
    assert exact.dtype == torch.float64
    torch.testing.assert_close(slot(x), exact.float(), atol=1e-3, rtol=1e-3)
    coarse = slot.bfloat16()(x.bfloat16())
    assert coarse.dtype == torch.bfloat16
    assert (coarse.float() - exact.float()).norm() < 0.1 * exact.float().norm()


@pytest.mark.parametrize(
    "row", ROWS, ids=ids([{"n": row["name"], **row["options"]} for row in ROWS])
)
def test_expected(row):
    with torch.device("meta"):
        side = row.get("size", (14, 14))[0]
        slot = made({"name": row["name"], **row["options"]}, row["channels"], side)
    assert sum(p.numel() for p in slot.parameters()) == row["params"]


@pytest.mark.parametrize("section", BLOCKS, ids=ids(BLOCKS))
@pytest.mark.parametrize(("channels", "side", "stride"), [(16, 6, 1), (64, 9, 2), (32, 1, 1)])
def test_cost_in_closed_form(section, channels, side, stride):
    slot = made(section, channels, side, stride=stride)
    options = {key: value for key, value in section.items() if key != "name"}
    shape = (channels, channels, stride) if slot.place == "spatial" else (channels,)
    costs = type(slot).cost(*shape, (side, side), **options)
    counted = measure(slot, (channels, side, side), "pycls")
    assert {kind: int(cost) for kind, cost in costs.items()} == counted


@pytest.mark.parametrize("name", [n for n in SLOTS if plugin("slots", n, "").place == "spatial"])
@pytest.mark.parametrize("side", [8, 7, 1])
def test_strides_round_up_as_convolutions_do(name, side):
    slot = stirred(made({"name": name}, stride=2, side=side))
    assert slot(torch.randn(2, 16, side, side)).shape == (2, 16, -(-side // 2), -(-side // 2))


# group norm


def test_group_norms_are_torch_s_layer_and_instance_norm():
    x = wave(2, 6, 4, 4)
    norm = build("slots", {"name": "group_norm", "groups": 3}, channels=6).double()
    assert norm(x)[0, 0, 0, 0].item() == pytest.approx(-0.0439501435, abs=1e-10)
    layer = build("slots", {"name": "group_norm", "groups": 1}, channels=6).double()
    torch.testing.assert_close(layer(x), F.layer_norm(x, x.shape[1:]))
    instance = build("slots", {"name": "group_norm", "group_width": 1}, channels=6).double()
    torch.testing.assert_close(instance(x), F.instance_norm(x))
    groups = norm(x).reshape(2, 3, -1)
    torch.testing.assert_close(groups.mean(2), torch.zeros(2, 3).double(), atol=1e-9, rtol=0)
    torch.testing.assert_close(
        groups.var(2, correction=0), torch.ones(2, 3).double(), rtol=1e-4, atol=0
    )


@pytest.mark.parametrize(
    ("channels", "options", "groups"),
    [
        (256, {}, 32),
        (48, {}, 24),
        (8, {}, 8),
        (56, {}, 28),
        (56, {"group_width": 16}, 2),
        (4, {"group_width": 16}, 1),
    ],
)
def test_groups_divide_the_channels(channels, options, groups):
    assert build("slots", {"name": "group_norm", **options}, channels=channels).num_groups == groups


def test_a_whole_network_is_renormalised_and_starts_as_before():
    torch.manual_seed(0)
    plain = build("backbones", {"name": "resnet", "depths": (1, 1), "width": 8})
    torch.manual_seed(0)
    section = {"name": "resnet", "depths": (1, 1), "width": 8, "norm": {"name": "group_norm"}}
    grouped = build("backbones", section)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in grouped.modules())
    weights = plain.state_dict()
    for name, value in grouped.state_dict().items():
        assert value.equal(weights[name]), "draws and last scales of zero are those of batch norm"
    x = torch.randn(3, 3, 32, 32)
    assert grouped.train()(x)[-1][:1].allclose(grouped.eval()(x[:1])[-1], atol=1e-5)
    assert not plain.train()(x)[-1][:1].allclose(plain(x[:1])[-1], atol=1e-2)
    timm = pytest.importorskip("timm")
    theirs = timm.create_model("resnet18", num_classes=3)
    found = renormalised(theirs, lambda channels: nn.GroupNorm(32, channels))
    norms = [m for m in found.modules() if isinstance(m, nn.GroupNorm)]
    assert len(norms) == 20 and found(x).shape == (3, 3)
    with pytest.raises(ValueError, match="BatchNormAct2d is more than a batch norm"):
        renormalised(timm.create_model("regnetx_002"), lambda channels: nn.GroupNorm(8, channels))


# non-local means


def test_means_are_weighted_as_the_paper_has_it():
    q, k, v = wave(2, 4, 6), wave(2, 4, 5, start=1), wave(2, 3, 5, start=2)
    products = torch.einsum("bdn,bdm->bnm", q, k)
    weights = {
        "softmax": products.exp() / products.exp().sum(2, keepdim=True),
        "dot": products / 5,
    }
    for kind, weight in weights.items():
        expected = torch.einsum("bnm,bem->ben", weight, v)
        torch.testing.assert_close(pairwise(q, k, v, kind), expected)
    sums = (q[:, 0, :, None] + k[:, 0, None]).clamp(min=0) / 5
    found = pairwise(q[:, :1], k[:, :1], v, "sum")
    torch.testing.assert_close(found, torch.einsum("bnm,bem->ben", sums, v))
    ones = torch.ones(2, 1, 5).double()
    torch.testing.assert_close(pairwise(q, k, ones, "softmax"), torch.ones(2, 1, 6).double())


def test_products_are_associative():
    # 40 places make (values keys) queries the cheaper order, 2 the other
    for n in (40, 2):
        q, k, v = wave(1, 4, n), wave(1, 4, n, start=1), wave(1, 4, n, start=2)
        one, other = (v @ k.mT) @ q / n, v @ (k.mT @ q) / n
        torch.testing.assert_close(one, other, atol=1e-13, rtol=1e-13)
        torch.testing.assert_close(pairwise(q, k, v, "dot"), one, atol=1e-13, rtol=1e-13)


@pytest.mark.parametrize(
    "section",
    [
        {"name": "denoise"},
        {"name": "global_context"},
        *(
            {"name": "non_local", "kind": kind}
            for kind in ("embedded_gaussian", "gaussian", "dot_product", "concatenation")
        ),
    ],
)
def test_permuted_places_are_answered_permuted(section):
    slot, x = stirred(made(section)).double().eval(), wave(2, 16, 4, 5)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    permuted = x.flatten(2)[..., order].unflatten(2, (4, 5))
    torch.testing.assert_close(slot(permuted).flatten(2), slot(x).flatten(2)[..., order])


def test_five_blocks_add_what_the_paper_s_do():
    plain = {"name": "resnet"}
    section = plain | {"after": {"name": "non_local"}, "after_at": [[], [1, 3], [1, 3, 5], []]}
    ours, theirs = (measure(classifier(one), (3, 64, 64)) for one in (section, plain))
    assert ours["params"] - theirs["params"] == 7_358_464


def test_non_local_is_timm_s():
    layers = pytest.importorskip("timm.layers")
    peer = stirred(layers.NonLocalAttn(16, rd_channels=8))
    order = ("values", "queries", "keys", "project", "norm")
    ours, parts = made({"name": "non_local"}), zip(order, ("g", "t", "p", "z", "norm"), strict=True)
    for our, their in parts:
        getattr(ours, our).load_state_dict(getattr(peer, their).state_dict())
    # they scale by the width of the map, the paper's code by that of the embeddings
    for part in (ours.queries.weight, ours.queries.bias):
        part.data *= (8 / 16) ** 0.5
    x = torch.randn(2, 16, 5, 5)
    torch.testing.assert_close(ours.eval()(x), peer.eval()(x), atol=1e-5, rtol=1e-5)


# denoising


def denoiser(**options) -> nn.Module:
    slot = made({"name": "denoise", **options}, channels=8).double().eval()
    if options.get("embed", True):
        slot.queries.weight.data = 0.5 * wave(4, 8, 1, 1, start=1)
        slot.keys.weight.data = 0.5 * wave(4, 8, 1, 1, start=2)
    slot.project.weight.data = 0.5 * wave(8, 8, 1, 1, start=3)
    nn.init.ones_(slot.norm.weight)
    return slot


@pytest.mark.parametrize(
    ("options", "whole", "golden"),
    [
        ({}, False, (-0.9038966169, -0.8364238758, -0.0302305074, 126.2311761066)),
        (
            {"kind": "dot", "embed": False},
            False,
            (-0.0093212794, 0.1872079227, 0.1268720087, 323.2065502359),
        ),
        ({"embed": False}, False, (0.0309518705, 0.0153110925, 0.0902594897, None)),
        ({}, True, (-0.3650122992, -1.6255134344, 0.1210769275, 297.9528580063)),
    ],
)
def test_denoising_is_the_authors(options, whole, golden):
    slot, x = denoiser(**options), wave(2, 8, 4, 4)
    found = (slot if whole else slot.means)(x).detach().flatten()
    numbers = found[0], found[-1], found.sum(), found.abs().sum()
    for number, expected in zip(numbers, golden, strict=True):
        if expected is not None:
            assert number.item() == pytest.approx(expected, abs=2e-10, rel=1e-9)


# global context


def test_context_is_one_vector_of_an_image():
    slot, x = stirred(made({"name": "global_context"}, 32)).double(), wave(2, 32, 4, 5)
    added = (slot(x) - x).flatten(2)
    torch.testing.assert_close(added, added[..., :1].expand_as(added))
    # of uniform attention it is that of the mean, as in squeeze-and-excitation
    nn.init.zeros_(slot.attention.weight)
    torch.testing.assert_close(slot(x), x + slot.transform(x.mean((2, 3), keepdim=True)))


def test_global_context_is_timm_s_but_for_its_start():
    layers = pytest.importorskip("timm.layers")
    peer = layers.GlobalContext(32, fuse_add=True, fuse_scale=False, rd_channels=4)
    x = torch.randn(2, 32, 5, 5)
    nn.init.normal_(peer.mlp_add.fc2.bias)
    assert not peer(x).allclose(x), "its last bias is not zeroed"
    theirs, ours = stirred(peer).state_dict(), made({"name": "global_context"}, 32)
    shapes = {key: value.shape for key, value in ours.state_dict().items()}
    weights = zip(shapes.items(), theirs.values(), strict=True)
    ours.load_state_dict({key: value.reshape(shape) for (key, shape), value in weights})
    torch.testing.assert_close(ours(x), peer(x), atol=1e-4, rtol=1e-4)


# attention


@pytest.mark.parametrize("stride", [1, 2])
def test_relative_logits_are_those_of_a_double_loop(stride):
    queries, table = wave(2, 3, 4), wave(15, 4, start=1)
    found = relative_logits(queries, table, 8, stride)
    for i in range(3):
        for j in range(8):
            expected = queries[:, i] @ table[j - stride * i + 7]
            torch.testing.assert_close(found[:, i, j], expected)


@pytest.mark.parametrize("scaled", [True, False])
def test_bottleneck_attention_is_timm_s(scaled):
    layers = pytest.importorskip("timm.layers.bottleneck_attn")
    options = {"num_heads": 4, "scale_pos_embed": scaled}
    for stride in (1, 2):
        peer = layers.BottleneckAttn(24, 32, (5, 6) if stride == 1 else (6, 8), stride, **options)
        size = (peer.pos_embed.height, peer.pos_embed.width)
        section = {"name": "bot_attention", "scaled": scaled}
        ours = build("slots", section, inputs=24, outputs=32, stride=stride, size=size)
        copied(ours, stirred(peer))
        x = torch.randn(2, 24, *size)
        torch.testing.assert_close(ours(x), peer(x), atol=1e-4, rtol=1e-4)


def test_without_positions_attention_is_torch_s():
    slot, x = made({"name": "bot_attention"}), torch.randn(2, 16, SIDE, SIDE)
    for table in slot.positions.parameters():
        nn.init.zeros_(table)
    parts = slot.qkv(x).unflatten(1, (3, 4, 4)).flatten(4).transpose(3, 4).unbind(1)
    expected = F.scaled_dot_product_attention(*parts).transpose(2, 3).reshape(x.shape)
    torch.testing.assert_close(slot(x), expected, atol=1e-5, rtol=1e-5)


def test_halo_attention_is_timm_s():
    layers = pytest.importorskip("timm.layers.halo_attn")
    peer = stirred(layers.HaloAttn(24, 32, num_heads=4, block_size=4, halo_size=2))
    section = {"name": "halo_attention", "heads": 4, "block": 4, "halo": 2, "scaled": False}
    ours = build("slots", section, inputs=24, outputs=32)
    # they have keys and values of a head together
    keys, values = peer.kv.weight.unflatten(0, (4, 2, 8)).unbind(1)
    weights = [peer.q.weight, keys.flatten(0, 1), values.flatten(0, 1)]
    ours.qkv.weight.data = torch.cat(weights)
    ours.positions.height.data, ours.positions.width.data = (
        peer.pos_embed.height_rel.data,
        peer.pos_embed.width_rel.data,
    )
    x = torch.randn(2, 24, 8, 12)
    torch.testing.assert_close(ours(x), peer(x), atol=1e-4, rtol=1e-4)


def test_a_block_as_large_as_the_map_is_bottleneck_attention():
    whole = stirred(made({"name": "bot_attention", "heads": 2}))
    ours = made({"name": "halo_attention", "heads": 2, "block": SIDE, "halo": 0})
    ours.load_state_dict(whole.state_dict())
    x = torch.randn(2, 16, SIDE, SIDE)
    torch.testing.assert_close(ours(x), whole(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
def test_places_outside_of_the_halo_are_not_seen(stride):
    options = {"name": "halo_attention", "heads": 2, "block": 4, "halo": 1}
    slot = stirred(made(options, stride=stride))
    x = torch.randn(1, 16, 12, 12, requires_grad=True)
    # of the middle block, places 4 to 7
    middle = slice(4 // stride, 8 // stride)
    slot(x)[..., middle, middle].sum().backward()
    seen = x.grad.abs().sum((0, 1)) > 0
    expected = torch.zeros(12, 12, dtype=torch.bool)
    expected[3:9, 3:9] = True
    assert seen.equal(expected)


def test_every_second_query_of_a_block_is_the_same_query():
    options = {"name": "halo_attention", "heads": 2, "block": 4, "halo": 1}
    dense, sparse = stirred(made(options)), made(options, stride=2)
    sparse.load_state_dict(dense.state_dict())
    x = torch.randn(2, 16, 8, 8)
    torch.testing.assert_close(sparse(x), dense(x)[..., ::2, ::2], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("section", "facts", "reason"),
    [
        ({"name": "bot_attention", "heads": 3}, {"size": (4, 4)}, "do not split into 3 heads"),
        ({"name": "bot_attention"}, {}, "give the backbone `resolution`"),
        ({"name": "halo_attention", "block": 3}, {"stride": 2}, "no multiple of stride 2"),
        ({"name": "gnconv", "order": 5}, {"inputs": 24, "outputs": 24}, "each order halves them"),
        ({"name": "gnconv", "kind": "global"}, {}, "give the backbone `resolution`"),
    ],
)
def test_impossible_slots_are_refused(section, facts, reason):
    with pytest.raises(ValueError, match=reason):
        build("slots", section, **{"inputs": 16, "outputs": 16, **facts})


# recursive gated convolution


@pytest.mark.parametrize("order", [2, 3, 5])
def test_gates_multiply_as_often_as_the_order_says(order):
    slot, x = made({"name": "gnconv", "order": order}, 16).double(), wave(2, 16, 5, 5)
    whole = slot(x)
    torch.testing.assert_close(slot(2 * x), 2 ** (order + 1) * whole)  # the biases are zero
    slot.scale = 3
    torch.testing.assert_close(slot(x), 3**order * whole)


def test_second_order_is_two_products():
    slot, x = stirred(made({"name": "gnconv", "order": 2})).double(), wave(2, 16, 5, 5)
    projected, mixed = slot.inwards(x).split((8, 24), 1)
    gates = slot.spatial(mixed)
    expected = slot.outwards(slot.steps[0](projected * gates[:, :8]) * gates[:, 8:])
    torch.testing.assert_close(slot(x), expected)


def test_the_global_filter_is_a_circular_convolution():
    torch.manual_seed(0)
    filtering = made({"name": "gnconv", "order": 2, "kind": "global"}, 8, 6).double().spatial
    x = torch.randn(1, 6, 6, 6).double()
    kernel = torch.fft.irfft2(torch.view_as_complex(filtering.frequencies), s=(6, 6))
    expected = torch.zeros_like(x)
    for i in range(6):
        for j in range(6):
            expected += kernel[:, i, j].view(-1, 1, 1) * x.roll((i, j), (2, 3))
    torch.testing.assert_close(global_filter(x, filtering.frequencies), expected)


# slots in networks

PLACED = [
    {"norm": {"name": "group_norm", "groups": 8}},
    {"after": {"name": "non_local", "kind": "dot_product"}, "after_at": [[0, 1], "last"]},
    {"after": {"name": "global_context"}, "after_at": "all"},
    {"spatial": {"name": "bot_attention"}, "spatial_at": [[], "all"], "resolution": 32},
    {"spatial": {"name": "halo_attention", "block": 4, "halo": 1}, "after": {"name": "denoise"}},
    {"spatial": {"name": "gnconv", "order": 2}, "spatial_at": "last"},
]
FAMILIES = [
    {"name": "resnet", "depths": (2, 1), "width": 8, "stem": "simple", "stem_width": 8},
    {"name": "resnext", "depths": (2, 1), "cardinality": 4, "width": 16, "group_width": 4},
    {"name": "regnet", "depth": 4, "w_0": 16, "w_a": 6, "w_m": 2, "group_width": 8},
]


@pytest.mark.parametrize("family", FAMILIES, ids=[one["name"] for one in FAMILIES])
@pytest.mark.parametrize("slots", PLACED, ids=["-".join(one) for one in PLACED])
def test_backbones_have_slots_where_they_are_named(family, slots):
    torch.manual_seed(0)
    backbone, plain = build("backbones", family | slots), build("backbones", family)
    x = torch.randn(2, 3, 32, 32).to(memory_format=torch.channels_last)
    maps = backbone.to(memory_format=torch.channels_last)(x)
    assert [m.shape for m in maps] == [m.shape for m in plain(x)]
    assert all(m.is_contiguous(memory_format=torch.channels_last) for m in maps)
    maps[-1].square().mean().backward()
    assert all(p.grad is not None for p in backbone.parameters())
    if "spatial" not in slots and "norm" not in slots:
        # the same network with more in it, whose keys are those it had
        more = set(backbone.state_dict()) - set(plain.state_dict())
        assert set(plain.state_dict()) < set(backbone.state_dict())
        assert all(".after." in key or ".branch." in key for key in more)


def test_slots_stand_in_the_blocks_that_are_listed():
    section = {"name": "resnet", "after": {"name": "denoise"}, "spatial": {"name": "gnconv"}}
    section |= {"after_at": [[0, 2], [], "last", "all"], "spatial_at": [[], "last", [1], []]}
    with torch.device("meta"):
        stages = build("backbones", section).stages
    denoised, gated = ([], [], [], []), ([], [], [], [])
    for i, stage in enumerate(stages):
        for j, block in enumerate(stage):
            denoised[i].extend([j] if not isinstance(block.after, nn.Identity) else [])
            gated[i].extend([j] if not isinstance(block.transform[3], nn.Conv2d) else [])
    assert denoised == ([0, 2], [], [5], [0, 1, 2])
    assert gated == ([], [3], [1], [])


def test_weights_of_a_network_with_slots_are_read_again(tmp_path):
    backbone = {**FAMILIES[0], "norm": {"name": "group_norm"}, "after": {"name": "non_local"}}
    backbone |= {"spatial": {"name": "bot_attention"}, "spatial_at": [[1], "all"]}
    sections = {
        "backbone": backbone | {"resolution": 32, "after_at": ["last", []]},
        "objective": {"name": "supervised"},
        "head": {"name": "linear"},
    }
    names = ["a", "b"]
    written = network(**sections, classes=2, names=names)
    save_network(tmp_path / "weights.safetensors", stirred(written), sections, names)
    read, _ = load_network(tmp_path / "weights.safetensors")
    x = torch.randn(2, 3, 32, 32)
    ours, theirs = (each.eval().features(x) for each in (written, read))
    assert ours.equal(theirs)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"norm": {"name": "non_local"}}, "norm: this slot goes into `after`"),
        ({"after": {"name": "gnconv"}}, "after: this slot goes into `spatial`"),
        ({"after": {"name": "nonlocal"}}, "did you mean 'non_local'"),
        ({"after": {"name": "denoise"}, "after_at": [[4], [], [], []]}, "stage 1 has 3 blocks"),
        ({"after": {"name": "denoise"}, "after_at": ["all"]}, "1 entries, the network 4 stages"),
        ({"after": {"name": "denoise", "kind": "mean"}}, "kind"),
        ({"spatial": {"name": "gnconv"}, "block": "basic"}, "take block bottleneck"),
        ({"after": {"name": "denoise"}, "block": "plain"}, "take block basic or bottleneck"),
        ({"after_at": [[-1], [], [], []]}, "after_at"),
    ],
)
def test_impossible_places_are_refused(wrong, reason):
    with torch.device("meta"), pytest.raises(ValueError, match=reason):
        build("backbones", {"name": "resnet", **wrong})
