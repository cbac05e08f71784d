"""What a network costs when it runs, in use and in training, by batch size, device and clock."""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from engine.core.allocator import OutOfMemory, keep_freed_memory, out_of_memory
from engine.core.cores import processor
from engine.core.layout import laid_out, placed
from engine.core.numerics import numerics
from engine.core.torch_private import allocations
from engine.measure.finding import drawn_scenes, finished, scene_head
from engine.measure.repeats import measure_quietly
from engine.measure.timing import CLOCKS, Shape, random_inputs, timed


def device_name(where: torch.device) -> str:
    """The GPU's product name, or the CPU's with the number of threads that torch uses."""
    if where.type == "cuda":
        return torch.cuda.get_device_name(where)
    return f"{processor()} ({torch.get_num_threads()} threads)"


def _peak_bytes(call: Callable[[], object], where: torch.device) -> int:
    """Largest sum of tensor bytes alive during the call.

    By the allocator of a GPU, by the profiler's records on a CPU.
    """
    if where.type == "cuda":
        torch.cuda.reset_peak_memory_stats(where)
        before = torch.cuda.memory_allocated(where)
        call()
        torch.cuda.synchronize(where)
        return torch.cuda.max_memory_allocated(where) - before
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profiler:
        call()
    alive = peak = 0
    for count in allocations(profiler):
        alive += count
        peak = max(peak, alive)
    return peak


def _bytes(tensors: Sequence[Tensor]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


def _inference(network: nn.Module, inputs: Tensor) -> tuple[Callable[[], object], int]:
    """A forward pass, to the masks of what is found, and the bytes of the weights."""

    def answer() -> object:
        found = network(inputs)
        return finished(found, inputs.shape[2:]) if finds else found

    finds = scene_head(network)
    return torch.inference_mode()(answer), _bytes([*network.parameters(), *network.buffers()])


def _training(network: nn.Module, inputs: Tensor) -> tuple[Callable[[], object], int]:
    """Forward, backward and SGD's update of a copy, and the bytes of weights and momentum."""
    # a copy: steps of training change weights, which others may still want
    learner = copy.deepcopy(network).train()
    weights = [p for p in learner.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(weights, lr=1e-3, momentum=0.9, nesterov=True)
    finds, scenes = scene_head(learner), []
    if finds:
        scenes = drawn_scenes(finds, len(inputs), inputs.shape[2:])

    def loss() -> Tensor:
        if finds:
            return finds.losses(learner[:-1](inputs), scenes)["loss"]
        return learner(inputs).square().mean()

    def step() -> None:
        loss().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step, _bytes([*learner.parameters(), *learner.buffers(), *weights])


# what a mode calls, and its least batch: batch norm cannot learn from a single value
MODES = {"inference": (_inference, 1), "training": (_training, 2)}


def _row(
    network: nn.Module,
    mode: str,
    batch: int,
    shape: Shape,
    where: torch.device,
    patience: float,
    images: Tensor | None,
    *limits: float,
) -> dict[str, Any]:
    """Latency, throughput and peak memory at one batch size, and what the machine did meanwhile."""
    inputs = random_inputs(batch, shape, where)
    if images is not None:
        inputs = laid_out(images[torch.arange(batch) % len(images)].to(where))
    call, held = MODES[mode][0](network, inputs)
    taken, meanwhile = measure_quietly(partial(timed, call, where, *limits), patience)
    p50, p95, p99 = (
        1e3 * taken.quantile(torch.tensor([0.5, 0.95, 0.99], dtype=taken.dtype))
    ).tolist()
    return {
        "mode": mode,
        "batch": batch,
        "latency_p50_ms": p50,
        "latency_p95_ms": p95,
        "latency_p99_ms": p99,
        "images_per_second": 1e3 * batch / p50,
        "peak_memory_mib": (held + _peak_bytes(call, where)) / 2**20,
        "runs": len(taken),
        **meanwhile,
    }


def _fitting(measured: Callable[[int], dict[str, Any]], asked: int, least: int) -> dict[str, Any]:
    """What is measured with the batch asked for, or with half of it as often as memory runs out."""
    batch = asked
    while True:
        try:
            return measured(batch) | {"asked": asked}
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            if batch <= least:
                raise OutOfMemory(
                    f"even with a batch of {batch}: take a smaller network or size"
                ) from None
        # out of the handler, which keeps the tensors of the failed call alive
        batch = max(least, batch // 2)
        torch.cuda.empty_cache()


@numerics()
def profile_network(
    network: nn.Module,
    shape: Shape,
    where: torch.device,
    batches: Sequence[int] = (1, 64),
    runs: int = 100,
    seconds: float = 1.0,
    training: bool = True,
    patience: float = 0.0,
    images: Tensor | None = None,
) -> dict[str, Any]:
    """Latency of one image (p50, p95, p99), images/s and peak memory at the largest of `batches`.

    `costs`: all of them.

    A row of `costs` is of one mode, inference or training (forward, backward, update), and one
    batch of float32 (n, *shape), of images by their pixels; its batch is less than the one `asked`
    for where memory ran out. Peak memory is that of weights, momentum and the largest sum of other
    tensors alive, inputs left out. `seconds` bounds each row's timed runs. A row is measured again
    until three quiet repeats agree, for `patience` seconds at most, and told as their median;
    `latency_spread` is by which share of it they differ. `busy`: False, or why the times are not to
    be compared: the machine was not quiet (engine/measure/load.py), or repeats differ. Whole
    float32 and exact kernels, as accuracy is measured with.

    images: float32 (n, *shape) that a batch is made of, in turn, in the place of noise: what a head
    finds, and how long its masks take, depends on what it sees. Of such heads inference ends with
    their masks and classes of pixels, and a step of training is of drawn objects.
    """
    keep_freed_memory()  # as training does, else a CPU's times are those of fresh pages
    network, rows = placed(network, where).eval(), []
    for mode in MODES if training else ["inference"]:
        least = MODES[mode][1]

        def measured(batch: int, mode: str = mode) -> dict[str, Any]:
            return _row(network, mode, batch, shape, where, patience, images, runs, seconds)

        # a single image always: latency is that of one
        rows += [
            _fitting(measured, asked, least) for asked in sorted({1, *batches}) if asked >= least
        ]
    return _record(rows, where)


def _record(rows: list[dict[str, Any]], where: torch.device) -> dict[str, Any]:
    """Latency at the smallest batch of inference, throughput and memory at the largest."""
    used = [row for row in rows if row["mode"] == "inference"]
    one, many = used[0], used[-1]
    record: dict[str, Any] = {f"latency_p{p}_ms": one[f"latency_p{p}_ms"] for p in (50, 95, 99)}
    record["latency_spread"] = one["latency_spread"]
    for key in ("images_per_second", "peak_memory_mib", "batch"):
        record[key] = many[key]
    record |= {"device": device_name(where), "clock": CLOCKS[where.type], "dtype": "float32"}
    record["busy"] = one["busy"] or many["busy"]  # of the times above; each row has its own
    for key in ("load", "stolen", "waited"):
        record[key] = max(row[key] for row in rows)
    return record | {"costs": rows}
