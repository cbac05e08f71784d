"""By which words libraries say that memory ran out; it imports nothing."""

SPENT = (
    # a CPU's allocator
    "can't allocate memory",
    "not enough memory",
    # cuDNN and cuBLAS, the driver
    "STATUS_ALLOC_FAILED",
    "CUDA error: out of memory",
    # cuDNN where it tries kernels (`exact: false`): it takes each without room for its workspace
    # to be unfit
    "FIND was unable to find an engine",
)
