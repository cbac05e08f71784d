"""How exactly a device computes: flags of the process, set while needed and then put back.

What is trained, measured and tested in one process, by one driver or the other, must not depend on
what ran before.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch

from engine.core.torch_private import compiler_is_loaded

# Deterministic matrix products on a GPU. cuBLAS reads it when it starts, so it is set before that.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

Precision = Literal["float32", "tf32", "bfloat16", "float16"]


def flags() -> dict[str, Any]:
    """The process's flags as they are, for `restored`."""
    return {
        "matmul": torch.get_float32_matmul_precision(),
        "tf32": torch.backends.cudnn.allow_tf32,
        "benchmark": torch.backends.cudnn.benchmark,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warn_only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "filled": torch.utils.deterministic.fill_uninitialized_memory,
    }


def restored(kept: dict[str, Any]) -> None:
    """Set the process's flags to what `flags` gave."""
    torch.set_float32_matmul_precision(kept["matmul"])
    torch.backends.cudnn.allow_tf32 = kept["tf32"]
    torch.backends.cudnn.benchmark = kept["benchmark"]
    deterministic(kept["deterministic"], kept["warn_only"])
    torch.utils.deterministic.fill_uninitialized_memory = kept["filled"]


def deterministic(on: bool, warn_only: bool, compiled: bool = False) -> None:
    """As torch.use_deterministic_algorithms, but quick where nothing is compiled.

    compiled: torch's compiler is about to be used, so that it has to be told too.
    """
    # torch's function always imports the compiler to tell it: more than a second
    if compiled or compiler_is_loaded():
        torch.use_deterministic_algorithms(on, warn_only=warn_only)
    else:
        kernels = "warn" if warn_only else "error"
        torch.set_deterministic_debug_mode(kernels if on else "default")


@contextmanager
def numerics(precision: Precision = "float32", exact: bool = True) -> Iterator[None]:
    """Inside, float32 is multiplied as `precision` says; afterwards all is as it was.

    tf32: products of matrices and convolutions keep 10 bits of the fraction, on GPUs that can. Any
    other precision leaves float32 whole; half precision is autocast's, see `Learner`.
    exact: kernels that give the same bits each time, where there are such. Otherwise cuDNN tries
    which ones are fast.
    Also a decorator. Flags are the process's: no use in threads side by side, and never around a
    generator's `yield`.
    """
    before = flags()
    fast = precision == "tf32"
    wanted = {"matmul": "high" if fast else "highest", "tf32": fast, "benchmark": not exact}
    # warn_only: a few operations have no deterministic kernel, and a run with one is better
    wanted |= {"deterministic": exact, "warn_only": True}
    # filling costs a tenth, and all that is read has been written before
    restored(wanted | {"filled": False})
    try:
        yield
    finally:
        restored(before)
