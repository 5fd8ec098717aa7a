"""python -m docs.write_licences: docs/dependencies.md, the licence of each distribution of constraints.txt.

Reads the metadata of what is installed in this environment; run it after `make .venv`.
"""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

from mmcr_dataset.publish.markdown_table import escape_markdown, to_table

ROOT = Path(__file__).resolve().parents[1]
HEAD = """# Dependencies

What `make .venv` installs, with the licence that each distribution states about itself. Written by
`python -m docs.write_licences`; a test compares it with `constraints.txt`.

"""


def licence_of(name: str) -> str:
    """The licence in a distribution's metadata: its expression, its classifiers, or its short text."""
    found = importlib.metadata.metadata(name)
    classifiers = [
        line.split(" :: ")[-1] for line in found.get_all("Classifier") or () if line.startswith("License ::")
    ]
    text = " ".join((found.get("License") or "").split())
    stated = found.get("License-Expression") or ", ".join(classifiers) or (text if len(text) < 80 else "")
    return stated or "see its files"


def pins() -> dict[str, str]:
    """Name -> version in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(re.split(r"\s*==\s*", line.split(";")[0].strip()) for line in lines if "==" in line)


def main() -> None:
    """Write the page."""
    rows: list[tuple[str, str, str]] = []
    for name, version in sorted(pins().items(), key=lambda pin: pin[0].lower()):
        try:
            rows.append((name, version, escape_markdown(licence_of(name))))
        except importlib.metadata.PackageNotFoundError:
            rows.append((name, version, "see its files"))
    table = to_table(("distribution", "version", "licence"), rows)
    (ROOT / "docs/dependencies.md").write_text(f"{HEAD}{table}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
