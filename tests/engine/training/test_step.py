"""A step in parts, in other precisions, clipped, averaged, compiled: what changes, and what must
not.
"""

from dataclasses import replace

import pytest
import torch
from torch import nn

from engine.core import checkpoint
from engine.core.batch import Batch, length
from engine.training.averaging import Average, precise_statistics
from engine.training.distributed import Workers
from engine.training.loader import Step
from engine.training.loop import train
from engine.training.recipe import Recipe
from engine.training.schedule import Training
from engine.training.step import Learner
from models.blocks.methods.method import Pace
from tests.engine.training.toys import RECIPE, Recorder, Toy, plain, tiny


def whole(batch: Batch) -> Step:
    """All of a step's images."""
    return Step(0, batch, 0, length(batch), 1.0)


def states(
    objective: nn.Module, recipe: Recipe, tmp_path, epochs: int = 2
) -> dict[str, torch.Tensor]:
    train(objective, Toy(), Training(recipe, epochs, state=tmp_path))
    return checkpoint.load_tensors(max(tmp_path.glob("*.safetensors")))[0]


@pytest.mark.parametrize("micro", [1, 3, 8, 15])
def test_micro_batches_add_up_to_the_batch(tmp_path, one_thread, micro):
    whole, parts = (
        states(plain(), replace(RECIPE, micro=m), tmp_path / str(m)) for m in (None, micro)
    )
    assert whole.keys() == parts.keys()
    for key, tensor in whole.items():
        torch.testing.assert_close(parts[key], tensor, atol=1e-6, rtol=1e-5)


def test_batch_norm_sees_micro_batches_whatever_the_number_of_workers(tmp_path, one_thread):
    """Goyal et al. 2017, section 3: its n is part of the loss, and stays when the number of
    workers changes.
    """
    a, b = (states(tiny(), replace(RECIPE, micro=m), tmp_path / str(m)) for m in (None, 4))
    name = "module.backbone.stem.1.running_var"
    assert not torch.allclose(a[name], b[name], atol=1e-5)
    assert (
        b["module.backbone.stem.1.num_batches_tracked"],
        a["module.backbone.stem.1.num_batches_tracked"],
    ) == (24, 6)


@pytest.mark.parametrize("precision", ["tf32", "bfloat16", "float16"])
def test_other_precisions_learn_the_same(precision, one_thread):
    losses = {}
    for kind in ("float32", precision):
        report = Recorder()
        train(
            tiny(),
            Toy(96),
            Training(replace(RECIPE, precision=kind), 8, report=report, per_report=6),
        )
        losses[kind] = report.series("loss")
    assert losses[precision][-1] < 0.6 * losses[precision][0]
    assert losses[precision][0] == pytest.approx(losses["float32"][0], rel=0.1)


def test_half_precision_skips_a_step_that_overflows(one_thread):
    learner = Learner(plain(), replace(RECIPE, precision="float16"), Workers())
    batch, weight = (
        {"image": torch.randn(4, 3, 16, 16), "label": torch.tensor([0, 1, 2, 0])},
        learner.objective.head.fc.weight,
    )
    before = weight.clone()
    learner.scaler.scale(torch.ones(()))  # its scale exists from the first use on
    learner.scaler._scale.fill_(1e38)
    learner.step(batch, whole(batch), [0.1])
    assert torch.equal(before, weight) and learner.scaler.get_scale() < 1e38
    learner.scaler._scale.fill_(1.0)
    learner.step(batch, whole(batch), [0.1])  # with the momentum of no step
    assert 0 < (weight - before).abs().max() < 0.1


def test_gradients_are_clipped_to_their_norm(one_thread):
    batch = {"image": 50 * torch.randn(4, 3, 16, 16), "label": torch.tensor([0, 1, 2, 0])}
    moved = []
    for clip in (None, 1e-3):
        recipe = Recipe(optimizer={"name": "sgd"}, weight_decay=0, clip=clip)
        learner = Learner(plain(), recipe, Workers())
        before = [p.detach().clone() for p in learner.objective.parameters()]
        learner.step(batch, whole(batch), [1.0])
        after = zip(learner.objective.parameters(), before, strict=True)
        moved.append(torch.cat([(p.detach() - b).flatten() for p, b in after]).norm().item())
    assert moved[0] > 0.1 and moved[1] == pytest.approx(1e-3, rel=1e-3)


def test_the_gradient_of_each_parameter_is_clipped_by_itself(one_thread):
    batch = {"image": 50 * torch.randn(4, 3, 16, 16), "label": torch.tensor([0, 1, 2, 0])}
    recipe = Recipe(optimizer={"name": "sgd"}, weight_decay=0, clip=1e-3, clip_each=True)
    learner = Learner(plain(), recipe, Workers())
    before = [p.detach().clone() for p in learner.objective.parameters()]
    learner.step(batch, whole(batch), [1.0])
    after = zip(learner.objective.parameters(), before, strict=True)
    norms = [(p.detach() - b).norm().item() for p, b in after]
    # one that is shorter stays
    assert sum(norm == pytest.approx(1e-3, rel=2e-3) for norm in norms) > 5
    assert max(norms) < 1.002e-3


def test_weight_decay_goes_to_its_end_and_what_has_none_goes_at_a_rate_of_its_own(one_thread):
    recipe = Recipe(
        optimizer={"name": "sgd"}, weight_decay=0.04, decay_end=0.4, undecayed_rate=0.024
    )
    learner = Learner(plain(), recipe, Workers())
    batch = {"image": torch.randn(4, 3, 16, 16), "label": torch.tensor([0, 1, 2, 0])}
    seen = []
    for iteration in (1, 20, 39):
        learner.step(batch, whole(batch), [0.1], Pace(iteration, 40, 4))
        groups = {bool(g["weight_decay"]): g for g in learner.phases[0].optimizer.param_groups}
        seen.append(groups[True]["weight_decay"])
        assert groups[True]["lr"] == 0.1 and groups[False]["lr"] == pytest.approx(0.0024)
        assert groups[False]["weight_decay"] == 0
    # the schedule of the code of Caron et al. 2021 (DINO) for 40 iterations
    assert seen == pytest.approx([0.0405548799, 0.22, 0.3994451201], abs=1e-10)


def test_average_follows_its_formula():
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average, expected = Average(module, 0.5), module[0].weight.detach().clone()
    for t in range(6):
        with torch.no_grad():
            module[0].weight += 1
            module[1].num_batches_tracked += 1
        average.update(module, t)
        kept = min(0.5, (1 + t) / (10 + t))
        expected = kept * expected + (1 - kept) * module[0].weight.detach()
    torch.testing.assert_close(average.tensors["0.weight"], expected)
    assert average.tensors["1.num_batches_tracked"] == 6


def test_the_average_is_the_result_and_survives_a_stop(tmp_path, one_thread):
    averaged, plainly = (
        states(tiny(), replace(RECIPE, ema=ema), tmp_path / str(ema)) for ema in (0.8, None)
    )
    assert averaged.keys() == plainly.keys()
    assert not torch.equal(averaged["module.head.fc.weight"], plainly["module.head.fc.weight"])
    again = tiny()
    train(again, Toy(), Training(replace(RECIPE, ema=0.8), 2, state=tmp_path / "0.8"))
    assert all(
        torch.equal(tensor, averaged[f"module.{name}"])
        for name, tensor in again.state_dict().items()
    )


def test_precise_statistics_are_those_of_all_batches():
    torch.manual_seed(0)
    module = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    x = 3 + 2 * torch.randn(8, 16, 3, 4, 4)
    momenta = [module[0].momentum, module[2].momentum]
    precise_statistics(module, list(x), Workers())
    torch.testing.assert_close(module[0].running_mean, x.mean((0, 1, 3, 4)))
    within = torch.stack([batch.transpose(0, 1).flatten(1).var(1) for batch in x]).mean(0)
    torch.testing.assert_close(module[0].running_var, within)
    assert [module[0].momentum, module[2].momentum] == momenta


def test_precise_statistics_follow_training(tmp_path, one_thread):
    running, precise = tiny(), tiny()
    train(running, Toy(), Training(RECIPE, 2))
    train(precise, Toy(), Training(replace(RECIPE, precise_bn=40), 2))
    assert torch.equal(running.head.fc.weight, precise.head.fc.weight)
    norms = [m.backbone.stages[0][0].transform[1] for m in (running, precise)]
    assert norms[1].num_batches_tracked == 3 and not torch.equal(
        norms[0].running_mean, norms[1].running_mean
    )


def test_compiled_steps_are_the_same_to_rounding(tmp_path, one_thread):
    eager, compiled = (
        states(plain(), replace(RECIPE, compile=mode), tmp_path / mode, 1)
        for mode in ("off", "default")
    )
    for key, tensor in eager.items():
        torch.testing.assert_close(compiled[key], tensor, atol=1e-5, rtol=1e-4)


def test_gradients_of_several_passes_have_memory_of_their_own(monkeypatch, one_thread):
    """CUDA graphs write a pass's gradients over those of the one before (pytorch#169545).

    Here there is no graph.
    """
    monkeypatch.setattr(nn.Module, "compile", lambda module, mode: None)
    found = {}
    for mode in ("off", "reduce-overhead"):
        learner = Learner(plain(), replace(RECIPE, compile=mode, micro=3), Workers())
        toy = Toy(8)
        batch = {"image": (toy.pixels / 255).permute(0, 3, 1, 2), "label": toy.classes}
        places = []
        for _ in range(3):
            learner.step(batch, whole(batch), [0.1])
            places.append(
                [
                    p.grad if p.grad is None else p.grad.data_ptr()
                    for p in learner.objective.parameters()
                ]
            )
        found[mode] = learner.objective.state_dict()
        kept = all(place is not None for place in places[0])
        assert places[0] == places[1] == places[2] and kept == (mode != "off")
    assert all(
        torch.equal(tensor, found["off"][name]) for name, tensor in found["reduce-overhead"].items()
    )


def test_the_cost_of_compiling_is_told(one_thread):
    report = Recorder()
    train(plain(), Toy(), Training(replace(RECIPE, compile="default"), 1, report=report))
    assert report.values[1]["compile_seconds"] > 0


def test_synchronised_batch_norm_needs_gpus():
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(ValueError, match="'sync' needs GPUs"):
        Learner(tiny(), replace(RECIPE, batch_norm="sync"), Workers(0, 2))
