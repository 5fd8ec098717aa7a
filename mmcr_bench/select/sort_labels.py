"""Sort labels into the eight domains by a chat model (paper 3.3), cached in the ledger; each label exactly once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmcr_bench.select.topics import DOMAINS
from mmcr_bench.select.wordnet import name_of
from mmcr_dataset.endpoint.ask_all import ask_all
from mmcr_dataset.endpoint.client import ChatClient, Endpoint
from mmcr_dataset.endpoint.ledger import Ledger

BATCH = 100  # labels per request
NONE = "none"
_PROMPT = """\
Labels were given to photographs by an image tagger. Sort every label into the one domain that people would look for \
it under: {domains}. Write "none" for a label that fits none of them or says too little to be a topic of conversation.

Answer with a JSON object that has every label below as a key, exactly as written, and its domain as the value.

Labels with the number of pictures that carry them:
{labels}"""


def sort_by_model(counts: Mapping[str, int], endpoint: Endpoint, ledger_path: Path) -> dict[str, str]:
    """The domain of each label; labels without a domain are omitted.

    Args:
        counts: number of images by synset.
        endpoint: the chat model.
        ledger_path: SQLite file that stores paid replies.

    Raises:
        ValueError: a reply is not a JSON object, lacks a label, or has an unknown label or domain.
        RequestFailed: a request failed.
    """
    return asyncio.run(_sort(counts, endpoint, ledger_path))


async def _sort(counts: Mapping[str, int], endpoint: Endpoint, ledger_path: Path) -> dict[str, str]:
    synsets = sorted(counts, key=lambda synset: (-counts[synset], synset))
    batches = [synsets[start : start + BATCH] for start in range(0, len(synsets), BATCH)]
    domains: dict[str, str] = {}
    with Ledger(ledger_path) as ledger:
        async with ChatClient(endpoint, ledger) as client:
            asks = (_ask(client, batch, counts) for batch in batches)
            for answer in await ask_all(asks, endpoint.max_in_flight):
                domains |= answer
    return domains


def _to_keys(synsets: Sequence[str]) -> dict[str, str]:
    """A readable key for each synset; synsets with the same name are disambiguated by their number."""
    names = [name_of(synset) for synset in synsets]
    return {
        name if names.count(name) == 1 else f"{name} ({synset})": synset
        for name, synset in zip(names, synsets, strict=True)
    }


async def _ask(client: ChatClient, synsets: Sequence[str], counts: Mapping[str, int]) -> dict[str, str]:
    keys = _to_keys(synsets)
    shown = "\n".join(f"- {key}: {counts[synset]}" for key, synset in keys.items())
    question = _PROMPT.format(domains=", ".join(DOMAINS), labels=shown)
    reply = await client.ask(
        [{"role": "user", "content": question}], temperature=0.0, response_format={"type": "json_object"}
    )
    return read_sorted(reply.text, keys)


def read_sorted(text: str, keys: Mapping[str, str]) -> dict[str, str]:
    """Parse the model's reply into domain by synset.

    Raises:
        ValueError: it is not a JSON object, lacks a label, or has an unknown label or domain.
    """
    start, end = text.find("{"), text.rfind("}")
    try:
        value: Any = json.loads(text[start : end + 1])
    except ValueError as error:
        raise ValueError(f"the sorted labels are not a JSON object ({error}): {text[:200]!r}") from error
    missing, extra = keys.keys() - value.keys(), value.keys() - keys.keys()
    if missing or extra:
        raise ValueError(f"the model omitted {sorted(missing)[:5]} and invented {sorted(extra)[:5]}; use another model")
    unknown = {key: domain for key, domain in value.items() if domain not in (*DOMAINS, NONE)}
    if unknown:
        raise ValueError(f"unknown domains {dict(list(unknown.items())[:5])}, expected {DOMAINS} or {NONE!r}")
    return {keys[key]: domain for key, domain in value.items() if domain != NONE}
