"""Nothing stays behind on the host and nothing is made there, for every plug-in.

The GPU is the tests' own and computes with the CPU: what comes out is what the CPU gives.
"""

from concurrent.futures import Future
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from corpus.duplicates.overlap import verify_pairs
from corpus.duplicates.search import knn
from corpus.reading.shards import Shards
from engine.core.batch import Batch, moved
from engine.core.build import build, choices
from engine.core.network import network
from engine.core.samples import Rows
from engine.measure.profile import profile_network
from engine.measure.timing import runtimes
from engine.training import loader
from engine.training.loop import initialise, train
from engine.training.predicting import predicted
from engine.training.schedule import Training
from engine.transfer import finetuning as transfer
from engine.transfer.frozen import _kept
from engine.twins.features import rmac_features
from engine.twins.learnt import learnt_twins
from models.blocks.augment.draws import Draws
from models.blocks.methods.multiview import MultiView
from models.heads.logistic import logistic_regression
from tests.engine.training.toys import RECIPE, SECTIONS, Toy, accuracy
from tests.models import test_trunks
from tests.models.selfsup.toys import small
from tests.models.test_backbones import BACKBONES, OF_CLIPS, SMALL
from tests.support.methods import methods
from tests.support.methods import section as small_section
from tests.support.scenes import other
from tests.support.second_device import WHERE, Placed, second_device
from tests.support.shards import write_shards
from tests.support.videos import CLIPS, Videos
from tests.support.videos import Normed as Volumes

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a real one")
OPTIONS = {"knn": {"samples": 6, "k": 3}}  # arguments of heads that have no default
TRUNKS = {name: {"name": name, **rows[0]["options"]} for name, rows in BACKBONES.items()}
TRUNKS["resnext"] = SMALL
# every layer of the published ones, fewer of them
NARROW = ("botnet", "gcnet", "halonet", "hornet", "nlnet")
TRUNKS |= {name: test_trunks.SECTIONS[name] for name in NARROW}
# positions of the map that there is: the stand-in cannot interpolate others with their gradient
TRUNKS["botnet"] = TRUNKS["botnet"] | {"resolution": 16}
TRUNKS["timm"] = {"name": "timm", "model": "resnet10t"}
TRUNKS["torchvision"] = {"name": "torchvision", "model": "shufflenet_v2_x0_5"}
FULL = {"randaugment": (2, 9), "lighting": 0.1, "mixup": 0.2, "cutmix": 1.0, "label_smoothing": 0.1}


class Inline:
    """An executor that does its work at once: the tests' device is one of this thread alone."""

    def __init__(self, *_, initializer=None, initargs=()) -> None:
        if initializer:
            initializer(*initargs)

    def __enter__(self) -> "Inline":
        return self

    def __exit__(self, *_) -> None: ...

    def submit(self, call, *args) -> Future:
        done = Future()
        done.set_result(call(*args))
        return done


@pytest.fixture
def device(monkeypatch, one_thread):
    """What makes the second device: a context, outside of which the CPU is the only one."""

    def inside():
        _kept.clear()
        monkeypatch.setattr(loader, "ThreadPoolExecutor", Inline)
        return second_device(monkeypatch)

    yield inside
    monkeypatch.undo()
    _kept.clear()


class Tagged(Toy):
    """The toy's images with several hashtags, or tags."""

    def __init__(self, column: str) -> None:
        super().__init__()
        self.column = column

    def read(self, indices: torch.Tensor, draws: Draws) -> Batch:
        batch = super().read(indices, draws)
        return {"image": batch["image"], self.column: F.one_hot(batch["label"], 3).float()}


COLUMNS = {"hashtags": "hashtags", "multilabel": "tags", "weighted": "hashtags"}
# too large for a test, or what has no default
SMALLER = {name: small_section(name) for name in methods()}
for settings in SMALLER.values():
    del settings["name"]


def samples(objective: str) -> Toy:
    return Tagged(COLUMNS[objective]) if objective in COLUMNS else Toy()


def made(
    objective: str = "supervised",
    backbone: dict | None = None,
    head: str = "linear",
    **options,
) -> nn.Module:
    initialise(0)
    sections = {"backbone": backbone or SECTIONS["backbone"]}
    sections |= {"objective": {"name": objective, **options}}
    return network(**sections, head={"name": head} | OPTIONS.get(head, {}), classes=3)


def assert_moved(module: nn.Module) -> None:
    """Every parameter, buffer and gradient."""
    kept = dict(module.named_parameters()) | dict(module.named_buffers())
    for name, parameter in module.named_parameters():
        if parameter.grad is not None:
            kept[f"gradient of {name}"] = parameter.grad
    assert not [name for name, tensor in kept.items() if not isinstance(tensor, Placed)]


def on_host(tensors) -> dict[str, torch.Tensor]:
    return {name: tensor.cpu().detach() for name, tensor in tensors.items()}


def outcome(objective: str, options: dict, recipe) -> dict[str, torch.Tensor]:
    """Weights after a training, and what the network then predicts, on whatever device there is."""
    module, data = made(objective, **options), samples(objective)
    train(module, data, Training(recipe, 1))
    [(_, predictions, targets)] = predicted(module, data)
    made_of = predictions | {f"true {name}": column for name, column in targets.items()}
    # others' test views are no images
    if objective not in ("rotation", "colour") and not isinstance(module, MultiView):
        [(_, pooled, _)] = predicted(module, data, build("policies", {"name": "features"}))
        made_of |= pooled
    return on_host(module.state_dict() | made_of)


@pytest.mark.parametrize("name", other("objectives"))
def test_every_objective_comes_to_the_same(device, name):
    options = FULL if name in ("hashtags", "supervised", "multilabel") else SMALLER.get(name, {})
    recipe = replace(RECIPE, precise_bn=16, ema=0.9, clip=1.0)
    if made(name, **options).exact_in_parts:
        recipe = replace(recipe, micro=8)
    expected = outcome(name, options, recipe)
    with device():
        found = outcome(name, options, recipe)
        module = made(name, **options).to(WHERE)
        assert_moved(module)
        module({key: t.to(WHERE) for key, t in views(module, name).items()})["loss"].backward()
        assert_moved(module)
        assert isinstance(module.plain(samples(name).pixels[:4].to(WHERE)), Placed)
    for key, tensor in expected.items():
        assert torch.allclose(found[key], tensor, atol=1e-4, rtol=1e-3), key


@pytest.mark.parametrize("name", ["hashtags", "moco"])
def test_objectives_on_clips_come_to_the_same(device, name):
    expected = outcome_of_clips(name)
    with device():
        found = outcome_of_clips(name)
    for key, tensor in expected.items():
        assert torch.allclose(found[key], tensor, atol=1e-4, rtol=1e-3), key


def outcome_of_clips(name: str) -> dict[str, torch.Tensor]:
    """The weights after two steps on clips, and what is said of several views of each video."""
    initialise(0)
    clips = CLIPS | {"clips": 2, "grey": 0.3, "jitter": [0.4, 0.4, 0.4, 0.1]}
    # nothing is resized, which devices round otherwise
    clips |= {"short": [16, 16]}
    module = small(name, Volumes(), views=clips)
    samples = Videos(module.reads, 16)
    train(module, samples, Training(replace(RECIPE, batch=8, per=8, rate=0.05), 1))
    policy = {"name": "plain"} if name == "moco" else {"name": "views", "clips": 2}
    ((_, said, _),) = predicted(module, samples, build("policies", policy))
    return on_host(module.state_dict() | said)


def views(module: nn.Module, name: str) -> dict[str, torch.Tensor]:
    """The training views of images on the device; nothing of them may lie elsewhere."""
    draws = Draws(torch.Generator().manual_seed(0))
    batch = samples(name).read(torch.arange(8), draws)
    found = module.views(moved(batch, WHERE), draws)
    assert all(isinstance(tensor, Placed) for tensor in found.values())
    return found


@pytest.mark.parametrize("name", [each for each in choices("backbones") if each not in OF_CLIPS])
def test_every_backbone_is_trained_and_tested(device, name):
    class Few(Toy):
        def __init__(self) -> None:
            super().__init__(8)

    with device():
        module = made(backbone=TRUNKS[name])
        train(module, Few(), Training(replace(RECIPE, batch=4), 1))
        assert_moved(module)
        [(_, predictions, _)] = predicted(module, Few())
        assert all(isinstance(column, Placed) for column in predictions.values())
        assert rmac_features(module.backbone, [torch.rand(2, 3, 32, 32)]).device.type == "cpu"


@pytest.mark.parametrize("name", other("heads"))
def test_every_head_classifies_where_its_features_are(device, name):
    with device():
        head = made(head=name).to(WHERE).head
        assert_moved(head)
        labels = torch.arange(6, device=WHERE) % 3
        pooled = head.pool([torch.rand(6, made().backbone.channels[-1], 2, 2, device=WHERE)])
        if hasattr(head, "fit"):
            head.fit(pooled, labels)
        predictions = head.classify(pooled)
        loss = head.loss(predictions, labels)["loss"]
        assert isinstance(head.decode(predictions), Placed) and isinstance(loss, Placed)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "lars", "lamb"])
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_training_goes_on_from_its_state(device, tmp_path, optimizer, precision):
    """From the host's tensors to the device's, and it ends as if it had not been stopped."""
    recipe = replace(RECIPE, optimizer={"name": optimizer}, precision=precision, rate=0.01, ema=0.9)
    with device():
        whole, again = made(), made()
        train(whole, Toy(), Training(recipe, 2, state=tmp_path, keep=99))
        newest = max(tmp_path.glob("*.safetensors"))
        newest.unlink()
        train(again, Toy(), Training(recipe, 2, state=tmp_path, keep=99))
        assert_moved(again)
        expected, found = on_host(whole.state_dict()), on_host(again.state_dict())
    assert all(torch.equal(found[key], tensor) for key, tensor in expected.items())


def test_costs_are_measured_where_the_network_is(device):
    with device():
        module = made()
        deployed = nn.Sequential(module.backbone, module.head)
        assert profile_network(deployed, 16, WHERE, (1, 4), runs=3)["clock"] == "cuda events"
        assert len(runtimes([(deployed, 16)], WHERE, 2, rounds=1)) == 1
        assert_moved(deployed)


def jpeg(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    out = BytesIO()
    Image.fromarray(pixels).resize((32, 32), Image.Resampling.BICUBIC).save(out, "JPEG", quality=95)
    return out.getvalue()


@pytest.fixture
def folder(tmp_path):
    """Thirty images of three classes to train on, six to test, of which two are among those."""
    records = [(f"train-{i}", "train", jpeg(i), [i % 3]) for i in range(30)]
    records += [(f"test-{i}", "test", jpeg(i if i < 2 else 100 + i), [i % 3]) for i in range(6)]
    write_shards(tmp_path / "scenes", records, ["sea", "dog", "sky"], size=32)
    return tmp_path / "scenes"


def test_duplicates_are_found_by_a_network_on_the_device(device, folder):
    train_, test = Shards(folder, "train"), Shards(folder, "test")
    with device():
        for name in other("objectives"):
            if name != "jigsaw":  # its plain view is of tiles
                assert learnt_twins(made(name, **SMALLER.get(name, {})), [train_], test).tolist()[
                    :2
                ] == [0, 1], name


@pytest.mark.parametrize("head", other("heads"))
def test_every_head_of_a_fine_tuning(device, folder, head):
    reads = {"image": {}, "label": {}}
    few, test = (Rows(Shards(folder, split), reads) for split in ("train", "test"))
    section = SECTIONS | {"recipe": {"batch": 16, "rate": 0.1, "warmup": 0}, "epochs": 1}
    section |= {"heads": {head: {}}, "metric": {"name": "accuracy"}, "policy": {"name": "plain"}}
    settings = {"logistic": {"l2": 0.01}, "knn": {"k": 3}}.get(head, {})
    results = []
    for context in (None, device):
        with context() if context else torch.enable_grad():
            arm = {"init": "scratch", "head": head, "seed": 0}
            module = transfer.fit_arm(few, section, arm, settings)
            whole = accuracy(module, test)["top1"]
            results.append((transfer.arm_score(module, test, section), whole))
            if context:
                assert_moved(module)
        _kept.clear()
    assert results[0] == results[1] and results[1][0] == results[1][1]


def test_neighbours_pixels_and_probes(device):
    a, b = torch.randn(40, 8), torch.randn(5, 8)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)
    rows, labels = np.arange(4), torch.arange(40) % 3
    found = []
    for context in (None, device):
        with context() if context else torch.enable_grad():
            pairs = knn(a, b, 3)[0].tolist()
            scores = verify_pairs(lambda r: pixels[r], lambda r: pixels[r], rows, rows).tolist()
            where = WHERE if context else torch.device("cpu")
            weight, bias = logistic_regression(a.to(where), labels.to(where), 3, 0.01)
            assert weight.device == bias.device == where
            found.append((pairs, scores, weight.tolist()))
    assert found[0] == found[1]


def test_the_rules_are_those_of_cuda(device):
    """What the other tests rest on: mixed devices and generators of the host are refused."""
    with device():
        x = torch.ones(3, device=WHERE)
        assert x.is_cuda and (x + torch.tensor(1.0)).is_cuda and x[torch.tensor([0])].is_cuda
        for wrong in (
            lambda: x + torch.ones(3),
            lambda: torch.cat([x, torch.ones(3)]),
            lambda: torch.stack([x.sum(), torch.tensor(1.0)]),
            lambda: torch.ones(3)[torch.tensor([0], device=WHERE)],
            lambda: torch.randperm(3, generator=torch.Generator(), device=WHERE),
        ):
            with pytest.raises(RuntimeError, match="device"):
                wrong()
        with pytest.raises(TypeError):
            x.numpy()
