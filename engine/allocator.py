"""What the C library does with freed memory."""

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # <malloc.h>


def keep_freed_memory() -> None:
    """Have glibc keep what is freed, up to 2 GiB, for the next step; elsewhere nothing changes.

    By default each large tensor that dies goes back to the kernel, and the next step faults its pages in again, zeroed.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)
