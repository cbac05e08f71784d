"""What the C library does with freed memory.

How its end, and a GPU's, is told from other errors.
"""

import ctypes
import platform

import torch

from engine.core.exhaustion import SPENT

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # <malloc.h>


def keep_freed_memory() -> None:
    """Have glibc keep what is freed, up to 2 GiB, for the next step; elsewhere nothing changes.

    By default each large tensor that dies goes back to the kernel, and the next step faults its
    pages in again, zeroed.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 1 << 30)
        # the most that mallopt takes, whose values are ints
        libc.mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)


class OutOfMemory(ValueError):
    """Memory ran out for what was asked, however small its parts were made."""


def memory_reason(error: Exception) -> str:
    """What says that memory ran out, short: CUDA goes on with the state of its allocator, and
    Python says nothing.
    """
    return str(error).splitlines()[0][:200] if str(error) else "MemoryError"


def fewer_images(batch: int, reason: str) -> int:
    """Half as many images, for the next try; OutOfMemory where one did not fit.

    To be called out of the handler, which keeps the tensors of the failed pass alive.
    """
    if batch == 1:
        raise OutOfMemory(f"one image does not fit into memory: {reason}: take a smaller network")
    torch.cuda.empty_cache()
    return batch // 2


def out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out, on a GPU or a CPU."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
        words in str(error) for words in SPENT
    )
