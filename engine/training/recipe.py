"""How a network is optimised, as plain data.

Goyal et al. 2017 (arXiv 1706.02677), sections 2 and 5.

The learning rate is given for 256 images and scales with the minibatch (linear scaling rule,
section 2.1). Gradual warm-up (section 2.2) starts at the reference rate and adds a constant
increment every iteration. Weight decay leaves out the parameters of normalisation layers (section
5.3). Momentum is PyTorch's form (v = m v + g; w = w - rate v): it needs no correction when the rate
changes (remark 2).
"""

from dataclasses import dataclass, field
from math import cos, pi, sqrt
from typing import Annotated, Any, Literal

from pydantic import Field

from models.blocks.ranges import Count, Least, Part, Positive


@dataclass(frozen=True)
class Recipe:
    """Minibatch, learning-rate rule, optimizer and precision of one training run.

    batch: images of a step over all workers.
    rate: learning rate for `per` images.
    per: images that `rate` is given for.
    scaling: how the rate grows with the minibatch: `linear`, as the square root (`sqrt`), or not at
        all (`none`).
    warmup: epochs from `start` up to the scaled rate. Where that is not above the reference rate
        there is nothing to warm up (section 2.2): it is held for these epochs.
    start: learning rate at the start of the warm-up; null: the reference rate.
    ramp: `gradual` adds a constant increment every iteration, `constant` holds the start until the
        warm-up ends.
    schedule: `cosine` (Radosavovic et al. 2020), `steps` (divided by 10 at 1/3, 2/3 and 8/9: Goyal
        et al. 2017), `halving` (ten reductions by 1/2 at equally spaced steps: Mahajan et al. 2018,
        arXiv 1805.00932), `constant`, or `cosine_after_warmup` (Caron et al. 2021, arXiv
        2104.14294), a cosine of the steps that are left when the warm-up has reached its peak.
    floor: learning rate that a cosine ends at.
    optimizer: `sgd`, `adamw`, `lars` or `lamb`, and its own settings.
    weight_decay: of all parameters that are not `undecayed`.
    decay_end: weight decay that it goes to along half a cosine; null: it stays.
    undecayed: parameters without weight decay.
    undecayed_rate: factor on the rate of these.
    layer_decay: factor on the rate per layer below the head.
    micro: images of one forward pass of a worker; gradients add up to those of the batch, and batch
        norm sees so many images whatever the number of workers.
    clip: largest norm of the gradient.
    clip_each: whether of each parameter by itself, not of all.
    ema: decay of the moving average of the weights, which then is the result.
    precise_bn: training images that batch norm's statistics are computed anew from at the end.
    batch_norm: statistics per `worker` (the papers') or `sync`; or `frozen`, for small batches: the
        statistics, scales and shifts that the weights came with stay, in all of the network.
    last: the images of an epoch that fill no batch are left out (`drop`) or make a smaller step
        (`keep`); one image alone joins the batch before, as it joins the micro-batch before.
    precision: of a step; `tf32` is of matrix products and convolutions, on GPUs that can.
    compile: a mode of torch.compile, `reduce-overhead` with CUDA graphs.
    sharded: weights split over workers (FSDP2).
    exact: deterministic kernels, so that a resumed run is the same bit for bit.
    """

    batch: Count = 256
    rate: Positive = 0.1
    per: Count = 256
    scaling: Literal["linear", "sqrt", "none"] = "linear"
    warmup: Least = 5.0
    start: Least | None = None
    ramp: Literal["gradual", "constant"] = "gradual"
    schedule: Literal["cosine", "steps", "halving", "constant", "cosine_after_warmup"] = "cosine"
    floor: Least = 0.0
    optimizer: dict[str, Any] = field(
        default_factory=lambda: {"name": "sgd", "momentum": 0.9, "nesterov": True}
    )
    weight_decay: Least = 1e-4
    decay_end: Least | None = None
    undecayed: tuple[Literal["norms", "biases"], ...] = ("norms", "biases")
    undecayed_rate: Positive = 1.0
    layer_decay: Part = 1.0
    micro: Count | None = None
    clip: Positive | None = None
    clip_each: bool = False
    ema: Part | None = None
    precise_bn: Annotated[int, Field(ge=0)] = 0
    batch_norm: Literal["worker", "sync", "frozen"] = "worker"
    last: Literal["drop", "keep"] = "drop"
    precision: Literal["float32", "tf32", "bfloat16", "float16"] = "float32"
    compile: Literal["off", "default", "reduce-overhead", "max-autotune"] = "off"
    sharded: bool = False
    exact: bool = True

    def __post_init__(self) -> None:
        # Annotations are checked where a section is read (engine/core/build.py). Recipes that code
        # makes itself, as benchmarks do, pass here only, so that these ranges stand twice.
        if self.batch < 1 or self.rate <= 0 or self.warmup < 0 or self.per < 1:
            raise ValueError(
                f"recipe: batch >= 1, rate > 0, per >= 1 and warmup >= 0 are needed, not {self}"
            )
        if self.micro is not None and self.micro < 1:
            raise ValueError(
                f"recipe: micro={self.micro} images are no forward pass: give 1 or more, or null"
            )
        if self.decay_end is not None and self.weight_decay <= 0:
            raise ValueError(
                "recipe: decay_end is what a weight decay goes to: give weight_decay above 0 too"
            )
        if self.precise_bn and self.batch_norm == "frozen":
            raise ValueError(
                "recipe: precise_bn computes statistics anew that batch_norm `frozen` keeps: give "
                "one of the two"
            )
        if self.sharded and self.precision == "float16":
            raise ValueError(
                "recipe: sharded weights need bfloat16: the scale of float16 is each worker's own"
            )
        for name, low, high in (("ema", 0, 1), ("layer_decay", 0, 1), ("clip", 0, float("inf"))):
            value = getattr(self, name)
            if value is not None and not low < value <= high:
                raise ValueError(f"recipe: {name}={value} is not above {low} and at most {high}")

    @property
    def peak(self) -> float:
        """The learning rate after warm-up: `rate` scaled to the minibatch."""
        factor = self.batch / self.per
        return self.rate * {"linear": factor, "sqrt": sqrt(factor), "none": 1}[self.scaling]

    @property
    def first(self) -> float:
        """The learning rate at the start of warm-up."""
        # a small batch, whose rate is below the reference, has nothing to warm up to
        return min(self.rate, self.peak) if self.start is None else self.start

    def __str__(self) -> str:
        """As the paper puts it: 0.1 x 1024/256 = 0.4, gradual warm-up from 0.1 over 5 epochs."""
        ratio = {
            "linear": f" x {self.batch}/{self.per}",
            "sqrt": f" x sqrt({self.batch}/{self.per})",
            "none": "",
        }
        start = f", {self.ramp} warm-up from {self.first:g} over {self.warmup:g} epochs"
        held = f", held for {self.warmup:g} epochs" if self.warmup else ", no warm-up"
        warmup = start if self.warmup and self.first != self.peak else held
        rate = f"{self.rate:g}{ratio[self.scaling]} = {self.peak:g}"
        return f"learning rate {rate}{warmup}, then {self.schedule}"


def scheduled(schedule: str, progress: float) -> float:
    """Factor on the scaled rate after the share `progress` (0 to 1) of all steps; of no cosine."""
    if schedule == "steps":
        # epochs 30, 60 and 80 of Goyal's 90, as shares of a training of any length
        passed = [progress >= milestone for milestone in (30 / 90, 60 / 90, 80 / 90)]
        return 0.1 ** sum(passed)
    if schedule == "halving":
        # ten reductions part the training into eleven stretches
        return 0.5 ** int(progress * 11)
    return 1.0


def half_cosine(first: float, last: float, progress: float) -> float:
    """From one number to another, slowly at both ends."""
    return last + (first - last) * 0.5 * (1 + cos(pi * progress))


def weight_decay(recipe: Recipe, progress: float) -> float:
    """Weight decay after this share of all iterations: Caron et al. 2021, section 3.2."""
    if recipe.decay_end is None:
        return recipe.weight_decay
    return half_cosine(recipe.weight_decay, recipe.decay_end, progress)


def learning_rate(recipe: Recipe, iteration: int, iterations: int, per_epoch: int) -> float:
    """Learning rate of one iteration: scaling rule, warm-up, then the schedule."""
    warmup = round(recipe.warmup * per_epoch)
    after = recipe.schedule == "cosine_after_warmup"
    if iteration < warmup:
        if recipe.ramp == "constant":
            return recipe.first
        # the code of Caron et al. has the peak in the last step of the warm-up, and in the next
        rises = max(1, warmup - 1) if after else warmup
        return recipe.first + (recipe.peak - recipe.first) * iteration / rises
    # Warm-up counts in the progress: milestones are epochs of the whole training (Goyal et al.
    # 2017, section 5.1: the 30th, 60th and 80th of 90, of which the first five warm up). A cosine
    # has fallen a little by the end of the warm-up, so that the rate steps down from the peak.
    progress = iteration / iterations
    if after:
        progress = (iteration - warmup) / (iterations - warmup)
    if after or recipe.schedule == "cosine":
        return half_cosine(recipe.peak, recipe.floor, progress)
    return recipe.peak * scheduled(recipe.schedule, progress)
