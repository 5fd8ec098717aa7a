"""The registry of model families: each module beside this one holds one as FAMILY, imported when it is asked for."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

from mmcr_dataset.command_flags import suggest
from training.families.any import any_family
from training.families.family import Family

TINY = "tiny:"  # `tiny:ovis2` names a small model of that family with random weights, built on the spot


def family_names() -> list[str]:
    """The names of all families, without importing any."""
    return sorted(
        path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in ("__init__", "family", "any")
    )


def load_family(name: str) -> Family:
    """The family of that name.

    Raises:
        ValueError: there is none; the message names the near ones.
    """
    names = family_names()
    if name not in names:
        raise ValueError(f"no model family {name!r}{suggest(name, names)}; there are {', '.join(names)}")
    family = importlib.import_module(f"training.families.{name}").FAMILY
    assert isinstance(family, Family), f"training/families/{name}.py must hold FAMILY"
    return family


def family_of(model: str, revision: str | None = None) -> Family:
    """The family of a checkpoint (folder or Hub id) or of `tiny:NAME`.

    Raises:
        ValueError: the folder holds no model, or one of a family that is not here.
    """
    if model.startswith(TINY):
        return load_family(model.removeprefix(TINY))
    model_type = _model_type(model, revision)
    for name in family_names():
        family = load_family(name)
        if family.model_type == model_type:
            return family
    try:
        return any_family(model_type)
    except ValueError as error:
        raise ValueError(f"{model}: a checkpoint of type {model_type!r}; {error}") from error


def _model_type(model: str, revision: str | None) -> str:
    folder = Path(model)
    if folder.is_dir():
        path = folder / "config.json"
        if not path.is_file():
            raise ValueError(f"{model}: no config.json; expected a checkpoint folder as save_pretrained writes it")
        try:
            return str(json.loads(path.read_text(encoding="utf-8"))["model_type"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: names no model_type ({type(error).__name__}: {error})") from error
    if model.startswith((".", "/")) or model.count("/") != 1:
        raise ValueError(f"{model}: no such folder, and not an id on the Hub (ORG/NAME) or tiny:FAMILY")
    from transformers import AutoConfig

    try:
        return str(AutoConfig.from_pretrained(model, revision=revision, trust_remote_code=False).model_type)
    except OSError as error:
        where = f" at revision {revision}" if revision else ""
        raise ValueError(
            f"{model}{where}: can't be loaded from the Hub, and is not in the cache ({_first_line(error)}); check the "
            "name and the connection, log in if it is gated (`hf auth login`), or try the settings with --model "
            f"tiny:FAMILY ({', '.join(family_names())})"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
