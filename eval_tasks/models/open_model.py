"""Open the model of a `--model` value: `hf:PATH`, `api:URL#NAME`, `scripted:FILE`."""

from __future__ import annotations

from pathlib import Path

from eval_tasks.models.generation import GenerationSettings, LoadSettings
from eval_tasks.models.model import Model


def open_model(
    spec: str,
    ledger_path: Path,
    batch_size: int | None = None,
    load: LoadSettings = LoadSettings(),  # noqa: B008  (frozen)
    generation: GenerationSettings = GenerationSettings(),  # noqa: B008  (frozen)
) -> Model:
    """The model of a `--model` value.

    Args:
        spec: `hf:FOLDER_OR_HUB_ID[@REVISION]`, `api:URL#NAME` or `scripted:FILE.json`.
        ledger_path: SQLite file that stores paid replies (`api:` only).
        batch_size: batch size (`hf:`) or max concurrency (`api:`); None for the default.
        load: how a local checkpoint is loaded (`hf:` only).
        generation: how the model writes.

    Raises:
        ValueError: the value has none of these forms, or the model can't be opened.
    """
    kind, _, rest = spec.partition(":")
    if kind not in ("hf", "api", "scripted") or not rest:
        raise ValueError(f"--model {spec!r}: expected hf:FOLDER_OR_HUB_ID, api:URL#NAME or scripted:FILE.json")
    if kind != "hf" and load != LoadSettings():
        raise ValueError(
            f"--model {spec}: --dtype, --device_map and the like are for a model that is loaded here (hf:)"
        )
    if kind == "hf":
        from eval_tasks.models.transformers_vlm import TransformersVLM

        return TransformersVLM(rest, batch_size or 8, load, generation)
    if kind == "api":
        from eval_tasks.models.chat_api_vlm import ChatApiVLM

        return ChatApiVLM(rest, ledger_path, batch_size or 16, generation)
    from eval_tasks.models.scripted import ScriptedModel

    return ScriptedModel(Path(rest), batch_size or 4)
