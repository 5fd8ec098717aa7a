"""The next token from the logits, exactly as `generate` chooses it: transformers' own processors, a seed per reply."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from eval_tasks.models.generation import TOKEN_LIMITS, GenerationSettings

_SAMPLING = ("temperature", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff")
_OURS = ("seed", *TOKEN_LIMITS)  # of the run, not of transformers


def generation_config_of(model: Any, settings: GenerationSettings, max_new_tokens: int) -> Any:
    """The checkpoint's generation config with the run's settings; greedy unless the run samples."""
    config = copy.deepcopy(model.generation_config)
    config.max_length, config.max_new_tokens = None, max_new_tokens
    config.do_sample = settings.samples
    given = {name: value for name, value in settings.gen_kwargs.items() if name not in (*_OURS, "do_sample")}
    for name in () if settings.samples else _SAMPLING:
        given[name] = None  # not used by greedy decoding, which warns about them
    for name, value in given.items():
        if not hasattr(config, name):
            raise ValueError(f"--gen_kwargs {name}: not a generation setting of transformers")
        setattr(config, name, value)
    return config


class TokenChoice:
    """Chooses the tokens of one reply.

    Args:
        model: the model.
        config: from `generation_config_of`.
        ids: token ids of the prompt.
        seed: seed of a sampled reply.
    """

    def __init__(self, model: Any, config: Any, ids: Sequence[int], seed: int) -> None:
        self._ids = torch.tensor([ids], device=model.device)
        model._prepare_special_tokens(config, device=model.device)
        self._processors = model._get_logits_processor(
            generation_config=config,
            input_ids_seq_length=len(ids),
            encoder_input_ids=self._ids,
            prefix_allowed_tokens_fn=None,
            logits_processor=[],
            device=model.device,
            model_kwargs={},
        )
        self._generator = torch.Generator(model.device).manual_seed(seed) if config.do_sample else None
        self.is_argmax = not self._processors and self._generator is None

    def choose(self, written: Sequence[int], logits_V: Tensor) -> int:
        """The next token after the tokens written so far."""
        ids = torch.cat([self._ids, self._ids.new_tensor([list(written)])], dim=1) if written else self._ids
        scores = self._processors(ids, logits_V[None].float().to(ids.device))
        if self._generator is None:
            return int(scores.argmax(dim=-1))
        return int(torch.multinomial(scores.softmax(dim=-1), 1, generator=self._generator))
