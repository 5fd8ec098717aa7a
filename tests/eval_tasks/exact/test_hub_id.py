"""A set that was published is evaluated by its Hub id."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.local_hub import LocalHub

ROOT = Path(__file__).resolve().parents[3]


def evaluate(hub: LocalHub, folder: Path, name: str) -> subprocess.CompletedProcess[str]:
    (folder / "model.json").write_text('{"*": "$reference"}')
    environment = {
        **os.environ,
        **{"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(folder / "home")},
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "eval_tasks", "--model", "scripted:model.json", "--tasks", "mmcr_exact"]
    command += ["--data", name, "--output_dir", "run"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_published_set_is_evaluated_by_its_id(exact_folder: Path, tmp_path: Path) -> None:
    files = {path.relative_to(exact_folder).as_posix(): path for path in exact_folder.rglob("*") if path.is_file()}
    with LocalHub() as hub:
        hub.put("lab/mmcr-exact", {name: path.read_bytes() for name, path in files.items()})
        done = evaluate(hub, tmp_path, "lab/mmcr-exact")
        assert done.returncode == 0, done.stderr
        assert "| mmcr_exact | accuracy | 100.00" in done.stdout
        missing = evaluate(hub, tmp_path, "lab/nothing")
        assert missing.returncode == 2
        assert missing.stderr.strip().splitlines()[-1].count("lab/nothing") >= 1
        assert "Traceback" not in missing.stderr
