"""Limits of the process that must be known before torch is imported, which would crash."""

import resource

# torch and what stands around it map 4 GiB before they compute anything; with 5 GiB the first
# convolution fails ("could not create a primitive"), with 3 GiB the import ends in a segmentation
# fault. A small pipeline maps 6.2 GiB at its peak, of which 1.6 are memory in use.
ADDRESS_SPACE = 6 << 30  # bytes


def enough_address_space() -> None:
    """ValueError where `ulimit -v` leaves less address space than torch needs to be loaded."""
    allowed = resource.getrlimit(resource.RLIMIT_AS)[0]
    if allowed == resource.RLIM_INFINITY or allowed >= ADDRESS_SPACE:
        return
    raise ValueError(
        f"this process may map {allowed / 2**30:.1f} GiB (ulimit -v), and torch ends in a crash "
        f"below {ADDRESS_SPACE >> 30}: run `ulimit -v unlimited` first; where memory must be "
        "bounded, bound what is used (a cgroup: systemd-run -p MemoryMax=4G, docker --memory)"
    )
