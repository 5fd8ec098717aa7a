"""What reaches the CUDA kernels, recorded on the CPU under the autocast of a GPU run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.attention.varlen as kernels
from torch.nn.functional import scaled_dot_product_attention
from transformers import AutoConfig

from benchmarks.tiny import TINY
from benchmarks.training_families import build
from mmcr_dataset.record.dialogue import Dialogue
from mmcr_dataset.record.row import to_row
from tests.training.test_train import settings
from training.data.collate import Collator
from training.data.encode import Encoder
from training.data.packing import rope_of
from training.families import family_names, load_family
from training.model import varlen
from training.model.load import choose_attention
from training.train import train


class OnGpu(torch.Tensor):
    """A CPU tensor that says it is on a GPU."""

    is_cuda = property(lambda self: True)  # type: ignore[assignment]


Call = tuple[Any, ...]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """Records what the kernel is given, and computes what it would: causal attention within each sequence's window."""
    found: list[Call] = []

    def kernel(
        query: Any, key: Any, value: Any, begins: Any, begins_k: Any, longest: int, longest_k: int, *,
        scale: Any, window_size: Any, enable_gqa: bool,
    ) -> torch.Tensor:  # fmt: skip
        found.append((query, key, value, begins, longest, window_size))
        pieces = []
        for a, b in zip(begins.tolist(), begins.tolist()[1:], strict=False):
            q, k, v = (x[a:b].transpose(0, 1)[None].as_subclass(torch.Tensor) for x in (query, key, value))
            window = window_size[0] + 1 if window_size[0] >= 0 else b - a
            mask = torch.ones(b - a, b - a, dtype=torch.bool).tril().triu(1 - window)
            pieces.append(scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale, enable_gqa=enable_gqa))
        return torch.cat(pieces, dim=2)[0].transpose(0, 1)

    monkeypatch.setattr(kernels, "varlen_attn", kernel)
    plain = varlen.attend

    def attend(module: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        return plain(module, query.as_subclass(OnGpu), *args, **kwargs)

    monkeypatch.setattr(varlen, "attend", attend)
    return found


def check(calls: list[Call], lengths: list[int], windows: frozenset[int] = frozenset({-1})) -> None:
    """What torch documents of its kernel: one 16-bit dtype, [tokens, heads, head size], the last axis contiguous.

    Args:
        calls: what it was given.
        lengths: of the dialogues.
        windows: tokens before a token that it may attend to; -1 for all.
    """
    assert calls
    for query, key, value, begins, longest, window in calls:
        assert {query.dtype, key.dtype, value.dtype} == {torch.bfloat16}
        assert {query.device, key.device, value.device, begins.device} == {torch.device("cpu")}
        assert [x.ndim for x in (query, key, value)] == [3, 3, 3]
        assert len(query) == len(key) == len(value) == sum(lengths)
        assert query.shape[1] % key.shape[1] == 0
        assert query.shape[2] <= 256
        assert query.shape[2] % 8 == 0
        assert all(x.stride(-1) == 1 for x in (query, key, value))
        assert begins.dtype == torch.int32
        assert begins.diff().tolist() == lengths
        assert isinstance(longest, int)
        assert longest == max(lengths)
        assert window[0] in windows
        assert window[1] == 0


@pytest.mark.parametrize("name", [*family_names(), "internvl", "qwen2_vl", "qwen3_vl_moe"])
def test_kernel_gets_one_16_bit_dtype_and_loss_and_gradients_are_float32(
    name: str,
    calls: list[Call],
    build_family: Callable[..., tuple[Any, Any]],
    dialogues: list[Dialogue],
    data_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from training.trainer import DialogueTrainer

    monkeypatch.setattr("training.model.load.register_varlen", lambda: register(varlen.attend))
    seen: list[torch.dtype] = []
    plain = DialogueTrainer._get_grad_norm

    def norm(self: Any, model: Any, grad_norm: Any = None) -> Any:
        seen.extend(p.grad.dtype for p in model.parameters() if p.grad is not None)
        seen.append(self._tr_loss.dtype)
        return plain(self, model, grad_norm)

    monkeypatch.setattr(DialogueTrainer, "_get_grad_norm", norm)
    model = f"tiny:{name}" if name in family_names() else str(build(name, tmp_path / "m"))
    train(settings(data_folder, tmp_path / "o", model=model, precision="bfloat16", max_steps=1, bin_tokens=4000))
    lengths = calls[0][3].diff().tolist()
    assert len(lengths) == 4
    check(calls, lengths)
    assert set(seen) == {torch.float32}


WALKED = sorted(set(TINY) - {*family_names(), "internvl", "qwen2_vl", "qwen3_vl_moe"})


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", WALKED)
def test_every_type_gives_the_kernel_what_it_takes_or_says_why_it_is_not_asked(
    name: str,
    calls: list[Call],
    build_family: Callable[..., tuple[Any, Any]],
    data_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("training.model.load.register_varlen", lambda: register(varlen.attend))
    model = str(build(name, tmp_path / "m"))
    with caplog.at_level("INFO"):
        train(settings(data_folder, tmp_path / "o", model=model, precision="bfloat16", max_steps=1, bin_tokens=4000))
    if calls:
        text = AutoConfig.from_pretrained(model).get_text_config()
        slides = getattr(text, "sliding_window", None)
        windows = frozenset({-1} if slides is None else {-1, slides - 1})
        for call in calls:
            check([call], call[3].diff().tolist(), windows)
    else:
        assert "using sdpa" in caplog.text or "padded" in caplog.text


def register(attend: Any) -> str:
    from transformers import AttentionInterface

    AttentionInterface.register(varlen.NAME, attend)
    return varlen.NAME


@pytest.mark.parametrize(
    ("changed", "capability", "expected"),
    [
        ({}, None, "varlen"),
        ({}, (9, 0), "varlen"),
        ({}, (7, 5), "sdpa"),
        ({"precision": "float32"}, (9, 0), "sdpa"),
        ({"attention": "varlen", "precision": "float32"}, (9, 0), "sdpa"),
        ({"attention": "eager"}, (7, 5), "eager"),
        ({"packing": False}, (9, 0), "sdpa"),
    ],
)
def test_attention_is_what_runs_on_the_device(
    changed: dict[str, Any], capability: tuple[int, int] | None, expected: str
) -> None:
    text = torch.nn.Module()
    text.head_dim, text.hidden_size, text.num_attention_heads = 128, 512, 4  # type: ignore[assignment]
    config = settings(Path("d"), Path("o"), **{"precision": "bfloat16", **changed})
    name, reason = choose_attention(config, text, capability)
    assert name == expected
    assert bool(reason) == (expected == "sdpa" and config.packing)


def test_attention_of_odd_heads_and_capped_scores_is_not_the_kernels() -> None:
    text = torch.nn.Module()
    text.head_dim = 36  # type: ignore[assignment]
    config = settings(Path("d"), Path("o"), precision="bfloat16")
    assert choose_attention(config, text, (9, 0))[0] == "sdpa"
    text.attn_logit_softcapping = 50.0  # type: ignore[assignment]
    assert choose_attention(config, text, (9, 0))[0] == "eager"


def test_sliding_window_of_a_packed_row_is_that_of_a_mask() -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, 2, 9, 8) for _ in range(3))
    begins = torch.tensor([0, 3, 9], dtype=torch.int32)
    module = torch.nn.Module()
    out, _ = varlen.attend(module, query, key, value, None, None, 0.0, begins, 6, sliding_window=4)
    place = torch.arange(6)
    mask = (place[:, None] >= place) & (place[:, None] - place < 4)
    expected = scaled_dot_product_attention(query[:, :, 3:], key[:, :, 3:], value[:, :, 3:], attn_mask=mask)
    assert torch.allclose(out[:, 3:], expected.transpose(1, 2), atol=1e-6)


def test_longest_dialogue_comes_from_the_collator(
    build_family: Callable[..., tuple[Any, Any]], dialogues: list[Dialogue]
) -> None:
    model, processor = build_family("qwen3_vl")
    family = load_family("qwen3_vl")
    batch = Collator(Encoder(processor), family, True, rope_of(model))([to_row(dialogue) for dialogue in dialogues[:3]])
    assert batch["longest"] == int(batch["cu_seq_lens"].diff().max())
