"""The shape of the house: who may import whom, what a module may be called, what stays light."""

from __future__ import annotations

import ast
import graphlib
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAY_IMPORT = {
    "mmcr_dataset": set(),
    "mmcr_bench": {"mmcr_dataset"},
    "training": {"mmcr_dataset"},
    "eval_tasks": {"mmcr_dataset", "mmcr_bench"},
    "experiments": {"mmcr_dataset", "mmcr_bench", "eval_tasks"},  # training by its commands only
}
# The rooms of a package in the order of the data flow (a module in a package's root is a room of its own).
ROOMS = {
    "mmcr_dataset": [
        "record command_flags",
        "command_line stage pages",
        "endpoint",
        "collect",
        "generate",
        "filters publish",
        "mmdu",
        "build_settings join",
        "commands label_command pipeline remove_command",
        "build_command",
        "__main__",
    ],
    "mmcr_bench": [
        "intervals",
        "judge select table_1",
        "card mmdu_files trust",
        "bench_folder exact review",
        "build freeze",
        "mmdu",
        "commands",
        "__main__",
    ],
    "training": [
        "foreign_flags",
        "config ovis2",
        "families",
        "data",
        "model",
        "run",
        "sft_settings",
        "trainer",
        "train",
        "commands",
        "__main__",
    ],
    "eval_tasks": [
        "task models",
        "totals rows store registry task_metric reply_signs",
        "places",
        "readers report",
        "exact",
        "tasks scoring",
        "run score_predictions inspect_tasks metrics",
        "commands",
        "explain_command import_yaml run_command",
        "__main__",
    ],
    "experiments": [
        "arm commands estimates volumes",
        "runs scores",
        "figures result_table",
        "conduct",
        "exact_world mini",
        "mmdu_sets",
        "data_volume mmdu_or_mmcr number_of_turns topic_balance",
        "exact_balance exact_claim exact_images exact_probes exact_turns exact_volume",
        "__main__",
    ],
}
BANNED_NAMES = {"utils", "util", "helpers", "misc", "common", "shared", "base", "core", "manager", "handler"}
LIGHT_MODULES = (
    "mmcr_dataset.record.dialogue",
    "mmcr_dataset.record.row",
    "mmcr_dataset.record.messages",
    "mmcr_dataset.record.images",
    "mmcr_dataset.record.plain_text",
    "mmcr_dataset.endpoint.ledger",
    "mmcr_dataset.__main__",
    "mmcr_bench.__main__",
    "mmcr_bench.intervals",
    "eval_tasks.__main__",
    "eval_tasks.registry",
    "experiments.conduct",
    "experiments.data_volume",
    "experiments.mmdu_or_mmcr",
    "experiments.number_of_turns",
    "experiments.topic_balance",
    "training.config",
    "training.commands",
    "mmcr_bench.commands",
    "mmcr_bench.mmdu.commands",
    "mmcr_bench.review.commands",
    "mmcr_bench.select.commands",
    "mmcr_bench.trust.commands",
    "eval_tasks.commands",
    "eval_tasks.run_command",
    "mmcr_dataset.build_command",
    "training.run.model_card",
    "training.run.publish",
)
HEAVY = ("torch", "transformers", "datasets", "trl", "accelerate", "open_clip", "timm", "matplotlib", "openai")


def modules() -> list[Path]:
    return [path for package in MAY_IMPORT for path in sorted((ROOT / package).rglob("*.py"))]


def imported_packages(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the full name"
            names.add((node.module or "").split(".")[0])
    return names


def test_imports_point_one_way_along_the_data_flow() -> None:
    for path in modules():
        package = path.relative_to(ROOT).parts[0]
        foreign = (imported_packages(path) & set(MAY_IMPORT)) - MAY_IMPORT[package] - {package}
        assert not foreign, f"{path.relative_to(ROOT)} imports {foreign}; allowed: {MAY_IMPORT[package] or 'none'}"


def module_paths(*packages: str) -> dict[str, Path]:
    """The modules of packages by their full names."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for package in packages
        for path in (ROOT / package).rglob("*.py")
    }


def arrows(*packages: str) -> set[tuple[str, str]]:
    """(module, module it imports) within packages, imports inside functions included."""
    paths = module_paths(*packages)
    found: set[tuple[str, str]] = set()
    for module, path in paths.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {(module, alias.name) for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names = {f"{node.module}.{alias.name}" for alias in node.names}
                found |= {(module, name if name in paths else str(node.module)) for name in names}
    return {(a, b) for a, b in found if b in paths and a != b}


def room_of(module: str) -> str:
    """The folder of a package that a module lies in; a module in the package's root is a room of its own."""
    return ".".join(module.split(".")[:2])


def assert_no_cycle(drawn: set[tuple[str, str]]) -> None:
    graph: dict[str, set[str]] = {}
    for a, b in drawn:
        graph.setdefault(a, set()).add(b)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"import cycle: {' <- '.join(error.args[1])}")


@pytest.mark.parametrize("package", ROOMS)
def test_no_import_cycle_of_modules_or_rooms(package: str) -> None:
    drawn = arrows(package)
    assert drawn
    assert_no_cycle(drawn)
    rooms = {(room_of(a), room_of(b)) for a, b in drawn}
    assert_no_cycle({(a, b) for a, b in rooms if a != b})


@pytest.mark.parametrize("package", ROOMS)
def test_rooms_import_earlier_rooms_only(package: str) -> None:
    """Imports inside functions included; rooms of one line of the table don't import each other."""
    place_of = {f"{package}.{room}": place for place, line in enumerate(ROOMS[package]) for room in line.split()}
    for module, imported in sorted(arrows(package)):
        room, other = room_of(module), room_of(imported)
        for name in (room, other):
            assert name in place_of, f"{name}: a new room; say in ROOMS where it stands"
        assert room == other or place_of[other] < place_of[room], f"{module} imports {imported}; see ROOMS"


def test_module_names_are_nouns_of_one_concept() -> None:
    for path in modules():
        assert path.stem not in BANNED_NAMES, f"{path.relative_to(ROOT)}: name the concept instead"


def test_no_module_carries_the_name_of_a_library() -> None:
    """`accelerate launch training/train.py` puts training/ first on sys.path, where datasets.py would be `datasets`."""
    installed = importlib.metadata.packages_distributions().items()
    taken = {name for name, owners in installed if set(owners) != {"mmcr-vlm"}} | set(sys.stdlib_module_names)
    for path in modules():
        if path.stem not in ("__init__", "__main__"):
            assert path.stem not in taken, f"{path.relative_to(ROOT)} has the name of an installed package"


@pytest.mark.parametrize("module", LIGHT_MODULES)
def test_light_modules_import_no_heavy_library(module: str) -> None:
    path = ROOT / (module.replace(".", "/") + ".py")
    assert path.is_file(), f"{module} is gone; mend the list"
    program = f"import sys, {module}; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.split() == [], f"importing {module} loads {found.stdout.split()}"
