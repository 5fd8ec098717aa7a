"""Write the data set card (README.md) and Croissant metadata (croissant.json) from statistics and funnel."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from string import Template

from mmcr_dataset.publish.croissant import CROISSANT_NAME, Description, file_sha256, to_croissant
from mmcr_dataset.publish.describe import Statistics, describe, load_statistics, show_table, write_statistics
from mmcr_dataset.publish.markdown_table import code_span, escape_markdown, to_table, yaml_text
from mmcr_dataset.publish.remove import count_removed
from mmcr_dataset.stage.stages import write_text
from mmcr_dataset.stage.takedowns import LOG_NAME

_VENDOR_TERMS = (
    "Text written by a vendor's model is subject to that vendor's terms too; each row names it in `generation`."
)
_NOTES = {
    "offline": """
> Written by the `offline` writer from captions and measured image facts: for trying the pipeline, not for training a
> model that people use.
""",
    "import": """
> Imported from an existing conversation set as it is: neither made nor filtered by the recipe described here. Its own
> documentation says how it was made, and under which licence it may be used.
""",
}
_TEXT = (
    "Dialogues of several turns about one to four images, written about interleaved web documents after the recipe "
    "of MMCR (arXiv 2503.18533)."
)
_MMDU_TEXT = (
    "Long dialogues about two to twenty related images of several pages, after the recipe of MMDU (arXiv 2406.11833)."
)
_IMPORTED = "Dialogues about images, imported from an existing conversation set."
_INTRO = {
    "build": """\
Dialogues of several turns about one to four images, in which a person asks and an assistant answers with the thread
kept from turn to turn. Made after the recipe of MMCR (arXiv 2503.18533): interleaved web documents, dialogues written
about them, strict filters.""",
    "mmdu": """\
Long dialogues about two to twenty related images of several pages, in which a person asks and an assistant answers with
the thread kept from turn to turn. Made after the recipe of MMDU (arXiv 2406.11833): images clustered by image and text,
dialogues written over several requests. It is not MMDU-45k. Licence, author and page of each image stand in its row, in
`source.licence`, as `Image_1: ...; Image_2: ...`.""",
    "import": _IMPORTED,
}
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def write_card(folder: Path, name: str) -> None:
    """Write README.md and croissant.json of a data set folder from its statistics.json and funnel.json.

    Args:
        folder: has statistics.json, and `single/` or `multi/` with Parquet shards.
        name: name of the data set, the title of the card.
    """
    statistics = load_statistics(folder)
    num_rows = sum(numbers.num_rows for numbers in statistics.values())
    writers = sorted({writer for numbers in statistics.values() for writer in numbers.writers})
    licences = sorted({licence for numbers in statistics.values() for licence in numbers.licences})
    recipe = "import" if writers == ["import"] else "mmdu" if _is_clustered(folder) else "build"
    card = Template(resources.files("mmcr_dataset.publish").joinpath("card.md").read_text("utf-8"))
    code_name = re.sub(r"[^\w./-]", "_", name)
    text = card.substitute(
        configs=_show_configs(folder, list(statistics)),
        size=next((label for most, label in _SIZES if num_rows < most), "1M<n<10M"),
        yaml_name=yaml_text(name),
        title=escape_markdown(name),
        code_name=code_name,
        intro=_INTRO[recipe],
        loads="\n".join(_show_load(code_name, config, numbers) for config, numbers in statistics.items()),
        table=show_table(statistics),
        funnel=_show_funnel(folder),
        writers=_show_writers(statistics),
        terms="" if set(writers) <= {"offline", "import"} else _VENDOR_TERMS,
        note="".join(note for writer, note in _NOTES.items() if writer in writers),
        licences="\n".join(f"- {escape_markdown(licence)}" for licence in licences),
        removed=_show_removed(folder),
    )
    write_text(folder / "README.md", text)
    text = {"import": _IMPORTED, "build": _TEXT, "mmdu": _MMDU_TEXT}[recipe]
    description = Description(name, text, licences=licences, rai=_describe_making(writers))
    write_text(folder / CROISSANT_NAME, json.dumps(to_croissant(folder, description), indent=1) + "\n")


def _show_writers(statistics: Mapping[str, Statistics]) -> str:
    """The writers, of several each with its share of the rows."""
    counts: Counter[str] = Counter()
    for numbers in statistics.values():
        counts.update(numbers.writers)
    if len(counts) == 1:
        return code_span(*counts)
    total = counts.total()
    return ", ".join(f"{code_span(writer)} ({count / total:.1%})" for writer, count in sorted(counts.items()))


def _is_clustered(folder: Path) -> bool:
    """True if the funnel has the stage of the recipe mmdu that clusters images."""
    path = folder / "funnel.json"
    return path.is_file() and any(stage["stage"] == "cluster" for stage in json.loads(path.read_text("utf-8")))


def _show_load(name: str, config: str, numbers: Statistics) -> str:
    """A line that loads one configuration, with what is in it."""
    images, turns = (_show_range(counts, what) for counts, what in ((numbers.images, "image"), (numbers.turns, "turn")))
    return f'{config} = load_dataset("{name}", "{config}", split="train")  # {images}, {turns}'


def _show_range(counts: Mapping[str, object], what: str) -> str:
    """`2 to 4 images` from the numbers that occur."""
    least, most = min(map(int, counts)), max(map(int, counts))
    return f"{least if least == most else f'{least} to {most}'} {what}{'' if most == 1 else 's'}"


def _describe_making(writers: list[str]) -> dict[str, str | list[str]]:
    if writers == ["import"]:
        return {"dataCollection": "Imported from an existing conversation set; see its own documentation."}
    return {
        "dataCollection": "Interleaved web documents with one to four images; images fetched from their addresses "
        "where the owner does not object (X-Robots-Tag: noai).",
        "dataCollectionType": ["Web Scraping", "Secondary Data Analysis"],
        "dataPreprocessingProtocol": "Images are checked and kept as they are; texts are cleaned of control "
        "characters and special tokens. Reasons and numbers of what was removed are on the card.",
        "dataAnnotationProtocol": "Dialogues are written by the writers below from a fixed prompt, then filtered by "
        "rules and by the similarity of image and text. No person checked them one by one.",
        "machineAnnotationTools": writers,
        "dataUseCases": "Training vision-language models on dialogues of several turns and images.",
        "dataLimitations": "Machine-written: answers can be wrong about an image. English only.",
        "dataBiases": "Images and texts show the biases of the web pages they come from and of the writing model.",
        "personalSensitiveInformation": "Images of the open web may show people and hold personal data.",
        "dataReleaseMaintenancePlan": "Rows are taken out on request by the address of an image or document; "
        f"ids and reasons are in {LOG_NAME}.",
    }


def refresh_card(folder: Path, name: str | None = None) -> None:
    """Recompute the statistics of a data set folder and rewrite its card; `name` None for the folder's name."""
    write_statistics(folder, describe(folder))
    write_card(folder, name or folder.resolve().name)


def _show_configs(folder: Path, names: list[str]) -> str:
    """The `configs` block of the card: one for all rows, one for each folder of shards.

    `datasets` caches a local folder by this block, not by its files: the hash of the shards in it invalidates the
    cache of a rebuilt folder.
    """
    hashes = {name: _hash_shards(folder / name) for name in names}
    lines = ["- config_name: default", "  default: true", f"  description: shards {' '.join(hashes.values())}"]
    lines += ["  data_files:", "  - split: train", "    path:"]
    lines += [f"    - {name}/train-*.parquet" for name in names]
    for name in names:
        lines += [f"- config_name: {name}", f"  description: shards {hashes[name]}"]
        lines += ["  data_files:", "  - split: train", f"    path: {name}/train-*.parquet"]
    return "\n".join(lines)


def _hash_shards(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.parquet")):
        digest.update(path.name.encode() + bytes.fromhex(file_sha256(path)))
    return digest.hexdigest()[:16]


def _show_funnel(folder: Path) -> str:
    path = folder / "funnel.json"
    if not path.is_file():
        return "Not recorded."
    rows, counted = [], []
    for stage in json.loads(path.read_text("utf-8")):
        counted += [f"{escape_markdown(rule)}: {count:,}" for rule, count in stage.get("counted", {}).items()]
        removed = (
            ", ".join(f"{count:,} {escape_markdown(reason)}" for reason, count in stage["removed"].items()) or "none"
        )
        rows.append([stage["stage"], f"{stage['num_in']:,}", f"{stage['num_kept']:,}", removed])
    table = to_table(["stage", "in", "kept", "removed"], rows, right=(1, 2))
    return f"{table}\n\nKept, but counted by a rule: {', '.join(counted)}." if counted else table


def _show_removed(folder: Path) -> str:
    counts = count_removed(folder)
    if not counts:
        return ""
    reasons = ", ".join(f"{count:,} {escape_markdown(reason)}" for reason, count in counts.items())
    return f"\n## Taken out afterwards\n\n{sum(counts.values()):,} rows ({reasons}); ids and reasons in `{LOG_NAME}`.\n"
