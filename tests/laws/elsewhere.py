"""A second device without a GPU: tensors that say they lie on it, and meet no others.

They are computed by the processor, so that numbers are those of the processor, bit for bit, and a
tensor that was left behind is found: what a GPU refuses is refused. Random numbers are drawn by the
processor's generator, for either device.

torch lets a device be written in Python (`torch.utils.backend_registration`, private, hence for
tests only). Within `elsewhere()` the `auto` of a configuration means that device.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.utils.backend_registration as backends
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map

from diabolo.train import settings

__all__ = ["NAME", "elsewhere"]

NAME = "pretended"
ATEN = torch.ops.aten
MOVES = (ATEN._to_copy.default,)  # from device to device
COPIES = (ATEN.copy_.default, ATEN._copy_from.default)
READS = (ATEN.index.Tensor, ATEN._unsafe_index.Tensor)  # by indices of the processor, too
WRITES = (ATEN.index_put_.default, ATEN.index_put.default)
KEPT: list[Any] = []  # torch forgets what nobody holds


class There(Tensor):
    """A tensor of the pretended device, around one of the processor."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> There:
        with torch.inference_mode(False):  # a wrapper counts its versions
            return torch.Tensor._make_wrapper_subclass(
                cls,
                inner.size(),
                strides=inner.stride(),
                storage_offset=inner.storage_offset(),
                dtype=inner.dtype,
                device=torch.device(NAME, 0),
            )

    def __init__(self, inner: Tensor) -> None:
        self.inner = inner

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        copied: Tensor = There(self.inner.detach().clone())
        if isinstance(self, torch.nn.Parameter):
            copied = torch.nn.Parameter(copied, self.requires_grad)
        memo[id(self)] = copied
        return copied

    def tolist(self) -> Any:
        return self.inner.tolist()

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return _compute(func, args, kwargs or {})


class _Watch(TorchDispatchMode):
    """What makes tensors on the device, and what brings others to it."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return _compute(func, args, kwargs or {})


def _here(value: Any) -> Any:
    return value.inner if isinstance(value, There) else value


def _compute(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Refuses tensors of two devices; else computes on the processor."""
    given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
    there = [t for t in given if isinstance(t, There)]
    here = [t for t in given if not isinstance(t, There) and t.dim()]  # numbers may meet anything
    if func in (*READS, *WRITES):
        indexed = [args[0], args[2]] if func in WRITES else [args[0]]
        here = [t for t in indexed if not isinstance(t, There) and t.dim()]
    if there and here and func not in (*MOVES, *COPIES):
        raise RuntimeError(f"Expected all tensors to be on the same device: {func}.")
    asked = kwargs.get("device")
    if asked is not None:
        asked = torch.device(asked).type
        kwargs = {**kwargs, "device": torch.device("cpu")}
    arguments = tree_map(_here, args), tree_map(_here, kwargs)
    found = func(*arguments[0], **arguments[1])
    stays = isinstance(args[0], There) if func in COPIES else bool(there) and asked is None
    if not (stays or asked == NAME):
        return found
    known = {id(t.inner): t for t in there}  # what is changed in place stays what it is

    def back(value: Any) -> Any:
        return known.get(id(value), There(value)) if isinstance(value, Tensor) else value

    return tree_map(back, found)


def _empty(
    size: Any, stride: Any = None, *, dtype: Any = None, memory_format: Any = None, **_: Any
) -> Tensor:
    with _disable_current_modes():
        if stride is not None:
            return There(torch.empty_strided(size, stride, dtype=dtype))
        return There(torch.empty(size, dtype=dtype))


def _copy(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
    with _disable_current_modes():
        _here(target).copy_(_here(source))
    return target


def _register() -> None:
    """Tells torch of the device, once a process; threads find it, too."""
    if KEPT:
        return
    backends._setup_privateuseone_for_python_backend(NAME)
    getattr(torch, NAME).get_amp_supported_dtype = lambda: [torch.bfloat16]
    library = torch.library.Library("aten", "IMPL")
    kernels: dict[str, Callable[..., Tensor]] = {
        "empty.memory_format": _empty,
        "empty_strided": _empty,
        "_copy_from": _copy,
    }
    for name, kernel in kernels.items():
        library.impl(name, kernel, "PrivateUse1")
    KEPT.append(library)


@contextlib.contextmanager
def elsewhere() -> Iterator[None]:
    """Makes the device, and has `auto` mean it."""
    _register()
    real = settings.pick_device

    def pick(name: str) -> torch.device:
        return torch.device(NAME, 0) if name == "auto" else real(name)

    swapped = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)  # weights become of another type
    try:
        with pytest.MonkeyPatch.context() as patch, _Watch():
            for module in [m for n, m in sys.modules.items() if n.startswith("diabolo")]:
                if getattr(module, "pick_device", None) is real:
                    patch.setattr(module, "pick_device", pick)
            yield
    finally:
        torch.__future__.set_swap_module_params_on_conversion(swapped)
