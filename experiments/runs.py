"""Steps of an experiment as processes: each run once, resumed after an interruption, with its output in a log file."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from experiments.commands import Command
from mmcr_dataset.stage.stages import write_text

_LINES_SHOWN = 6  # last lines of a failed command's log


class StepFailed(ValueError):
    """A command of an experiment failed; the message has the exit code and its log."""


@contextlib.contextmanager
def lock_folder(out: Path) -> Iterator[int]:
    """Lock a folder while this experiment or one of its commands runs: child processes inherit the lock.

    Yields:
        The file descriptor of the lock.

    Raises:
        ValueError: another run holds the lock.
    """
    out.mkdir(parents=True, exist_ok=True)
    with (out / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(
                f"{out} is in use by another run, or by a command it left running; wait for it or stop it"
            ) from error
        yield file.fileno()


def run_step(step: str, command: Command, folder: Path, lock: int) -> bool:
    """Run a command unless it is done; returns False if it was.

    Args:
        step: name of the step: `STEP.json` in the folder holds its command and state, `STEP.log` its output.
        command: the command.
        folder: folder of the arm and seed.
        lock: file descriptor of `lock_folder`.

    Raises:
        StepFailed: the command failed, or the folder holds the result of another command.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state_path, log_path = folder / f"{step}.json", folder / f"{step}.log"
    before = _read_state(state_path)
    if before and before["program"] != list(command.program):
        raise StepFailed(
            f"{folder} was made by another command: {_show_change(before['program'], command.program)}; choose another "
            f"--output_dir, or remove {folder}"
        )
    if before and before["done"]:
        return False
    _write_state(state_path, command, done=False)
    begin_s = time.monotonic()
    returncode = _run(command, log_path, lock)
    if returncode:
        said = log_path.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-_LINES_SHOWN:]
        raise StepFailed("\n".join([f"exit code {returncode}; log {log_path} ends with", *said]))
    _write_state(state_path, command, done=True, seconds=round(time.monotonic() - begin_s, 1))
    return True


def is_done(step: str, folder: Path) -> bool:
    """Whether a step of a folder has succeeded."""
    state = _read_state(folder / f"{step}.json")
    return bool(state and state["done"])


def _run(command: Command, log_path: Path, lock: int) -> int:
    """Exit code of a command; its process group is terminated if this program is interrupted."""
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with log_path.open("ab") as log:
        log.write(f"$ {command.show()}\n".encode())
        log.flush()
        with subprocess.Popen(  # noqa: S603
            command.words, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment,
            pass_fds=(lock,), start_new_session=True,
        ) as process:  # fmt: skip
            try:
                return process.wait()
            except BaseException:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
                raise


@contextlib.contextmanager
def exit_on_sigterm() -> Iterator[None]:
    """Exit on SIGTERM like on Ctrl-C, terminating the running command."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _read_state(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return state


def _write_state(path: Path, command: Command, **more: Any) -> None:  # noqa: ANN401
    write_text(path, json.dumps({"program": list(command.program), **more}, indent=1) + "\n")


def _show_change(before: Sequence[str], now: Sequence[str]) -> str:
    gone = [word for word in before if word not in now]
    come = [word for word in now if word not in before]
    return f"it had {' '.join(gone) or 'nothing'} where this has {' '.join(come) or 'nothing'}"
