"""The card, statistics and Croissant metadata of a set of the controlled world."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from string import Template

from mmcr_bench.exact.exact_set import PROGRAMS_NAME, VARIANTS
from mmcr_bench.exact.settings import ExactSettings
from mmcr_dataset.publish.croissant import CROISSANT_NAME, Description, file_sha256, to_croissant
from mmcr_dataset.publish.describe import Statistics, describe, write_statistics
from mmcr_dataset.stage.stages import write_text

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))
_TEXT = (
    "Dialogues of several turns about one or more generated images. Every answer is computed from the scene; every "
    "question states what can be guessed without its history or its images."
)
_RAI = {
    "dataCollection": "Generated: scenes, images, questions and answers are drawn from a seed.",
    "dataCollectionType": ["Synthetic"],
    "dataAnnotationProtocol": "Answers are the values of programs over the scenes; a second solver that reads the "
    "words and the scenes agrees on every answer.",
    "dataUseCases": ["Measuring contextual reasoning over turns and images", "Training in controlled experiments"],
    "dataLimitations": "Few attributes, English templates. A score here is no score on natural dialogues.",
    "personalSensitiveInformation": "None, except the published portraits among the photographs of contact sheets.",
}


def write_set_card(folder: Path, name: str, settings: ExactSettings) -> None:
    """Write README.md, statistics.json and croissant.json of a folder that holds shards and programs.

    Args:
        folder: the set.
        name: its title.
        settings: what it was built from.
    """
    statistics = describe(folder)
    write_statistics(folder, statistics)
    licences = sorted({licence for numbers in statistics.values() for licence in numbers.licences})
    programs = folder / PROGRAMS_NAME
    num_rows = sum(numbers.num_rows for numbers in statistics.values())
    card = Template(resources.files("mmcr_bench.exact").joinpath("set_card.md").read_text("utf-8"))
    text = card.substitute(
        configs=_show_configs(folder, settings.split),
        size=next((label for most, label in _SIZES if num_rows < most), "100K<n<1M"),
        name=name,
        split=settings.split,
        numbers=_show_numbers(statistics),
        settings="\n".join(f"- {key}: {_show(value)}" for key, value in settings.to_json().items()),
        programs=f"`{PROGRAMS_NAME}` sha256 `{file_sha256(programs)}`" if programs.is_file() else "none: captions only",
        licences="\n".join(f"- {licence}" for licence in licences),
    )
    write_text(folder / "README.md", text)
    description = Description(name, _TEXT, licences=licences, rai=_RAI)
    write_text(folder / CROISSANT_NAME, json.dumps(to_croissant(folder, description), indent=1) + "\n")


def read_programs_sha256(folder: Path) -> str | None:
    """The checksum of `exact.jsonl` as the card states it; None if it states none."""
    text = (folder / "README.md").read_text("utf-8")
    _, found, rest = text.partition(f"`{PROGRAMS_NAME}` sha256 `")
    return rest.partition("`")[0] if found else None


def _show_configs(folder: Path, split: str) -> str:
    """The `configs` block; the hash of the shards in it invalidates the cache that `datasets` keeps of a folder."""
    lines: list[str] = []
    for config, inner in (("default", folder), (VARIANTS, folder / VARIANTS)):
        kinds = [kind for kind in ("single", "multi") if any((inner / kind).glob("*.parquet"))]
        if not kinds:
            continue
        hashes = [file_sha256(path)[:16] for kind in kinds for path in sorted((inner / kind).glob("*.parquet"))]
        lines += [f"- config_name: {config}", *(["  default: true"] if config == "default" else [])]
        lines += [f"  description: shards {' '.join(hashes)}", "  data_files:", f"  - split: {split}", "    path:"]
        lines += [f"    - {(inner / kind).relative_to(folder).as_posix()}/{split}-*.parquet" for kind in kinds]
    return "\n".join(lines)


def _show_numbers(statistics: dict[str, Statistics]) -> str:
    lines = [
        f"- rows with {'one image' if name == 'single' else 'several images'}: {numbers.num_rows:,} "
        f"({numbers.num_pairs:,} questions, {numbers.num_images:,} images)"
        for name, numbers in statistics.items()
    ]
    return "\n".join(lines)


def _show(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
