"""Peak memory of a training step, predicted: the largest micro-batch runs with weights that have shapes but no values.

Integers (token ids, grids, boundaries) and pixels are real, so that code which depends on them takes its true path;
whatever a weight has touched is a fake tensor, which allocates nothing. What lives at once is counted by storages.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from trl.trainer.utils import add_fused_lm_head

from training.data.collate import DIALOGUES, DOMAINS, REAL_TOKENS, ROWS, SKIPPED, TURNS, WEIGHTS
from training.model.inputs import bare_model, has_backbone, to_inputs

_SMALL_BYTES = 2**20  # constants below are computed: a model may look at their values
_MOMENT_BYTES = {"8bit": 1, "": 4}  # of each of Adam's two, by what the optimizer's name contains
_NOT_INPUTS = (SKIPPED, REAL_TOKENS, ROWS, TURNS, DIALOGUES, DOMAINS)
_INDEXED = (
    torch.ops.aten.index.Tensor,
    torch.ops.aten.index_put.default,
    torch.ops.aten.index_put_.default,
    torch.ops.aten._index_put_impl_.default,
)


class Memory(NamedTuple):
    """Bytes that are held at the peak of a step."""

    weights: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        """All of it."""
        return sum(self)


class _Storages(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the storages that live at once."""

    def __init__(self, known: set[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = 0
        self.peak = 0
        self._known = known

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(found):
            if isinstance(tensor, torch.Tensor):
                self._add(tensor.untyped_storage())
        return found

    def _add(self, storage: Any) -> None:
        key = storage._cdata
        if key in self._known:
            return
        self._known.add(key)
        size = storage.nbytes()
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size


class _RealValues(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Computes what depends on no weight, and small constants."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        if not any(isinstance(tensor, FakeTensor) for tensor in tensors):
            if not tensors:
                made = func(*args, **kwargs)
                if not isinstance(made, torch.Tensor) or made.nbytes > _SMALL_BYTES:
                    return made
            with unset_fake_temporarily():
                return func(*args, **kwargs)
        if func in _INDEXED:
            with unset_fake_temporarily():
                args = (args[0], [place for index in args[1] for place in _places(index)], *args[2:])
        return func(*args, **kwargs)


def _places(index: Any) -> tuple[Any, ...]:
    """A mask of known values as places, since their number decides a shape."""
    masked = isinstance(index, torch.Tensor) and not isinstance(index, FakeTensor) and index.dtype == torch.bool
    return index.nonzero(as_tuple=True) if masked else (index,)


def predict_memory(
    model: Any, batch: dict[str, Any], image_processor: Any, dtype: torch.dtype, optim: str, accumulates: bool
) -> Memory:
    """Memory at the peak of a step after the first, on one process; the model has no values afterwards.

    Args:
        model: the model as it is trained.
        batch: its largest micro-batch.
        image_processor: of the processor.
        dtype: of mixed precision.
        optim: name of the optimizer.
        accumulates: a step has several micro-batches, so that gradients live while activations do.

    Raises:
        RuntimeError: a shape depends on values that only a run has (such as the experts that a router chooses).
    """
    inputs = to_inputs(
        {name: value for name, value in batch.items() if name not in _NOT_INPUTS}, model, image_processor
    )
    weights_BT = inputs.pop(WEIGHTS)
    weights = sum({p.untyped_storage()._cdata: p.untyped_storage().nbytes() for p in model.parameters()}.values())
    trained = [parameter.numel() for parameter in model.parameters() if parameter.requires_grad]
    model.train()
    if has_backbone(model):  # as TRL's trainer does
        add_fused_lm_head(bare_model(model), outputs=("log_probs", "entropy", "is_top1"))
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        _empty(model, mode)
        known = {tensor.untyped_storage()._cdata for tensor in (*model.parameters(), *model.buffers())}
        with _RealValues(), _Storages(known) as storages:  # type: ignore[no-untyped-call]
            for _ in range(1 + accumulates):
                _forward_and_backward(model, inputs, weights_BT, dtype)
        gradients = sum(parameter.grad.nbytes for parameter in model.parameters() if parameter.grad is not None)
    moments = next(size for part, size in _MOMENT_BYTES.items() if part in optim)
    held = max(storages.peak, gradients)
    return Memory(weights, gradients, 2 * moments * sum(trained), held - gradients)


def _empty(model: Any, mode: FakeTensorMode) -> None:
    """Replace each weight by one without values; tied weights stay tied."""
    fakes: dict[int, Any] = {}
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                fake = fakes.get(id(parameter))
                if fake is None:
                    fake = torch.nn.Parameter(mode.from_tensor(parameter.detach()), parameter.requires_grad)
                    fakes[id(parameter)] = fake
                module._parameters[name] = fake


def _forward_and_backward(model: Any, inputs: dict[str, Any], weights_BT: torch.Tensor, dtype: torch.dtype) -> None:
    with _autocast(dtype):
        if has_backbone(model):
            log_probs = model(**inputs, use_cache=False, fused_lm_head=True).log_probs
        else:
            logits = model(
                **{name: value for name, value in inputs.items() if name != "labels"}, use_cache=False
            ).logits
            log_probs = logits[:, :-1].float().log_softmax(-1)[..., 0]
    loss = -(log_probs * weights_BT[:, 1:]).sum()
    loss.backward()


@contextlib.contextmanager
def _autocast(dtype: torch.dtype) -> Iterator[None]:
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        yield
