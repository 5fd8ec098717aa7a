"""A tiny model of a family with random weights and a tokenizer trained on the data: for demos, tests and benchmarks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mmcr_dataset.record.dialogue import Dialogue
from training.families.family import Family

VOCABULARY = 2048  # tokens: large enough for short sequences, small enough to train on a CPU
_FRAME = "system\nYou are a helpful assistant.user\nassistant\nUser: Assistant: Image_1: "  # text of chat templates


def train_tokenizer(texts: Iterable[str], family: Family, vocabulary: int = VOCABULARY) -> Any:
    """A byte-level BPE tokenizer with the family's special tokens, trained on these texts; deterministic."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(family.special_tokens),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*texts, _FRAME], trainer)
    kept = {family.end_of_turn, "<|endoftext|>"}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|endoftext|>",  # noqa: S106
        eos_token=family.end_of_turn,
        additional_special_tokens=[token for token in family.special_tokens if token not in kept],
    )


def dialogue_texts(dialogues: Iterable[Dialogue]) -> Iterable[str]:
    """Every text of the dialogues."""
    for dialogue in dialogues:
        for turn in dialogue.turns:
            yield from (block for block in turn.human if isinstance(block, str))
            yield turn.assistant


def build_tiny(family: Family, dialogues: Iterable[Dialogue], seed: int) -> tuple[Any, Any]:
    """A small model with random weights and its processor, of the family's real classes."""
    import torch

    tokenizer = train_tokenizer(dialogue_texts(dialogues), family)
    torch.manual_seed(seed)
    return family.to_tiny(tokenizer)
