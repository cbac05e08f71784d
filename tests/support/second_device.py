"""A GPU for tests on machines without one: to Python a device of its own, computed by the CPU.

A tensor on it is a `Placed`; what CUDA refuses raises RuntimeError: tensors of two devices in one
call, a generator of the host for numbers on the device. Streams and events do nothing.
"""

from contextlib import contextmanager, nullcontext
from itertools import count
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

WHERE = torch.device("cuda", 0)
# `_unsafe_index_put` is autograd's, into zeros made where it takes the gradient to be
ACROSS = ("aten.copy_", "aten._to_copy", "aten.index.", "aten.index_put", "aten._unsafe_index_put")
# also for tensors of no dimension
STRICT = ("aten.cat", "aten.stack", "aten._foreach", "aten._fused")


class Placed(Tensor):
    """A tensor that says it is on the GPU; `host` holds its values."""

    @staticmethod
    def __new__(cls, host: Tensor) -> "Placed":
        like = {"strides": host.stride(), "storage_offset": host.storage_offset()}
        like |= {"dtype": host.dtype}
        made = Tensor._make_wrapper_subclass(cls, host.size(), **like, device="cpu")
        made.host = host
        return made

    device = property(lambda self: WHERE)
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)

    def __repr__(self, **_: Any) -> str:
        return f"Placed({self.host})"

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        """Methods that C++ answers without a dispatch, as it takes the tensor to be the CPU's."""
        name, kwargs = getattr(function, "__name__", ""), kwargs or {}
        if name == "one_hot":  # C++ compares with numbers that it makes on the CPU
            return Placed(function(args[0].host, *args[1:], **kwargs))
        if name == "new_tensor":
            return Placed(args[0].host.new_tensor(*args[1:], **kwargs))
        if name == "tolist":
            return args[0].detach().host.tolist()
        if name == "numpy":
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu()")
        if name == "pin_memory":
            raise RuntimeError("only dense CPU tensors can be pinned")
        with torch._C.DisableTorchFunctionSubclass():  # else every result is made a Placed
            if name in ("to", "cpu") and isinstance(args[0], Placed):
                return _to(name, *args, **kwargs)
            return function(*args, **kwargs)

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return _computed(function, args, kwargs or {})


def _to(name: str, tensor: Placed, *args: Any, **kwargs: Any) -> Tensor:
    """`tensor.to(...)` or `tensor.cpu()`: itself if nothing changes."""
    copy = kwargs.pop("copy", False)
    if name == "to" and args and isinstance(args[0], Tensor):
        args = (args[0].device, args[0].dtype, *args[1:])
    parsed = torch._C._nn._parse_to
    device, dtype, _, form = parsed(*args, **kwargs) if name == "to" else parsed("cpu")
    device, dtype, form = device or WHERE, dtype or tensor.dtype, form or torch.preserve_format
    settled = form == torch.preserve_format or tensor.is_contiguous(memory_format=form)
    if device.type == "cuda" and dtype == tensor.dtype and settled and not copy:
        return tensor
    return torch.ops.aten._to_copy(tensor, dtype=dtype, device=device, memory_format=form)


def _computed(function: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    """A call of an operator, on the host; its results are on the device where CUDA's would be."""
    name, given = str(function), tree_flatten((args, kwargs))[0]
    if name.startswith("aten.is_pinned"):
        return False
    if name.startswith("aten._pin_memory"):
        return args[0].clone()
    placed = any(isinstance(value, Placed) for value in given)
    named, kwargs = kwargs.get("device"), dict(kwargs)
    if placed:
        _refuse_mixed(name, args, given)
    if named is not None:
        placed, kwargs["device"] = torch.device(named).type == "cuda", torch.device("cpu")
    if placed and any(isinstance(value, torch.Generator) for value in given):
        raise RuntimeError(f"{name}: Expected a 'cuda' device type for generator but found 'cpu'")
    kwargs.pop("pin_memory", None)
    inner, options = tree_map_only(Placed, lambda tensor: tensor.host, (args, kwargs))
    found = function(*inner, **options)
    if name.startswith("aten.convolution_backward") and found[1] is not None:
        # cuDNN's gradients lie as their weights do; autograd would copy others, to the CPU
        found = (found[0], torch.empty_like(inner[2]).copy_(found[1]), found[2])
    if not placed:
        return found
    own = {id(value.host): value for value in given if isinstance(value, Placed)}

    def wrapped(tensor: Tensor) -> Placed:
        return own[id(tensor)] if id(tensor) in own else Placed(tensor)

    return tree_map_only(Tensor, wrapped, found)


def _refuse_mixed(name: str, args: tuple, given: list[Any]) -> None:
    # of a tensor on the device, by places on the host; without a _ it is autograd's, as above
    indexed = name.startswith("aten.index") and name != "aten.index_put.default"
    if name.startswith(ACROSS) and (not indexed or isinstance(args[0], Placed)):
        return
    tensors = [value for value in given if isinstance(value, Tensor)]
    foreign = [tensor for tensor in tensors if not isinstance(tensor, Placed)]
    if any(tensor.ndim or name.startswith(STRICT) for tensor in foreign):
        raise RuntimeError(f"{name}: Expected all tensors on the same device, not cuda:0 and cpu")


class _Mode(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return _computed(function, args, kwargs or {})


def stood_in(patch: Any) -> None:
    """Replace what the code asks of torch.cuda; `patch` is pytest's monkeypatch."""
    clock = count()
    event = SimpleNamespace(record=lambda stream=None: None)
    event.elapsed_time = lambda other: float(1 + next(clock) % 3)
    stream = SimpleNamespace(record_event=lambda: event, wait_event=lambda event: None)
    answers = {"is_available": True, "device_count": 1, "current_device": 0, "memory_allocated": 0}
    answers |= {"max_memory_allocated": 0, "get_device_name": "a GPU", "is_initialized": True}
    answers |= {"current_stream": stream, "Stream": stream, "Event": event, "stream": nullcontext()}
    nothing = ("_lazy_init", "set_device", "synchronize", "empty_cache", "manual_seed")
    nothing += ("reset_peak_memory_stats",)
    group = torch.optim.Optimizer._group_tensors_by_device_and_dtype

    def grouped(lists: list, with_indices: bool = False) -> dict:
        """C++ takes the tensors to be the CPU's."""
        found = group(lists, with_indices)
        return {(lists[0][0].device, dtype): tensors for (_, dtype), tensors in found.items()}

    patch.setattr(torch.optim.Optimizer, group.__name__, staticmethod(grouped))
    patch.setattr(Tensor, "record_stream", lambda tensor, stream: None)
    for name, answer in (answers | dict.fromkeys(nothing)).items():
        patch.setattr(torch.cuda, name, lambda *args, answer=answer, **kwargs: answer)


@contextmanager
def second_device(patch: Any):
    """Inside, `torch.device("cuda")` is such a device, and the only one that `torch.cuda` knows."""
    stood_in(patch)
    torch._C._ensureCUDADeviceGuardSet()  # else C++ asks the driver which device is meant
    before = torch.__future__.get_swap_module_params_on_conversion()
    # torch.tensor(numbers, device=...) is then a copy that a mode sees
    torch._C._set_only_lift_cpu_tensors(True)
    # a module's parameters stay the objects that they are
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        with _Mode():
            yield WHERE
    finally:
        torch.__future__.set_swap_module_params_on_conversion(before)
        torch._C._set_only_lift_cpu_tensors(False)
