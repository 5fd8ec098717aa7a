"""A GPU for a machine that has none: CPU tensors that say they are on `cuda:0`, with true values.

An operation on tensors of host and GPU is the error that it is on a card. The backward pass cannot run: it needs a
context of the driver.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

_GPU = torch.device("cuda", 0)
_ATEN = torch.ops.aten
_MOVES = (_ATEN._to_copy.default, _ATEN.copy_.default)
_INDEXED = (_ATEN.index.Tensor, _ATEN.index_put.default, _ATEN.index_put_.default, _ATEN._index_put_impl_.default)


class OnGpu(torch.Tensor):
    """A tensor on the GPU."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> OnGpu:
        """The tensor with the values of one on the host."""
        made: OnGpu = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, held.shape, strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype, device=_GPU
        )
        made.held = held
        return made

    def tolist(self) -> Any:
        """Copies to the host."""
        return self.held.tolist()

    def __repr__(self, **kwargs: Any) -> str:  # type: ignore[override]
        return f"OnGpu({self.held!r})"

    def __format__(self, spec: str) -> str:
        return format(self.held, spec)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Gpu(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Constants(TorchFunctionMode):  # type: ignore[no-untyped-call]
    """`torch.tensor` asks the driver before it dispatches."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.tensor and torch.device(kwargs.get("device") or "cpu").type == "cuda":
            numbers = tree_map(lambda value: value.item() if isinstance(value, torch.Tensor) else value, args[0])
            return OnGpu(torch.tensor(numbers, dtype=kwargs.get("dtype")))
        return func(*args, **kwargs)


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    on_gpu = [isinstance(tensor, OnGpu) for tensor in tensors]
    hosts = [tensor for tensor, there in zip(tensors, on_gpu, strict=True) if not there and tensor.ndim]
    if any(on_gpu) and hosts and func not in _MOVES and not (func in _INDEXED and on_gpu[0]):
        raise RuntimeError(f"{func} of tensors on host and GPU; on the host: {[tuple(x.shape) for x in hosts]}")
    asked = kwargs.get("device")
    to_gpu = any(on_gpu) if asked is None else torch.device(asked).type == "cuda"
    if func is _ATEN.copy_.default:
        to_gpu = on_gpu[0]
    if asked is not None:
        kwargs = kwargs | {"device": torch.device("cpu")}
    out = func(*tree_map(_held, args), **tree_map(_held, kwargs))
    return tree_map(_placed, out) if to_gpu else out


def _held(value: Any) -> Any:
    return value.held if isinstance(value, OnGpu) else value


def _placed(value: Any) -> Any:
    return OnGpu(value) if isinstance(value, torch.Tensor) and not isinstance(value, OnGpu) else value


def move_to_gpu(model: torch.nn.Module) -> None:
    """What `model.to("cuda")` does."""
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = torch.nn.Parameter(OnGpu(parameter.data), requires_grad=False)
        for name, buffer in module._buffers.items():
            module._buffers[name] = None if buffer is None else OnGpu(buffer)


def varlen_attn(
    query: Any, key: Any, value: Any, begins: Any, begins_k: Any, longest: int, longest_k: int, *, scale: float,
    window_size: tuple[int, int], enable_gqa: bool,
) -> torch.Tensor:  # fmt: skip
    """What torch's kernel computes, from what it takes: 16-bit tensors of one dtype on the GPU."""
    assert {query.dtype, key.dtype, value.dtype} == {torch.bfloat16}
    assert all(isinstance(one, OnGpu) for one in (query, key, value, begins, begins_k))
    assert (begins.dtype, window_size[1]) == (torch.int32, 0)
    pieces = []
    for a, b in itertools.pairwise(begins.tolist()):
        q, k, v = (x.held[a:b].transpose(0, 1)[None] for x in (query, key, value))
        pieces.append(scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale, enable_gqa=enable_gqa))
    return OnGpu(torch.cat(pieces, dim=2)[0].transpose(0, 1))


@contextlib.contextmanager
def a_gpu(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype) -> Iterator[None]:
    """Run on the GPU, under autocast to this dtype."""
    monkeypatch.setattr("torch.cuda._lazy_init", lambda: None)
    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", varlen_attn)
    for module in ("trl.trainer.utils", "trl.kernels.chunked_logprob"):
        monkeypatch.setattr(f"{module}._use_triton", lambda device: False)
    torch._C._ensureCUDADeviceGuardSet()  # type: ignore[attr-defined]
    torch.set_autocast_enabled("cuda", True)
    torch.set_autocast_dtype("cuda", dtype)
    try:
        with _Gpu(), _Constants(), torch.no_grad():  # type: ignore[no-untyped-call]
            yield
    finally:
        torch.set_autocast_enabled("cuda", False)
