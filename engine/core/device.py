"""Where a process computes."""

import os

import torch


def device() -> torch.device:
    """This worker's GPU when there is one, else the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    # torchrun numbers the workers of a machine so; one process alone has the first GPU
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
