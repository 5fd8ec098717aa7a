"""Open the model of a `--model` value: `hf:PATH`, `api:URL#NAME`, `scripted:FILE`, `lookup:DATA_SET`."""

from __future__ import annotations

from pathlib import Path

from eval_tasks.models.generation import GenerationSettings, LoadSettings
from eval_tasks.models.model import Model

SERVED = ("vllm", "sglang", "transformers")


def open_model(
    spec: str,
    ledger_path: Path,
    batch_size: int | None = None,
    load: LoadSettings = LoadSettings(),  # noqa: B008  (frozen)
    generation: GenerationSettings = GenerationSettings(),  # noqa: B008  (frozen)
    server_args: str = "",
) -> Model:
    """The model of a `--model` value.

    Args:
        spec: `hf:FOLDER_OR_HUB_ID[@REVISION]`, `api:URL#NAME`, `scripted:FILE.json`, `lookup:DATA_SET`, or a server
            that is started for the run: `vllm:`, `sglang:` or `transformers:FOLDER_OR_HUB_ID`.
        ledger_path: SQLite file that stores paid replies (`api:` only).
        batch_size: batch size (`hf:`) or max concurrency (`api:`); None for the default.
        load: how a local checkpoint is loaded (`hf:` only).
        generation: how the model writes.
        server_args: further flags of a started server.

    Raises:
        ValueError: the value has none of these forms, or the model can't be opened.
    """
    kind, _, rest = spec.partition(":")
    if kind not in ("hf", "api", "scripted", "lookup", *SERVED) or not rest:
        raise ValueError(
            f"--model {spec!r}: expected hf:FOLDER_OR_HUB_ID, api:URL#NAME, scripted:FILE.json, lookup:DATA_SET, or a "
            f"server to start: {', '.join(f'{name}:FOLDER_OR_HUB_ID' for name in SERVED)}"
        )
    if kind in ("api", "scripted", "lookup") and load != LoadSettings():
        raise ValueError(f"--model {spec}: --dtype, --device_map and the like are for a model that is loaded here")
    if server_args and kind not in SERVED:
        raise ValueError(f"--server_args {server_args}: needs a server to start ({', '.join(SERVED)}), got {spec}")
    if kind in SERVED:
        from eval_tasks.models.served import ServedVLM

        return ServedVLM(kind, rest, ledger_path, batch_size or 16, load, generation, server_args)
    if kind == "hf":
        from eval_tasks.models.transformers_vlm import TransformersVLM

        return TransformersVLM(rest, batch_size or 8, load, generation)
    if kind == "api":
        from eval_tasks.models.chat_api_vlm import ChatApiVLM

        return ChatApiVLM(rest, ledger_path, batch_size or 16, generation)
    if kind == "lookup":
        from eval_tasks.models.lookup import LookupModel

        return LookupModel(rest, batch_size or 4)
    from eval_tasks.models.scripted import ScriptedModel

    return ScriptedModel(Path(rest), batch_size or 4)
